"""BD-rate and BD-PSNR: the mean difference between two codecs in rate, and in distortion. Works without torch."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from trimix.errors import UsageError
from trimix.evaluation.rate_points import RateCurve

MINIMUM_POINTS = 4
"""A curve through fewer points is a guess about its shape."""
SMALL_OVERLAP_SHARE = 0.5
"""Curves with less than this of their range in common are compared over a small part of them."""

DistortionMetric = Literal["psnr_db", "luma_psnr_db", "ms_ssim_db", "ssimulacra2", "butteraugli_db"]
"""Attribute of `RatePoint` that grows with the quality: in dB, or points of SSIMULACRA2."""
Interpolation = Literal["pchip", "akima", "cubic"]
"""Between the points: piecewise cubic without overshoot, piecewise by Akima, or one polynomial of degree 3."""


def unit_of(metric: DistortionMetric) -> str:
    """Of a distortion, in words."""
    return "points" if metric == "ssimulacra2" else "dB"


@dataclass(frozen=True)
class BdRate:
    """A BD-rate and the distortions it was measured over.

    Attributes:
        percent: mean difference in rate; negative where the test needs fewer bits than the anchor.
        overlap_minimum: lowest distortion that both curves reach.
        overlap_maximum: highest distortion that both curves reach.
        overlap_share: the overlap over the range of both curves together, 0 .. 1; far below 1 the percentage
            speaks for a small part of the curves.
        unit: of these distortions, "dB" or "points".
    """

    percent: float
    overlap_minimum: float
    overlap_maximum: float
    overlap_share: float
    unit: str = "dB"

    def __str__(self) -> str:
        return f"{self.percent:+.2f} % ({self.overlap_minimum:.2f} to {self.overlap_maximum:.2f} {self.unit})"


@dataclass(frozen=True)
class BdDistortion:
    """A mean difference in distortion and the rates it was measured over.

    Attributes:
        difference: mean difference in distortion; positive where the test is better than the anchor.
        overlap_minimum_bits_per_pixel: lowest rate that both curves reach.
        overlap_maximum_bits_per_pixel: highest rate that both curves reach.
        overlap_share: the overlap over the range of both curves together, 0 .. 1, of the logarithms of the rates.
        unit: of the difference, "dB" or "points".
    """

    difference: float
    overlap_minimum_bits_per_pixel: float
    overlap_maximum_bits_per_pixel: float
    overlap_share: float
    unit: str = "dB"

    def __str__(self) -> str:
        return (
            f"{self.difference:+.3f} {self.unit} ({self.overlap_minimum_bits_per_pixel:.4f} to "
            f"{self.overlap_maximum_bits_per_pixel:.4f} bpp)"
        )


def bd_rate(
    anchor: RateCurve,
    test: RateCurve,
    metric: DistortionMetric = "psnr_db",
    method: Interpolation = "pchip",
) -> BdRate:
    """Mean difference in rate at equal distortion.

    100 (exp(mean over d of [ln R_test(d) - ln R_anchor(d)]) - 1), d over the distortions that both curves reach.
    Bjontegaard, VCEG-M33 (2001); the logarithms are interpolated piecewise by default (PCHIP, as JVET does),
    by the package `bjontegaard` (Herglotz et al. 2022). Butteraugli is a distance, smaller for better pictures: its
    curves are those of -10 log10 of it, as PSNR is of the mean squared error.

    Args:
        anchor: the curve to compare with, at least 4 points.
        test: the curve that is judged, at least 4 points; the curves need not have equally many.
        metric: the distortion, larger for better pictures.
        method: interpolation; `cubic` is one polynomial fitted to all points, as in 2001.

    Returns:
        Per cent and the overlap of the curves.

    Raises:
        UsageError: fewer than 4 points, a distortion that is missing, infinite or does not grow with the rate,
            curves that do not overlap, or the package is not installed.

    >>> from trimix.evaluation.rate_points import reference_curves
    >>> print(bd_rate(reference_curves()["vtm"], reference_curves()["elic"]))
    -7.01 % (29.11 to 37.62 dB)
    """
    anchor_distortions = _growing_distortions(anchor, metric)
    test_distortions = _growing_distortions(test, metric)
    share = _overlap_share(anchor_distortions, test_distortions)
    if share is None:
        raise UsageError(
            f"{anchor.name} and {test.name} must have distortions in common, found "
            f"{anchor_distortions[0]:.2f} to {anchor_distortions[-1]:.2f} {unit_of(metric)} and "
            f"{test_distortions[0]:.2f} to {test_distortions[-1]:.2f} {unit_of(metric)}; "
            "measure other qualities"
        )
    return BdRate(
        percent=_delta("bd_rate", _rates(anchor), anchor_distortions, _rates(test), test_distortions, method),
        overlap_minimum=max(anchor_distortions[0], test_distortions[0]),
        overlap_maximum=min(anchor_distortions[-1], test_distortions[-1]),
        overlap_share=share,
        unit=unit_of(metric),
    )


def bd_distortion(
    anchor: RateCurve,
    test: RateCurve,
    metric: DistortionMetric = "psnr_db",
    method: Interpolation = "pchip",
) -> BdDistortion:
    """Mean difference in distortion at equal rate: BD-PSNR where the metric is PSNR.

    Mean over ln r of [D_test(r) - D_anchor(r)], r over the rates that both curves reach. Bjontegaard, VCEG-M33
    (2001), interpolated over ln r as `bd_rate` is over D, by the package `bjontegaard`.

    Args:
        anchor: the curve to compare with, at least 4 points.
        test: the curve that is judged, at least 4 points; the curves need not have equally many.
        metric: the distortion, larger for better pictures.
        method: interpolation; `cubic` is one polynomial fitted to all points, as in 2001.

    Returns:
        The difference and the overlap of the curves.

    Raises:
        UsageError: fewer than 4 points, a distortion that is missing, infinite or does not grow with the rate,
            two points of one rate, curves that do not overlap, or the package is not installed.

    >>> from trimix.evaluation.rate_points import reference_curves
    >>> print(bd_distortion(reference_curves()["vtm"], reference_curves()["elic"]))
    +0.323 dB (0.1235 to 0.8573 bpp)
    """
    anchor_distortions = _growing_distortions(anchor, metric)
    test_distortions = _growing_distortions(test, metric)
    anchor_rates, test_rates = _rates(anchor), _rates(test)
    share = _overlap_share(_growing_logarithms(anchor), _growing_logarithms(test))
    if share is None:
        raise UsageError(
            f"{anchor.name} and {test.name} must have rates in common, found "
            f"{anchor_rates[0]:.4f} to {anchor_rates[-1]:.4f} bpp and "
            f"{test_rates[0]:.4f} to {test_rates[-1]:.4f} bpp; measure other qualities"
        )
    return BdDistortion(
        difference=_delta("bd_psnr", anchor_rates, anchor_distortions, test_rates, test_distortions, method),
        overlap_minimum_bits_per_pixel=max(anchor_rates[0], test_rates[0]),
        overlap_maximum_bits_per_pixel=min(anchor_rates[-1], test_rates[-1]),
        overlap_share=share,
        unit=unit_of(metric),
    )


def _delta(
    function: Literal["bd_rate", "bd_psnr"],
    anchor_rates: Sequence[float],
    anchor_distortions: Sequence[float],
    test_rates: Sequence[float],
    test_distortions: Sequence[float],
    method: Interpolation,
) -> float:
    """What a function of the package finds; rates in bits per pixel."""
    try:
        # Inside the function: it brings matplotlib along, which is slow to import.
        import bjontegaard
    except ImportError as error:
        raise UsageError(
            "a Bjontegaard delta needs the package bjontegaard, found none; pip install 'trimix[evaluate]'"
        ) from error
    found = getattr(bjontegaard, function)(
        anchor_rates,
        anchor_distortions,
        test_rates,
        test_distortions,
        method=method,
        require_matching_points=False,
        min_overlap=0,  # the caller sees the overlap
    )
    return float(found)


def _rates(curve: RateCurve) -> list[float]:
    return [point.bits_per_pixel for point in curve.points]


def _overlap_share(anchor: Sequence[float], test: Sequence[float]) -> float | None:
    """What two growing ranges have in common over both together, 0 .. 1; None where that is nothing."""
    common = min(anchor[-1], test[-1]) - max(anchor[0], test[0])
    return common / (max(anchor[-1], test[-1]) - min(anchor[0], test[0])) if common > 0 else None


def _growing_distortions(curve: RateCurve, metric: DistortionMetric) -> list[float]:
    """Distortions in the order of the rates, of which they must be a growing function."""
    if len(curve.points) < MINIMUM_POINTS:
        raise UsageError(
            f"{curve.name}: a Bjontegaard delta needs at least {MINIMUM_POINTS} points, found {len(curve.points)}; "
            "measure more qualities"
        )
    distortions: list[float] = []
    for point in curve.points:
        distortion = getattr(point, metric)
        if distortion is None or not math.isfinite(distortion):
            raise UsageError(
                f"{curve.name}: a Bjontegaard delta needs {metric} at every point, found {distortion} "
                f"at {point.bits_per_pixel:.4f} bpp; leave that point out"
            )
        if distortions and distortion <= distortions[-1]:
            raise UsageError(
                f"{curve.name}: {metric} must grow with the rate, found {distortion:.3f} {unit_of(metric)} after "
                f"{distortions[-1]:.3f} {unit_of(metric)} at {point.bits_per_pixel:.4f} bpp; "
                "leave one of the points out"
            )
        distortions.append(float(distortion))
    return distortions


def _growing_logarithms(curve: RateCurve) -> list[float]:
    """Logarithms of the rates, which must differ: distortion is interpolated over them."""
    logarithms = [math.log10(rate) for rate in _rates(curve)]
    for (before, after), point in zip(pairwise(logarithms), curve.points[1:], strict=True):
        if before == after:
            raise UsageError(
                f"{curve.name}: a mean over rates needs points of different rates, found two of "
                f"{point.bits_per_pixel:.4f} bpp; leave one of them out"
            )
    return logarithms
