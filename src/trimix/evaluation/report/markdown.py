"""The tables of a report as Markdown: for repositories and papers, where a page is too much."""

from collections.abc import Sequence

from trimix.evaluation.bd_rate import SMALL_OVERLAP_SHARE
from trimix.evaluation.rate_points import RateCurve
from trimix.evaluation.report.curves import Collection, Metric, ReportCurve, bd_rate_or_reason
from trimix.evaluation.report.tables import ABSENT
from trimix.evaluation.results import Results


def markdown_tables(collection: Collection, anchor: ReportCurve) -> str:
    """BD-rates of the measured curves, their points, and how they came about, as one Markdown document.

    Args:
        collection: the curves.
        anchor: first of the curves that BD-rates are against; the measured ones follow.
    """
    title = collection.data or "pictures"
    count = "" if collection.picture_count is None else f", {collection.picture_count} pictures"
    lines = [f"# {title}{count}", ""]
    for metric in collection.metrics:
        lines += [f"## BD-rate in {metric.name}, %", "", *_bd_rates(collection, anchor, metric), ""]
        if published := [one for one in collection.curves if one.is_published and one.has(metric)]:
            rows = _bd_rate_rows(collection.measured, published, metric)
            names = [one.short_name for one in published]
            lines += ["Against published curves:", "", *table(["", *names], rows), ""]
    lines += [
        "Mean difference in rate at equal distortion (PCHIP), the codec of the row against that of the column;",
        "negative: the row needs fewer bits. In brackets where the curves have less than half of their range in",
        f"common; {ABSENT} where they do not allow one.",
        "",
        "## Means over the pictures",
        "",
        *_points(collection),
        "",
        *_picture_by_picture(collection),
        "## Settings",
        "",
        *(f"- {curve.name}: {curve.curve.source}" for curve in collection.measured if curve.curve.source),
    ]
    return "\n".join(lines) + "\n"


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table whose first column is text and whose others are numbers."""
    rule = ["---", *("---:" for _ in headings[1:])]
    escaped = ([cell.replace("\\", "\\\\").replace("|", "\\|") for cell in row] for row in (headings, rule, *rows))
    return [f"| {' | '.join(row)} |" for row in escaped]


def _bd_rates(collection: Collection, anchor: ReportCurve, metric: Metric) -> list[str]:
    others = [one for one in collection.measured if one is not anchor]
    anchors = [one for one in (anchor, *others) if one.has(metric)]
    return table(["", *(one.name for one in anchors)], _bd_rate_rows(collection.measured, anchors, metric))


def _bd_rate_rows(tests: Sequence[ReportCurve], anchors: Sequence[ReportCurve], metric: Metric) -> list[list[str]]:
    return [
        [test.name, *(ABSENT if test is one else _percent(one.curve, test.curve, metric) for one in anchors)]
        for test in tests
    ]


def _picture_by_picture(collection: Collection) -> list[str]:
    """For every model of trimix its points on each picture, and its BD-rate there against the other codecs."""
    results = [one.results for one in collection.measured if one.results is not None and one.results.pictures]
    others = [one for one in results if not one.is_of_trimix]
    lines: list[str] = []
    for model in (one for one in results if one.is_of_trimix):
        qualities = [f"quality {means.point.quality:g}" for means in model.means]
        lines += [f"## {model.name}, picture by picture", "", "Bits per pixel and PSNR of RGB in dB:", ""]
        lines += [*table(["picture", *qualities], _points_of_pictures(model)), ""]
        for metric in collection.metrics if others else ():
            rows = [
                [picture, *(_percent(one.curve_of(picture), model.curve_of(picture), metric) for one in others)]
                for picture in model.pictures
            ]
            lines += [f"BD-rate in {metric.name}, %, against", ""]
            lines += [*table(["picture", *(one.name for one in others)], rows), ""]
    return lines


def _points_of_pictures(model: Results) -> list[list[str]]:
    rows = []
    for picture in model.pictures:
        # A picture's own rates may have another order than the means.
        points = {one.quality: one for one in model.curve_of(picture).points}
        ordered = (points[means.point.quality] for means in model.means)
        rows.append([picture, *(f"{one.bits_per_pixel:.3f} / {one.psnr_db:.2f}" for one in ordered)])
    return rows


def _percent(anchor: RateCurve, test: RateCurve, metric: Metric) -> str:
    found = bd_rate_or_reason(anchor, test, metric)
    if isinstance(found, str):
        return ABSENT
    text = f"{found.percent:+.1f}"
    return text if found.overlap_share >= SMALL_OVERLAP_SHARE else f"({text})"


_COLUMNS = {
    "quality": ("quality", "g"),
    "bpp": ("bits_per_pixel", ".4f"),
    "PSNR, dB": ("psnr_db", ".3f"),
    "PSNR Y, dB": ("luma_psnr_db", ".3f"),
    "MS-SSIM": ("ms_ssim", ".5f"),
    "SSIMULACRA2": ("ssimulacra2", ".2f"),
    "Butteraugli": ("butteraugli", ".3f"),
    "encode, s": ("encoding_seconds", ".3f"),
    "decode, s": ("decoding_seconds", ".3f"),
}
_LATER_COLUMNS = ("SSIMULACRA2", "Butteraugli")
"""Left out where no curve has them: older results do not."""


def _points(collection: Collection) -> list[str]:
    found = [
        {"codec": curve.name, **vars(means.point), **vars(means)}
        for curve in collection.measured
        if curve.results is not None
        for means in curve.results.means
    ]
    columns = {
        heading: [ABSENT if row[name] is None else f"{row[name]:{form}}" for row in found]
        for heading, (name, form) in _COLUMNS.items()
    }
    for heading in _LATER_COLUMNS:
        if set(columns[heading]) == {ABSENT}:
            del columns[heading]
    names = [row["codec"] for row in found]
    return table(["codec", *columns], [list(row) for row in zip(names, *columns.values(), strict=True)])
