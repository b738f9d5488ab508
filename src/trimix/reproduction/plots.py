"""The curves of the regularizer's paper, drawn by Matplotlib as SVG."""

from collections.abc import Iterator
from statistics import fmean
from typing import TYPE_CHECKING, Any

from trimix.evaluation.drawing import PALE, RULE, drawing, file_of, require_packages
from trimix.evaluation.palette import measured_style, published_style
from trimix.evaluation.rate_points import RateCurve, reference_curves
from trimix.reproduction.comparisons import Comparisons, Curve
from trimix.reproduction.plan import PLAIN, REGULARIZED
from trimix.reproduction.training import NATURAL

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def all_figures(comparisons: Comparisons) -> Iterator[tuple[str, bytes]]:
    """File name and contents of every figure that the records give.

    Raises:
        UsageError: Matplotlib is not installed.
    """
    require_packages("a figure", "matplotlib")
    from matplotlib.figure import Figure

    settings = {"axes_grid": True, "axes_spines_top": False, "axes_spines_right": False, "legend_frameon": False}
    with drawing(**settings, grid_color=RULE, axes_titlesize=9):
        for architecture in comparisons.architectures:
            if not comparisons.seeds(architecture, REGULARIZED):
                continue
            for name, draw in (("rate-distortion", _draw_rates), ("by-steps", _draw_by_steps)):
                figure = Figure(figsize=(6.0, 3.8), layout="constrained", facecolor="white")
                draw(figure.add_subplot(), comparisons, architecture)
                # With a background: pages may be dark.
                yield f"{architecture}-{name}.svg", file_of(figure, "svg")


def _plot(axes: "Axes", curve: RateCurve, **options: Any) -> None:
    axes.plot([point.bits_per_pixel for point in curve.points], [point.psnr_db for point in curve.points], **options)


def _draw_rates(axes: "Axes", comparisons: Comparisons, architecture: str) -> None:
    steps = comparisons.steps(architecture, NATURAL)[-1]
    for index, variant in enumerate((PLAIN, REGULARIZED)):
        style = measured_style(index)
        for number, seed in enumerate(comparisons.seeds(architecture, variant)):
            curve = comparisons.curves.get(Curve(architecture, variant, seed, steps, NATURAL))
            if curve is not None:
                options = {"color": style.light, "marker": style.matplotlib_marker, "markersize": 4.5}
                dash = ("solid", "dashed")[number % 2]
                _plot(axes, curve, label=f"{variant}, seed {seed}", linestyle=dash, **options)
    released = reference_curves()[architecture]
    nearest = RateCurve(released.name, released.points[:4])
    colour = published_style(0).light
    _plot(axes, nearest, label="CompressAI's released weights", color=colour, linestyle="dotted")
    axes.set(xlabel="rate, bits per pixel", ylabel="PSNR of RGB, dB")
    axes.set_title(f"{architecture} on Kodak after {steps} steps")
    axes.legend()


def _draw_by_steps(axes: "Axes", comparisons: Comparisons, architecture: str) -> None:
    steps = comparisons.steps(architecture, NATURAL)
    style = measured_style(1)
    seeds = comparisons.seeds(architecture, REGULARIZED)
    found = [comparisons.against_plain(architecture, REGULARIZED, step, NATURAL) for step in steps]
    found = [one if len(one) == len(seeds) else {} for one in found]
    for seed in seeds:
        known = [(step, one[seed]) for step, one in zip(steps, found, strict=True) if seed in one]
        axes.plot(*zip(*known, strict=True), "o:", color=style.light, markersize=4, alpha=0.6)
    means = [(step, fmean(one.values())) for step, one in zip(steps, found, strict=True) if one]
    axes.plot(*zip(*means, strict=True), "s-", color=style.light, label="regularized against plain: mean, seeds")
    chance = [(step, comparisons.between_seeds(architecture, step, NATURAL)) for step in steps]
    known_chance = [(step, percent) for step, percent in chance if percent is not None]
    if known_chance:
        colour = published_style(0).light
        axes.plot(*zip(*known_chance, strict=True), "^--", color=colour, label="plain, second seed against first")
    axes.axhline(0, color=PALE, linewidth=0.8)
    axes.set(xlabel="steps", ylabel="BD-rate on Kodak, %")
    axes.set_title(f"{architecture}: below zero the regularized models need fewer bits")
    axes.legend()
