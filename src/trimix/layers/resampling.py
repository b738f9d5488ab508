"""Convolutions that halve or double the resolution."""

from torch import nn


def strided_convolution(inputs: int, outputs: int, kernel: int = 5) -> nn.Conv2d:
    """Convolution of stride two: [N inputs H W] -> [N outputs H/2 W/2], for even H and W.

    >>> import torch
    >>> strided_convolution(3, 8)(torch.zeros(1, 3, 16, 16)).shape
    torch.Size([1, 8, 8, 8])
    """
    return nn.Conv2d(inputs, outputs, kernel, stride=2, padding=kernel // 2)


def subpixel_convolution(inputs: int, outputs: int, kernel: int = 3) -> nn.Sequential:
    """Convolution to four times the channels, then depth to space: [N inputs H W] -> [N outputs 2H 2W].

    >>> import torch
    >>> subpixel_convolution(8, 3)(torch.zeros(1, 8, 4, 4)).shape
    torch.Size([1, 3, 8, 8])
    """
    return nn.Sequential(
        nn.Conv2d(inputs, 4 * outputs, kernel, padding=kernel // 2),
        nn.PixelShuffle(2),
    )
