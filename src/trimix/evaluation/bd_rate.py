"""BD-rate and BD-PSNR: the mean difference between two codecs in rate, and in distortion. Works without torch."""

import math
from collections.abc import Callable, Sequence
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
        overlap_minimum: lowest distortion that both curves reach, in the unit, "dB" or "points".
        overlap_maximum: highest distortion that both curves reach.
        overlap_share: the overlap over the range of both curves together, 0 .. 1; far below 1 the percentage
            speaks for a small part of the curves.
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
        difference: mean difference in distortion, in the unit; positive where the test is better than the anchor.
        overlap_share: the overlap over the range of both curves together, 0 .. 1, of the logarithms of the rates.
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
    anchor: RateCurve, test: RateCurve, metric: DistortionMetric = "psnr_db", method: Interpolation = "pchip"
) -> BdRate:
    """Mean difference in rate at equal distortion.

    100 (exp(mean over d of [ln R_test(d) - ln R_anchor(d)]) - 1), d over the distortions that both curves reach.
    Bjontegaard, VCEG-M33 (2001); the logarithms are interpolated piecewise by default (PCHIP, as JVET does),
    by the package `bjontegaard` (Herglotz et al. 2022). Butteraugli is a distance, smaller for better pictures: its
    curves are those of -10 log10 of it, as PSNR is of the mean squared error.

    The curve of the test is judged by the anchor's; each has at least 4 points, they need not have equally many.

    Raises:
        UsageError: fewer than 4 points, a distortion that is missing, infinite or does not grow with the rate,
            curves that do not overlap, or the package is not installed.

    >>> from trimix.evaluation.rate_points import reference_curves
    >>> print(bd_rate(reference_curves()["vtm"], reference_curves()["elic"]))
    -7.01 % (29.11 to 37.62 dB)
    """
    unit = unit_of(metric)
    distortions = [_growing_distortions(curve, metric) for curve in (anchor, test)]
    low, high, share = _overlap(anchor, test, distortions, "distortions", ".2f", unit)
    percent = _delta("bd_rate", [_rates(anchor), _rates(test)], distortions, method)
    return BdRate(percent, low, high, share, unit)


def bd_distortion(
    anchor: RateCurve, test: RateCurve, metric: DistortionMetric = "psnr_db", method: Interpolation = "pchip"
) -> BdDistortion:
    """Mean difference in distortion at equal rate: BD-PSNR where the metric is PSNR.

    Mean over ln r of [D_test(r) - D_anchor(r)], r over the rates that both curves reach, interpolated over ln r.
    Arguments and errors are those of `bd_rate`; two points of one rate are refused, too.

    >>> from trimix.evaluation.rate_points import reference_curves
    >>> print(bd_distortion(reference_curves()["vtm"], reference_curves()["elic"]))
    +0.323 dB (0.1235 to 0.8573 bpp)
    """
    distortions = [_growing_distortions(curve, metric) for curve in (anchor, test)]
    rates = [_rates(curve) for curve in (anchor, test)]
    for curve, found in zip((anchor, test), rates, strict=True):
        twice = next((rate for rate, following in pairwise(found) if rate == following), None)
        if twice is not None:
            raise UsageError(
                f"{curve.name}: a mean over rates needs points of different rates, found two of {twice:.4f} bpp; "
                "leave one of them out"
            )
    low, high, share = _overlap(anchor, test, rates, "rates", ".4f", "bpp", math.log)
    difference = _delta("bd_psnr", rates, distortions, method)
    return BdDistortion(difference, low, high, share, unit_of(metric))


def _delta(
    function: Literal["bd_rate", "bd_psnr"],
    rates: Sequence[Sequence[float]],
    distortions: Sequence[Sequence[float]],
    method: Interpolation,
) -> float:
    """What a function of the package finds of anchor and test; rates in bits per pixel."""
    try:
        # Inside the function: it brings matplotlib along, which is slow to import.
        import bjontegaard
    except ImportError as error:
        raise UsageError(
            "a Bjontegaard delta needs the package bjontegaard, found none; pip install 'trimix[evaluate]'"
        ) from error
    of_curves = (values for curve in zip(rates, distortions, strict=True) for values in curve)
    options = {"require_matching_points": False, "min_overlap": 0}  # the caller sees the overlap
    return float(getattr(bjontegaard, function)(*of_curves, method=method, **options))


def _rates(curve: RateCurve) -> list[float]:
    return [point.bits_per_pixel for point in curve.points]


def _overlap(
    anchor: RateCurve,
    test: RateCurve,
    ranges: Sequence[Sequence[float]],
    of: str,
    form: str,
    unit: str,
    scale: Callable[[float], float] = float,
) -> tuple[float, float, float]:
    """Ends of what two growing ranges have in common, and its share, 0 .. 1, of both together."""
    firsts, lasts = [values[0] for values in ranges], [values[-1] for values in ranges]
    low, high = max(firsts), min(lasts)
    if low >= high:
        found = (f"{first:{form}} to {last:{form}} {unit}" for first, last in zip(firsts, lasts, strict=True))
        raise UsageError(
            f"{anchor.name} and {test.name} must have {of} in common, found {' and '.join(found)}; "
            "measure other qualities"
        )
    return low, high, (scale(high) - scale(low)) / (scale(max(lasts)) - scale(min(firsts)))


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
