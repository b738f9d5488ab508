"""Which quality meets a target: a few trials, a bracket, and interpolation. Knows no codec and imports nothing heavy.

::

    first guess --> trial --> both sides known? --no--> a step along the curve; after some, the end of the scale
                      ^               |
                      |              yes --> inverse interpolation inside the bracket
                      `---------------'
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from typing import NamedTuple

from trimix.bitstream import QUALITY_STEPS
from trimix.errors import UsageError

TRIALS = 8
"""Encodings of a picture for one target, at most."""
LOWEST, HIGHEST = QUALITY_STEPS, 100 * QUALITY_STEPS
"""Qualities as the header has them."""
_UNBRACKETED_TRIALS = 4
"""On one side of the target before the end of the scale is tried."""


class TargetKind(Enum):
    """What is aimed at, by its unit."""

    BITS_PER_PIXEL = "bpp"
    BYTES = "bytes"
    PSNR_DB = "dB"
    SSIMULACRA2 = "points"


class _Aim(NamedTuple):
    """How a kind is aimed at, on the scale where the curve over the quality is about straight."""

    tolerance: float
    """How far the target may be missed."""
    below: float
    """How far below the target is aimed: a size is often a limit."""
    near: float
    """How far from there is near enough."""
    searched_below: float
    """As below, for a search of many steps."""
    searched_near: float
    """As near, for a search: another one takes as long again."""
    search_shift: float
    """How far a search may move what a quality gives, at most."""
    typical_slope: float
    """Of the curve on photographs, a step of quality."""
    typical_middle: float
    """About the value at quality 50; of bits per pixel where it is a size."""


_RATE = _Aim(0.02, 0.0025, 0.0025, 0.005, 0.005, 0.15, 0.037, math.log(0.5))
_PSNR = _Aim(0.1, 0.0, 0.02, 0.0, 0.05, 0.5, 0.17, 31.5)
_SSIMULACRA2 = _Aim(0.5, 0.0, 0.1, 0.0, 0.25, 3.0, 0.7, 60.0)


@dataclass(frozen=True)
class Target:
    """What a file shall have.

    Args:
        kind: bits per pixel of the whole file, its bytes, or PSNR or SSIMULACRA2 score of the decoded picture.
        value: in the unit of the kind, > 0; of a score at most 100.

    Raises:
        UsageError: the value is not positive and finite, or a score above 100.
    """

    kind: TargetKind
    value: float

    def __post_init__(self) -> None:
        """Check the value."""
        if not 0 < self.value < math.inf:
            raise UsageError(f"a target must be positive and finite, found {self.value:g} {self.kind.value}; change it")
        if self.kind is TargetKind.SSIMULACRA2 and self.value > 100:
            raise UsageError(f"an SSIMULACRA2 score must be at most 100, found {self.value:g}; change it")

    @property
    def is_rate(self) -> bool:
        """Whether it is met by the file's size alone."""
        return self.kind in (TargetKind.BITS_PER_PIXEL, TargetKind.BYTES)

    def curve(self, measured: float) -> float:
        """The scale of errors: the natural logarithm of sizes, decibels and points as they are."""
        return math.log(measured) if self.is_rate else min(measured, 100.0)

    def error(self, measured: float) -> float:
        """From the target, on the scale of ``curve``; positive above it."""
        return self.curve(measured) - self.curve(self.value)

    def is_met(self, measured: float) -> bool:
        """Whether a size is within 2 %, a PSNR within 0.1 dB, a score within half a point.

        >>> [Target(TargetKind.BYTES, 1000).is_met(size) for size in (981, 1019, 1021)]
        [True, True, False]
        """
        if self.is_rate:
            return abs(measured / self.value - 1) <= self.aim.tolerance
        return abs(self.error(measured)) <= self.aim.tolerance

    @property
    def aim(self) -> _Aim:
        """How it is aimed at."""
        if self.is_rate:
            return _RATE
        return _PSNR if self.kind is TargetKind.PSNR_DB else _SSIMULACRA2

    def text(self, measured: float) -> str:
        """A value of this kind with its unit.

        >>> Target(TargetKind.BITS_PER_PIXEL, 0.15).text(0.15)
        '0.15 bpp'
        """
        if self.kind is TargetKind.BYTES:
            return f"{measured:.0f} bytes"
        return f"{measured:.{4 if self.is_rate else 5}g} {self.kind.value}"


def one_target(
    bits_per_pixel: float | None = None,
    size_bytes: float | None = None,
    psnr_db: float | None = None,
    ssimulacra2: float | None = None,
) -> Target | None:
    """The target that is given, or None.

    Raises:
        UsageError: there is more than one, or it is not positive and finite.

    >>> one_target(psnr_db=34.0)
    Target(kind=<TargetKind.PSNR_DB: 'dB'>, value=34.0)
    """
    values = zip(TargetKind, (bits_per_pixel, size_bytes, psnr_db, ssimulacra2), strict=True)
    targets = [Target(kind, value) for kind, value in values if value is not None]
    if len(targets) > 1:
        found = " and ".join(target.text(target.value) for target in targets)
        raise UsageError(f"there must be one target, found {found}; leave all but one out")
    return targets[0] if targets else None


@dataclass(frozen=True)
class Trial:
    """One encoding on the way to a target.

    Args:
        quality_integer: as the header has it.
        measured: what came of it, in the unit of the target.
    """

    quality_integer: int
    measured: float

    @property
    def quality(self) -> float:
        """1..100."""
        return self.quality_integer / QUALITY_STEPS


def first_guess(target: Target, pixels: int) -> int:
    """The quality that would do on a typical photograph, as the header has it.

    >>> first_guess(Target(TargetKind.BITS_PER_PIXEL, 0.5), 1000) / QUALITY_STEPS
    50.0
    """
    value = 8 * target.value / pixels if target.kind is TargetKind.BYTES else target.value
    away = (target.curve(value) - target.aim.typical_middle) / target.aim.typical_slope
    return nearest_quality(50 + away)


def nearest_quality(quality: float) -> int:
    """The header's integer nearest to a quality, inside the scale."""
    return min(max(round(quality * QUALITY_STEPS), LOWEST), HIGHEST)


def seek(
    measure: Callable[[int], float], target: Target, start: int, *, near: float | None = None, trials: int = TRIALS
) -> list[Trial]:
    """Try qualities until one is near the target, or no more may be tried.

    Args:
        measure: size or PSNR at a quality, which grow with it, but for a little.
        start: quality of the first trial, as the header has it.
        near: how near is near enough, on the scale of ``Target.curve``; by default a rate within 0.5 % and not above,
            a PSNR within 0.02 dB.

    Returns:
        All trials in their order. Where the target is out of reach, both ends of the scale are among them.
    """
    aim = target.aim
    tried: list[Trial] = []
    quality: int | None = start
    while quality is not None and len(tried) < trials:
        tried.append(Trial(quality, measure(quality)))
        error = target.error(tried[-1].measured) + (aim.below if near is None else 0.0)
        if abs(error) <= (aim.near if near is None else near):
            break
        quality = _next_quality(tried, target)
    return tried


def best(trials: Sequence[Trial], target: Target) -> Trial:
    """The trial that meets the target best; among sizes that do, one that is not above it."""
    return min(trials, key=lambda trial: preference(trial.measured, target))


def preference(measured: float, target: Target) -> tuple[bool, bool, float]:
    """What comes first meets a target better than what comes later."""
    error = target.error(measured)
    return not target.is_met(measured), target.is_rate and error > 0, abs(error)


def is_out_of_reach(trials: Sequence[Trial], target: Target) -> bool:
    """Whether an end of the scale has been tried and does not go as far as the target."""
    if any(target.is_met(trial.measured) for trial in trials):
        return False
    ends = {trial.quality_integer: target.error(trial.measured) for trial in trials}
    return ends.get(LOWEST, 0.0) > 0 or ends.get(HIGHEST, 0.0) < 0


def slope_near(trials: Sequence[Trial], target: Target, quality_integer: int) -> float:
    """How the curve grows with a step of quality about there; a typical photograph's where trials do not tell."""
    known = sorted(trials, key=lambda trial: abs(trial.quality_integer - quality_integer))
    for first, second in pairwise(known):
        way = first.quality - second.quality
        if way:
            slope = (target.curve(first.measured) - target.curve(second.measured)) / way
            # Two trials that are very near each other tell of the rounding of latents, not of the curve.
            if 0.2 < slope / target.aim.typical_slope < 5:
                return slope
    return target.aim.typical_slope


def _next_quality(tried: Sequence[Trial], target: Target) -> int | None:
    points = sorted((trial.quality_integer, target.error(trial.measured) + target.aim.below) for trial in tried)
    bracket = _bracket(points)
    if bracket is None:
        return _outside(points, target)
    (low, low_error), (high, high_error) = bracket
    if high - low < 2:
        return None
    guess = low - low_error * (high - low) / (high_error - low_error)
    others = [point for point in points if point not in bracket]
    if others:
        third = min(others, key=lambda point: abs(point[0] - guess))
        curved = _inverse_quadratic(((low, low_error), (high, high_error), third))
        guess = curved if curved is not None and low < curved < high else guess
    return min(max(round(guess), low + 1), high - 1)


_Point = tuple[int, float]


def _bracket(points: Sequence[_Point]) -> tuple[_Point, _Point] | None:
    """Neighbours below and above the target, the nearest of several such."""
    found = [(one, other) for one, other in pairwise(points) if one[1] < 0 <= other[1]]
    return min(found, key=lambda pair: pair[1][0] - pair[0][0], default=None)


def _outside(points: Sequence[_Point], target: Target) -> int | None:
    """The next quality where all trials are on one side of the target."""
    is_above = points[0][1] >= 0
    towards, away = (LOWEST, HIGHEST) if is_above else (HIGHEST, LOWEST)
    tried = {quality for quality, _ in points}
    if towards in tried:
        # Out of reach: what can be reached at the other end is worth knowing.
        return None if away in tried else away
    if len(points) >= _UNBRACKETED_TRIALS:
        return towards
    quality, error = points[0] if is_above else points[-1]
    slope = target.aim.typical_slope / QUALITY_STEPS
    if len(points) > 1:
        other_quality, other_error = points[1] if is_above else points[-2]
        slope = (error - other_error) / (quality - other_quality)
    if slope <= 0:
        return towards
    step = -error / slope
    moved = quality + round(step) if abs(step) >= 1 else quality + (-1 if is_above else 1)
    return min(max(moved, LOWEST), HIGHEST)


def _inverse_quadratic(points: Sequence[_Point]) -> float | None:
    """Where the quality would be at an error of 0, as a polynomial in the error through three points."""
    total = 0.0
    for index, (quality, error) in enumerate(points):
        weight = 1.0
        for other_index, (_, other) in enumerate(points):
            if other_index == index:
                continue
            if error == other:
                return None
            weight *= other / (other - error)
        total += quality * weight
    return total
