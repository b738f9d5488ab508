"""The page: one HTML file that loads nothing, with pictures as large as there is room, without loss."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from trimix.errors import UsageError
from trimix.evaluation.bd_rate import BdRate
from trimix.evaluation.drawing import heat_colours, ramp, svg_element
from trimix.evaluation.pages import (
    PAGE_MAXIMUM_BYTES,
    embed_lossless,
    embed_preview,
    embed_program,
    embed_values,
    estimate_lossless,
    render,
    script_json,
)
from trimix.evaluation.report.crops import Region, most_interesting_region
from trimix.evaluation.report.curves import METRICS, Collection, Metric, ReportCurve, bd_rate_or_reason
from trimix.evaluation.report.figures import draw_curves
from trimix.evaluation.report.tables import facts_of, measurement_rows, speed_rows
from trimix.shapes import LATENT_STRIDE

if TYPE_CHECKING:
    from trimix.evaluation.report.equal_size import EqualSize

CROP_WIDTHS = (520, 464, 416, 368, 328, 288, 256, 224, 192, 128)
"""Pixels, largest first: that one fills the page at 2 : 1; each next has about a fifth fewer pixels."""
CROP_ASPECT = 4 / 3
WHOLE_MAXIMUM_PIXELS = 520 * 520
"""A picture up to this size is shown whole where there is room."""
_RESERVE_BYTES = 100_000
"""For what stands around the pictures."""
_SCRIPTS = ["page.js", "report.js", "curves.js", "bd_rates.js", "measurements.js", "equal_size.js", "bit_map.js"]


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
    from plotly.offline import get_plotlyjs

    measurements = measurement_rows(collection)
    variables = {curve.style.light: f"series-{curve.key}" for curve in reversed(collection.curves)}
    stills = [
        (metric, svg_element(draw_curves(collection, metric), metric.file_name, variables))
        for metric in collection.metrics
    ]
    data = {
        "metrics": [_metric(collection, metric) for metric in collection.metrics],
        "curves": [_curve(curve) for curve in collection.curves],
        "anchor": anchor.key,
        "bd_rates": all_bd_rates(collection),
        "measurements": measurements,
    }
    values = {
        "title": title,
        "summary": _summary(collection),
        "collection": collection,
        "figures": stills,
        "with_pictures": bool(compared),
        "with_measurements": bool(measurements),
        "speeds": speed_rows(collection),
        "cards": [(curve, list(facts_of(curve))) for curve in collection.curves],
        "report_data": script_json(data),
        "plotly": embed_program(get_plotlyjs()),
        "model": compared[0].renditions[0].name if compared else "",
    }

    def rendered(pictures: dict[str, Any]) -> bytes:
        return render("report.html", ["style.css"], _SCRIPTS, **values, pictures_data=script_json(pictures))

    # Without pictures first: what is left of the page is theirs.
    page = rendered({"pictures": []})
    if compared:
        page = rendered(page_pictures(compared, PAGE_MAXIMUM_BYTES - _RESERVE_BYTES - len(page)))
    if len(page) > PAGE_MAXIMUM_BYTES:
        raise UsageError(
            f"a report must have at most {PAGE_MAXIMUM_BYTES} bytes, found {len(page)}; give fewer results"
        )
    return page


def _summary(collection: Collection) -> str:
    parts = [f"on {collection.data}"] if collection.data else []
    if collection.picture_count is not None:
        plural = "s" if collection.picture_count != 1 else ""
        parts = [f"{collection.picture_count} picture{plural}" + (f" of {collection.data}" if collection.data else "")]
    measured = len(collection.measured)
    parts.append(f"{measured} measured curve{'s' if measured != 1 else ''}")
    if published := len(collection.curves) - measured:
        parts.append(f"{published} published ones to compare with")
    return ", ".join(parts) + "."


def all_bd_rates(collection: Collection) -> dict[str, Any]:
    """Plain values: by metric, anchor and curve, percent, ends and share of the overlap, or why there is none."""

    def plain(found: BdRate | str) -> list[float] | str:
        if isinstance(found, str):
            return found
        values = (found.percent, found.overlap_minimum, found.overlap_maximum, found.overlap_share)
        return [round(value, 4) for value in values]

    return {
        metric.key: {
            anchor.key: {
                test.key: plain(bd_rate_or_reason(anchor.curve, test.curve, metric))
                for test in collection.curves
                if test is not anchor
            }
            for anchor in collection.curves
            if anchor.has(metric)
        }
        for metric in collection.metrics
    }


def _metric(collection: Collection, metric: Metric) -> dict[str, Any]:
    rates, distortions = collection.view(metric)
    return vars(metric) | {"unit": metric.unit, "view": {"rate": rates, "distortion": distortions}}


def _curve(curve: ReportCurve) -> dict[str, Any]:
    names = ("key", "name", "short_name", "detail", "shown")
    return {name: getattr(curve, name) for name in names} | {
        "published": curve.is_published,
        "colours": [curve.style.light, curve.style.dark],
        "marker": curve.style.plotly_marker,
        "dash": curve.style.plotly_dash,
        "points": [
            {"bpp": point.bits_per_pixel}
            | {name: getattr(point, name) for name in ("quality", "ms_ssim", "butteraugli")}
            | {metric.key: metric.value(point) for metric in METRICS}
            for point in curve.curve.points
        ],
    }


def page_pictures(compared: "Sequence[EqualSize]", room: int) -> dict[str, Any]:
    """Plain values for the page: the same part of all pictures, the largest that fits into so many characters.

    Raises:
        UsageError: even the smallest has no room.
    """
    bit_maps = _bit_maps(compared)
    room -= sum(len(text) for one in bit_maps["maps"] for text in (one["values"], one["heat"], one["preview"]))
    needed = 0
    for width in (None, *CROP_WIDTHS):
        regions = [_region(one, width) for one in compared]
        parts = [
            [region.cut(pixels) for pixels in (one.original.pixels, *(found.pixels for found in one.renditions))]
            for one, region in zip(compared, regions, strict=True)
        ]
        # Estimates are a little high, but for pictures that are not like photographs.
        if sum(estimate_lossless(part) for cut in parts for part in cut) > 1.1 * room:
            continue
        sources = [
            [embed_lossless(part, one.original.metadata.icc_profile) for part in cut]
            for one, cut in zip(compared, parts, strict=True)
        ]
        needed = sum(len(source) for found in sources for source in found)
        if needed <= room:
            pictures = [_picture(*found) for found in zip(compared, regions, sources, strict=True)]
            return {"pictures": pictures, "bit_maps": bit_maps}
    raise UsageError(
        f"pictures must fit into {room} bytes of the report, found {needed or 'more'}; "
        "give fewer pictures or other codecs"
    )


def _region(one: "EqualSize", width: int | None) -> Region:
    """Of a width; None for the whole of a picture that is small enough."""
    original = one.original
    if width is None and original.width * original.height <= WHOLE_MAXIMUM_PIXELS:
        return Region(0, 0, original.width, original.height)
    width = width or CROP_WIDTHS[0]
    return most_interesting_region(original.pixels, width, round(width / CROP_ASPECT))


def _picture(one: "EqualSize", region: Region, sources: list[str]) -> dict[str, Any]:
    original = one.original
    renditions: list[dict[str, Any]] = [{"name": "original", "bytes": None}]
    for rendition in one.renditions:
        point = vars(rendition.point)
        values = {name: "inf" if value == float("inf") else value for name, value in point.items()}
        setting = f"quality {rendition.point.quality:.4g}"
        named = {"name": rendition.name, "setting": setting, "description": rendition.description}
        renditions.append({**named, "bytes": rendition.file_bytes, "bpp": rendition.point.bits_per_pixel, **values})
    is_whole = (region.width, region.height) == (original.width, original.height)
    return {
        "name": one.name,
        "width": original.width,
        "height": original.height,
        "region": vars(region) | {"is_whole": is_whole},
        "renditions": [rendition | {"source": source} for rendition, source in zip(renditions, sources, strict=True)],
        "notes": list(one.notes),
    }


def _bit_maps(compared: "Sequence[EqualSize]") -> dict[str, Any]:
    from trimix.evaluation.report.equal_size import common_scale

    highest = common_scale(compared)
    names = ("width", "height", "latent_bits", "hyper_latent_bits", "remaining_bits", "padding_bits", "file_bytes")
    maps = [
        {name: getattr(one.bit_map, name) for name in names}
        | {
            "name": one.name,
            "rows": one.bit_map.bits.shape[0],
            "columns": one.bit_map.bits.shape[1],
            "stride": LATENT_STRIDE,
            **embed_values(one.bit_map.bits),
            "heat": embed_lossless(heat_colours(one.bit_map.bits_per_pixel, highest, "inferno")),
            "preview": embed_preview(one.original.pixels),
        }
        for one in compared
    ]
    return {"highest": highest, "colours": ramp("inferno"), "maps": maps}
