"""Schedules: in which order latent positions are coded, as passes whose context is already known.

::

    one pass        checkerboard     wavefront of a 5x5 raster context: t = column + 3 row
    0 0 0 0         0 1 0 1          0 1 2 3 4
    0 0 0 0         1 0 1 0          3 4 5 6 7
    0 0 0 0         0 1 0 1          6 7 8 9 ...
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Pass:
    """Positions that are coded together, in raster order.

    Args:
        rows: row of each position, int64 [n].
        columns: column of each position, int64 [n].
        has_context: whether earlier latents are looked at.
    """

    rows: np.ndarray
    columns: np.ndarray
    has_context: bool


def one_pass(height: int, width: int) -> list[Pass]:
    """All positions at once, without context."""
    rows, columns = (grid.ravel() for grid in np.indices((height, width)))
    return [Pass(rows, columns, has_context=False)]


def checkerboard(height: int, width: int) -> list[Pass]:
    """Positions of even row + column without context, then the others with it (He et al. 2021)."""
    rows, columns = (grid.ravel() for grid in np.indices((height, width)))
    odd = (rows + columns) % 2 == 1
    first = Pass(rows[~odd], columns[~odd], has_context=False)
    second = Pass(rows[odd], columns[odd], has_context=True)
    return [first, second] if odd.any() else [first]


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
    return [Pass(rows[part], columns[part], has_context=True) for part in np.split(order, starts[1:])]
