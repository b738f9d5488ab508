"""Schedules: in which order latent positions are coded, as passes whose context is already known.

::

    one pass        checkerboard     interlaced       wavefront of a 5x5 raster context: t = column + 3 row
    0 0 0 0         0 1 0 1          0 4 2 4          0 1 2 3 4
    0 0 0 0         1 0 1 0          4 3 4 3          3 4 5 6 7
    0 0 0 0         0 1 0 1          2 4 1 4          6 7 8 9 ...
    0 0 0 0         1 0 1 0          4 3 4 3
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from trimix.layers.offsets import Offset, checkerboard_offsets
from trimix.shapes import Rectangle


@dataclass(frozen=True)
class Pass:
    """Positions that are coded together, in raster order.

    Args:
        rows: row of each position, int64 [n].
        columns: column of each position, int64 [n].
        context: which of the model's contexts looks at earlier latents; None for none.
    """

    rows: np.ndarray
    columns: np.ndarray
    context: int | None


Schedule = Callable[[int, int], Sequence[Pass]]
"""Passes for the height and the width of a latent."""
SLICE_SIDE = 32
"""Latents a side of a slice, 512 pixels: part of the format."""
POSITIONS_IN_BAND = 2**15
"""Of a latent, whose side features are in memory at a time; bounds memory and changes no number."""


def latent_slices(height: int, width: int, *, sliced: bool = True) -> list[Rectangle]:
    """The parts of a latent that are coded each by itself, row by row; a single one where it is not sliced.

    >>> [(one.top, one.left, one.height, one.width) for one in latent_slices(33, 64)]
    [(0, 0, 32, 32), (0, 32, 32, 32), (32, 0, 1, 32), (32, 32, 1, 32)]
    """
    if not sliced:
        return [Rectangle(0, 0, height, width)]
    return [
        Rectangle(top, left, min(SLICE_SIDE, height - top), min(SLICE_SIDE, width - left))
        for top in range(0, height, SLICE_SIDE)
        for left in range(0, width, SLICE_SIDE)
    ]


def bands(slices: Sequence[Rectangle]) -> list[tuple[Rectangle, list[int]]]:
    """Whole rows of slices whose side features are computed together, and the numbers of their slices.

    Args:
        slices: some of a latent's, in order; those of a row are neighbours.

    >>> bands([Rectangle(0, 32, 32, 32), Rectangle(0, 64, 32, 7), Rectangle(32, 32, 32, 32)])
    [(Rectangle(top=0, left=32, height=64, width=39), [0, 1, 2])]
    """
    found: list[tuple[Rectangle, list[int]]] = []
    for top, row in groupby(range(len(slices)), key=lambda number: slices[number].top):
        numbers = list(row)
        first, last = slices[numbers[0]], slices[numbers[-1]]
        part = Rectangle(top, first.left, first.height, last.ends[1] - first.left)
        if found:
            above, others = found[-1]
            joined = Rectangle(above.top, above.left, above.height + part.height, above.width)
            follows = (above.ends[0], above.left, above.width) == (top, part.left, part.width)
            if follows and joined.height * joined.width <= POSITIONS_IN_BAND:
                found[-1] = joined, others + numbers
                continue
        found.append((part, numbers))
    return found


@dataclass(frozen=True)
class Lattice:
    """Positions ``(row + i stride, column + j stride)``, i and j from 0 upwards."""

    row: int
    column: int
    stride: int


@dataclass(frozen=True)
class Level:
    """Positions of an interlaced pass that looks at earlier ones.

    Args:
        offsets: of the earlier positions that each looks at, relative to it.
    """

    lattices: tuple[Lattice, ...]
    offsets: tuple[Offset, ...]


INTERLACED_START = Lattice(0, 0, 4)
"""Positions of an interlaced schedule's first pass."""
INTERLACED_LEVELS = (
    Level((Lattice(2, 2, 4),), ((-2, -2), (-2, 2), (2, -2), (2, 2))),
    Level((Lattice(0, 2, 4), Lattice(2, 0, 4)), ((-2, 0), (0, -2), (0, 2), (2, 0))),
    Level((Lattice(1, 1, 2),), ((-1, -1), (-1, 1), (1, -1), (1, 1))),
    Level((Lattice(0, 1, 2), Lattice(1, 0, 2)), checkerboard_offsets(5)),
)
"""Its other passes, in order: every one looks at earlier positions all around it, at half the distance of the last but
one."""


def one_pass(height: int, width: int) -> list[Pass]:
    """All positions at once, without context."""
    rows, columns = (grid.ravel() for grid in np.indices((height, width)))
    return [Pass(rows, columns, context=None)]


def checkerboard(height: int, width: int) -> list[Pass]:
    """Positions of even row + column without context, then the others with it (He et al. 2021)."""
    rows, columns = (grid.ravel() for grid in np.indices((height, width)))
    odd = (rows + columns) % 2 == 1
    first = Pass(rows[~odd], columns[~odd], context=None)
    second = Pass(rows[odd], columns[odd], context=0)
    return [first, second] if odd.any() else [first]


def interlaced(height: int, width: int) -> list[Pass]:
    """Every fourth position each way without context, then those between them, level by level (Lin et al. 2023).

    Of the positions 15 of 16 have a context, and half of them the full one of a checkerboard's second pass.

    >>> [len(one.rows) for one in interlaced(8, 8)]
    [4, 4, 8, 16, 32]
    """
    rows, columns = (grid.ravel() for grid in np.indices((height, width)))
    level = np.empty(len(rows), dtype=np.int64)
    every = ((INTERLACED_START,), *(one.lattices for one in INTERLACED_LEVELS))
    for index, lattices in enumerate(every):
        for lattice in lattices:
            rests = (rows % lattice.stride, columns % lattice.stride)
            level[(rests[0] == lattice.row) & (rests[1] == lattice.column)] = index
    parts = [np.flatnonzero(level == index) for index in range(len(every))]
    return [
        Pass(rows[part], columns[part], context=index - 1 if index else None)
        for index, part in enumerate(parts)
        if len(part)
    ]


def wavefront(height: int, width: int, kernel: int = 5) -> list[Pass]:
    """Passes of a raster-causal context: positions of equal ``column + (kernel // 2 + 1) * row``.

    Every tap of the window that is earlier in raster order lies in an earlier pass: one row up and ``kernel // 2``
    columns to the right still comes before.

    >>> len(wavefront(32, 48))
    141
    """
    rows, columns = (grid.ravel() for grid in np.indices((height, width)))
    time = columns + (kernel // 2 + 1) * rows
    order = np.argsort(time, kind="stable")
    starts = np.flatnonzero(np.diff(time[order], prepend=-1))
    return [Pass(rows[part], columns[part], context=0) for part in np.split(order, starts[1:])]
