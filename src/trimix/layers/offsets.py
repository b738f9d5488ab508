"""Taps of contexts: which positions are looked at, relative to the current one."""

from collections.abc import Iterable

Offset = tuple[int, int]
"""Row and column of a tap relative to the current position."""


def raster_offsets(kernel: int) -> tuple[Offset, ...]:
    """Taps strictly earlier in raster order in a square kernel (type A mask, van den Oord et al. 2016).

    Args:
        kernel: side of the square, odd.

    >>> raster_offsets(3)
    ((-1, -1), (-1, 0), (-1, 1), (0, -1))
    """
    half = kernel // 2
    return tuple(
        (row, column) for row in range(-half, half + 1) for column in range(-half, half + 1) if (row, column) < (0, 0)
    )


def checkerboard_offsets(kernel: int) -> tuple[Offset, ...]:
    """Taps of the other colour of a checkerboard in a square kernel (He et al. 2021).

    Args:
        kernel: side of the square, odd.

    >>> checkerboard_offsets(3)
    ((-1, 0), (0, -1), (0, 1), (1, 0))
    """
    half = kernel // 2
    return tuple(
        (row, column) for row in range(-half, half + 1) for column in range(-half, half + 1) if (row + column) % 2 == 1
    )


def reach_of(offsets: Iterable[Offset]) -> int:
    """How far taps lie from the position that looks at them, in rows or columns.

    >>> reach_of(raster_offsets(5)), reach_of(())
    (2, 0)
    """
    return max((abs(step) for offset in offsets for step in offset), default=0)
