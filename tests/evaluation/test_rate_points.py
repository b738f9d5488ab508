"""Rate points, their means, and the way to JSON and back."""

import math

import pytest

from trimix.errors import UsageError
from trimix.evaluation.rate_points import RateCurve, RatePoint, mean_point, reference_curves


def test_points_stand_in_the_order_of_their_rates():
    curve = RateCurve("a", (RatePoint(1.0, 38.0), RatePoint(0.5, 34.0)))
    assert [point.bits_per_pixel for point in curve.points] == [0.5, 1.0]


def test_the_mean_is_one_of_decibels():
    mean = mean_point([RatePoint(0.2, 30.0, 0.9, quality=5.0), RatePoint(0.4, 34.0, 0.96, quality=5.0)])
    assert mean.bits_per_pixel == pytest.approx(0.3)
    assert mean.psnr_db == pytest.approx(32.0)
    assert mean.ms_ssim == pytest.approx(0.93)
    assert mean.luma_psnr_db is None
    assert mean.quality == 5.0


def test_a_mean_over_pictures_without_ms_ssim_has_none():
    mean = mean_point([RatePoint(0.2, 30.0, 0.9, quality=5.0), RatePoint(0.4, 34.0, quality=6.0)])
    assert mean.ms_ssim is None
    assert mean.quality is None


def test_ms_ssim_in_decibels():
    assert RatePoint(0.2, 30.0, 0.99).ms_ssim_db == pytest.approx(20.0)
    assert RatePoint(0.2, 30.0, 1.0).ms_ssim_db == math.inf
    assert RatePoint(0.2, 30.0).ms_ssim_db is None


def test_butteraugli_in_decibels_grows_as_the_distance_falls():
    assert RatePoint(0.2, 30.0, butteraugli=2.0).butteraugli_db == pytest.approx(-3.0103)
    assert RatePoint(0.2, 30.0, butteraugli=0.1).butteraugli_db == pytest.approx(10.0)
    assert RatePoint(0.2, 30.0, butteraugli=0.0).butteraugli_db == math.inf
    assert RatePoint(0.2, 30.0).butteraugli_db is None


def test_means_of_perceptual_metrics_are_of_scores_and_distances():
    points = [RatePoint(1.0, 30.0, ssimulacra2=60.0, butteraugli=1.0), RatePoint(1.0, 30.0, ssimulacra2=80.0)]
    mean = mean_point(points)
    assert (mean.ssimulacra2, mean.butteraugli) == (70.0, None)
    assert mean_point(points[:1] * 2).butteraugli == 1.0


@pytest.mark.parametrize("arguments", [(0.0, 30.0), (-1.0, 30.0), (math.inf, 30.0), (0.1, math.nan)])
def test_impossible_points_are_refused(arguments):
    with pytest.raises(UsageError):
        RatePoint(*arguments)


def test_nothing_has_no_curve_and_no_mean():
    with pytest.raises(UsageError):
        RateCurve("a", ())
    with pytest.raises(UsageError):
        mean_point([])


def test_reference_curves_are_curves():
    curves = reference_curves()
    assert {"vtm", "jpeg", "webp", "av1"} <= set(curves)
    for curve in curves.values():
        assert curve.source
        distortions_db = [point.psnr_db for point in curve.points]
        assert distortions_db == sorted(distortions_db)
