"""The curves of a report: what was measured, and what was published on the same pictures."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trimix.errors import UsageError
from trimix.evaluation.bd_rate import BdRate, DistortionMetric, bd_rate, unit_of
from trimix.evaluation.data_sets import find_data_set
from trimix.evaluation.palette import Style, measured_style, published_style
from trimix.evaluation.rate_points import RateCurve, RatePoint, reference_curves
from trimix.evaluation.results import Results, read_results

DEFAULT_ANCHOR = "vtm"
"""Key of the published curve that others are compared with."""
SHOWN_AT_FIRST = ("vtm", "bpg", "hyperprior", "elic")
"""Published curves that are drawn before anyone asks: old and new, classical and learned."""
PUBLISHED_SET = "kodak"
"""Name of the set that published curves are of."""
_MARGIN = 0.04


@dataclass(frozen=True)
class Metric:
    """A distortion that curves are drawn over: its attribute of `RatePoint`, which grows with the quality, and names.

    The short name stands on buttons, the long one on the axis, the last in file names and on the command line.
    """

    key: DistortionMetric
    name: str
    axis: str
    file_name: str

    @property
    def unit(self) -> str:
        """Of the values: "dB" or "points"."""
        return unit_of(self.key)

    def value(self, point: RatePoint) -> float | None:
        """The distortion of a point, or None where it is not known or infinite."""
        found = getattr(point, self.key)
        return found if found is not None and math.isfinite(found) else None

    def is_known_of(self, curve: RateCurve) -> bool:
        """Whether any point has it."""
        return any(self.value(point) is not None for point in curve.points)


METRICS = (
    Metric("psnr_db", "PSNR RGB", "PSNR of RGB, dB", "psnr-rgb"),
    Metric("luma_psnr_db", "PSNR Y", "PSNR of luma, dB", "psnr-y"),
    Metric("ms_ssim_db", "MS-SSIM", "MS-SSIM, dB", "ms-ssim"),
    Metric("ssimulacra2", "SSIMULACRA2", "SSIMULACRA2, points", "ssimulacra2"),
    Metric("butteraugli_db", "Butteraugli", "-10 log10 of Butteraugli's distance (3-norm), dB", "butteraugli"),
)


@dataclass(frozen=True)
class ReportCurve:
    """A curve of the report: published if no results were made of it, shown if it is drawn before anyone asks.

    Its key is short and unique, for the page; its name is unique, too, as in legends.
    """

    key: str
    name: str
    curve: RateCurve
    style: Style
    results: Results | None = None
    shown: bool = True

    @property
    def short_name(self) -> str:
        """Where it says elsewhere that the curve is published, and what stands in brackets stands apart."""
        return self.curve.name.partition(" (")[0] if self.is_published else self.name

    @property
    def detail(self) -> str:
        """What stands in brackets behind the name of a published curve."""
        return self.curve.name.partition(" (")[2].removesuffix(")") if self.is_published else ""

    @property
    def is_published(self) -> bool:
        """Whether it is one of the published curves."""
        return self.results is None

    def has(self, metric: Metric) -> bool:
        """Whether any point has the metric."""
        return metric.is_known_of(self.curve)


@dataclass(frozen=True)
class Collection:
    """Curves on one set of pictures, measured ones in the order given, then published ones.

    Its title is empty and its count None where no results tell; a note says why published curves are missing.
    """

    data: str
    picture_count: int | None
    curves: tuple[ReportCurve, ...]
    note: str = ""

    @property
    def measured(self) -> tuple[ReportCurve, ...]:
        """Without the published ones."""
        return tuple(curve for curve in self.curves if not curve.is_published)

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Those that a measured curve has."""
        return tuple(metric for metric in METRICS if any(curve.has(metric) for curve in self.measured))

    def view(self, metric: Metric) -> tuple[tuple[float, float], tuple[float, float]]:
        """What a plot shows: from rate 0 to the highest measured, and the distortions that curves shown reach there.

        Published curves go on far beyond what most people measure: they do not widen the view.
        """
        measured = (point for curve in self.measured for point in curve.curve.points)
        highest = max(point.bits_per_pixel for point in measured if metric.value(point) is not None)
        shown = (point for curve in self.curves if curve.shown for point in curve.curve.points)
        values = (metric.value(point) for point in shown if point.bits_per_pixel <= highest)
        found = [value for value in values if value is not None]
        margin = max(_MARGIN * (max(found) - min(found)), 0.1)
        return (0.0, highest * (1 + _MARGIN)), (min(found) - margin, max(found) + margin)

    def anchor(self, name: str | None) -> ReportCurve:
        """The curve that others are compared with.

        Args:
            name: of a curve, or the short key of a published one, in any case; None for the published VTM where it
                is there, else the first curve.

        Raises:
            UsageError: there is no such curve.
        """
        wanted = (name or DEFAULT_ANCHOR).casefold()
        for curve in self.curves:
            if wanted in (curve.key.casefold(), curve.name.casefold()):
                return curve
        if name is None:
            return self.curves[0]
        names = ", ".join(curve.name for curve in self.curves)
        raise UsageError(f"the anchor must be one of the curves, found {name!r}; choose of: {names}")


def results_files(paths: Sequence[Path]) -> list[Path]:
    """Files in the order given, each once; a folder stands for its JSON files by name.

    Raises:
        UsageError: nothing there, or a folder without JSON files.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        try:
            is_folder = path.is_dir()
            files = sorted(path.glob("*.json")) if is_folder else [path]
        except OSError as error:
            raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
        if is_folder and not files:
            raise UsageError(f"{path}: a folder of results must have .json files, found none; run 'trimix evaluate'")
        for file in files:
            found.setdefault(file.resolve(), file)
    return list(found.values())


def read_all(paths: Sequence[Path]) -> list[Results]:
    """The results of files and folders; of one folder, models of trimix come before other codecs.

    Raises:
        UsageError: a file is missing, cannot be read, or is no results file.
    """
    results = [read_results(file) for file in results_files(paths)]
    return sorted(results, key=lambda one: not one.is_of_trimix) if len(paths) == 1 else results


def bd_rate_or_reason(anchor: RateCurve, test: RateCurve, metric: Metric) -> BdRate | str:
    """The BD-rate, or why there is none."""
    for curve in (test, anchor):
        if not metric.is_known_of(curve):
            return f"{curve.name} has no {metric.name}"
    try:
        return bd_rate(anchor, test, metric.key)
    except UsageError as error:
        return str(error)


def collect(results: Sequence[Results]) -> Collection:
    """Results on one set, with the published curves where the set is Kodak.

    Raises:
        UsageError: no results, results on different sets or pictures, or without any loss.
    """
    if not results:
        raise UsageError("a report needs results, found none; run 'trimix evaluate' first")
    data = _common_set(results)
    picture_count = _common_pictures(results)
    names = _unique([one.name for one in results])
    curves = [
        ReportCurve(f"m{index}", name, one.curve, measured_style(index), one)
        for index, (name, one) in enumerate(zip(names, results, strict=True))
    ]
    note = ""
    data_set = find_data_set(data)
    if data_set is not None and data_set.key == PUBLISHED_SET:
        if picture_count in (None, data_set.count):
            curves += [
                ReportCurve(key, f"{one.name}, published", one, published_style(index), shown=key in SHOWN_AT_FIRST)
                for index, (key, one) in enumerate(reference_curves().items())
            ]
        else:
            note = (
                f"Published curves are means of all {data_set.count} pictures of {data_set.title}; "
                f"they are left out, because these results are of {picture_count}."
            )
    title = data if data_set is None else data_set.title
    collection = Collection(title, picture_count, tuple(curves), note)
    if not collection.metrics:
        raise UsageError("a report needs distortions, found none that is finite; measure a codec with loss")
    return collection


def _common_set(results: Sequence[Results]) -> str:
    # Published results say nothing of their set: they are taken at the caller's word.
    sets = {one.data.casefold().strip(): one for one in results if one.data.strip()}
    if len(sets) > 1:
        found = "; ".join(f"{one.name} of {one.data}" for one in sets.values())
        raise UsageError(f"a report needs results on one set of pictures, found {found}; make one for each set")
    return next(iter(sets.values())).data.strip() if sets else ""


def _common_pictures(results: Sequence[Results]) -> int | None:
    measured = [one for one in results if one.measurements]
    if not measured:
        return None
    first = measured[0]
    for other in measured[1:]:
        found = ""
        if set(other.pictures) != set(first.pictures):
            found = (
                f"{len(first.pictures)} of {first.name} and {len(other.pictures)} of {other.name}, "
                f"{len(set(first.pictures) & set(other.pictures))} in common"
            )
        elif len({one.settings.get("pictures_sha256") for one in (first, other)} - {None}) > 1:
            found = f"others of the same names with {first.name} and {other.name}"
        if found:
            raise UsageError(
                f"a report needs results on the same pictures, found {found}; evaluate both on the same set"
            )
    return len(first.pictures)


def _unique(names: Sequence[str]) -> list[str]:
    """Names with a number behind those that occur more than once."""
    counts, seen = Counter(names), Counter[str]()
    unique = []
    for name in names:
        seen[name] += 1
        unique.append(f"{name} ({seen[name]})" if counts[name] > 1 else name)
    return unique
