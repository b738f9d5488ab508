"""Rate-distortion figures by Matplotlib: for papers, and for pages where the interactive plot cannot run."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from trimix.evaluation.drawing import INK, PALE, RULE, drawing, file_of, quieten
from trimix.evaluation.report.curves import Collection, Metric, ReportCurve
from trimix.evaluation.report.view import view_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from trimix.evaluation.report.bit_map import BitMap
    from trimix.evaluation.report.equal_size import EqualSize
    from trimix.images import Picture

FIGURE_INCHES = (6.0, 4.2)
FIGURE_DOTS_PER_INCH = 300
_EXTENSIONS = ("png", "svg")
_HEAT_OPACITY = 0.7
_LEGEND_ROWS_INSIDE = 11
"""A longer legend would cover the curves: it goes beside them."""


def figure_names(collection: Collection, pictures: Sequence[str]) -> list[str]:
    """Names of the files of `all_figures`.

    Args:
        collection: the curves.
        pictures: names of the pictures whose bits are mapped.
    """
    stems = [f"rate-distortion-{metric.file_name}" for metric in collection.metrics]
    for picture in pictures:
        stem = f"bit-map-{picture.rpartition('.')[0] or picture}"
        stems.append(stem if stem not in stems else f"{stem}-{len(stems)}")
    return [f"{stem}.{extension}" for stem in stems for extension in _EXTENSIONS]


def all_figures(collection: Collection, compared: "Sequence[EqualSize]" = ()) -> Iterator[tuple[str, bytes]]:
    """File name and contents of every plot, as PNG and as SVG.

    Args:
        collection: the curves; those that are shown at first are drawn.
        compared: pictures whose bits are mapped.
    """
    figures = [draw_curves(collection, metric) for metric in collection.metrics]
    if compared:
        from trimix.evaluation.report.bit_map import common_scale

        highest = common_scale([one.bit_map for one in compared])
        figures += [draw_bit_map(one.original, one.bit_map, highest) for one in compared]
    names = iter(figure_names(collection, [one.name for one in compared]))
    for figure in figures:
        for extension in _EXTENSIONS:
            # Letters as outlines look the same whatever fonts a machine has; pictures in SVG have half the dots.
            dots = FIGURE_DOTS_PER_INCH if extension == "png" else FIGURE_DOTS_PER_INCH / 2
            with drawing(svg_fonttype="path"):
                yield next(names), file_of(figure, extension, dpi=dots, transparent=extension == "svg")


def page_figure(collection: Collection, metric: Metric) -> str:
    """The figure as an SVG element whose colours follow the page's theme."""
    with drawing(svg_fonttype="none"):
        svg = file_of(draw_curves(collection, metric), "svg", transparent=True).decode()
    svg = svg[svg.index("<svg") :]
    # The size is the page's choice, and a style element would speak to the whole page.
    svg = re.sub(r' (?:width|height)="[0-9.]+pt"', "", svg, count=2)
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.DOTALL)
    # Several such elements stand in one page: their names must not meet.
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\1{metric.file_name}-", svg)
    for colour, variable in _variables(collection).items():
        svg = svg.replace(colour, variable)
    return svg


@drawing()
def draw_bit_map(picture: "Picture", bit_map: "BitMap", highest: float) -> "Figure":
    """The bits as colours over the picture in grey; `highest` is the upper end of the scale in bits per pixel."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    stride = bit_map.stride
    rows, columns = bit_map.bits.shape
    width = FIGURE_INCHES[0]
    figure = Figure(figsize=(width, 0.9 * width * picture.height / picture.width), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(
        picture.pixels.mean(axis=2), cmap="gray", vmin=0, vmax=255, extent=(0, picture.width, picture.height, 0)
    )
    normalize = Normalize(0, highest)
    axes.imshow(
        bit_map.bits_per_pixel,
        norm=normalize,
        cmap="inferno",
        alpha=_HEAT_OPACITY,
        interpolation="nearest",
        extent=(0, stride * columns, stride * rows, 0),
    )
    axes.set_xlim(0, picture.width)
    axes.set_ylim(picture.height, 0)
    axes.set_axis_off()
    # The full colours, not those that the picture shines through.
    scale = ScalarMappable(normalize, "inferno")
    bar = figure.colorbar(scale, ax=axes, shrink=0.8, extend="max", label="bits per pixel")
    bar.outline.set_visible(False)
    bar.ax.tick_params(colors=PALE, length=0)
    return figure


@drawing()
def draw_curves(collection: Collection, metric: Metric) -> "Figure":
    """The curves that are shown at first, over one metric."""
    from matplotlib.figure import Figure

    drawn = [curve for curve in collection.curves if curve.shown and curve.has(metric)]
    inside = len(drawn) <= _LEGEND_ROWS_INSIDE
    figure = Figure(figsize=FIGURE_INCHES, layout="constrained")
    axes = figure.add_subplot()
    for curve in reversed(drawn):
        _draw(axes, curve, metric)
    view = view_of(collection, metric)
    axes.set_xlim(*view.bits_per_pixel)
    axes.set_ylim(*view.distortion)
    axes.set_xlabel("rate, bits per pixel", color=INK)
    axes.set_ylabel(metric.axis, color=INK)
    axes.grid(color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    quieten(axes)
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(
        handles[::-1],
        labels[::-1],
        loc="lower right" if inside else "upper left",
        bbox_to_anchor=None if inside else (1.01, 1.0),
        frameon=False,
        fontsize=7.5,
        labelcolor=INK,
        handlelength=2.6,
    )
    return figure


def _draw(axes: "Axes", curve: ReportCurve, metric: Metric) -> None:
    points = [(point.bits_per_pixel, metric.value(point)) for point in curve.curve.points]
    known = [(rate, distortion) for rate, distortion in points if distortion is not None]
    style = curve.style
    axes.plot(
        [rate for rate, _ in known],
        [distortion for _, distortion in known],
        label=_literal(f"{curve.short_name} (published)" if curve.is_published else curve.name),
        color=style.light,
        linewidth=1.2 if curve.is_published else 1.8,
        linestyle=style.matplotlib_dash or "solid",
        marker=style.matplotlib_marker,
        markersize=7 if style.matplotlib_marker == "*" else 4.5,
        markeredgewidth=0,
    )


def _literal(name: str) -> str:
    """A name that Matplotlib does not leave out of the legend."""
    return f"\u200b{name}" if name.startswith("_") else name


def _variables(collection: Collection) -> Mapping[str, str]:
    colours = {curve.style.light: f"var(--series-{curve.key})" for curve in reversed(collection.curves)}
    return {INK: "var(--ink)", PALE: "var(--pale)", RULE: "var(--rule)", **colours}
