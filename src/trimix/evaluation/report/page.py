"""The page: one HTML file that loads nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import trimix
from trimix.errors import UsageError
from trimix.evaluation.html import PAGE_MAXIMUM_BYTES, page_file, render, script_json
from trimix.evaluation.rate_points import RatePoint
from trimix.evaluation.report.bd_rates import all_bd_rates
from trimix.evaluation.report.curves import METRICS, Collection, Metric, ReportCurve
from trimix.evaluation.report.embedding import embed_program
from trimix.evaluation.report.figures import page_figure
from trimix.evaluation.report.tables import measurement_rows, settings_cards, speed_rows
from trimix.evaluation.report.view import view_of

if TYPE_CHECKING:
    from trimix.evaluation.report.equal_size import EqualSize

_PACKAGE = "trimix.evaluation.report"
_RESERVE_BYTES = 100_000
"""For what stands around the pictures."""
_SCRIPTS = ("common", "curves", "bd_rates", "measurements", "equal_size", "bit_map", "start")


@dataclass(frozen=True)
class PageFigure:
    """A figure that stands where the interactive plot cannot run."""

    metric: Metric
    svg: str


def make_page(collection: Collection, anchor: ReportCurve, title: str, compared: "Sequence[EqualSize]" = ()) -> bytes:
    """The page, below 8 MB whatever is in it.

    Args:
        collection: curves.
        anchor: that BD-rates are shown against at first.
        title: of the page.
        compared: pictures at equal size; without them the page has no such part.

    Raises:
        UsageError: too many pictures and codecs for the page.
    """
    parts = _parts(collection, anchor, title, bool(compared))
    # Without pictures first: what is left of the page is theirs.
    page = _render(parts, {"model": "", "pictures": []})
    if compared:
        from trimix.evaluation.report.page_pictures import page_pictures

        page = _render(parts, page_pictures(compared, PAGE_MAXIMUM_BYTES - _RESERVE_BYTES - len(page)))
    if len(page) > PAGE_MAXIMUM_BYTES:
        raise UsageError(
            f"a report must have at most {PAGE_MAXIMUM_BYTES} bytes, found {len(page)}; give fewer results"
        )
    return page


def _parts(collection: Collection, anchor: ReportCurve, title: str, with_pictures: bool) -> dict[str, Any]:
    """What the template needs, but for the pictures."""
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    measurements = measurement_rows(collection)
    scripts = "\n".join(page_file(_PACKAGE, f"{name}.js") for name in _SCRIPTS)
    return {
        "version": trimix.__version__,
        "title": title,
        "summary": _summary(collection),
        "collection": collection,
        "figures": [PageFigure(metric, Markup(page_figure(collection, metric))) for metric in collection.metrics],
        "with_pictures": with_pictures,
        "with_measurements": bool(measurements),
        "speeds": speed_rows(collection),
        "cards": settings_cards(collection),
        "style": Markup(page_file(_PACKAGE, "style.css")),
        "report_data": Markup(script_json(_report_data(collection, anchor, measurements))),
        "plotly": embed_program(get_plotlyjs()),
        "script": Markup(f"(() => {{\n{scripts}\n}})();"),
    }


def _render(parts: dict[str, Any], pictures: dict[str, Any]) -> bytes:
    from markupsafe import Markup

    data = Markup(script_json(pictures))
    return render(_PACKAGE, "page.html", **parts, model=pictures["model"], pictures_data=data)


def _summary(collection: Collection) -> str:
    parts = []
    if collection.picture_count is not None:
        plural = "s" if collection.picture_count != 1 else ""
        parts.append(
            f"{collection.picture_count} picture{plural}" + (f" of {collection.data}" if collection.data else "")
        )
    elif collection.data:
        parts.append(f"on {collection.data}")
    measured = len(collection.measured)
    parts.append(f"{measured} measured curve{'s' if measured != 1 else ''}")
    if published := len(collection.curves) - measured:
        parts.append(f"{published} published ones to compare with")
    return ", ".join(parts) + "."


def _report_data(collection: Collection, anchor: ReportCurve, measurements: list[list[Any]]) -> dict[str, Any]:
    return {
        "metrics": [_metric(collection, metric) for metric in collection.metrics],
        "curves": [_curve(curve) for curve in collection.curves],
        "anchor": anchor.key,
        "bd_rates": all_bd_rates(collection),
        "measurements": measurements,
    }


def _metric(collection: Collection, metric: Metric) -> dict[str, Any]:
    view = view_of(collection, metric)
    return {
        "key": metric.key,
        "name": metric.name,
        "axis": metric.axis,
        "unit": metric.unit,
        "file_name": metric.file_name,
        "view": {"rate": view.bits_per_pixel, "distortion": view.distortion},
    }


def _curve(curve: ReportCurve) -> dict[str, Any]:
    return {
        "key": curve.key,
        "name": curve.name,
        "short_name": curve.short_name,
        "detail": curve.detail,
        "published": curve.is_published,
        "shown": curve.shown,
        "colours": [curve.style.light, curve.style.dark],
        "marker": curve.style.plotly_marker,
        "dash": curve.style.plotly_dash,
        "points": [_point(point) for point in curve.curve.points],
    }


def _point(point: RatePoint) -> dict[str, Any]:
    values = {metric.key: metric.value(point) for metric in METRICS}
    return {
        "bpp": point.bits_per_pixel,
        "quality": point.quality,
        "ms_ssim": point.ms_ssim,
        "butteraugli": point.butteraugli,
        **values,
    }
