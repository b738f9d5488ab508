"""Convolution over a chosen set of taps: the context of autoregressive entropy models."""

import torch
from torch import nn
from torch.nn import functional as F

from trimix.layers.offsets import Offset
from trimix.layers.pointwise import PointwiseConvolution
from trimix.shapes import Float, Tensor


class MaskedConvolution(nn.Conv2d):
    """A square convolution of which only the given taps are used; the others are zero and stay so.

    Args:
        kernel: side of the square kernel, odd.

    >>> from trimix.layers.offsets import raster_offsets
    >>> context = MaskedConvolution(8, 16, 5, raster_offsets(5))
    >>> context(torch.zeros(1, 8, 4, 6)).shape, context.tap_weights().shape
    (torch.Size([1, 16, 4, 6]), torch.Size([16, 12, 8]))
    """

    mask: Tensor

    def __init__(self, inputs: int, outputs: int, kernel: int, offsets: tuple[Offset, ...]) -> None:
        half = kernel // 2
        super().__init__(inputs, outputs, kernel, padding=half)
        self.offsets = offsets
        mask = torch.zeros(1, 1, kernel, kernel)
        for row, column in offsets:
            mask[0, 0, half + row, half + column] = 1.0
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: Float[Tensor, "N C H W"]) -> Float[Tensor, "N D H W"]:
        """Convolve with the masked kernel; outside the array there are zeros."""
        # Rows below the last tap are zero throughout, and left out.
        half, lowest = self.kernel_size[0] // 2, max((row for row, _ in self.offsets if row > 0), default=0)
        weight = (self.weight * self.mask)[:, :, : half + lowest + 1]
        return F.conv2d(F.pad(x, (half, half, half, lowest)), weight, self.bias)

    def tap_weights(self) -> Float[Tensor, "D T C"]:
        """The weights of the used taps only, in the order of ``offsets``."""
        half = self.kernel_size[0] // 2
        return torch.stack([self.weight[:, :, half + row, half + column] for row, column in self.offsets], dim=1)


class TapConvolution(PointwiseConvolution):
    """A convolution over taps that somebody has gathered: what a masked one computes, at some positions only.

    Args:
        inputs: channels of a tap.
        offsets: the taps, in the order in which their channels are gathered.

    >>> context = TapConvolution(8, 16, ((-1, 0), (0, -1)))
    >>> context(torch.zeros(1, 16, 4, 6)).shape, context.tap_weights().shape
    (torch.Size([1, 16, 4, 6]), torch.Size([16, 2, 8]))
    """

    def __init__(self, inputs: int, outputs: int, offsets: tuple[Offset, ...]) -> None:
        super().__init__(inputs * len(offsets), outputs)
        self.offsets = offsets

    def tap_weights(self) -> Float[Tensor, "D T C"]:
        """The weights of the taps, in the order of ``offsets``."""
        return self.weight.view(self.out_channels, len(self.offsets), -1)
