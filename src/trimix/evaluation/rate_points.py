"""Rate points, the curves they form, and published curves to compare with. Works without torch."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from functools import cache
from importlib import resources

from trimix.errors import UsageError


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
        """-10 log10(1 - MS-SSIM), which spreads out the values near 1."""
        return None if self.ms_ssim is None else _decibels(1.0 - self.ms_ssim)

    @property
    def butteraugli_db(self) -> float | None:
        """-10 log10 of the Butteraugli distance: grows with the quality, nearly evenly with the log of the rate."""
        return None if self.butteraugli is None else _decibels(self.butteraugli)


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


def mean(values: Iterable[float | None]) -> float | None:
    """The mean; None where a value is, or where there are none."""
    found = list(values)
    known = [value for value in found if value is not None]
    return math.fsum(known) / len(known) if known and len(known) == len(found) else None


def mean_point(points: Iterable[RatePoint]) -> RatePoint:
    """The means of every value over pictures at one setting: the mean of decibels, not decibels of a mean.

    A value that one of the points lacks is None, and so is a quality that differs.

    Raises:
        UsageError: no points.
    """
    points = tuple(points)
    if not points:
        raise UsageError("a mean needs at least one point, found none; measure some pictures")
    means = {one.name: mean(getattr(point, one.name) for point in points) for one in fields(RatePoint)}
    qualities = {point.quality for point in points}
    return RatePoint(**means | {"quality": qualities.pop() if len(qualities) == 1 else None})  # type: ignore[arg-type]


@cache
def reference_curves() -> Mapping[str, RateCurve]:
    """Published curves on the 24 Kodak pictures, by a short key such as `vtm`; the source stands on each.

    >>> reference_curves()["vtm"].points[0].bits_per_pixel
    0.0482
    """
    text = resources.files("trimix.evaluation").joinpath("reference_curves.json").read_text(encoding="utf-8")
    return {
        key: RateCurve(curve["name"], tuple(RatePoint(**point) for point in curve["points"]), curve["source"])
        for key, curve in json.loads(text)["curves"].items()
    }


def in_words(error: Exception) -> str:
    """What a reader of JSON has found instead of what it needs, by the error that it raised.

    >>> in_words(KeyError("results"))
    "no 'results'"
    """
    if isinstance(error, KeyError):
        return f"no {error}"
    return str(error) if isinstance(error, ValueError) else "a value of another kind"


def _decibels(error: float) -> float:
    return math.inf if error <= 0.0 else -10.0 * math.log10(error)
