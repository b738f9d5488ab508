"""Laws of the BD-rate, and published values."""

import subprocess
import sys

import pytest

from trimix.errors import UsageError
from trimix.evaluation.bd_rate import bd_rate
from trimix.evaluation.rate_points import RateCurve, RatePoint, reference_curves


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


@pytest.mark.parametrize("method", ["pchip", "akima", "cubic"])
def test_nine_tenths_of_every_rate_are_minus_10_percent(vtm, method):
    assert bd_rate(vtm, scaled(vtm, 0.9), method=method).percent == pytest.approx(-10.0, abs=1e-9)


def test_swapping_the_curves_inverts_the_ratio(vtm):
    hm = reference_curves()["hm"]
    there, back = bd_rate(vtm, hm).percent, bd_rate(hm, vtm).percent
    assert (1 + there / 100) * (1 + back / 100) == pytest.approx(1.0)


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
    assert bd_rate(vtm, reference_curves()[key]).percent == pytest.approx(percent, abs=0.5)


def test_straight_lines_by_hand():
    # ln R = slope * d + offset: between two such lines the difference is the same at every distortion.
    anchor = RateCurve("anchor", tuple(RatePoint(2.0 ** (d - 30), float(d)) for d in (30, 31, 33, 36)))
    test = RateCurve("test", tuple(RatePoint(1.25 * 2.0 ** (d - 30), float(d)) for d in (31, 32, 34, 38, 39)))
    result = bd_rate(anchor, test)
    assert result.percent == pytest.approx(25.0)
    assert (result.overlap_minimum_db, result.overlap_maximum_db) == (31.0, 36.0)
    assert result.overlap_share == pytest.approx(5 / 9)
    assert str(result) == "+25.00 % (31.00 to 36.00 dB)"


def test_ms_ssim_is_compared_in_decibels(vtm):
    points = tuple(RatePoint(0.1 * 2**n, 30.0 + n, 1 - 0.1 / 2**n) for n in range(4))
    cheaper = tuple(RatePoint(0.08 * 2**n, 30.0, 1 - 0.1 / 2**n) for n in range(4))
    result = bd_rate(RateCurve("a", points), RateCurve("b", cheaper), metric="ms_ssim_db")
    assert result.percent == pytest.approx(-20.0)


def test_refuses_fewer_than_4_points(vtm):
    short = RateCurve("short", vtm.points[:3])
    with pytest.raises(UsageError, match="at least 4 points, found 3"):
        bd_rate(vtm, short)


def test_refuses_curves_without_overlap(vtm):
    with pytest.raises(UsageError, match="in common"):
        bd_rate(vtm, scaled(vtm, offset_db=30.0))


def test_refuses_distortions_that_do_not_grow(vtm):
    points = (*vtm.points[:-1], RatePoint(5.0, 30.0))
    with pytest.raises(UsageError, match="must grow with the rate"):
        bd_rate(vtm, RateCurve("bent", points))


def test_refuses_lossless_points_and_missing_metrics(vtm):
    with pytest.raises(UsageError, match="found inf"):
        bd_rate(vtm, RateCurve("lossless", (*vtm.points, RatePoint(9.0, float("inf")))))
    with pytest.raises(UsageError, match="needs ms_ssim_db"):
        bd_rate(vtm, vtm, metric="ms_ssim_db")


def test_says_what_to_install(vtm, monkeypatch):
    monkeypatch.setitem(sys.modules, "bjontegaard", None)
    with pytest.raises(UsageError, match="pip install"):
        bd_rate(vtm, vtm)


def test_works_without_torch():
    script = (
        "import sys; sys.modules['torch'] = None\n"
        "from trimix.evaluation.bd_rate import bd_rate\n"
        "from trimix.evaluation.rate_points import reference_curves\n"
        "curves = reference_curves(); print(bd_rate(curves['vtm'], curves['hm']).percent)"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert float(result.stdout) == pytest.approx(23.3, abs=0.5)
