"""Taps of contexts: which positions are looked at, relative to the current one."""

from collections.abc import Iterable, Iterator
from itertools import product

Offset = tuple[int, int]
"""Row and column of a tap relative to the current position."""


def raster_offsets(kernel: int) -> tuple[Offset, ...]:
    """Taps strictly earlier in raster order in a square kernel of odd side (type A mask, van den Oord et al. 2016).

    >>> raster_offsets(3)
    ((-1, -1), (-1, 0), (-1, 1), (0, -1))
    """
    return tuple(offset for offset in _square(kernel) if offset < (0, 0))


def checkerboard_offsets(kernel: int) -> tuple[Offset, ...]:
    """Taps of the other colour of a checkerboard in a square kernel of odd side (He et al. 2021).

    >>> checkerboard_offsets(3)
    ((-1, 0), (0, -1), (0, 1), (1, 0))
    """
    return tuple((row, column) for row, column in _square(kernel) if (row + column) % 2 == 1)


def _square(kernel: int) -> Iterator[Offset]:
    steps = range(-(kernel // 2), kernel // 2 + 1)
    return product(steps, steps)


def reach_of(offsets: Iterable[Offset]) -> int:
    """How far taps lie from the position that looks at them, in rows or columns.

    >>> reach_of(raster_offsets(5)), reach_of(())
    (2, 0)
    """
    return max((abs(step) for offset in offsets for step in offset), default=0)
