"""The tables of a report, as texts and plain values; they come from the results and from nothing else."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trimix.evaluation.report.curves import Collection, ReportCurve
from trimix.evaluation.results import Measurement

ABSENT = "–"
_DEEPEST = 6
"""Levels of a provenance that are opened up; nobody writes deeper ones by hand."""


@dataclass(frozen=True)
class SpeedRow:
    """What a codec costs; texts, `ABSENT` where it is not known."""

    key: str
    name: str
    encoding_seconds: str
    decoding_seconds: str
    encoding_megapixels_per_second: str
    decoding_megapixels_per_second: str
    peak_memory_mebibytes: str


@dataclass(frozen=True)
class SettingsCard:
    """How a curve came about: heading and value, in the order of the results."""

    key: str
    name: str
    is_published: bool
    facts: tuple[tuple[str, str], ...]


def measurement_rows(collection: Collection) -> list[list[Any]]:
    """A row for each picture, codec and quality.

    Key of the curve, picture, quality, bytes, bpp, PSNR RGB, PSNR Y, MS-SSIM, SSIMULACRA2, Butteraugli, encoding and
    decoding seconds.
    """
    return [
        [
            curve.key,
            one.picture,
            _rounded(one.quality, 4),
            one.file_bytes,
            _rounded(8 * one.file_bytes / (one.width * one.height), 5),
            _rounded(one.psnr_db, 4),
            _rounded(one.luma_psnr_db, 4),
            _rounded(one.ms_ssim, 6),
            _rounded(one.ssimulacra2, 3),
            _rounded(one.butteraugli, 4),
            _rounded(one.encoding_seconds, 5),
            _rounded(one.decoding_seconds, 5),
        ]
        for curve in collection.measured
        if curve.results is not None
        for one in curve.results.measurements
    ]


def speed_rows(collection: Collection) -> list[SpeedRow]:
    """A row for each codec whose results know a time or a memory: means over pictures and qualities."""
    return [row for curve in collection.measured if (row := _speed_row(curve)) is not None]


def settings_cards(collection: Collection) -> list[SettingsCard]:
    """Settings and provenance of every curve."""
    return [
        SettingsCard(curve.key, curve.name, curve.is_published, tuple(_facts(curve))) for curve in collection.curves
    ]


def _speed_row(curve: ReportCurve) -> SpeedRow | None:
    assert curve.results is not None
    means, measurements = curve.results.means, curve.results.measurements
    encoding = _mean([one.encoding_seconds for one in means])
    decoding = _mean([one.decoding_seconds for one in means])
    memory = [one.peak_memory_bytes for one in means if one.peak_memory_bytes is not None]
    if encoding is None and decoding is None and not memory:
        return None
    return SpeedRow(
        curve.key,
        curve.name,
        _number(encoding, 3),
        _number(decoding, 3),
        _number(_megapixels_per_second(measurements, lambda one: one.encoding_seconds), 3),
        _number(_megapixels_per_second(measurements, lambda one: one.decoding_seconds), 3),
        f"{max(memory) / 2**20:,.0f}" if memory else ABSENT,
    )


def _megapixels_per_second(
    measurements: Sequence[Measurement], seconds_of: Callable[[Measurement], float]
) -> float | None:
    seconds = math.fsum(seconds_of(one) for one in measurements)
    return sum(one.width * one.height for one in measurements) / 1e6 / seconds if seconds > 0 else None


def _facts(curve: ReportCurve) -> Iterator[tuple[str, str]]:
    if curve.curve.source:
        yield ("source" if curve.is_published else "settings"), curve.curve.source
    qualities = [point.quality for point in curve.curve.points]
    if None not in qualities:
        yield "qualities", ", ".join(f"{quality:g}" for quality in qualities)
    yield "points", str(len(qualities))
    if curve.results is None:
        return
    if curve.results.pictures:
        yield "pictures", str(len(curve.results.pictures))
    yield from _flattened(curve.results.provenance)


def _flattened(value: Any, heading: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    """Every plain value, under the keys that lead to it."""
    entries: list[tuple[str, Any]] = []
    if isinstance(value, Mapping):
        entries = [(str(key).replace("_", " "), found) for key, found in value.items()]
    elif isinstance(value, (list, tuple)) and any(isinstance(one, (Mapping, list, tuple)) for one in value):
        entries = [(str(number), found) for number, found in enumerate(value, 1)]
    elif isinstance(value, (list, tuple)):
        value = ", ".join(str(one) for one in value)
    if entries and depth < _DEEPEST:
        for key, found in entries:
            yield from _flattened(found, f"{heading}: {key}" if heading else key, depth + 1)
    elif heading:
        yield heading, ABSENT if value is None or value in ("", {}, []) else str(value)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if len(known) == len(values) else None


def _number(value: float | None, digits: int) -> str:
    """With so many significant digits, and never as 1e-05."""
    if value is None:
        return ABSENT
    if value == 0:
        return "0"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{min(decimals, 6)}f}"


def _rounded(value: float | None, decimals: int) -> float | str | None:
    if value is None:
        return None
    return round(value, decimals) if math.isfinite(value) else str(value)
