"""Between pictures and symbols, without a file: the networks of one frozen model on one device.

::

    picture --analyze: g_a in tiles, h_a--> latents --quantize: run over the schedule--> symbols
    picture <--synthesize: g_s in tiles-- values <--dequantize-- symbols

Latents of large pictures are coded in slices, each by itself; the networks know nothing of them.
"""

import math
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import groupby

import numpy as np

from trimix.bitstream import QUALITY_STEPS, check_sides
from trimix.entropy_models.fixed_point import ACTIVATION_LIMIT
from trimix.entropy_models.passes import InSlices, KnownSymbols, Rounding, SymbolSink, SymbolSource, run_slices
from trimix.entropy_models.schedule import latent_slices
from trimix.errors import UsageError
from trimix.frozen.linear_path import REDUCTION
from trimix.frozen.model import FrozenModel, SideFeatures, SymbolBits, quality_to_integer
from trimix.frozen.tiles import Tile, tiles
from trimix.images import Picture, collapse_to_grey, pad_to, reduced, to_pixels, to_planes
from trimix.shapes import HYPER_STRIDE, LATENT_STRIDE, Float, Int, Int16, Rectangle, Shaped, UInt
from trimix.threads import thread_count
from trimix.time_budget import check_time

PICTURE_MULTIPLE = LATENT_STRIDE * HYPER_STRIDE
"""Sides are padded to a multiple of it: 16 pixels a latent, 4 latents a hyper-latent."""
_PIXELS_AT_ONCE = 2**21
_ENCODER_PIXELS_AT_ONCE = 2**20
"""Less: a backward pass keeps what a forward pass forgets, and a halo that is small costs little."""
_ENCODER_HALO_SHARE = 1 / 3
"""Of what a decoder must see so that no seam shows. With so much one latent of 100 000 is rounded another way."""
POSITIONS_IN_ONE = 2**14
"""Latents of more positions, 4.2 megapixels, are written in slices."""


@dataclass(frozen=True)
class Symbols:
    """The integers that a file carries.

    Args:
        latent: y_hat, magnitudes below 2^15.
        hyper_latent: z_hat, magnitudes below 2^15.
        values: of the latents, in the model's steps, where they are rounded around their means; None where the
            symbols are the values, or where the schedule was not run yet.
        is_sliced: whether the latent is coded in slices.
    """

    latent: Int16[np.ndarray, "M h w"]
    hyper_latent: Int16[np.ndarray, "Z hh hw"]
    quality_integer: int
    values: Int[np.ndarray, "M h w"] | None = None
    is_sliced: bool = False

    @property
    def slices(self) -> list[Rectangle]:
        """Of the latent."""
        return latent_slices(*self.latent.shape[1:], sliced=self.is_sliced)

    @property
    def quality(self) -> float:
        """1..100."""
        return self.quality_integer / QUALITY_STEPS

    @property
    def by_position(self) -> Int[np.ndarray, "h w M"]:
        """The latent as sources take it, int32."""
        return np.ascontiguousarray(self.latent.transpose(1, 2, 0), np.int32)

    def checksum(self) -> int:
        """Over hyper-latents, then latents; slices have their own."""
        parts = (self.hyper_latent,) if self.is_sliced else (self.hyper_latent, self.latent)
        return symbol_checksum(*parts)


def symbol_checksum(*parts: Int16[np.ndarray, "_ _ _"]) -> int:
    """CRC-32 over symbols as little-endian 16-bit integers in the order channel, row, column."""
    crc = 0
    for part in parts:
        crc = zlib.crc32(part.astype("<i2").tobytes(), crc)
    return crc


@dataclass(frozen=True)
class Latents:
    """A picture before its symbols are chosen.

    Args:
        by_position: in steps of the quantizer, magnitudes up to ``ACTIVATION_LIMIT``: y, float32, where the model
            rounds around means, else the nearest integers, int16.
    """

    by_position: Shaped[np.ndarray, "h w M"]
    side_of: SideFeatures

    @property
    def is_sliced(self) -> bool:
        """Whether they are many."""
        return math.prod(self.by_position.shape[:2]) > POSITIONS_IN_ONE

    @property
    def place(self) -> Int16[np.ndarray, "h w M"] | None:
        """Where symbols may go in a last run over many latents, of which every copy counts."""
        return self.by_position if self.is_sliced and self.by_position.dtype == np.int16 else None


class LatentCodec:
    """The networks of a frozen model at work. Immutable."""

    def __init__(self, model: FrozenModel, device: str = "cpu") -> None:
        self.model = model.to(device)
        self.device = device

    def analyze(self, picture: Picture, quality: float) -> Latents:
        """What g_a, gain and h_a make of a picture.

        Args:
            picture: grey or RGB, 8 or 16 bits.

        Raises:
            UsageError: the quality is out of range.
            PictureTooLargeError: a side is too long.
        """
        if not 1 <= quality <= 100:
            raise UsageError(f"quality must be from 1 to 100, found {quality:g}")
        check_sides(picture.width, picture.height)
        quality_integer = quality_to_integer(quality)
        factor = quality_integer / QUALITY_STEPS
        rows, columns = (-(-size // PICTURE_MULTIPLE) for size in picture.pixels.shape[:2])
        grid, around_mean = (HYPER_STRIDE * rows, HYPER_STRIDE * columns), self.model.latent_model.layout.around_mean
        y = np.empty((*grid, self.model.latent_model.latent_channels), np.float32 if around_mean else np.int16)
        z_hat = np.empty((len(self.model.hyper_table), rows, columns), np.int16)
        halo, done, waiting = self.model.transforms.hyper_halo, 0, np.empty((0, *y.shape[1:]), np.float32)
        for part, found in self._bands(picture, factor, grid):
            y[part] = found if around_mean else np.rint(found)
            waiting = np.concatenate([waiting, found])
            # h_a sees some rows around those that it is asked for; at the end there are none.
            ready = rows if part.stop == grid[0] else max(done, part.stop // HYPER_STRIDE - halo)
            if ready > done:
                first = max(0, done - halo)
                seen = waiting[: len(waiting) - part.stop % HYPER_STRIDE]
                z = self.model.transforms.hyper_analysis(np.ascontiguousarray(seen.transpose(2, 0, 1)))
                z_hat[:, done:ready] = self.model.hyper_symbols(z[:, done - first : ready - first])
                waiting, done = waiting[HYPER_STRIDE * (max(0, ready - halo) - first) :], ready
        return Latents(y, SideFeatures(self.model, z_hat, quality_integer))

    def _bands(
        self, picture: Picture, factor: float, grid: tuple[int, int]
    ) -> Iterator[tuple[slice, Float[np.ndarray, "h w M"]]]:
        """Latents before rounding, some rows after the other: of a large picture all take much memory."""
        for rows, of_rows in groupby(self.tiles(grid, in_encoder=True), lambda tile: tile.rows):
            y = np.empty((rows.stop - rows.start, grid[1], self.model.latent_model.latent_channels), np.float32)
            for tile in of_rows:
                seen = [_times(one, LATENT_STRIDE) for one in tile.seen]
                x = to_planes(pad_to(picture.pixels[tuple(seen)], *(one.stop - one.start for one in seen)))
                made = np.nan_to_num(self.model.transforms.encode_latent(x, factor), copy=False)
                made = made.clip(-ACTIVATION_LIMIT, ACTIVATION_LIMIT, out=made)[:, *tile.kept_of_seen()]
                y[:, tile.columns.kept] = made.transpose(1, 2, 0)
            yield rows.kept, y

    def tiles(
        self, grid: tuple[int, int], part: tuple[slice, slice] | None = None, *, in_encoder: bool = False
    ) -> Iterator[Tile]:
        """Parts of a latent that the transforms work on one after the other; memory is bounded by them.

        Args:
            grid: rows and columns of the latent.
            part: of them that is wanted; None for all.
            in_encoder: smaller ones, of whose surroundings less is seen.
        """
        transforms = self.model.transforms
        rows, columns = part or (slice(0, grid[0]), slice(0, grid[1]))
        halo = math.ceil(_ENCODER_HALO_SHARE * transforms.halo) if in_encoder else transforms.halo
        pixels = min(_ENCODER_PIXELS_AT_ONCE if in_encoder else _PIXELS_AT_ONCE, transforms.facts.pixels_at_once)
        done, total = 0, (rows.stop - rows.start) * (columns.stop - columns.start)
        for tile in tiles(rows, columns, grid, halo, pixels // LATENT_STRIDE**2):
            check_time(f"{'one pass over ' * in_encoder}the pixels", done, total)
            yield tile
            done += math.prod(one.stop - one.start for one in tile.kept)

    def quantize(
        self,
        side_of: SideFeatures,
        source: SymbolSource,
        sink: SymbolSink | InSlices | None = None,
        *,
        is_sliced: bool,
        into: Int16[np.ndarray, "h w M"] | None = None,
    ) -> Symbols:
        """The symbols of a source, in one run over the schedule.

        Args:
            source: rounds, chooses or reads.
            sink: writes or counts.
            into: where the symbols of slices go, see `run_slices`.
        """
        model, slices = self.model.latent_model, latent_slices(*side_of.grid, sliced=is_sliced)
        found = run_slices(model, side_of, self.model.schedule, slices, source, sink, thread_count(), into)
        symbols, values = (planes.transpose(2, 0, 1) for planes in (found.symbols, found.values))
        values = values if model.layout.around_mean else None
        return Symbols(symbols, side_of.hyper_latent, side_of.quality_integer, values, is_sliced)

    def round(
        self,
        latents: Latents,
        sink: SymbolSink | InSlices | None = None,
        into: Int16[np.ndarray, "h w M"] | None = None,
    ) -> Symbols:
        """The nearest symbols of latents; see `quantize`."""
        source = Rounding(latents.by_position, ACTIVATION_LIMIT)
        return self.quantize(latents.side_of, source, sink, is_sliced=latents.is_sliced, into=into)

    def put(self, symbols: Symbols, sink: SymbolSink | InSlices | None = None) -> Symbols:
        """Give known symbols to a sink, and return them with their values."""
        side_of = SideFeatures(self.model, symbols.hyper_latent, symbols.quality_integer)
        return self.quantize(side_of, KnownSymbols(symbols.by_position), sink, is_sliced=symbols.is_sliced)

    def count(self, symbols: Symbols) -> SymbolBits:
        """Bits of symbols; see ``FrozenModel.count_bits``."""
        hyper_latent, quality = symbols.hyper_latent, symbols.quality_integer
        return self.model.count_bits(symbols.latent, hyper_latent, quality, is_sliced=symbols.is_sliced)

    def dequantize(self, symbols: Symbols) -> Float[np.ndarray, "M h w"]:
        """What symbols stand for, in steps of the quantizer."""
        latent_model = self.model.latent_model
        if latent_model.layout.around_mean and symbols.values is None:
            symbols = self.put(symbols)
        values = symbols.latent if symbols.values is None else symbols.values
        return values.astype(np.float32) / np.float32(latent_model.value_steps)

    def synthesize_tile(
        self,
        y_hat: Float[np.ndarray, "M h w"],
        tile: Tile,
        height: int,
        width: int,
        quality_integer: int,
        *,
        differentiate: bool = False,
    ) -> tuple[Float[np.ndarray, "3 H W"], Callable[[np.ndarray], np.ndarray]]:
        """The part of a picture that comes of the latents of a tile; nominally in [0, 1], not clamped.

        Args:
            y_hat: values that the tile sees.
            differentiate: the second is then what turns a slope of that part into one of the values.
        """
        run = self.model.transforms.decode_with_adjoint if differentiate else self.model.transforms.decode
        found = run(y_hat, quality_integer / QUALITY_STEPS)
        x_hat, adjoint = found if isinstance(found, tuple) else (found, None)
        sides = ((tile.rows, height), (tile.columns, width))
        kept = (slice(None), *(one.kept_of_seen(LATENT_STRIDE, size) for one, size in sides))

        def of_values(slope: np.ndarray) -> np.ndarray:
            assert adjoint is not None, "it was not asked for"
            whole = np.zeros_like(x_hat)
            whole[kept] = slope
            return adjoint(whole)

        return x_hat[kept], of_values

    def synthesize(
        self, symbols: Symbols, height: int, width: int, channels: int = 3, bit_depth: int = 8, reduction: int = 1
    ) -> UInt[np.ndarray, "H W C"]:
        """Pixels of symbols, [height width channels]: gain, g_s, crop, clamp; one channel is their mean.

        With a reduction each pixel is the mean over a square of so many a side, sides rounded up. From 8 on the linear
        path alone makes them, where the model has one.
        """
        y_hat = self.dequantize(symbols)
        window = Rectangle(0, 0, height, width)
        return self.render(
            lambda rows, columns: y_hat[:, rows, columns],
            y_hat.shape[1:],
            window,
            symbols.quality,
            channels,
            bit_depth,
            reduction,
        )

    def render(
        self,
        read: Callable[[slice, slice], Float[np.ndarray, "M h w"]],
        grid: tuple[int, int],
        window: Rectangle,
        quality: float,
        channels: int = 3,
        bit_depth: int = 8,
        reduction: int = 1,
    ) -> UInt[np.ndarray, "H W C"]:
        """Pixels of a window, tile by tile from above; see ``synthesize``.

        Args:
            read: values of the latents of rows and columns, in steps of the quantizer.
            grid: rows and columns of all latents.
            window: begins at multiples of the reduction.
        """
        transforms, unit = self.model.transforms, 1
        decode = partial(transforms.decode, quality=quality)
        if reduction >= REDUCTION and transforms.has_reduced_path:
            decode, unit = partial(transforms.decode_reduced, quality=quality), REDUCTION
        stride, bounds = LATENT_STRIDE // unit, (window.top // unit, window.left // unit)
        size = -(-window.height // unit), -(-window.width // unit)
        pixels = np.empty((*size, channels), dtype=np.uint8 if bit_depth == 8 else np.uint16)
        part = [
            slice(one.start // LATENT_STRIDE, min(most, -(-one.stop // LATENT_STRIDE)))
            for one, most in zip(window.positions, grid, strict=True)
        ]
        for tile in self.tiles(grid, (part[0], part[1])):
            x_hat = decode(read(*tile.seen))
            to, of = [], []
            for one, first, length in zip((tile.rows, tile.columns), bounds, size, strict=True):
                start, stop = max(0, stride * one.start - first), min(length, stride * one.stop - first)
                to.append(slice(start, stop))
                of.append(slice(start + first - stride * one.first, stop + first - stride * one.first))
            x_hat = x_hat[:, *of]
            pixels[tuple(to)] = to_pixels(collapse_to_grey(x_hat) if channels == 1 else x_hat, bit_depth)
        return reduced(pixels, reduction // unit)


def _times(one: slice, factor: int) -> slice:
    return slice(factor * one.start, factor * one.stop)
