"""The curves of a report: what was measured, and what was published on the same pictures."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trimix.errors import UsageError
from trimix.evaluation.bd_rate import DistortionMetric, unit_of
from trimix.evaluation.data_sets import find_data_set
from trimix.evaluation.rate_points import RateCurve, RatePoint, reference_curves
from trimix.evaluation.report.palette import Style, measured_style, published_style
from trimix.evaluation.results import Results

DEFAULT_ANCHOR = "vtm"
"""Key of the published curve that others are compared with."""
SHOWN_AT_FIRST = ("vtm", "bpg", "hyperprior", "elic")
"""Published curves that are drawn before anyone asks: old and new, classical and learned."""

PUBLISHED_SET = "kodak"
"""Name of the set that published curves are of."""


@dataclass(frozen=True)
class Metric:
    """A distortion that curves are drawn over.

    Attributes:
        key: attribute of `RatePoint`, which grows with the quality.
        name: on buttons.
        axis: on the axis.
        file_name: part of file names.
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
    """A curve of the report.

    Attributes:
        key: short and unique, for the page.
        name: unique, as in legends.
        curve: the points.
        style: how it is drawn.
        results: what it was made of; None for a published curve.
        shown: whether it is drawn before anyone asks.
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
    """Curves on one set of pictures.

    Attributes:
        data: title of the set; empty where no results say it.
        picture_count: pictures of the set; None where no results have them.
        curves: measured ones in the order given, then published ones.
        note: why published curves of the set are missing; empty where they are not.
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
            curves += _published()
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


def _published() -> list[ReportCurve]:
    return [
        ReportCurve(key, f"{curve.name}, published", curve, published_style(index), shown=key in SHOWN_AT_FIRST)
        for index, (key, curve) in enumerate(reference_curves().items())
    ]


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
        if set(other.pictures) != set(first.pictures):
            raise UsageError(
                f"a report needs results on the same pictures, found {len(first.pictures)} of {first.name} and "
                f"{len(other.pictures)} of {other.name}, {len(set(first.pictures) & set(other.pictures))} in common; "
                "evaluate both on the same set"
            )
        if _fingerprint(first) and _fingerprint(other) and _fingerprint(first) != _fingerprint(other):
            raise UsageError(
                f"a report needs results on the same pictures, found others of the same names with {first.name} and "
                f"{other.name}; evaluate both on the same set"
            )
    return len(first.pictures)


def _fingerprint(results: Results) -> object:
    """Hash over the pictures, where the results know it."""
    settings = results.provenance.get("settings")
    return settings.get("pictures_sha256") if isinstance(settings, Mapping) else None


def _unique(names: Sequence[str]) -> list[str]:
    """Names with a number behind those that occur more than once."""
    counts, seen = Counter(names), Counter[str]()
    unique = []
    for name in names:
        seen[name] += 1
        unique.append(f"{name} ({seen[name]})" if counts[name] > 1 else name)
    return unique
