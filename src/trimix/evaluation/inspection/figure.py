"""What was seen in a compressed file as one picture, by Matplotlib: for papers and slides."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from trimix.evaluation.drawing import INK, PALE, drawing, file_of, quieten
from trimix.evaluation.inspection.inspecting import Inspection
from trimix.evaluation.inspection.maps import (
    TRIANGLE_ASPECT,
    Maps,
    maps_of,
    mixed_colours,
    share_colour,
    triangle_colours,
    triangle_place,
)
from trimix.evaluation.inspection.statistics import ChannelHistogram, ProbabilityTransform
from trimix.evaluation.inspection.wording import grouped, percent
from trimix.evaluation.report.heat import heat_colours, upper_end

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


def draw_figure(inspection: Inspection, title: str) -> bytes:
    """The figure as a PNG file.

    Maps of shares are by weights; the figure has no room for responsibilities but as numbers.

    Args:
        inspection: of a file.
        title: above all.
    """
    with drawing(axes_titlesize=10):
        return file_of(_composed(inspection, title), "png", dpi=FIGURE_DOTS_PER_INCH)


def _composed(inspection: Inspection, title: str) -> "Figure":
    from matplotlib.figure import Figure

    panels = _panels(inspection, maps_of(inspection, 1 + max(inspection.statistics.bits.shape) // _LONGEST_SIDE))
    map_rows = -(-len(panels) // _PANELS_A_ROW)
    histogram_rows = -(-len(inspection.statistics.histograms) // _PANELS_A_ROW)
    # Panels keep the picture's aspect, within bounds that keep the figure readable.
    panel_inches = FIGURE_WIDTH_INCHES / _PANELS_A_ROW
    map_inches = float(np.clip(panel_inches * inspection.height / inspection.width, 1.4, 4.9)) + 0.5
    heights = [0.8, map_rows * map_inches, 3.2, 1.9 * histogram_rows + 0.4, 2.8]
    figure = Figure(figsize=(FIGURE_WIDTH_INCHES, sum(heights)), layout="constrained", facecolor="white")
    head, above, middle, below, bottom = figure.subfigures(5, 1, squeeze=False, height_ratios=heights).flat
    _draw_head(head, inspection, title)
    for place, panel in zip(above.subplots(map_rows, _PANELS_A_ROW).flat, [*panels, *[None] * 3], strict=False):
        place.set_axis_off()
        place.set_anchor("N")
        if panel is not None:
            panel(place)
    _draw_channels(middle, inspection)
    _draw_histograms(below, inspection, histogram_rows)
    _draw_calibration(bottom, inspection)
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


Panel = Callable[["Axes"], None]


def _panels(inspection: Inspection, maps: Maps) -> list[Panel]:
    """What draws each panel of the maps, row by row."""
    bits, deviation = maps.bits_per_pixel, maps.standard_deviation
    shares, names = maps.weight_shares, inspection.statistics.shares.names
    found: list[Panel] = [
        partial(_show_picture, inspection),
        partial(_show_heat, inspection, maps, "bits per pixel", bits, upper_end(bits), "inferno"),
    ]
    if len(names) > 1:
        most = sorted(np.argsort(-inspection.weight_shares, kind="stable")[:_SHARE_MAPS_MAXIMUM].tolist())
        found += [
            partial(_show_map, inspection, maps, "mixture, by weights", mixed_colours(shares)),
            partial(_show_triangle if len(names) == 3 else _show_shares, inspection),
        ]
        found += [
            partial(
                _show_heat,
                inspection,
                maps,
                f"share of {names[index]}",
                shares[..., index],
                upper_end(shares),
                "viridis",
            )
            for index in most
        ]
    name = "predicted standard deviation"
    return [*found, partial(_show_heat, inspection, maps, name, deviation, upper_end(deviation), "cividis")]


def _show_picture(inspection: Inspection, axes: "Axes") -> None:
    step = 1 + max(inspection.pixels.shape[:2]) // _LONGEST_SIDE
    pixels = inspection.pixels[::step, ::step]
    colours = np.broadcast_to(pixels, (*pixels.shape[:2], 3))
    axes.imshow(colours, extent=(0, inspection.width, inspection.height, 0))
    axes.set_title("decoded", color=INK)


def _show_map(inspection: Inspection, maps: Maps, name: str, colours: np.ndarray, axes: "Axes") -> None:
    rows, columns = colours.shape[:2]
    extent = (0, maps.stride * columns, maps.stride * rows, 0)
    axes.imshow(colours, extent=extent, interpolation="nearest")
    # The grid is that of the padded picture: it reaches beyond the border.
    axes.set_xlim(0, inspection.width)
    axes.set_ylim(inspection.height, 0)
    axes.set_title(name, color=INK)


def _show_heat(
    inspection: Inspection, maps: Maps, name: str, values: np.ndarray, highest: float, scale: str, axes: "Axes"
) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    _show_map(inspection, maps, name, heat_colours(values, highest, scale), axes)
    mappable = ScalarMappable(Normalize(0, highest), scale)
    bar = axes.figure.colorbar(mappable, ax=axes, location="bottom", aspect=40, pad=0.02, extend="max")
    bar.outline.set_visible(False)
    bar.ax.tick_params(colors=PALE, length=0, labelsize=7.5)


def _show_triangle(inspection: Inspection, axes: "Axes") -> None:
    names = inspection.statistics.shares.names
    axes.imshow(triangle_colours(400), extent=(0, 1, 0, TRIANGLE_ASPECT))
    axes.set_xlim(-0.35, 1.35)
    axes.set_ylim(-0.3, TRIANGLE_ASPECT + 0.2)
    for index, place in enumerate(((0.5, TRIANGLE_ASPECT + 0.04), (0.0, -0.04), (1.0, -0.04))):
        label = f"{names[index]}\n{percent(inspection.weight_shares[index])}"
        axes.text(*place, label, ha="center", va="top" if index else "bottom", color=INK)
    left, top = triangle_place(inspection.weight_shares)
    centre = (left, TRIANGLE_ASPECT * (1 - top))
    axes.plot(*centre, "o", markersize=8, markerfacecolor="none", markeredgecolor="black", markeredgewidth=3)
    axes.plot(*centre, "o", markersize=8, markerfacecolor="none", markeredgecolor="white", markeredgewidth=1.5)


def _show_shares(inspection: Inspection, axes: "Axes") -> None:
    axes.set_xlim(0, 1)
    axes.set_ylim(-1, max(len(inspection.weight_shares), 6))
    for index, share in enumerate(inspection.weight_shares.tolist()):
        height = len(inspection.weight_shares) - 1 - index
        label = f"{inspection.statistics.shares.names[index]} {percent(share, 1)}"
        axes.plot(0.12, height, "o", color=share_colour(index), markersize=8)
        axes.text(0.2, height, label, va="center", color=INK)


def _draw_channels(part: "SubFigure", inspection: Inspection) -> None:
    if len(inspection.statistics.shares) == 1:
        _draw_channel_bits(part.subplots(), inspection)
        return
    bits, shares = part.subplots(1, 2, width_ratios=[1, 1.35])
    _draw_channel_bits(bits, inspection)
    _draw_channel_shares(shares, inspection)
    handles, labels = bits.get_legend_handles_labels()
    part.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False, labelcolor=INK)


def _draw_channel_bits(axes: "Axes", inspection: Inspection) -> None:
    statistics = inspection.statistics
    split = statistics.channel_weight_bits[inspection.channels_by_bits]
    edges = np.arange(len(split) + 1)
    lower = np.zeros(len(split))
    for index, name in enumerate(statistics.shares.names):
        upper = lower + split[:, index]
        axes.stairs(upper, edges, baseline=lower, fill=True, color=share_colour(index), linewidth=0, label=name)
        lower = upper
    axes.set_title("bits of every channel, most first", color=INK)
    axes.set_xlim(0, len(split))
    axes.set_ylim(0, None)
    axes.set_xlabel("rank", color=PALE)
    quieten(axes, "bottom", labelsize=8)


def _draw_channel_shares(axes: "Axes", inspection: Inspection) -> None:
    statistics = inspection.statistics
    chosen = inspection.channels_by_bits[:_CHANNEL_BARS]
    shares = statistics.channel_weight_bits[chosen] / statistics.channel_bits[chosen, None]
    places = np.arange(len(chosen))
    lower = np.zeros(len(chosen))
    for index in range(len(statistics.shares)):
        axes.bar(places, shares[:, index], bottom=lower, color=share_colour(index), width=0.86)
        lower = lower + shares[:, index]
    axes.set_xticks(places, [str(channel) for channel in chosen.tolist()])
    axes.set_xlim(-0.6, len(chosen) - 0.4)
    axes.set_ylim(0, 1)
    axes.set_yticks([0, 0.5, 1], ["0", "50 %", "100 %"])
    axes.set_title("shares in the channels with most bits", color=INK)
    axes.set_xlabel("channel", color=PALE)
    quieten(axes, "bottom", labelsize=8)


def _draw_histograms(part: "SubFigure", inspection: Inspection, rows: int) -> None:
    part.suptitle("latents (line) and the mean of their predicted distributions (colours)", color=INK, fontsize=10)
    places = part.subplots(rows, _PANELS_A_ROW, squeeze=False).flat
    for axes, histogram in zip(places, [*inspection.statistics.histograms, *[None] * 3], strict=False):
        if histogram is None:
            axes.set_axis_off()
        else:
            _draw_histogram(axes, histogram)


def _draw_histogram(axes: "Axes", histogram: ChannelHistogram) -> None:
    from matplotlib.ticker import MaxNLocator

    edges = histogram.borders - 0.5
    lower = np.zeros(len(edges) - 1)
    for index, mass in enumerate(histogram.predicted[1:-1].T):
        axes.stairs(lower + mass, edges, baseline=lower, fill=True, color=share_colour(index), linewidth=0)
        lower = lower + mass
    axes.stairs(histogram.observed[1:-1], edges, color=INK, linewidth=1.1)
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(0, None)
    axes.set_yticks([])
    axes.xaxis.set_major_locator(MaxNLocator(nbins="auto", integer=True))
    axes.set_title(f"channel {histogram.channel}, difference {percent(histogram.difference, 1)}", color=INK, fontsize=9)
    quieten(axes, "bottom", labelsize=8)


def _draw_calibration(part: "SubFigure", inspection: Inspection) -> None:
    statistics = inspection.statistics
    axes, all_axes, text = part.subplots(1, 3, width_ratios=[1, 1, 0.75])
    _draw_transform(axes, "latents in doubt", statistics.doubtful_transform)
    _draw_transform(all_axes, "all latents", statistics.transform)
    text.set_axis_off()
    mean_bits = inspection.latent_bits / statistics.transform.count
    lines = [
        (
            "latents at their rounded mean" if inspection.rounded_around_mean else "latents that are zero",
            percent(inspection.zero_share, 1),
        ),
        ("mean bits of a latent", f"{mean_bits:.3f}"),
        *((f"{percentile:g} % have at most", f"{bits:.3f}") for percentile, bits in inspection.percentile_bits),
        ("highest", f"{inspection.maximum_bits:.2f}"),
    ]
    for index, (name, value) in enumerate(lines):
        height = 0.95 - 0.13 * index
        text.text(0.05, height, name, color=PALE, va="top", transform=text.transAxes)
        text.text(0.98, height, value, color=INK, va="top", ha="right", transform=text.transAxes)


def _draw_transform(axes: "Axes", name: str, transform: ProbabilityTransform) -> None:
    axes.stairs(transform.density, np.linspace(0, 1, len(transform.cumulative)), fill=True, color=_ACCENT, alpha=0.85)
    axes.axhline(1, color=INK, linewidth=1, linestyle=(0, (4, 3)))
    axes.set_xlim(0, 1)
    axes.set_ylim(0, max(1.25, 1.05 * float(transform.density.max())))
    axes.set_yticks([0, 0.5, 1])
    axes.set_title(
        f"{name}: probability integral transform, deviation {transform.deviation:.4f}", color=INK, fontsize=9
    )
    quieten(axes, "bottom", labelsize=8)
