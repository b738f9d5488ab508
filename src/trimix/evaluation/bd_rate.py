"""BD-rate: the mean difference in rate between two codecs at equal distortion. Works without torch."""

import math
from dataclasses import dataclass
from typing import Literal

from trimix.errors import UsageError
from trimix.evaluation.rate_points import RateCurve

MINIMUM_POINTS = 4
"""A curve through fewer points is a guess about its shape."""


@dataclass(frozen=True)
class BdRate:
    """A BD-rate and the distortions it was measured over.

    Attributes:
        percent: mean difference in rate; negative where the test needs fewer bits than the anchor.
        overlap_minimum_db: lowest distortion that both curves reach.
        overlap_maximum_db: highest distortion that both curves reach.
        overlap_share: the overlap over the range of both curves together, 0 .. 1; far below 1 the percentage
            speaks for a small part of the curves.
    """

    percent: float
    overlap_minimum_db: float
    overlap_maximum_db: float
    overlap_share: float

    def __str__(self) -> str:
        return f"{self.percent:+.2f} % ({self.overlap_minimum_db:.2f} to {self.overlap_maximum_db:.2f} dB)"


def bd_rate(
    anchor: RateCurve,
    test: RateCurve,
    metric: Literal["psnr_db", "luma_psnr_db", "ms_ssim_db"] = "psnr_db",
    method: Literal["pchip", "akima", "cubic"] = "pchip",
) -> BdRate:
    """Mean difference in rate at equal distortion.

    100 (exp(mean over d of [ln R_test(d) - ln R_anchor(d)]) - 1), d over the distortions that both curves reach.
    Bjontegaard, VCEG-M33 (2001); the logarithms are interpolated piecewise by default (PCHIP, as JVET does),
    by the package `bjontegaard` (Herglotz et al. 2022).

    Args:
        anchor: the curve to compare with, at least 4 points.
        test: the curve that is judged, at least 4 points; the curves need not have equally many.
        metric: the distortion, in dB.
        method: interpolation; `cubic` is one polynomial through all points, as in 2001.

    Returns:
        Per cent and the overlap of the curves.

    Raises:
        UsageError: fewer than 4 points, a distortion that is missing, infinite or does not grow with the rate,
            curves that do not overlap, or the package is not installed.
    """
    anchor_distortions_db = _growing_distortions_db(anchor, metric)
    test_distortions_db = _growing_distortions_db(test, metric)
    overlap_minimum_db = max(anchor_distortions_db[0], test_distortions_db[0])
    overlap_maximum_db = min(anchor_distortions_db[-1], test_distortions_db[-1])
    if overlap_minimum_db >= overlap_maximum_db:
        raise UsageError(
            f"{anchor.name} and {test.name} must have distortions in common, found "
            f"{anchor_distortions_db[0]:.2f} to {anchor_distortions_db[-1]:.2f} dB and "
            f"{test_distortions_db[0]:.2f} to {test_distortions_db[-1]:.2f} dB; measure other qualities"
        )
    try:
        # Inside the function: it brings matplotlib along, which is slow to import.
        import bjontegaard
    except ImportError as error:
        raise UsageError(
            "BD-rate needs the package bjontegaard, found none; pip install 'trimix[evaluate]'"
        ) from error
    percent = bjontegaard.bd_rate(
        [point.bits_per_pixel for point in anchor.points],
        anchor_distortions_db,
        [point.bits_per_pixel for point in test.points],
        test_distortions_db,
        method=method,
        require_matching_points=False,
        min_overlap=0,  # the caller sees the overlap
    )
    total_db = max(anchor_distortions_db[-1], test_distortions_db[-1]) - min(
        anchor_distortions_db[0], test_distortions_db[0]
    )
    assert isinstance(percent, float)  # a tuple only where its interpolators are asked for
    return BdRate(
        percent=float(percent),
        overlap_minimum_db=overlap_minimum_db,
        overlap_maximum_db=overlap_maximum_db,
        overlap_share=(overlap_maximum_db - overlap_minimum_db) / total_db,
    )


def _growing_distortions_db(curve: RateCurve, metric: str) -> list[float]:
    """Distortions in the order of the rates, of which they must be a growing function."""
    if len(curve.points) < MINIMUM_POINTS:
        raise UsageError(
            f"{curve.name}: BD-rate needs at least {MINIMUM_POINTS} points, found {len(curve.points)}; "
            "measure more qualities"
        )
    distortions_db: list[float] = []
    for point in curve.points:
        distortion_db = getattr(point, metric)
        if distortion_db is None or not math.isfinite(distortion_db):
            raise UsageError(
                f"{curve.name}: BD-rate needs {metric} at every point, found {distortion_db} "
                f"at {point.bits_per_pixel:.4f} bpp; leave that point out"
            )
        if distortions_db and distortion_db <= distortions_db[-1]:
            raise UsageError(
                f"{curve.name}: {metric} must grow with the rate, found {distortion_db:.3f} dB after "
                f"{distortions_db[-1]:.3f} dB at {point.bits_per_pixel:.4f} bpp; leave one of the points out"
            )
        distortions_db.append(float(distortion_db))
    return distortions_db
