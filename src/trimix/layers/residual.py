"""Residual blocks, the concatenated residual module (CRM) of GLLMM, and residual blocks that change the resolution.

::

    residual block   x --+-> conv -> LReLU -> conv -> LReLU --(+)-->
                         `------------------------------------^
    preactivated     x --+-> LReLU -> conv -> LReLU -> conv --(+)-->
                         `------------------------------------^
    CRM, two stages  x --+-> residual block -> residual block --(+)-->
                         `---------------------------------------^
    downsampling     x --+-> conv/2 -> LReLU -> conv -> GDN --(+)-->
                         `-> 1x1/2 ---------------------------^
    upsampling       x --+-> conv, depth to space -> LReLU -> conv -> inverse GDN --(+)-->
                         `-> conv, depth to space ----------------------------------^
"""

import torch
from torch import nn

from trimix.layers.gdn import GeneralizedDivisiveNormalization
from trimix.layers.resampling import SubpixelConvolution, every_second, strided_convolution
from trimix.shapes import Float, Tensor

GLLMM_SLOPE = 0.2
"""Negative slope of the leaky ReLU in GLLMM (Fu et al. 2023)."""
SMALL_SLOPE = 0.01
"""Negative slope in the models of Minnen et al. 2018 and Cheng et al. 2020, as PyTorch has it by default."""


class ResidualBlock(nn.Module):
    """3x3 convolution, leaky ReLU, twice, plus the input (Fu et al. 2023, Fig. 3b)."""

    def __init__(self, channels: int, slope: float = GLLMM_SLOPE) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.activation = nn.LeakyReLU(slope, inplace=True)

    def forward(self, x: Float[Tensor, "N C H W"]) -> Float[Tensor, "N C H W"]:
        """Return ``x + LReLU(conv(LReLU(conv(x))))``."""
        branch = self.activation(self.second(self.activation(self.first(x))))
        return x + branch if torch.is_grad_enabled() else branch.add_(x)


class PreactivatedBlock(nn.Module):
    """Leaky ReLU, 3x3 convolution, twice, plus the input (He et al. 2016, "Identity mappings").

    The last convolution starts at zero: a stack of blocks begins as the identity, however deep it is.

    >>> x = torch.randn(1, 4, 8, 8)
    >>> torch.equal(PreactivatedBlock(4)(x), x)
    True
    """

    def __init__(self, channels: int, slope: float = GLLMM_SLOPE) -> None:
        super().__init__()
        self.activation = nn.LeakyReLU(slope)
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        start_at_zero(self.second)

    def forward(self, x: Float[Tensor, "N C H W"]) -> Float[Tensor, "N C H W"]:
        """Return ``x + conv(LReLU(conv(LReLU(x))))``."""
        return x + self.second(self.activation(self.first(self.activation(x))))


def start_at_zero(layer: nn.Module) -> None:
    """Make a layer give zero until training changes it."""
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()


class ConcatenatedResidualModule(nn.Module):
    """Residual blocks in series with one more shortcut around all of them (Fu et al. 2023, Fig. 3c, 3d).

    ``x + RB_s(... RB_1(x))``, each block keeping its own shortcut.

    Args:
        stages: residual blocks; the paper draws two and three.
    """

    def __init__(self, channels: int, stages: int = 2, slope: float = GLLMM_SLOPE) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(ResidualBlock(channels, slope) for _ in range(stages)))

    def forward(self, x: Float[Tensor, "N C H W"]) -> Float[Tensor, "N C H W"]:
        """Return ``x + blocks(x)``."""
        return self.blocks(x).add_(x)


def residual_module(channels: int, stages: int, *, concatenated: bool) -> nn.Module:
    """Residual blocks in series: with a shortcut around all of them (CRM), or plain."""
    if concatenated:
        return ConcatenatedResidualModule(channels, stages)
    return nn.Sequential(*(ResidualBlock(channels) for _ in range(stages)))


class DownsamplingBlock(nn.Module):
    """3x3 convolution of stride 2, leaky ReLU, 3x3, GDN, plus a 1x1 convolution of stride 2 (Cheng et al. 2020)."""

    def __init__(self, inputs: int, outputs: int, slope: float = GLLMM_SLOPE) -> None:
        super().__init__()
        self.first = strided_convolution(inputs, outputs, 3)
        self.activation = nn.LeakyReLU(slope, inplace=True)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.normalization = GeneralizedDivisiveNormalization(outputs)
        self.shortcut = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Float[Tensor, "N C H W"]) -> Float[Tensor, "N D h w"]:
        """Return ``GDN(conv(LReLU(conv(x)))) + conv1x1(x)`` at half the resolution, for even H and W."""
        branch = self.normalization(self.second(self.activation(self.first(x))))
        # Of stride 2 by leaving pixels out: in channels_last, on a CPU, the gradient of such a convolution of three
        # channels writes where it must not (torch 2.13).
        return branch.add_(self.shortcut(every_second(x)))


class UpsamplingBlock(nn.Module):
    """3x3 sub-pixel convolution, leaky ReLU, 3x3, inverse GDN, plus a sub-pixel convolution (Cheng et al. 2020).

    Args:
        shortcut_kernel: side of the shortcut's kernel, odd: 1 in GLLMM, 3 in the implementation of Cheng et al. 2020
            whose weights are common.
    """

    def __init__(self, inputs: int, outputs: int, slope: float = GLLMM_SLOPE, shortcut_kernel: int = 1) -> None:
        super().__init__()
        self.first = SubpixelConvolution(inputs, outputs)
        self.activation = nn.LeakyReLU(slope, inplace=True)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.normalization = GeneralizedDivisiveNormalization(outputs, inverse=True)
        self.shortcut = SubpixelConvolution(inputs, outputs, shortcut_kernel)

    def forward(self, x: Float[Tensor, "N C H W"]) -> Float[Tensor, "N D h w"]:
        """Return ``IGDN(conv(LReLU(subpixel(x)))) + subpixel(x)`` at twice the resolution."""
        branch = self.normalization(self.second(self.activation(self.first(x))))
        return branch.add_(self.shortcut(x))
