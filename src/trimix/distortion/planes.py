"""What measures do with planes [... H W], arrays of NumPy or tensors of torch: each formula is written once for both.

Functions are those of the array's own library, where the two have one name for one thing; here is what they have not.
"""

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from trimix.coding.compilation import kernel

Planes = Any
"""float32 [... H W]; of tensors also float64."""


def library_of(x: Planes) -> Any:
    """The module with the functions for it: numpy, or torch, which is imported where there is a tensor."""
    return np if isinstance(x, np.ndarray | np.generic) else sys.modules["torch"]


def like(values: Any, x: Planes) -> Planes:
    """Numbers in the library and the precision of x, and where it lies."""
    return values.astype(x.dtype) if isinstance(x, np.ndarray) else x.new_tensor(values)


def plane_means(x: Planes) -> Any:
    """Mean of every plane, of arrays in double precision."""
    return x.mean(axis=(-2, -1), dtype=np.float64) if isinstance(x, np.ndarray) else x.mean(dim=(-2, -1))


def by_plane(values: Any, x: Planes) -> Planes:
    """A number for each plane as a factor of the planes x, in their precision."""
    return library_of(x).asarray(values, dtype=x.dtype)[..., None, None]


def padded(x: Planes, rows: tuple[int, int], columns: tuple[int, int]) -> Planes:
    """Planes with so many zeros before and after their rows and columns."""
    if not any((*rows, *columns)):
        return x
    if isinstance(x, np.ndarray):
        return np.pad(x, [(0, 0)] * (x.ndim - 2) + [rows, columns])
    return library_of(x).nn.functional.pad(x, (*columns, *rows))


def linear_light(coded: Planes) -> Planes:
    """Linear light of coded values (IEC 61966-2-1)."""
    return library_of(coded).where(coded > 0.04045, ((coded + 0.055) / 1.055) ** 2.4, coded / 12.92)


def evened(x: Planes) -> Planes:
    """Planes of which a last odd row or column stands there twice."""
    rows, columns = x.shape[-2:]
    if rows % 2:
        x = library_of(x).concatenate([x, x[..., -1:, :]], -2)
    return library_of(x).concatenate([x, x[..., -1:]], -1) if columns % 2 else x


def halved(x: Planes) -> Planes:
    """Means of 2 x 2 pixels; sides are even."""
    rows = x[..., ::2, :] + x[..., 1::2, :]
    return 0.25 * (rows[..., ::2] + rows[..., 1::2])


def spread(slope: Planes) -> Planes:
    """The adjoint of halving."""
    *before, height, width = slope.shape
    quarters = (0.25 * slope)[..., :, None, :, None]
    spread = library_of(slope).broadcast_to(quarters, (*before, height, 2, width, 2))
    return spread.reshape(*before, 2 * height, 2 * width)


def windowed_sums(x: Planes, window: Sequence[float], margin: int) -> Planes:
    """Weighted sums in a square window, the product of the same window along both axes.

    Of tensors sums of shifted pictures: exact in float32 on every device, where a convolution may be computed in TF32,
    which variances do not survive; and on a CPU many times as fast as one of a single channel.

    Args:
        window: odd in number, and symmetric; then the adjoint of margin m has the margin ``len(window) - 1 - m``.
        margin: zeros that are thought around each plane: with none, the window stays inside.

    >>> windowed_sums(np.ones((1, 3, 3), np.float32), [0.25, 0.5, 0.25], margin=1)[0, 0].tolist()
    [0.5625, 0.75, 0.5625]
    """
    more = 2 * margin - len(window) + 1
    if isinstance(x, np.ndarray):
        height, width = x.shape[-2:]
        result = np.empty((*x.shape[:-2], height + more, width + more), np.float32)
        flat = np.ascontiguousarray(x, np.float32).reshape(-1, height, width)
        of_row = np.empty(width, np.float32)
        add_up(flat, np.array(window, np.float32), margin, of_row, result.reshape(-1, *result.shape[-2:]))
        return result
    for axis in (-2, -1):
        length, shape = x.shape[axis], list(x.shape)
        shape[axis] += more
        total = x.new_zeros(shape)
        for place, weight in enumerate(window):
            first, last = max(0, margin - place), min(shape[axis], length + margin - place)
            part = x.narrow(axis, first + place - margin, last - first)
            total.narrow(axis, first, last - first).add_(part, alpha=weight)
        x = total
    return x


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
