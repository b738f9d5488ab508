"""lambda * D of a picture as a function of its latents, in bits, D being what the model was trained for.

::

    values --g_s in strips--> x_hat --D--> bits
       ^                                    |
       `--g_s backwards, strip by strip-- slope of the squared error, or of what stands for D

What stands for another D is told in ``distortion/stand_in.py``.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch

from trimix.distortion import Distortion, stand_in
from trimix.frozen.strips import Strip
from trimix.images import PEAK, collapse_to_grey, psnr_of_error_db, shares_in_picture
from trimix.latent_codec import LatentCodec
from trimix.shapes import LATENT_STRIDE, Float, Shaped, Tensor

_REACH_OF_LINEAR_PATH = 8
"""Pixels: how far lapped filters reach into the blocks around their own. The learned branch reaches further, weakly."""
_REACH = 32
"""Pixels, where there is no linear path."""
_GRADIENT_MEMORY = 8
"""A backward pass keeps what a forward pass forgets: some ten times as much."""
_TILE_SIDE = 512
"""Pixels: a picture is measured in parts of at least so much; bounds memory."""


def shares_that_matter(
    height: int, width: int, rows: int, columns: int, reach: int = _REACH_OF_LINEAR_PATH
) -> Float[np.ndarray, "h w"] | None:
    """Of what an error at a position changes, the part that lies in the picture; None where all does.

    That is the part of its block of pixels or, where this is more, of its block and the pixels around it, in height and
    in width: a position beyond the border still reaches into the picture.

    Args:
        height: of the picture, before padding.
        width: of the picture, before padding.
        rows: of the latent.
        columns: of the latent.
        reach: pixels around a block that a latent changes nearly as much.

    >>> shares_that_matter(16, 44, 1, 5).tolist()
    [[1.0, 1.0, 0.75, 0.125, 0.0]]
    """
    return shares_in_picture(height, width, LATENT_STRIDE, rows, columns, reach)


def where_it_matters(
    planes: Float[Tensor, "M h w"], shares: Float[np.ndarray, "h w"] | None
) -> Float[Tensor, "M h w"]:
    """Planes, 0 where the share is."""
    return planes if shares is None else planes * torch.from_numpy(shares != 0).to(planes)


@dataclass(frozen=True)
class Slope:
    """A distortion near some values of the latents.

    Args:
        bits: the distortion.
        gradient: what moving each latent changes, in bits a step.
        shares: by which the curvature of a channel counts at a position; None for 1 everywhere.
    """

    bits: float
    gradient: Float[Tensor, "M h w"]
    shares: Float[np.ndarray, "h w"] | None


class PictureDistortion:
    """lambda * D * pixels, the distortion of R + lambda D in bits, and its gradient.

    Pixels are those of the picture, without what pads it; values of g_s are clamped and not rounded. Positions that do
    not matter to the picture have no derivative: a slope without curvature would send latents away for nothing. A
    picture that is too small for the distortion is measured by its squared error.

    Args:
        codec: whose g_s.
        pixels: of the picture, 0 .. 255, whole numbers or not.
        quality_integer: of the file, which decides lambda.
    """

    def __init__(self, codec: LatentCodec, pixels: Shaped[np.ndarray, "H W C"], quality_integer: int) -> None:
        self._codec = codec
        self._quality_integer = quality_integer
        # A copy, for torch takes no array that may not be written.
        self._pixels = torch.from_numpy(np.array(pixels.transpose(2, 0, 1), order="C"))
        self._channels, self._height, self._width = self._pixels.shape
        self.pixels = self._height * self._width
        self.measure = codec.model.distortion
        if min(self._height, self._width) < self.measure.minimum_side:
            self.measure = Distortion()
        transforms, quality = codec.model.transforms, codec.quality_tensor(quality_integer)
        self._squared_error_lambda = float(transforms.squared_error_lambda(quality))
        self._lambda = self._squared_error_lambda
        if not self.is_squared_error:
            self._lambda = float(transforms.rate_distortion_lambda(quality))
        weights = transforms.step_weights(quality)
        self.step_weights = None if weights is None else weights[0].detach()
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
        lost = bits / (self._lambda * self.pixels)
        if self.is_squared_error:
            return f"{psnr_of_error_db(lost):.2f} dB"
        return f"{self.measure.kind} distortion {lost:.4g}"

    @torch.no_grad()
    def bits(self, values: Float[Tensor, "M h w"]) -> float:
        """Of latents, in steps of the quantizer."""
        if not self.is_squared_error:
            return float(self._of_picture(self._picture(values)))
        total = 0.0
        for strip in self._strips(values):
            shown = self._shown(values[None, :, strip.first : strip.last], strip)
            rows = slice(LATENT_STRIDE * strip.start, LATENT_STRIDE * strip.start + shown.shape[2])
            total += float(self._squared_error(shown, rows))
        return total

    def slope(self, values: Float[Tensor, "M h w"]) -> Slope:
        """Distortion of latents, its derivatives and its curvature."""
        strips, shares = list(self._strips(values)), self.shares(*values.shape[1:])
        total, slope, kept = 0.0, None, None
        if not self.is_squared_error:
            if len(strips) == 1:
                # What was made on the way there serves the way back.
                y = values[None].clone().requires_grad_(True)
                kept = y, self._shown(y, strips[0])
            x_hat = self._picture(values) if kept is None else kept[1].detach()
            total, slope, weights = self._replaced(x_hat, values.shape[1:])
            shares = weights if shares is None else shares * weights
        gradient = torch.zeros_like(values)
        for strip in strips:
            part = slice(strip.first, strip.last)
            if kept is None:
                y = values[None, :, part].clone().requires_grad_(True)
                shown = self._shown(y, strip)
            else:
                y, shown = kept
            rows = slice(LATENT_STRIDE * strip.start, LATENT_STRIDE * strip.start + shown.shape[2])
            if slope is None:
                bits = self._squared_error(shown, rows)
                total += float(bits.detach())
            else:
                bits = (shown * slope[:, :, rows]).sum()
            gradient[:, part] += torch.autograd.grad(bits, y)[0][0]
        return Slope(total, where_it_matters(gradient, shares), shares)

    def _replaced(
        self, x_hat: Float[Tensor, "1 C H W"], size: tuple[int, ...]
    ) -> tuple[float, Float[Tensor, "1 C H W"], Float[np.ndarray, "h w"]]:
        """D in bits, the slope of what stands for it, and by how much more than squared errors it weighs each place."""
        x_hat.requires_grad_(True)
        bits = self._of_picture(x_hat)
        own = torch.autograd.grad(bits, x_hat)[0]
        error = x_hat.detach() - self._pixels[None].to(x_hat) / PEAK
        rows, columns = size
        slope, weights = stand_in(error, own, LATENT_STRIDE, (rows, columns))
        relative = weights[0, 0] / (self._squared_error_lambda / self._channels * PEAK**2)
        return float(bits.detach()), slope, relative.cpu().numpy()

    def _strips(self, values: Float[Tensor, "M h w"]) -> Iterator[Strip]:
        _, rows, columns = values.shape
        return self._codec.strips(rows, columns, _GRADIENT_MEMORY)

    def _squared_error(self, shown: Float[Tensor, "1 C H W"], rows: slice) -> Float[Tensor, ""]:
        x = self._pixels[None, :, rows].to(self._codec.device).float()
        return self._lambda / self._channels * (shown * PEAK - x).square().sum()

    def _shown(self, y: Float[Tensor, "1 M h w"], strip: Strip) -> Float[Tensor, "1 C H W"]:
        """The rows of the picture that a strip makes."""
        x_hat = self._codec.synthesize_strip(y, strip, self._height, self._width, self._quality_integer)
        return (collapse_to_grey(x_hat) if self._channels == 1 else x_hat).clamp(0, 1)

    @torch.no_grad()
    def _picture(self, values: Float[Tensor, "M h w"]) -> Float[Tensor, "1 C H W"]:
        parts = [self._shown(values[None, :, s.first : s.last], s) for s in self._strips(values)]
        return torch.cat(parts, dim=2)

    def _of_picture(self, x_hat: Float[Tensor, "1 C H W"]) -> Float[Tensor, ""]:
        x = self._pixels[None].to(x_hat) / PEAK
        total = x_hat.new_zeros(())
        for top, bottom in _parts(self._height):
            for left, right in _parts(self._width):
                tile = (slice(None), slice(None), slice(top, bottom), slice(left, right))
                lost = self.measure(x[tile].expand(-1, 3, -1, -1), x_hat[tile].expand(-1, 3, -1, -1))
                total = total + (bottom - top) * (right - left) * lost[0]
        return self._lambda * total


def _parts(size: int) -> list[tuple[int, int]]:
    """Equal parts of a side, none smaller than a tile.

    >>> _parts(1300)
    [(0, 650), (650, 1300)]
    """
    count = max(1, size // _TILE_SIDE)
    return list(pairwise(size * index // count for index in range(count + 1)))
