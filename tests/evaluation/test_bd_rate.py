"""Laws of the BD-rate and the BD-PSNR, and published values."""

import doctest
import importlib
import math
import sys

import numpy as np
import pytest
from scipy.interpolate import PchipInterpolator

from trimix.errors import UsageError
from trimix.evaluation.bd_rate import bd_distortion, bd_rate
from trimix.evaluation.rate_points import RateCurve, RatePoint, reference_curves

METHODS = pytest.mark.parametrize("method", ["pchip", "akima", "cubic"])
BOTH = pytest.mark.parametrize("difference", [bd_rate, bd_distortion])


def scaled(curve, rate_factor=1.0, offset_db=0.0):
    points = (RatePoint(p.bits_per_pixel * rate_factor, p.psnr_db + offset_db) for p in curve.points)
    return RateCurve(f"{curve.name} scaled", tuple(points))


@pytest.fixture
def vtm():
    return reference_curves()["vtm"]


def test_a_curve_against_itself_is_0_percent(vtm):
    result = bd_rate(vtm, vtm)
    assert result.percent == pytest.approx(0.0, abs=1e-12)
    assert result.overlap_share == 1.0


@METHODS
def test_nine_tenths_of_every_rate_are_minus_10_percent(vtm, method):
    assert bd_rate(vtm, scaled(vtm, 0.9), method=method).percent == pytest.approx(-10.0, abs=1e-9)


@METHODS
@pytest.mark.parametrize("factor", [0.25, 0.999, 1.07, 3.0])
def test_a_factor_on_every_rate_is_the_percentage(vtm, factor, method):
    percent = bd_rate(vtm, scaled(vtm, factor), method=method).percent
    assert percent == pytest.approx(100 * (factor - 1), abs=1e-9)


@METHODS
@pytest.mark.parametrize("key", ["hm", "jpeg", "attention"])
def test_swapping_the_curves_inverts_the_ratio(vtm, key, method):
    other = reference_curves()[key]
    there = bd_rate(vtm, other, method=method)
    back = bd_rate(other, vtm, method=method)
    assert (1 + there.percent / 100) * (1 + back.percent / 100) == pytest.approx(1.0)
    assert there.overlap_share == back.overlap_share


@METHODS
def test_a_curve_against_itself_is_0_decibels(vtm, method):
    result = bd_distortion(vtm, vtm, method=method)
    assert result.difference == pytest.approx(0.0, abs=1e-12)
    assert result.overlap_share == 1.0


@METHODS
@pytest.mark.parametrize("offset_db", [-2.0, -0.01, 0.5, 40.0])
def test_a_shift_of_every_distortion_is_the_decibels(vtm, offset_db, method):
    # The rates stay the same, however far apart the distortions are.
    decibels = bd_distortion(vtm, scaled(vtm, offset_db=offset_db), method=method).difference
    assert decibels == pytest.approx(offset_db, abs=1e-9)


@METHODS
@pytest.mark.parametrize("key", ["hm", "jpeg", "attention"])
def test_swapping_the_curves_negates_the_decibels(vtm, key, method):
    other = reference_curves()[key]
    there = bd_distortion(vtm, other, method=method)
    back = bd_distortion(other, vtm, method=method)
    assert there.difference == pytest.approx(-back.difference)
    assert there.overlap_share == back.overlap_share


@pytest.mark.parametrize("key", ["hm", "webp", "hyperprior", "elic"])
def test_both_means_are_integrals_over_what_the_curves_have_in_common(vtm, key):
    # Sums at the middles of narrow strips, of curves that are interpolated here.
    test = reference_curves()[key]
    logarithms, decibels = (
        [np.array([value(point) for point in curve.points]) for curve in (vtm, test)]
        for value in (lambda point: math.log(point.bits_per_pixel), lambda point: point.psnr_db)
    )

    def mean_difference(bases, values):
        lowest, highest = max(base[0] for base in bases), min(base[-1] for base in bases)
        strips = lowest + (highest - lowest) * (np.arange(100_000) + 0.5) / 100_000
        at_anchor, at_test = (PchipInterpolator(base, value)(strips) for base, value in zip(bases, values, strict=True))
        return (at_test - at_anchor).mean()

    rate = 100 * math.expm1(mean_difference(decibels, logarithms))
    assert bd_rate(vtm, test).percent == pytest.approx(rate, abs=1e-6)
    distortion_db = mean_difference(logarithms, decibels)
    assert bd_distortion(vtm, test).difference == pytest.approx(distortion_db, abs=1e-6)


@pytest.mark.parametrize(
    ("key", "percent"),
    [
        ("hm", 23.3),
        ("bpg", 22.0),
        ("av1", 16.2),
        ("webp", 78.8),
        ("jpeg2000", 98.0),
        ("jpeg", 208.5),
        ("hyperprior", 21.3),
        ("autoregressive", 11.0),
        ("attention", 5.5),
        ("elic", -7.0),
    ],
)
def test_published_curves_against_vtm(vtm, key, percent):
    curve = reference_curves()[key]
    assert bd_rate(vtm, curve).percent == pytest.approx(percent, abs=0.5)
    assert math.copysign(1, bd_distortion(vtm, curve).difference) == -math.copysign(1, percent)


def test_straight_lines_by_hand():
    # ln R = slope * d + offset: between two such lines the difference is the same at every distortion.
    anchor = RateCurve("anchor", tuple(RatePoint(2.0 ** (d - 30), float(d)) for d in (30, 31, 33, 36)))
    test = RateCurve("test", tuple(RatePoint(1.25 * 2.0 ** (d - 30), float(d)) for d in (31, 32, 34, 38, 39)))
    result = bd_rate(anchor, test)
    assert result.percent == pytest.approx(25.0)
    assert (result.overlap_minimum, result.overlap_maximum) == (31.0, 36.0)
    assert result.overlap_share == pytest.approx(5 / 9)
    assert str(result) == "+25.00 % (31.00 to 36.00 dB)"
    # One decibel for each doubling of the rate: what costs 25 % more is log2(1.25) dB worse.
    distortion = bd_distortion(anchor, test)
    assert distortion.difference == pytest.approx(-math.log2(1.25))
    assert distortion.overlap_minimum_bits_per_pixel == 2.5
    assert distortion.overlap_maximum_bits_per_pixel == 64.0
    assert distortion.overlap_share == pytest.approx(math.log2(64 / 2.5) / math.log2(1.25 * 2**9))
    assert str(distortion) == "-0.322 dB (2.5000 to 64.0000 bpp)"


def test_ms_ssim_is_compared_in_decibels(vtm):
    points = tuple(RatePoint(0.1 * 2**n, 30.0 + n, 1 - 0.1 / 2**n) for n in range(4))
    cheaper = tuple(RatePoint(0.08 * 2**n, 30.0, 1 - 0.1 / 2**n) for n in range(4))
    result = bd_rate(RateCurve("a", points), RateCurve("b", cheaper), metric="ms_ssim_db")
    assert result.percent == pytest.approx(-20.0)
    better = tuple(RatePoint(0.1 * 2**n, 30.0, 1 - 0.05 / 2**n) for n in range(4))
    distortion = bd_distortion(RateCurve("a", points), RateCurve("c", better), metric="ms_ssim_db")
    assert distortion.difference == pytest.approx(10 * math.log10(2))


def test_butteraugli_is_a_distance_and_smaller_is_better():
    def curve(rate, factor):
        return RateCurve("a", tuple(RatePoint(rate * 2.0**n, 30.0, butteraugli=factor * 4 / 2**n) for n in range(4)))

    # Half the distance for twice the rate.
    anchor = curve(0.1, 1.0)
    assert bd_rate(anchor, curve(0.08, 1.0), "butteraugli_db").percent == pytest.approx(-20)
    closer = curve(0.1, 0.8)
    assert bd_rate(anchor, closer, "butteraugli_db").percent == pytest.approx(-20)
    assert bd_distortion(anchor, closer, "butteraugli_db").difference == pytest.approx(-10 * math.log10(0.8))
    assert bd_rate(anchor, curve(0.1, 1.25), "butteraugli_db").percent == pytest.approx(25)
    rising = RateCurve("rising", tuple(RatePoint(0.1 * 2**n, 30.0, butteraugli=1.0 + n) for n in range(4)))
    with pytest.raises(UsageError, match="butteraugli_db must grow with the rate"):
        bd_rate(anchor, rising, "butteraugli_db")


def test_ssimulacra2_is_compared_in_points_below_zero_too():
    scores = (-30.0, 10.0, 50.0, 90.0)
    anchor = RateCurve("a", tuple(RatePoint(0.1 * 2**n, 30.0, ssimulacra2=one) for n, one in enumerate(scores)))
    test = RateCurve("b", tuple(RatePoint(0.15 * 2**n, 30.0, ssimulacra2=one) for n, one in enumerate(scores)))
    found = bd_rate(anchor, test, "ssimulacra2")
    assert str(found) == "+50.00 % (-30.00 to 90.00 points)"
    # 40 points for each doubling of the rate.
    assert str(bd_distortion(anchor, test, "ssimulacra2")).startswith(f"{-40 * math.log2(1.5):+.3f} points (")


@BOTH
def test_refuses_fewer_than_4_points(vtm, difference):
    short = RateCurve("short", vtm.points[:3])
    for anchor, test in ((vtm, short), (short, vtm)):
        with pytest.raises(UsageError, match=r"short: .* at least 4 points, found 3"):
            difference(anchor, test)


def test_refuses_curves_without_overlap(vtm):
    with pytest.raises(UsageError, match=r"distortions in common, found 26\.14 to 46\.59 dB and 56\.1"):
        bd_rate(vtm, scaled(vtm, offset_db=30.0))
    with pytest.raises(UsageError, match=r"rates in common, found 0\.0482 to 3\.6326 bpp and 4\.8200"):
        bd_distortion(vtm, scaled(vtm, 100.0))


@BOTH
def test_curves_that_only_touch_do_not_overlap(difference):
    lower = RateCurve("lower", tuple(RatePoint(2.0**n, 30.0 + n) for n in range(4)))
    upper = RateCurve("upper", tuple(RatePoint(2.0**n, 30.0 + n) for n in range(3, 7)))
    with pytest.raises(UsageError, match="in common"):
        difference(lower, upper)


@BOTH
def test_refuses_distortions_that_do_not_grow(vtm, difference):
    points = (*vtm.points[:-1], RatePoint(5.0, 30.0))
    with pytest.raises(UsageError, match="must grow with the rate"):
        difference(vtm, RateCurve("bent", points))


def test_refuses_two_points_of_one_rate_where_it_means_over_rates(vtm):
    twice = RateCurve("twice", (*vtm.points, RatePoint(vtm.points[-1].bits_per_pixel, 50.0)))
    assert math.isfinite(bd_rate(vtm, twice).percent)
    with pytest.raises(UsageError, match=r"found two of 3\.6326 bpp"):
        bd_distortion(vtm, twice)


@BOTH
def test_refuses_lossless_points_and_missing_metrics(vtm, difference):
    with pytest.raises(UsageError, match="found inf"):
        difference(vtm, RateCurve("lossless", (*vtm.points, RatePoint(9.0, float("inf")))))
    with pytest.raises(UsageError, match="needs ms_ssim_db"):
        difference(vtm, vtm, metric="ms_ssim_db")


@BOTH
def test_says_what_to_install(vtm, monkeypatch, difference):
    monkeypatch.setitem(sys.modules, "bjontegaard", None)
    with pytest.raises(UsageError, match="pip install"):
        difference(vtm, vtm)


def test_the_examples_run():
    assert doctest.testmod(importlib.import_module("trimix.evaluation.bd_rate")).failed == 0
