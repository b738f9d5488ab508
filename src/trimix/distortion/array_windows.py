"""Sums of pixels in small windows, of arrays; see `windows` for those of torch."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from trimix.coding.compilation import kernel
from trimix.shapes import Float


def windowed_sums(x: Float[np.ndarray, "C H W"], window: Sequence[float], margin: int) -> Float[np.ndarray, "C h w"]:
    """Weighted sums in a square window, the product of the same window along both axes.

    Args:
        x: planes.
        window: odd in number, and symmetric; then the adjoint of margin m has the margin ``len(window) - 1 - m``.
        margin: zeros that are thought around each plane: with none, the window stays inside.

    >>> windowed_sums(np.ones((1, 3, 3), np.float32), [0.25, 0.5, 0.25], margin=1)[0, 0].tolist()
    [0.5625, 0.75, 0.5625]
    """
    channels, height, width = x.shape
    more = 2 * margin - len(window) + 1
    result = np.empty((channels, height + more, width + more), np.float32)
    of_row = np.empty(width, np.float32)
    add_up(np.ascontiguousarray(x, np.float32), np.array(window, np.float32), margin, of_row, result)
    return result


@kernel
def add_up(x: Any, window: Any, margin: int, total: Any, result: Any) -> None:
    """The sums of every plane, row by row: what is added up fits into the nearest cache."""
    channels, height, width = x.shape
    rows, columns = result.shape[1:]
    for channel in range(channels):
        for row in range(rows):
            total[:] = 0
            for place in range(len(window)):
                source = row + place - margin
                if 0 <= source < height:
                    weight = window[place]
                    for column in range(width):
                        total[column] += weight * x[channel, source, column]
            for column in range(columns):
                result[channel, row, column] = 0
            for place in range(len(window)):
                weight, shift = window[place], place - margin
                for column in range(max(0, -shift), min(columns, width - shift)):
                    result[channel, row, column] += weight * total[column + shift]
