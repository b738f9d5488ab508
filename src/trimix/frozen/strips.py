"""Large pictures in strips of rows, so that memory stays bounded.

::

    first                                                   last        what the network sees
    |---- halo ----|start ............ stop|---- halo ----|             what is kept of its output

A halo at least as wide as the receptive field makes the kept part that of the whole picture, but for rounding of
floats.
"""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Strip:
    """Latent rows ``start`` to ``stop`` are kept of a network's output on the rows ``first`` to ``last``."""

    first: int
    start: int
    stop: int
    last: int


def latent_strips(rows: int, pixels_a_row: int, halo: int, pixels_at_once: int) -> Iterator[Strip]:
    """Strips that cover all latent rows.

    Args:
        pixels_at_once: about the largest strip, without its halo; one of fewer rows than the halo is not worth it.

    >>> [(s.first, s.start, s.stop, s.last) for s in latent_strips(100, 2**18, 12, 2**24)]
    [(0, 0, 64, 76), (52, 64, 100, 100)]
    """
    step = max(1, halo, pixels_at_once // pixels_a_row)
    for start in range(0, rows, step):
        stop = min(start + step, rows)
        yield Strip(max(0, start - halo), start, stop, min(rows, stop + halo))
