"""What was seen in a compressed file, by Matplotlib: one picture for papers and slides, and charts for the page."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from trimix.evaluation.drawing import INK, PALE, add_scale, drawing, file_of, heat_colours, quieten
from trimix.evaluation.inspection.inspecting import Inspection
from trimix.evaluation.inspection.maps import (
    TRIANGLE_ASPECT,
    HeatMap,
    heat_maps,
    maps_of,
    mixed_colours,
    share_colour,
    triangle_colours,
    triangle_place,
)
from trimix.evaluation.inspection.statistics import ChannelHistogram, ProbabilityTransform
from trimix.evaluation.pages import grouped, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

FIGURE_WIDTH_INCHES = 13.0
FIGURE_DOTS_PER_INCH = 150
_PANELS_A_ROW = 4
_CHANNEL_BARS = 24
_SHARE_MAPS_MAXIMUM = 9
"""More would be too small to see; the shares with least bits are left out."""
_ACCENT = "#0b62a3"
_LONGEST_SIDE = 1024
"""Of pictures in the figure, pixels."""
_TRANSFORM_HEIGHT = 1.25
"""Least upper end of the densities of transforms: what is flat looks flat."""


def draw_figure(inspection: Inspection, title: str) -> bytes:
    """The figure as a PNG file.

    Maps of shares are by weights; the figure has no room for responsibilities but as numbers.
    """
    with drawing(axes_titlesize=10, axes_titlecolor=INK):
        return file_of(_composed(inspection, title), "png", dpi=FIGURE_DOTS_PER_INCH)


def _composed(inspection: Inspection, title: str) -> "Figure":
    from matplotlib.figure import Figure

    statistics = inspection.statistics
    panels = _panels(inspection)
    map_rows = -(-len(panels) // _PANELS_A_ROW)
    histogram_rows = -(-len(statistics.histograms) // _PANELS_A_ROW)
    # Panels keep the picture's aspect, within bounds that keep the figure readable.
    panel_inches = FIGURE_WIDTH_INCHES / _PANELS_A_ROW
    map_inches = float(np.clip(panel_inches * inspection.height / inspection.width, 1.4, 4.9)) + 0.5
    heights = [0.8, map_rows * map_inches, 3.2, 1.9 * histogram_rows + 0.4, 2.8]
    figure = Figure(figsize=(FIGURE_WIDTH_INCHES, sum(heights)), layout="constrained", facecolor="white")
    head, above, middle, below, bottom = figure.subfigures(5, 1, squeeze=False, height_ratios=heights).flat
    _draw_head(head, inspection, title)
    for axes, panel in zip(above.subplots(map_rows, _PANELS_A_ROW).flat, [*panels, *[None] * 3], strict=False):
        axes.set_axis_off()
        axes.set_anchor("N")
        if panel is not None:
            panel(axes)
    several = len(statistics.shares) > 1
    of_channels = middle.subplots(1, 1 + several, squeeze=False, width_ratios=[1, 1.35][: 1 + several]).flat
    draw_channel_bits(of_channels[0], inspection)
    if several:
        _draw_channel_shares(of_channels[1], inspection)
        handles, labels = of_channels[0].get_legend_handles_labels()
        middle.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False, labelcolor=INK)
    below.suptitle("latents (line) and the mean of their predicted distributions (colours)", color=INK, fontsize=10)
    places = below.subplots(histogram_rows, _PANELS_A_ROW, squeeze=False).flat
    for axes, histogram in zip(places, [*statistics.histograms, *[None] * 3], strict=False):
        axes.set_axis_off() if histogram is None else draw_histogram(axes, histogram)
    axes, all_axes, text = bottom.subplots(1, 3, width_ratios=[1, 1, 0.75])
    for place, name, transform in (
        (axes, "latents in doubt", statistics.doubtful_transform),
        (all_axes, "all latents", statistics.transform),
    ):
        draw_transform(place, f"{name}: probability integral transform", transform)
    _draw_numbers(text, inspection)
    return figure


def _draw_head(part: "SubFigure", inspection: Inspection, title: str) -> None:
    part.text(0.008, 0.68, title, fontsize=17, fontweight="bold", color=INK, va="center")
    line = (
        f"{inspection.width} × {inspection.height} pixels by {inspection.model} at quality "
        f"{round(inspection.quality, 2):g}: {grouped(inspection.file_bytes)} bytes, "
        f"{inspection.bits_per_pixel:.3f} bits per pixel. Bits: {grouped(inspection.latent_bits)} of latents, "
        f"{grouped(inspection.hyper_latent_bits)} of hyper-latents, {grouped(inspection.header_bits)} of the header."
    )
    part.text(0.008, 0.22, line, fontsize=10.5, color=PALE, va="center")


def _panels(inspection: Inspection) -> list[Callable[["Axes"], None]]:
    """What draws each panel of the maps, row by row."""
    maps = maps_of(inspection, 1 + max(inspection.statistics.bits.shape) // _LONGEST_SIDE)
    names, stride = inspection.statistics.shares.names, maps.stride
    step = 1 + max(inspection.pixels.shape[:2]) // _LONGEST_SIDE
    pixels = inspection.pixels[::step, ::step]
    decoded = np.broadcast_to(pixels, (*pixels.shape[:2], 3))
    bits, *shares, deviation = [
        partial(_show_map, inspection, stride, name, heat_colours(values, one.highest, one.scale), one)
        for one in heat_maps(maps, names)
        for values in [next(iter(one.values.values()))]
        for name in [
            {"bits": "bits per pixel", "deviation": "predicted standard deviation"}.get(one.key, f"share of {one.name}")
        ]
    ]
    found = [partial(_show_map, inspection, step, "decoded", decoded, None), bits]
    if len(names) > 1:
        most = sorted(np.argsort(-inspection.weight_shares, kind="stable")[:_SHARE_MAPS_MAXIMUM].tolist())
        mixed = mixed_colours(maps.weight_shares)
        found += [
            partial(_show_map, inspection, stride, "mixture, by weights", mixed, None),
            partial(_show_triangle if len(names) == 3 else _show_shares, inspection),
            *(shares[index] for index in most),
        ]
    return [*found, deviation]


def _show_map(
    inspection: Inspection, stride: int, name: str, colours: np.ndarray, heat: HeatMap | None, axes: "Axes"
) -> None:
    rows, columns = colours.shape[:2]
    axes.imshow(colours, extent=(0, stride * columns, stride * rows, 0), interpolation="nearest")
    # The grid is that of the padded picture: it reaches beyond the border.
    axes.set(xlim=(0, inspection.width), ylim=(inspection.height, 0), title=name)
    if heat is not None:
        add_scale(axes, heat.highest, heat.scale, 7.5, location="bottom", aspect=40, pad=0.02)


def _show_triangle(inspection: Inspection, axes: "Axes") -> None:
    axes.imshow(triangle_colours(400), extent=(0, 1, 0, TRIANGLE_ASPECT))
    axes.set(xlim=(-0.35, 1.35), ylim=(-0.3, TRIANGLE_ASPECT + 0.2))
    for index, place in enumerate(((0.5, TRIANGLE_ASPECT + 0.04), (0.0, -0.04), (1.0, -0.04))):
        label = f"{inspection.statistics.shares.names[index]}\n{percent(inspection.weight_shares[index])}"
        axes.text(*place, label, ha="center", va="top" if index else "bottom", color=INK)
    left, top = triangle_place(inspection.weight_shares)
    for colour, width in (("black", 3), ("white", 1.5)):
        centre = (left, TRIANGLE_ASPECT * (1 - top))
        axes.plot(*centre, "o", markersize=8, markerfacecolor="none", markeredgecolor=colour, markeredgewidth=width)


def _show_shares(inspection: Inspection, axes: "Axes") -> None:
    count = len(inspection.weight_shares)
    axes.set(xlim=(0, 1), ylim=(-1, max(count, 6)))
    for index, share in enumerate(inspection.weight_shares.tolist()):
        label = f"{inspection.statistics.shares.names[index]} {percent(share, 1)}"
        axes.plot(0.12, count - 1 - index, "o", color=share_colour(index), markersize=8)
        axes.text(0.2, count - 1 - index, label, va="center", color=INK)


def draw_channel_bits(axes: "Axes", inspection: Inspection) -> None:
    """Bits of all channels, most first, split by share."""
    split = inspection.statistics.channel_weight_bits[inspection.channels_by_bits]
    _stack(axes, split, np.arange(len(split) + 1), inspection.statistics.shares.names)
    axes.set(ylim=(0, None), title="bits of every channel, most first")
    axes.set_xlabel("rank", color=PALE)


def _draw_channel_shares(axes: "Axes", inspection: Inspection) -> None:
    statistics = inspection.statistics
    chosen = inspection.channels_by_bits[:_CHANNEL_BARS]
    shares = statistics.channel_weight_bits[chosen] / statistics.channel_bits[chosen, None]
    places = np.arange(len(chosen))
    for index, lower in enumerate(shares.T.cumsum(axis=0) - shares.T):
        axes.bar(places, shares[:, index], bottom=lower, color=share_colour(index), width=0.86)
    axes.set_xticks(places, [str(channel) for channel in chosen.tolist()])
    axes.set_yticks([0, 0.5, 1], ["0", "50 %", "100 %"])
    axes.set(xlim=(-0.6, len(chosen) - 0.4), ylim=(0, 1), title="shares in the channels with most bits")
    axes.set_xlabel("channel", color=PALE)
    quieten(axes, "bottom", labelsize=8)


def draw_histogram(axes: "Axes", histogram: ChannelHistogram) -> None:
    """Latents of a channel as a line over the mean of their predicted distributions."""
    from matplotlib.ticker import MaxNLocator

    edges = histogram.borders - 0.5
    _stack(axes, histogram.predicted[1:-1], edges)
    axes.stairs(histogram.observed[1:-1], edges, color=INK, linewidth=1.1)
    axes.set_yticks([])
    axes.set_ylim(0, None)
    axes.xaxis.set_major_locator(MaxNLocator(nbins="auto", integer=True))
    axes.set_title(f"channel {histogram.channel}, difference {percent(histogram.difference, 1)}", fontsize=9)


def draw_transform(axes: "Axes", name: str, transform: ProbabilityTransform) -> None:
    """Density of a transform, beside the level of predictions that fit."""
    axes.stairs(transform.density, np.linspace(0, 1, len(transform.cumulative)), fill=True, color=_ACCENT, alpha=0.85)
    axes.axhline(1, color=INK, linewidth=1, linestyle=(0, (4, 3)))
    axes.set(xlim=(0, 1), ylim=(0, max(_TRANSFORM_HEIGHT, 1.05 * float(transform.density.max()))), yticks=[0, 0.5, 1])
    axes.set_title(f"{name}, deviation {transform.deviation:.4f}", fontsize=9)
    quieten(axes, "bottom", labelsize=8)


def _stack(axes: "Axes", parts: np.ndarray, edges: np.ndarray, names: tuple[str, ...] = ()) -> None:
    """Bars side by side, of parts [bars S] in the colours of the shares."""
    tops = parts.cumsum(axis=1)
    for index, name in enumerate(names or [""] * parts.shape[1]):
        colour, lower = share_colour(index), tops[:, index] - parts[:, index]
        axes.stairs(tops[:, index], edges, baseline=lower, fill=True, color=colour, linewidth=0, label=name)
    axes.set_xlim(edges[0], edges[-1])
    quieten(axes, "bottom", labelsize=8)


def _draw_numbers(axes: "Axes", inspection: Inspection) -> None:
    axes.set_axis_off()
    lines = {
        "latents at their rounded mean" if inspection.rounded_around_mean else "latents that are zero": percent(
            inspection.zero_share, 1
        ),
        "mean bits of a latent": f"{inspection.mean_bits:.3f}",
        **{f"{percentile:g} % have at most": f"{bits:.3f}" for percentile, bits in inspection.percentile_bits},
        "highest": f"{inspection.maximum_bits:.2f}",
    }
    for index, (name, value) in enumerate(lines.items()):
        height = 0.95 - 0.13 * index
        axes.text(0.05, height, name, color=PALE, va="top", transform=axes.transAxes)
        axes.text(0.98, height, value, color=INK, va="top", ha="right", transform=axes.transAxes)
