"""Rate-distortion figures by Matplotlib: for papers, and for pages where the interactive plot cannot run."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from trimix.evaluation.drawing import INK, RULE, add_scale, drawing, file_of, quieten
from trimix.evaluation.report.curves import Collection, Metric
from trimix.shapes import LATENT_STRIDE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from trimix.evaluation.report.equal_size import EqualSize

FIGURE_INCHES = (6.0, 4.2)
_DOTS_PER_INCH = {"png": 300, "svg": 150}
_HEAT_OPACITY = 0.7
_LEGEND_ROWS_INSIDE = 11
"""A longer legend would cover the curves: it goes beside them."""


def figure_names(collection: Collection, pictures: Sequence[str]) -> list[str]:
    """Names of the files of `all_figures`, where these pictures' bits are mapped."""
    stems = [f"rate-distortion-{metric.file_name}" for metric in collection.metrics]
    for picture in pictures:
        stem = f"bit-map-{picture.rpartition('.')[0] or picture}"
        stems.append(stem if stem not in stems else f"{stem}-{len(stems)}")
    return [f"{stem}.{extension}" for stem in stems for extension in _DOTS_PER_INCH]


def all_figures(collection: Collection, compared: "Sequence[EqualSize]" = ()) -> Iterator[tuple[str, bytes]]:
    """File name and contents of every plot, as PNG and as SVG: curves shown at first, and maps of the bits."""
    figures = [draw_curves(collection, metric) for metric in collection.metrics]
    if compared:
        from trimix.evaluation.report.equal_size import common_scale

        highest = common_scale(compared)
        figures += [draw_bit_map(one, highest) for one in compared]
    names = iter(figure_names(collection, [one.name for one in compared]))
    for figure in figures:
        for extension, dots in _DOTS_PER_INCH.items():
            # Letters as outlines look the same whatever fonts a machine has.
            with drawing(svg_fonttype="path"):
                yield next(names), file_of(figure, extension, dpi=dots, transparent=extension == "svg")


@drawing()
def draw_bit_map(one: "EqualSize", highest: float) -> "Figure":
    """The bits as colours over the picture in grey; `highest` is the upper end of the scale in bits per pixel."""
    from matplotlib.figure import Figure

    picture, values = one.original, one.bit_map.bits_per_pixel
    figure = Figure((FIGURE_INCHES[0], 0.9 * FIGURE_INCHES[0] * picture.height / picture.width), layout="constrained")
    axes = figure.add_subplot()
    extent = (0, picture.width, picture.height, 0)
    axes.imshow(picture.pixels.mean(axis=2), cmap="gray", vmin=0, vmax=255, extent=extent)
    reach = (0, LATENT_STRIDE * values.shape[1], LATENT_STRIDE * values.shape[0], 0)
    heat = {"vmin": 0, "vmax": highest, "cmap": "inferno", "alpha": _HEAT_OPACITY, "interpolation": "nearest"}
    axes.imshow(values, extent=reach, **heat)
    axes.set(xlim=extent[:2], ylim=extent[2:])
    axes.set_axis_off()
    # The full colours, not those that the picture shines through.
    add_scale(axes, highest, "inferno", shrink=0.8, label="bits per pixel")
    return figure


@drawing()
def draw_curves(collection: Collection, metric: Metric) -> "Figure":
    """The curves that are shown at first, over one metric."""
    from matplotlib.figure import Figure

    drawn = [curve for curve in collection.curves if curve.shown and curve.has(metric)]
    figure = Figure(FIGURE_INCHES, layout="constrained")
    axes = figure.add_subplot()
    for curve in reversed(drawn):
        points = ((point.bits_per_pixel, metric.value(point)) for point in curve.curve.points)
        known = [(rate, value) for rate, value in points if value is not None]
        name = f"{curve.short_name} (published)" if curve.is_published else curve.name
        style = curve.style
        axes.plot(
            *np.array(known).T,
            label=f"\u200b{name}" if name.startswith("_") else name,  # else it is left out of the legend
            color=style.light,
            linewidth=1.2 if curve.is_published else 1.8,
            linestyle=style.matplotlib_dash or "solid",
            marker=style.matplotlib_marker,
            markersize=7 if style.matplotlib_marker == "*" else 4.5,
            markeredgewidth=0,
        )
    rates, distortions = collection.view(metric)
    axes.set(xlim=rates, ylim=distortions)
    axes.set_xlabel("rate, bits per pixel", color=INK)
    axes.set_ylabel(metric.axis, color=INK)
    axes.grid(color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    quieten(axes)
    inside = len(drawn) <= _LEGEND_ROWS_INSIDE
    axes.legend(
        *(found[::-1] for found in axes.get_legend_handles_labels()),
        loc="lower right" if inside else "upper left",
        bbox_to_anchor=None if inside else (1.01, 1.0),
        frameon=False,
        fontsize=7.5,
        labelcolor=INK,
        handlelength=2.6,
    )
    return figure
