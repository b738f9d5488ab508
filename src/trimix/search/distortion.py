"""Squared error of a picture as a function of its latents, in bits at the lambda of a quality."""

from collections.abc import Iterator

import numpy as np
import torch

from trimix.codec import Codec, Symbols
from trimix.images import PEAK, collapse_to_grey, psnr_of_error_db, shares_in_picture
from trimix.shapes import Float, Shaped, Tensor
from trimix.transforms.analysis import LATENT_STRIDE
from trimix.transforms.strips import Strip, latent_strips

_REACH_OF_LINEAR_PATH = 8
"""Pixels: how far lapped filters reach into the blocks around their own. The learned branch reaches further, weakly."""
_REACH = 32
"""Pixels, where there is no linear path."""


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


def values_of(codec: Codec, symbols: Symbols) -> Float[Tensor, "M h w"]:
    """What symbols stand for, in steps of the quantizer, on the device of the transforms."""
    values = codec.values(symbols).to(codec.device, torch.float32)
    return values / codec.model.latent_model.value_steps


def measured_curvature(
    change: float,
    gradient: Float[Tensor, "M h w"],
    moved: Float[Tensor, "M h w"],
    weights: Float[np.ndarray, "M"],
    shares: Float[np.ndarray, "h w"] | None,
) -> float:
    """By how much more a distortion curved along a move than if no latent knew of another, 1 if nothing moved.

    ``(change - gradient * moved) / sum of weights * shares * moved^2``.

    Args:
        change: of the distortion, in bits.
        gradient: of the distortion before, in bits a step.
        moved: by how many steps.
        weights: bits of a squared step.
        shares: by which they count at a position; None for 1.

    >>> moved = torch.ones(1, 2, 2)
    >>> measured_curvature(7.0, -moved, moved, np.array([2.0], np.float32), None)  # 2 bits each, foreseen were 1
    1.375
    """
    counts = 1.0 if shares is None else torch.from_numpy(shares).to(moved)
    # One channel after the other: of all at once the products would take as much memory as a gradient.
    slopes = torch.stack([(of * steps).sum() for of, steps in zip(gradient, moved, strict=True)])
    squares = torch.stack([(steps.square() * counts).sum() for steps in moved])
    foreseen = float(squares.cpu().double() @ torch.from_numpy(weights).double())
    return (change - float(slopes.cpu().double().sum())) / foreseen if foreseen else 1.0


class SquaredError:
    """lambda * 255^2 * MSE * pixels, D of R + lambda D in bits, and its gradient.

    Pixels are those of the picture, without what pads it; values of g_s are clamped and not rounded. Positions that do
    not matter to the picture have no derivative: a slope without curvature would send latents away for nothing.

    Args:
        codec: whose g_s.
        pixels: of the picture, 0 .. 255, whole numbers or not.
        quality_integer: of the file, which decides lambda.
    """

    def __init__(self, codec: Codec, pixels: Shaped[np.ndarray, "H W C"], quality_integer: int) -> None:
        self._transforms = codec.model.transforms
        # A copy, for torch takes no array that may not be written.
        self._pixels = torch.from_numpy(np.array(pixels.transpose(2, 0, 1), order="C"))
        self._quality = codec.quality_tensor(quality_integer)
        self._device = codec.device
        channels, height, width = self._pixels.shape
        trade_off = float(self._transforms.squared_error_lambda(self._quality))
        self.pixels = height * width
        self._bits_per_squared_error = trade_off / channels
        """Of one channel of one pixel, on the scale 0..255."""
        self._reach = _REACH if self.step_weights is None else _REACH_OF_LINEAR_PATH

    def psnr_db(self, bits: float) -> float:
        """PSNR at a distortion in bits."""
        mean = bits / (self._bits_per_squared_error * self._pixels.numel())
        return psnr_of_error_db(mean)

    @property
    def step_weights(self) -> Float[Tensor, "M"] | None:
        """Bits that a squared error of one step of a latent costs, where the energies of its filters are known."""
        weights = self._transforms.step_weights(self._quality)
        return None if weights is None else weights[0].detach()

    def shares(self, rows: int, columns: int) -> Float[np.ndarray, "h w"] | None:
        """By which errors at the positions of a latent count; see ``shares_that_matter``."""
        _, height, width = self._pixels.shape
        return shares_that_matter(height, width, rows, columns, self._reach)

    @torch.no_grad()
    def bits(self, values: Float[Tensor, "M h w"]) -> float:
        """Of latents, in steps of the quantizer."""
        return sum(float(self._of_strip(values[None, :, s.first : s.last], s)) for s in self._strips(values))

    def gradient(self, values: Float[Tensor, "M h w"]) -> tuple[float, Float[Tensor, "M h w"]]:
        """Distortion of latents in bits, and its derivatives in bits a step."""
        total, gradient = 0.0, torch.zeros_like(values)
        for strip in self._strips(values):
            part = slice(strip.first, strip.last)
            y = values[None, :, part].clone().requires_grad_(True)
            bits = self._of_strip(y, strip)
            gradient[:, part] += torch.autograd.grad(bits, y)[0][0]
            total += float(bits.detach())
        return total, where_it_matters(gradient, self.shares(*values.shape[1:]))

    def _strips(self, values: Float[Tensor, "M h w"]) -> Iterator[Strip]:
        config = self._transforms.config
        _, rows, columns = values.shape
        # A backward pass keeps what a forward pass forgets: some ten times as much.
        pixels_at_once = config.pixels_at_once // 8
        return latent_strips(rows, LATENT_STRIDE**2 * columns, config.latent_halo, pixels_at_once)

    def _of_strip(self, y: Float[Tensor, "1 M h w"], strip: Strip) -> Float[Tensor, ""]:
        channels, height, width = self._pixels.shape
        x_hat = self._transforms.decode(y.to(self._device), self._quality)
        top = LATENT_STRIDE * (strip.start - strip.first)
        bottom = min(LATENT_STRIDE * strip.stop, height) - LATENT_STRIDE * strip.first
        kept = x_hat[:, :, top : max(top, bottom), :width]
        if channels == 1:
            kept = collapse_to_grey(kept)
        rows = slice(LATENT_STRIDE * strip.start, LATENT_STRIDE * strip.start + kept.shape[2])
        x = self._pixels[None, :, rows].to(self._device).float()
        return self._bits_per_squared_error * (kept.clamp(0, 1) * PEAK - x).square().sum()
