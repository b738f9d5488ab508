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
from trimix.evaluation.rate_points import RateCurve, RatePoint, in_words, mean, mean_point

SETTINGS = "settings"
"""Key of the provenance under which everything stands that must be equal to go on."""
_INTEGER_FIELDS = frozenset({"width", "height", "file_bytes", "payload_bytes", "peak_memory_bytes"})
_LATER_FIELDS = frozenset({"ssimulacra2", "butteraugli"})
_POINT_COLUMNS = {
    "bpp": "bits_per_pixel",
    "psnr-rgb": "psnr_db",
    "ms-ssim-rgb": "ms_ssim",
    "quality": "quality",
    "psnr-y": "luma_psnr_db",
    "ssimulacra2": "ssimulacra2",
    "butteraugli-3-norm": "butteraugli",
}
"""Attributes of `RatePoint` by their key in a results file."""
_MEANS_COLUMNS = {
    "encoding_time": "encoding_seconds",
    "decoding_time": "decoding_seconds",
    "payload-bpp": "payload_bits_per_pixel",
    "peak_memory_mib": "peak_memory_mebibytes",
}
_OLDER_KEYS = {"psnr-rgb": "psnr", "ms-ssim-rgb": "ms-ssim"}
"""Of CompressAI's older files."""


@dataclass(frozen=True)
class Measurement:
    """One picture through one codec at one quality; distortions as in `RatePoint`.

    Attributes:
        picture: file name within the set, of so many pixels in width and height.
        file_bytes: the whole file.
        payload_bytes: without headers and metadata, where the codec tells them apart.
        encoding_seconds: wall clock, pixels in memory to bytes in memory.
        decoding_seconds: wall clock, bytes in memory to pixels in memory.
        peak_memory_bytes: largest resident memory of the process that measured it, meanwhile (on Linux) or so far.
            None where unknown.
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
    def pixel_count(self) -> int:
        """Of the picture."""
        return self.width * self.height

    @property
    def point(self) -> RatePoint:
        """Rate and distortion of it."""
        shared = {one.name: getattr(self, one.name) for one in fields(RatePoint) if one.name != "bits_per_pixel"}
        return RatePoint(8 * self.file_bytes / self.pixel_count, **shared)

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
    """Means over the pictures at one quality, of the memory the maximum; None where not known of every picture."""

    point: RatePoint
    payload_bits_per_pixel: float | None = None
    encoding_seconds: float | None = None
    decoding_seconds: float | None = None
    peak_memory_mebibytes: float | None = None


@dataclass(frozen=True)
class Results:
    """One codec on one set of pictures.

    Attributes:
        description: settings and version of the codec.
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
    def settings(self) -> Mapping[str, Any]:
        """Of the codec and the pictures, as `trimix evaluate` kept them; empty for results of others."""
        found = self.provenance.get(SETTINGS)
        return found if isinstance(found, Mapping) else {}

    @property
    def is_of_trimix(self) -> bool:
        """Whether a model of trimix was measured, not another codec."""
        return "model_hash" in self.settings

    def curve_of(self, picture: str) -> RateCurve:
        """The points of one picture that was measured."""
        points = (one.point for one in self.measurements if one.picture == picture)
        return RateCurve(f"{self.name}, {picture}", tuple(points), self.description)

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
        pictures = {tuple(sorted(one.picture for one in group)) for group in by_quality.values()}
        if len(pictures) != 1 or any(len(names) != len(set(names)) for names in pictures):
            raise UsageError(
                f"{name}: means need every picture once at every quality, found {len(measurements)} measurements "
                f"at {len(by_quality)} qualities; finish the evaluation first"
            )
        means = [_means(group) for group in by_quality.values()]
        return cls(name, description, _by_rate(means), data, measurements, dict(provenance))

    def to_json(self) -> dict[str, Any]:
        """The contents of a results file."""
        arrays = {
            key: [_plain(getattr(one.point, name)) for one in self.means] for key, name in _POINT_COLUMNS.items()
        } | {key: [getattr(one, name) for one in self.means] for key, name in _MEANS_COLUMNS.items()}
        always = ("bpp", "psnr-rgb", "ms-ssim-rgb")
        return {
            "name": self.name,
            "description": self.description,
            "results": {key: values for key, values in arrays.items() if key in always or set(values) != {None}},
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

            def columns(attributes: Mapping[str, str]) -> list[dict[str, Any]]:
                """The values of every quality, by attribute."""
                rows: list[dict[str, Any]] = [{} for _ in range(count)]
                for key, name in attributes.items():
                    found = arrays.get(key, arrays.get(_OLDER_KEYS.get(key), [None] * count))
                    if len(found) != count:
                        raise ValueError(f"{key} has {len(found)} entries, bpp {count}")
                    for row, number in zip(rows, found, strict=True):
                        if number is None and key in ("bpp", "psnr-rgb"):
                            raise ValueError(f"{key} lacks a value")
                        row[name] = None if number is None else float(number)
                return rows

            rows = zip(columns(_POINT_COLUMNS), columns(_MEANS_COLUMNS), strict=True)
            means = [QualityMeans(RatePoint(**point), **others) for point, others in rows]
            if not means:
                raise ValueError("bpp is empty")
            return cls(
                name=str(value["name"]),
                description=str(value.get("description", "")),
                means=_by_rate(means),
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
        if not isinstance(value, dict):
            raise UsageError(f"must be a JSON object, found {type(value).__name__}")
        return Results.from_json(value)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: must be JSON, found {error}") from error
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error


def _means(group: list[Measurement]) -> QualityMeans:
    memory = [one.peak_memory_bytes for one in group if one.peak_memory_bytes is not None]
    return QualityMeans(
        point=mean_point(one.point for one in group),
        payload_bits_per_pixel=mean(one.payload_bytes and 8 * one.payload_bytes / one.pixel_count for one in group),
        encoding_seconds=mean(one.encoding_seconds for one in group),
        decoding_seconds=mean(one.decoding_seconds for one in group),
        peak_memory_mebibytes=max(memory) / 2**20 if len(memory) == len(group) else None,
    )


def _by_rate(means: Iterable[QualityMeans]) -> tuple[QualityMeans, ...]:
    return tuple(sorted(means, key=lambda one: one.point.bits_per_pixel))


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
