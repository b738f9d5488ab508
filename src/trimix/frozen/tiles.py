"""Large pictures in tiles, so that memory stays bounded.

::

    first                                                   last        what the network sees
    |---- halo ----|start ............ stop|---- halo ----|             what is kept of its output

Rows and columns alike. A halo at least as wide as the receptive field makes the kept part that of the whole picture,
but for rounding of floats.
"""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Strip:
    """Of a network's output on the latent rows, or columns, ``first`` to ``last``, ``start`` to ``stop`` are kept."""

    first: int
    start: int
    stop: int
    last: int

    @property
    def seen(self) -> slice:
        """What the network sees."""
        return slice(self.first, self.last)

    @property
    def kept(self) -> slice:
        """What is kept."""
        return slice(self.start, self.stop)

    def kept_of_seen(self, stride: int = 1, size: int | None = None) -> slice:
        """Where what is kept lies in the output, of so many samples a latent, at most up to a size of the whole."""
        stop = self.stop * stride if size is None else max(self.start * stride, min(size, self.stop * stride))
        return slice(stride * (self.start - self.first), stop - stride * self.first)


@dataclass(frozen=True)
class Tile:
    """A rectangle of latents."""

    rows: Strip
    columns: Strip

    @property
    def seen(self) -> tuple[slice, slice]:
        """Rows and columns that the network sees."""
        return self.rows.seen, self.columns.seen

    @property
    def kept(self) -> tuple[slice, slice]:
        """Rows and columns that are kept."""
        return self.rows.kept, self.columns.kept

    def kept_of_seen(self) -> tuple[slice, slice]:
        """Where what is kept lies in an output of one sample a latent."""
        return self.rows.kept_of_seen(), self.columns.kept_of_seen()


def strips(start: int, stop: int, size: int, halo: int, step: int) -> Iterator[Strip]:
    """Strips that cover ``start`` to ``stop`` of ``size`` rows or columns, of at most ``step`` each.

    >>> [(s.first, s.start, s.stop, s.last) for s in strips(0, 100, 100, 12, 64)]
    [(0, 0, 64, 76), (52, 64, 100, 100)]
    """
    for at in range(start, stop, step):
        end = min(at + step, stop)
        yield Strip(max(0, at - halo), at, end, min(size, end + halo))


def latent_strips(rows: int, samples_a_row: int, halo: int, samples_at_once: int) -> Iterator[Strip]:
    """Strips of about so many samples without their halo; one of fewer rows than the halo is not worth it."""
    return strips(0, rows, rows, halo, max(1, halo, samples_at_once // samples_a_row))


def tiles(rows: slice, columns: slice, grid: tuple[int, int], halo: int, positions_at_once: int) -> Iterator[Tile]:
    """Tiles that cover rows and columns of a latent, row by row; cut so that halos cost least.

    Args:
        grid: rows and columns of the latent.
        positions_at_once: about the largest tile with its halo; one with fewer rows than the halo is not worth it.

    >>> [one.seen for one in tiles(slice(0, 40), slice(0, 20), (40, 20), 4, 600)]
    [(slice(0, 26, None), slice(0, 20, None)), (slice(18, 40, None), slice(0, 20, None))]
    """
    height, width = rows.stop - rows.start, columns.stop - columns.start

    def cut(pieces: int) -> tuple[int, int, int]:
        """Positions that are seen, and the size of a tile."""
        tile_width = -(-width // pieces)
        seen_width = min(grid[1], tile_width + 2 * halo)
        most = positions_at_once // seen_width
        count = -(-height // (most if height <= most else max(1, halo, most - 2 * halo)))
        tile_height = -(-height // count)
        return pieces * seen_width * count * min(grid[0], tile_height + 2 * halo), tile_height, tile_width

    _, tile_height, tile_width = min(map(cut, range(1, 2 + width // max(1, 2 * halo))))
    for row in strips(rows.start, rows.stop, grid[0], halo, tile_height):
        for column in strips(columns.start, columns.stop, grid[1], halo, tile_width):
            yield Tile(row, column)
