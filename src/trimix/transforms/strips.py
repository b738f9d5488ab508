"""Large pictures in strips of rows, so that memory stays bounded.

::

    first                                                   last        what the network sees
    |---- halo ----|start ............ stop|---- halo ----|             what is kept of its output

A halo at least as wide as the receptive field makes the kept part that of the whole picture, but for rounding of
floats.
"""

from collections.abc import Iterator
from dataclasses import dataclass

LATENT_HALO = 12
"""Latent rows on both sides of a strip. The receptive field of ``gllmm-lite`` reaches 9."""
PIXELS_AT_ONCE = 2**24


@dataclass(frozen=True)
class Strip:
    """Latent rows ``start`` to ``stop`` are kept of a network's output on the rows ``first`` to ``last``."""

    first: int
    start: int
    stop: int
    last: int


def latent_strips(rows: int, pixels_a_row: int) -> Iterator[Strip]:
    """Strips that cover all latent rows, each of at most about ``PIXELS_AT_ONCE`` pixels without its halo.

    Args:
        rows: latent rows of the picture.
        pixels_a_row: pixels of one latent row.

    >>> [(s.first, s.start, s.stop, s.last) for s in latent_strips(100, 2**18)]
    [(0, 0, 64, 76), (52, 64, 100, 100)]
    """
    step = max(LATENT_HALO, PIXELS_AT_ONCE // pixels_a_row)
    for start in range(0, rows, step):
        stop = min(start + step, rows)
        yield Strip(max(0, start - LATENT_HALO), start, stop, min(rows, stop + LATENT_HALO))
