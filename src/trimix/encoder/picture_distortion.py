"""lambda * D of a picture as a function of its latents, in bits, D being what the model was trained for.

::

    values --g_s in strips--> x_hat --D--> bits
       ^                                    |
       `--g_s backwards, strip by strip-- slope of the squared error, or of what stands for D

What stands for another D is told in ``distortion/slopes.py``.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from trimix.allocator import give_back_freed_memory
from trimix.bitstream import QUALITY_STEPS
from trimix.distortion import Distortion
from trimix.distortion.slopes import distortion_and_slope, stand_in
from trimix.frozen.tiles import Tile
from trimix.images import PEAK, collapse_to_grey, psnr_of_error_db, shares_in_picture
from trimix.images.padding import replicate_grey
from trimix.latent_codec import LatentCodec
from trimix.shapes import LATENT_STRIDE, Float, Shaped

_REACH_OF_LINEAR_PATH = 8
"""Pixels: how far lapped filters reach into the blocks around their own. The learned branch reaches further, weakly."""
_REACH = 32
"""Pixels, where there is no linear path."""
_TILE_SIDE = 512
"""Pixels: a picture is measured in parts of at least so much; bounds memory."""


def shares_that_matter(
    height: int, width: int, rows: int, columns: int, reach: int = _REACH_OF_LINEAR_PATH
) -> Float[np.ndarray, "h w"] | None:
    """Of what an error at a position changes, the part that lies in the picture; None where all does.

    That is the part of its block of pixels or, where this is more, of its block and the pixels around it, in height and
    in width: a position beyond the border still reaches into the picture.

    Args:
        reach: pixels around a block that a latent changes nearly as much.

    >>> shares_that_matter(16, 44, 1, 5).tolist()
    [[1.0, 1.0, 0.75, 0.125, 0.0]]
    """
    return shares_in_picture(height, width, LATENT_STRIDE, rows, columns, reach)


def where_it_matters(
    planes: Float[np.ndarray, "M h w"],
    shares: Float[np.ndarray, "h w"] | None,
    into: Float[np.ndarray, "M h w"] | None = None,
) -> Float[np.ndarray, "M h w"]:
    """Planes, 0 where the share is; they can be changed in their place."""
    return planes if shares is None or shares.all() else np.multiply(planes, shares != 0, out=into)


@dataclass(frozen=True)
class Slope:
    """A distortion near some values of the latents.

    Args:
        gradient: what moving each latent changes, in bits a step.
        shares: by which the curvature of a channel counts at a position; None for 1 everywhere.
    """

    bits: float
    gradient: Float[np.ndarray, "M h w"]
    shares: Float[np.ndarray, "h w"] | None


class PictureDistortion:
    """lambda * D * pixels, the distortion of R + lambda D in bits, and its gradient.

    Pixels are those of the picture, without what pads it; values of g_s are clamped and not rounded. Positions that do
    not matter to the picture have no derivative: a slope without curvature would send latents away for nothing. A
    picture that is too small for the distortion is measured by its squared error.

    Args:
        pixels: of the picture, 0 .. 255, whole numbers or not.
        quality_integer: of the file, which decides lambda.
    """

    def __init__(self, codec: LatentCodec, pixels: Shaped[np.ndarray, "H W C"], quality_integer: int) -> None:
        self._codec = codec
        self._quality_integer = quality_integer
        self._pixels = pixels.transpose(2, 0, 1)
        self._channels, self._height, self._width = self._pixels.shape
        self.pixels = self._height * self._width
        self.measure = codec.model.distortion
        if min(self._height, self._width) < self.measure.minimum_side:
            self.measure = Distortion()
        transforms, quality = codec.model.transforms, quality_integer / QUALITY_STEPS
        self._squared_error_lambda = transforms.squared_error_lambda(quality)
        self.rate_distortion_lambda = self._squared_error_lambda
        """Bits a pixel that a unit of the distortion is worth."""
        if not self.is_squared_error:
            self.rate_distortion_lambda = transforms.rate_distortion_lambda(quality)
        self.step_weights = transforms.step_weights(quality)
        """Bits that a squared error of one step of a latent costs, where the energies of its filters are known."""

    @property
    def is_squared_error(self) -> bool:
        """Whether D is the sum of what is lost at every pixel."""
        return self.measure.kind == "mse"

    def shares(self, rows: int, columns: int) -> Float[np.ndarray, "h w"] | None:
        """By which errors at the positions of a latent count; see ``shares_that_matter``."""
        reach = _REACH if self.step_weights is None else _REACH_OF_LINEAR_PATH
        return shares_that_matter(self._height, self._width, rows, columns, reach)

    def text(self, bits: float) -> str:
        """What a distortion in bits means to people."""
        lost = bits / (self.rate_distortion_lambda * self.pixels)
        if self.is_squared_error:
            return f"{psnr_of_error_db(lost):.2f} dB"
        return f"{self.measure.kind} distortion {lost:.4g}"

    def bits(self, values: Shaped[np.ndarray, "M h w"]) -> float:
        """Of latents, in steps of the quantizer, of any type."""
        total = 0.0
        for tile in self._tiles(values):
            shown, place = self._shown(values, tile)[0], self._place(tile)
            if self.is_squared_error:
                total += self._squared_error(self._error(shown, place))
            else:
                total += self._of_pixels(shown, place, with_slope=False)[0]
        return total

    def slope(self, values: Shaped[np.ndarray, "M h w"], gradient_type: type[np.floating] = np.float32) -> Slope:
        """Distortion of latents as for ``bits``, its derivatives and its curvature; of a large picture tile by tile.

        Args:
            gradient_type: of what is returned; half precision is enough to choose by, and half as large.
        """
        # In memory by position, as sources take it: one copy less.
        gradient = np.zeros((*values.shape[1:], len(values)), gradient_type).transpose(2, 0, 1)
        largest = float(np.finfo(gradient_type).max) / 4  # up to four tiles see a latent
        total, shares = 0.0, self.shares(*values.shape[1:])
        weights = None if self.is_squared_error else np.empty(values.shape[1:], np.float32)
        for tile in self._tiles(values):
            (shown, adjoint), place = self._shown(values, tile, differentiate=True), self._place(tile)
            if weights is None:
                error = self._error(shown, place)
                bits = self._squared_error(error)
                error *= np.float32(2 * PEAK * self.rate_distortion_lambda / self._channels)
                slope = error
            else:
                size = tile.rows.stop - tile.rows.start, tile.columns.stop - tile.columns.start
                bits, slope, weights[tile.rows.kept, tile.columns.kept] = self._replaced(shown, place, size)
            total += bits
            gradient[:, *tile.seen] += adjoint(slope).clip(-largest, largest)
        if weights is not None:
            shares = weights if shares is None else shares * weights
        gradient = where_it_matters(gradient, shares, into=gradient)
        # What networks keep for the way back is more than anything that follows needs.
        give_back_freed_memory()
        return Slope(total, gradient, shares)

    def _replaced(
        self, x_hat: Float[np.ndarray, "C H W"], place: tuple[slice, slice], size: tuple[int, int]
    ) -> tuple[float, Float[np.ndarray, "C H W"], Float[np.ndarray, "h w"]]:
        """D in bits, the slope of what stands for it, and by how much more than squared errors it weighs each place."""
        bits, own = self._of_pixels(x_hat, place, with_slope=True)
        assert own is not None
        error = x_hat - self._pixels[:, *place] / np.float32(PEAK)
        slope, weights = stand_in(error, own, LATENT_STRIDE, size)
        return bits, slope, weights / np.float32(self._squared_error_lambda / self._channels * PEAK**2)

    def _tiles(self, values: Shaped[np.ndarray, "M h w"]) -> Iterator[Tile]:
        _, rows, columns = values.shape
        return self._codec.tiles((rows, columns), in_encoder=True)

    def _place(self, tile: Tile) -> tuple[slice, slice]:
        """Where in the picture the pixels stand that a tile makes."""
        rows, columns = (
            slice(min(size, LATENT_STRIDE * one.start), min(size, LATENT_STRIDE * one.stop))
            for one, size in ((tile.rows, self._height), (tile.columns, self._width))
        )
        return rows, columns

    def _error(self, shown: Float[np.ndarray, "C H W"], place: tuple[slice, slice]) -> Float[np.ndarray, "C H W"]:
        """In steps of 8 bits."""
        error = shown * np.float32(PEAK)
        error -= self._pixels[:, *place]
        return error

    def _squared_error(self, error: Float[np.ndarray, "C H W"]) -> float:
        return self.rate_distortion_lambda / self._channels * float(np.square(error).sum(dtype=np.float64))

    def _shown(
        self, values: Shaped[np.ndarray, "M h w"], tile: Tile, *, differentiate: bool = False
    ) -> tuple[Float[np.ndarray, "C H W"], Callable[[np.ndarray], np.ndarray]]:
        """The pixels that a tile makes, and what turns their slope into one of the latents that it sees, if wanted."""
        size = self._height, self._width, self._quality_integer
        y = np.ascontiguousarray(values[:, *tile.seen], np.float32)
        planes, adjoint = self._codec.synthesize_tile(y, tile, *size, differentiate=differentiate)
        planes = collapse_to_grey(planes) if self._channels == 1 else planes
        shown = planes.clip(0, 1)
        is_clamped: np.ndarray | bool = planes != shown if differentiate else False

        def of_latents(slope: np.ndarray) -> np.ndarray:
            slope = np.where(is_clamped, np.float32(0), slope)
            return adjoint(replicate_grey(slope / 3) if self._channels == 1 else slope)

        return shown, of_latents

    def _of_pixels(
        self, x_hat: Float[np.ndarray, "C H W"], place: tuple[slice, slice], *, with_slope: bool
    ) -> tuple[float, Float[np.ndarray, "C H W"] | None]:
        """D in bits of what stands at a place, and its slope."""
        x = self._pixels[:, *place] / np.float32(PEAK)
        total, slope = 0.0, np.empty_like(x_hat) if with_slope else None
        for top, bottom in _parts(x.shape[1]):
            for left, right in _parts(x.shape[2]):
                part = (slice(None), slice(top, bottom), slice(left, right))
                pixels = self.rate_distortion_lambda * (bottom - top) * (right - left)
                given = (np.broadcast_to(each[part], (3, *each[part].shape[1:])) for each in (x, x_hat))
                lost, of_part = distortion_and_slope(self.measure, *given, with_slope=with_slope)
                total += pixels * float(lost)
                if slope is not None and of_part is not None:
                    of_part = of_part.sum(axis=0, keepdims=True) if self._channels == 1 else of_part
                    slope[part] = np.float32(pixels) * of_part
        return total, slope


def _parts(size: int) -> list[tuple[int, int]]:
    """Equal parts of a side, none smaller than a tile.

    >>> _parts(1300)
    [(0, 650), (650, 1300)]
    """
    count = max(1, size // _TILE_SIDE)
    return list(pairwise(size * index // count for index in range(count + 1)))
