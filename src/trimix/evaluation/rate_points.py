"""Rate points, the curves they form, and published curves to compare with. Works without torch."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from trimix.errors import UsageError


def ms_ssim_db(value: float) -> float:
    """MS-SSIM in decibels, -10 log10(1 - value): spreads out the values near 1.

    Args:
        value: MS-SSIM, 0 .. 1.

    Returns:
        dB, from 0; infinity for 1.

    >>> round(ms_ssim_db(0.99), 6)
    20.0
    """
    return math.inf if value >= 1.0 else -10.0 * math.log10(1.0 - value)


def butteraugli_db(distance: float) -> float:
    """A Butteraugli distance in decibels, -10 log10(distance): grows with the quality, nearly evenly with log rate.

    Args:
        distance: 3-norm, from 0.

    Returns:
        dB, 0 for the distance 1; infinity for 0.

    >>> butteraugli_db(0.1)
    10.0
    """
    return math.inf if distance <= 0.0 else -10.0 * math.log10(distance)


def in_words(error: Exception) -> str:
    """What a reader of JSON has found instead of what it needs.

    Args:
        error: that it raised: KeyError, TypeError, ValueError or AttributeError.

    >>> in_words(KeyError("results"))
    "no 'results'"
    """
    if isinstance(error, KeyError):
        return f"no {error}"
    return str(error) if isinstance(error, ValueError) else "a value of another kind"


@dataclass(frozen=True)
class RatePoint:
    """Rate and distortion of one picture, or their means over many, at one setting of a codec.

    Attributes:
        bits_per_pixel: eight times the bytes of the file, over the pixels of the picture.
        psnr_db: of 8-bit RGB; infinity for a lossless one.
        ms_ssim: 0 .. 1; None where a picture is too small for it.
        luma_psnr_db: of the BT.601 luma; None where it was not measured.
        quality: setting of the codec on its own scale; None where it is not known.
        ssimulacra2: score, at most 100; None where it was not measured.
        butteraugli: distance, 3-norm, from 0; None where it was not measured.

    Raises:
        UsageError: a rate that is not positive and finite, or a PSNR that is not a number.
    """

    bits_per_pixel: float
    psnr_db: float
    ms_ssim: float | None = None
    luma_psnr_db: float | None = None
    quality: float | None = None
    ssimulacra2: float | None = None
    butteraugli: float | None = None

    def __post_init__(self) -> None:
        if not 0.0 < self.bits_per_pixel < math.inf:
            raise UsageError(
                f"bits per pixel must be positive and finite, found {self.bits_per_pixel}; measure a real file"
            )
        if math.isnan(self.psnr_db):
            raise UsageError("PSNR must be a number, found NaN; check the decoded picture")

    @property
    def ms_ssim_db(self) -> float | None:
        """-10 log10(1 - MS-SSIM); None where MS-SSIM is."""
        return None if self.ms_ssim is None else ms_ssim_db(self.ms_ssim)

    @property
    def butteraugli_db(self) -> float | None:
        """-10 log10 of the Butteraugli distance; None where that is."""
        return None if self.butteraugli is None else butteraugli_db(self.butteraugli)


@dataclass(frozen=True)
class RateCurve:
    """Points of one codec on the same pictures, kept in the order of their rates.

    Attributes:
        name: of the codec, with its version where it matters.
        points: at least one.
        source: where the numbers come from: settings, or a publication.

    Raises:
        UsageError: no points.
    """

    name: str
    points: tuple[RatePoint, ...]
    source: str = ""

    def __post_init__(self) -> None:
        if not self.points:
            raise UsageError(f"{self.name}: a curve must have points, found none; measure some")
        ordered = tuple(sorted(self.points, key=lambda point: point.bits_per_pixel))
        object.__setattr__(self, "points", ordered)

    def to_json(self) -> dict[str, Any]:
        """Plain values for `json.dump`: absent ones are left out, infinity is the string "inf"."""
        return {
            "name": self.name,
            "source": self.source,
            "points": [
                {name: _plain(value) for name, value in vars(point).items() if value is not None}
                for point in self.points
            ],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "RateCurve":
        """The curve that `to_json` wrote.

        Raises:
            UsageError: fields are missing or of the wrong kind.
        """
        try:
            points = tuple(
                RatePoint(**{name: float(number) for name, number in point.items()}) for point in value["points"]
            )
            return cls(name=str(value["name"]), points=points, source=str(value.get("source", "")))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UsageError(
                f"a curve must have a name and points of numbers, found {in_words(error)}; see RateCurve.to_json"
            ) from error


def mean_point(points: Iterable[RatePoint]) -> RatePoint:
    """The means of every value over pictures: the mean of decibels, not decibels of a mean.

    Args:
        points: one for each picture, all at one setting.

    Returns:
        The mean; a value that one of the points lacks is None, and so is a quality that differs.

    Raises:
        UsageError: no points.
    """
    points = tuple(points)
    if not points:
        raise UsageError("a mean needs at least one point, found none; measure some pictures")

    def mean(values: Iterable[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return math.fsum(known) / len(known) if len(known) == len(points) else None

    qualities = {point.quality for point in points}
    return RatePoint(
        bits_per_pixel=math.fsum(point.bits_per_pixel for point in points) / len(points),
        psnr_db=math.fsum(point.psnr_db for point in points) / len(points),
        ms_ssim=mean(point.ms_ssim for point in points),
        luma_psnr_db=mean(point.luma_psnr_db for point in points),
        quality=qualities.pop() if len(qualities) == 1 else None,
        ssimulacra2=mean(point.ssimulacra2 for point in points),
        butteraugli=mean(point.butteraugli for point in points),
    )


@cache
def reference_curves() -> Mapping[str, RateCurve]:
    """Published curves on the 24 Kodak pictures, by a short key such as `vtm`; the source stands on each.

    >>> reference_curves()["vtm"].points[0].bits_per_pixel
    0.0482
    """
    text = resources.files("trimix.evaluation").joinpath("reference_curves.json").read_text(encoding="utf-8")
    return {key: RateCurve.from_json(value) for key, value in json.loads(text)["curves"].items()}


def _plain(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)
