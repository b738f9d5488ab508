"""What an evaluation found, and the file it is kept in: one codec on one set of pictures.

The JSON begins as the results files of CompressAI do, so that its tools read ours and we read theirs::

    {"name": ..., "description": ...,
     "results": {"bpp": [...], "psnr-rgb": [...], "ms-ssim-rgb": [...], "encoding_time": [...], "decoding_time": [...],
                 "quality": [...], "psnr-y": [...], "ssimulacra2": [...], "butteraugli-3-norm": [...],
                 "payload-bpp": [...], "peak_memory_mib": [...]},
     "data": "kodak", "pictures": [{one picture at one quality}, ...], "provenance": {...}}

Arrays are parallel, one entry for each quality, each the mean of the pictures' values. Works without torch.
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from trimix.errors import UsageError
from trimix.evaluation.rate_points import RateCurve, RatePoint, in_words, mean_point

_INTEGER_FIELDS = frozenset({"width", "height", "file_bytes", "payload_bytes", "peak_memory_bytes"})
_LATER_FIELDS = frozenset({"ssimulacra2", "butteraugli"})


@dataclass(frozen=True)
class Measurement:
    """One picture through one codec at one quality.

    Attributes:
        picture: file name within the set.
        width: pixels.
        height: pixels.
        quality: setting of the codec on its own scale.
        file_bytes: the whole file.
        payload_bytes: without headers and metadata, where the codec tells them apart.
        psnr_db: of 8-bit RGB; infinity for a lossless one.
        luma_psnr_db: of the BT.601 luma.
        ms_ssim: 0 .. 1; None where a side is below 161 pixels.
        encoding_seconds: wall clock, pixels in memory to bytes in memory.
        decoding_seconds: wall clock, bytes in memory to pixels in memory.
        peak_memory_bytes: largest resident memory of the process that measured it, meanwhile (on Linux) or so far; of
            the program where the codec is one. None where unknown.
        ssimulacra2: score, at most 100; None where it was not measured.
        butteraugli: distance, 3-norm; None where it was not measured.
    """

    picture: str
    width: int
    height: int
    quality: float
    file_bytes: int
    payload_bytes: int | None
    psnr_db: float
    luma_psnr_db: float | None
    ms_ssim: float | None
    encoding_seconds: float
    decoding_seconds: float
    peak_memory_bytes: int | None = None
    ssimulacra2: float | None = None
    butteraugli: float | None = None

    @property
    def point(self) -> RatePoint:
        """Rate and distortion of it."""
        return RatePoint(
            bits_per_pixel=8 * self.file_bytes / (self.width * self.height),
            psnr_db=self.psnr_db,
            ms_ssim=self.ms_ssim,
            luma_psnr_db=self.luma_psnr_db,
            quality=self.quality,
            ssimulacra2=self.ssimulacra2,
            butteraugli=self.butteraugli,
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values; infinity is the string "inf", absent values are null."""
        return {name: _plain(value) for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Measurement":
        """The measurement that `to_json` wrote.

        Raises:
            UsageError: fields are missing or of the wrong kind.
        """
        try:
            arguments: dict[str, Any] = {
                one.name: value[one.name]
                for one in fields(cls)
                if one.name in value or one.name not in _LATER_FIELDS  # files from before them
            }
            for name, found in arguments.items():
                if found is not None and name != "picture":
                    arguments[name] = int(found) if name in _INTEGER_FIELDS else float(found)
            return cls(**arguments)
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(
                f"a measurement must have the fields of trimix evaluate, found {in_words(error)}; measure again"
            ) from error


@dataclass(frozen=True)
class QualityMeans:
    """Means over the pictures at one quality; None where a value is not known of every picture."""

    point: RatePoint
    payload_bits_per_pixel: float | None
    encoding_seconds: float | None
    decoding_seconds: float | None
    peak_memory_bytes: int | None


@dataclass(frozen=True)
class Results:
    """One codec on one set of pictures.

    Attributes:
        name: of the codec, as in legends.
        description: its settings and version.
        means: one for each quality, by growing rate.
        data: name of the set; empty where it is not known.
        measurements: every picture at every quality; empty where only means are known (published results).
        provenance: versions, model hash, command, machine, date.
    """

    name: str
    description: str
    means: tuple[QualityMeans, ...]
    data: str = ""
    measurements: tuple[Measurement, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def curve(self) -> RateCurve:
        """The mean points as a curve."""
        return RateCurve(self.name, tuple(means.point for means in self.means), self.description)

    @property
    def pictures(self) -> tuple[str, ...]:
        """Names of the pictures, in the order measured."""
        return tuple(dict.fromkeys(one.picture for one in self.measurements))

    @property
    def is_of_trimix(self) -> bool:
        """Whether a model of trimix was measured, not another codec."""
        settings = self.provenance.get("settings")
        return isinstance(settings, Mapping) and "model_hash" in settings

    def curve_of(self, picture: str) -> RateCurve:
        """The points of one picture, by growing rate; none where only means are known."""
        points = (one.point for one in self.measurements if one.picture == picture)
        ordered = sorted(points, key=lambda point: point.bits_per_pixel)
        return RateCurve(f"{self.name}, {picture}", tuple(ordered), self.description)

    @classmethod
    def of_measurements(
        cls, name: str, description: str, data: str, measurements: Iterable[Measurement], provenance: Mapping[str, Any]
    ) -> "Results":
        """Results with the means of the measurements.

        Raises:
            UsageError: none, or not the same pictures at every quality.
        """
        measurements = tuple(measurements)
        by_quality: dict[float, list[Measurement]] = {}
        for one in measurements:
            by_quality.setdefault(one.quality, []).append(one)
        pictures = {frozenset(one.picture for one in group) for group in by_quality.values()}
        sizes = {len(group) for group in by_quality.values()}
        if not measurements or len(pictures) != 1 or sizes != {len(next(iter(pictures)))}:
            raise UsageError(
                f"{name}: means need every picture once at every quality, found {len(measurements)} measurements "
                f"at {len(by_quality)} qualities; finish the evaluation first"
            )
        means = sorted((_means(group) for group in by_quality.values()), key=lambda one: one.point.bits_per_pixel)
        return cls(name, description, tuple(means), data, measurements, dict(provenance))

    def to_json(self) -> dict[str, Any]:
        """The contents of a results file."""
        points = [one.point for one in self.means]
        mebibytes = [None if one.peak_memory_bytes is None else one.peak_memory_bytes / 2**20 for one in self.means]
        arrays: dict[str, list[Any]] = {
            "bpp": [point.bits_per_pixel for point in points],
            "psnr-rgb": [_plain(point.psnr_db) for point in points],
            "ms-ssim-rgb": [point.ms_ssim for point in points],
            "encoding_time": [one.encoding_seconds for one in self.means],
            "decoding_time": [one.decoding_seconds for one in self.means],
            "quality": [point.quality for point in points],
            "psnr-y": [_plain(point.luma_psnr_db) for point in points],
            "ssimulacra2": [point.ssimulacra2 for point in points],
            "butteraugli-3-norm": [point.butteraugli for point in points],
            "payload-bpp": [one.payload_bits_per_pixel for one in self.means],
            "peak_memory_mib": mebibytes,
        }
        always = {"bpp", "psnr-rgb", "ms-ssim-rgb"}
        return {
            "name": self.name,
            "description": self.description,
            "results": {
                key: values
                for key, values in arrays.items()
                if key in always or any(value is not None for value in values)
            },
            "data": self.data,
            "pictures": [one.to_json() for one in self.measurements],
            "provenance": dict(self.provenance),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Results":
        """Results of a file of trimix or of CompressAI.

        Raises:
            UsageError: no results file.
        """
        try:
            arrays = value["results"]
            count = len(arrays["bpp"])

            def column(key: str, other: str | None = None) -> list[float | None]:
                found = arrays.get(key, arrays.get(other) if other else None)
                if found is None:
                    return [None] * count
                if len(found) != count:
                    raise ValueError(f"{key} has {len(found)} entries, bpp {count}")
                return [None if number is None else float(number) for number in found]

            # CompressAI's older files say "psnr" and "ms-ssim".
            columns = zip(
                column("bpp"),
                column("psnr-rgb", "psnr"),
                column("ms-ssim-rgb", "ms-ssim"),
                column("psnr-y"),
                column("quality"),
                column("ssimulacra2"),
                column("butteraugli-3-norm"),
                strict=True,
            )
            points = [
                RatePoint(_needed("bpp", rate), _needed("psnr-rgb", decibels), *others)
                for rate, decibels, *others in columns
            ]
            memory = column("peak_memory_mib")
            times = zip(column("payload-bpp"), column("encoding_time"), column("decoding_time"), strict=True)
            means = [
                QualityMeans(point, *of_point, None if mebibytes is None else round(mebibytes * 2**20))
                for point, of_point, mebibytes in zip(points, times, memory, strict=True)
            ]
            if not means:
                raise ValueError("bpp is empty")
            return cls(
                name=str(value["name"]),
                description=str(value.get("description", "")),
                means=tuple(sorted(means, key=lambda one: one.point.bits_per_pixel)),
                data=str(value.get("data", "")),
                measurements=tuple(Measurement.from_json(one) for one in value.get("pictures", ())),
                provenance=dict(value.get("provenance", {})),
            )
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise UsageError(
                f"a results file must have a name and parallel arrays bpp and psnr-rgb, found {in_words(error)}; "
                "give one that 'trimix evaluate' or CompressAI has written"
            ) from error


def read_results(path: Path) -> Results:
    """Results from a file of trimix or of CompressAI.

    Raises:
        UsageError: it cannot be read, or is no results file.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: must be JSON, found {error}") from error
    if not isinstance(value, dict):
        raise UsageError(f"{path}: must be a JSON object, found {type(value).__name__}")
    try:
        return Results.from_json(value)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error


def _means(group: list[Measurement]) -> QualityMeans:
    memory = [one.peak_memory_bytes for one in group if one.peak_memory_bytes is not None]
    payload = [8 * one.payload_bytes / (one.width * one.height) for one in group if one.payload_bytes is not None]
    return QualityMeans(
        point=mean_point(one.point for one in group),
        payload_bits_per_pixel=math.fsum(payload) / len(payload) if len(payload) == len(group) else None,
        encoding_seconds=math.fsum(one.encoding_seconds for one in group) / len(group),
        decoding_seconds=math.fsum(one.decoding_seconds for one in group) / len(group),
        peak_memory_bytes=max(memory) if len(memory) == len(group) else None,
    )


def _needed(key: str, value: float | None) -> float:
    if value is None:
        raise ValueError(f"{key} lacks a value")
    return value


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
