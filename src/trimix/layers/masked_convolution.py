"""Convolution over a chosen set of taps: the context of autoregressive entropy models."""

import torch
from torch import nn
from torch.nn import functional as F

from trimix.shapes import Float, Tensor

Offset = tuple[int, int]
"""Row and column of a tap relative to the current position."""


def raster_offsets(kernel: int) -> tuple[Offset, ...]:
    """Taps strictly earlier in raster order in a square kernel (type A mask, van den Oord et al. 2016).

    >>> raster_offsets(3)
    ((-1, -1), (-1, 0), (-1, 1), (0, -1))
    """
    half = kernel // 2
    return tuple(
        (row, column)
        for row in range(-half, half + 1)
        for column in range(-half, half + 1)
        if (row, column) < (0, 0)
    )


def checkerboard_offsets(kernel: int) -> tuple[Offset, ...]:
    """Taps of the other colour of a checkerboard in a square kernel (He et al. 2021).

    >>> checkerboard_offsets(3)
    ((-1, 0), (0, -1), (0, 1), (1, 0))
    """
    half = kernel // 2
    return tuple(
        (row, column)
        for row in range(-half, half + 1)
        for column in range(-half, half + 1)
        if (row + column) % 2 == 1
    )


class MaskedConvolution(nn.Conv2d):
    """A square convolution of which only the given taps are used; the others are zero and stay so.

    Args:
        inputs: input channels.
        outputs: output channels.
        kernel: side of the square kernel, odd.
        offsets: the taps that are used.
    """

    mask: Tensor

    def __init__(self, inputs: int, outputs: int, kernel: int, offsets: tuple[Offset, ...]) -> None:
        super().__init__(inputs, outputs, kernel, padding=kernel // 2)
        self.offsets = offsets
        half = kernel // 2
        mask = torch.zeros(1, 1, kernel, kernel)
        for row, column in offsets:
            mask[0, 0, half + row, half + column] = 1.0
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: Float[Tensor, "N C H W"]) -> Float[Tensor, "N D H W"]:
        """Convolve with the masked kernel."""
        return F.conv2d(x, self.weight * self.mask, self.bias, padding=self.padding)  # type: ignore[arg-type]

    def tap_weights(self) -> Float[Tensor, "D T C"]:
        """The weights of the used taps only, in the order of ``offsets``."""
        half = self.kernel_size[0] // 2
        return torch.stack([self.weight[:, :, half + r, half + c] for r, c in self.offsets], dim=1)
