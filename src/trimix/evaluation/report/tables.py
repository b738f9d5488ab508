"""The tables of a report, as texts and plain values; they come from the results and from nothing else."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from trimix.evaluation.rate_points import mean
from trimix.evaluation.report.curves import Collection, ReportCurve

ABSENT = "–"
_DEEPEST = 6
"""Levels of a provenance that are opened up; nobody writes deeper ones by hand."""
_DECIMALS = {
    "psnr_db": 4,
    "luma_psnr_db": 4,
    "ms_ssim": 6,
    "ssimulacra2": 3,
    "butteraugli": 4,
    "encoding_seconds": 5,
    "decoding_seconds": 5,
}


def measurement_rows(collection: Collection) -> list[list[Any]]:
    """A row for each picture, codec and quality.

    Key of the curve, picture, quality, bytes, bpp, PSNR RGB, PSNR Y, MS-SSIM, SSIMULACRA2, Butteraugli, encoding and
    decoding seconds.
    """
    return [
        [
            curve.key,
            one.picture,
            round(one.quality, 4),
            one.file_bytes,
            round(8 * one.file_bytes / one.pixel_count, 5),
            *(_rounded(getattr(one, name), decimals) for name, decimals in _DECIMALS.items()),
        ]
        for curve in collection.measured
        if curve.results is not None
        for one in curve.results.measurements
    ]


def speed_rows(collection: Collection) -> list[tuple[ReportCurve, list[str]]]:
    """For each codec whose results know a time or a memory, means over pictures and qualities.

    Seconds to encode and to decode, megapixels a second of both, and peak memory in MiB; `ABSENT` where not known.
    """
    rows = []
    for curve in collection.measured:
        assert curve.results is not None
        means, measurements = curve.results.means, curve.results.measurements
        memory = [one.peak_memory_mebibytes for one in means if one.peak_memory_mebibytes is not None]
        seconds = [mean(getattr(one, name) for one in means) for name in ("encoding_seconds", "decoding_seconds")]
        if seconds == [None, None] and not memory:
            continue
        megapixels = sum(one.pixel_count for one in measurements) / 1e6
        totals = [
            math.fsum(getattr(one, name) for one in measurements) for name in ("encoding_seconds", "decoding_seconds")
        ]
        speeds = [megapixels / total if total > 0 else None for total in totals]
        rows.append((curve, [*map(_number, seconds + speeds), f"{max(memory):,.0f}" if memory else ABSENT]))
    return rows


def facts_of(curve: ReportCurve) -> Iterator[tuple[str, str]]:
    """How a curve came about: heading and value, in the order of the results."""
    if curve.curve.source:
        yield ("source" if curve.is_published else "settings"), curve.curve.source
    qualities = [point.quality for point in curve.curve.points]
    if None not in qualities:
        yield "qualities", ", ".join(f"{quality:g}" for quality in qualities)
    yield "points", str(len(qualities))
    if curve.results is not None:
        if curve.results.pictures:
            yield "pictures", str(len(curve.results.pictures))
        yield from _flattened(curve.results.provenance)


def _flattened(value: Any, heading: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    """Every plain value, under the keys that lead to it."""
    entries: list[tuple[str, Any]] = []
    if isinstance(value, Mapping):
        entries = [(str(key).replace("_", " "), found) for key, found in value.items()]
    elif isinstance(value, list) and any(isinstance(one, (Mapping, list)) for one in value):
        entries = [(str(number), found) for number, found in enumerate(value, 1)]
    elif isinstance(value, list):
        value = ", ".join(str(one) for one in value)
    if entries and depth < _DEEPEST:
        for key, found in entries:
            yield from _flattened(found, f"{heading}: {key}" if heading else key, depth + 1)
    elif heading:
        yield heading, ABSENT if value in (None, "", {}) else str(value)


def _number(value: float | None) -> str:
    """With three significant digits, and never as 1e-05."""
    if value is None or value == 0:
        return ABSENT if value is None else "0"
    return f"{value:,.{min(max(0, 2 - math.floor(math.log10(abs(value)))), 6)}f}"


def _rounded(value: float | None, decimals: int) -> float | str | None:
    if value is None:
        return None
    return round(value, decimals) if math.isfinite(value) else str(value)
