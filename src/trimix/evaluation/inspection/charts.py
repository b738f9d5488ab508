"""Outlines of charts, as paths of SVG: they take any size, so that text beside them keeps its own."""

from dataclasses import dataclass

import numpy as np

from trimix.evaluation.inspection.statistics import ChannelHistogram, ProbabilityTransform

HEIGHT = 100.0
"""Of every chart, in its own units; a bar is 1 wide."""
_TRANSFORM_HEIGHT = 1.25
"""Least upper end of the densities of transforms: what is flat looks flat."""


@dataclass(frozen=True)
class Chart:
    """A chart of bars.

    Attributes:
        bars: number of them.
        areas: path of each part of the stacked bars, the lowest first.
        outline: path of the line over them; empty for none.
        highest: value at the upper end.
    """

    bars: int
    areas: tuple[str, ...]
    outline: str
    highest: float

    def place_percent(self, value: float) -> float:
        """How far below the upper end a value lies."""
        return 100 * (1 - value / self.highest)


def stacked(parts: np.ndarray, line: np.ndarray | None = None, least_upper_end: float = 0.0) -> Chart:
    """Bars side by side.

    Args:
        parts: float [bars S], what is stacked.
        line: float [bars], drawn over them as steps.
        least_upper_end: of the values.
    """
    tops = np.concatenate([np.zeros((len(parts), 1)), parts.cumsum(axis=1)], axis=1)
    highest = max(float(tops.max()), 0.0 if line is None else float(line.max()), least_upper_end, 1e-12)
    heights = HEIGHT * (1 - tops / highest)
    areas = tuple(_area(heights[:, index], heights[:, index + 1]) for index in range(parts.shape[1]))
    outline = "" if line is None else _steps(HEIGHT * (1 - line / highest))
    return Chart(len(parts), areas, outline, highest)


def histogram_chart(histogram: ChannelHistogram) -> Chart:
    """Predicted masses as stacked bars, observed ones as line; what lies outside the borders is left out."""
    return stacked(histogram.predicted[1:-1], histogram.observed[1:-1])


def transform_chart(transform: ProbabilityTransform) -> Chart:
    """Densities of the transform."""
    return stacked(transform.density[:, None], least_upper_end=_TRANSFORM_HEIGHT)


def _area(lower: np.ndarray, upper: np.ndarray) -> str:
    boxes = [
        f"M{index} {_number(bottom)}V{_number(top)}h1V{_number(bottom)}z"
        for index, (bottom, top) in enumerate(zip(lower.tolist(), upper.tolist(), strict=True))
        if bottom - top >= 0.005
    ]
    return "".join(boxes)


def _steps(heights: np.ndarray) -> str:
    return f"M0 {HEIGHT:g}" + "".join(f"V{_number(height)}h1" for height in heights.tolist()) + f"V{HEIGHT:g}"


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
