"""Analysis transforms g_a: picture -> latent at 1/16 of the resolution."""

import torch
from torch import nn

from trimix.layers.attention import Attention
from trimix.layers.gdn import GeneralizedDivisiveNormalization
from trimix.layers.quality import QualityFactor, QualitySequential
from trimix.layers.resampling import strided_convolution
from trimix.layers.residual import (
    GLLMM_SLOPE,
    SMALL_SLOPE,
    ConcatenatedResidualModule,
    DownsamplingBlock,
    PreactivatedBlock,
    ResidualBlock,
    residual_module,
    start_at_zero,
)
from trimix.shapes import LATENT_STRIDE, Float, Tensor
from trimix.transforms.karhunen_loeve import LinearAnalysis


class LiteAnalysis(nn.Module):
    """g_a of ``gllmm-lite``: a linear block transform plus a learned correction.

    ::

        x [3 H W] --+--> Karhunen-Loeve 16x16, stride 16 --------------------------------------(+)--> y [M H/16 W/16]
                    |                                                                           ^
                    `-> conv/2 -> conv/2 -> f(q) CRM -> conv/2 -> f(q) CRM -> conv/2 -> f(q) CRM -> 1x1

    ``f(q)`` scales channels with the quality. Coefficients are in units of an 8-bit picture (0..255).

    Args:
        widths: channels at 1/2, 1/4, 1/8 and 1/16 of the resolution.
        latent_channels: M.
        lapped_channels: of them, the first whose linear filters reach into the neighbouring blocks.
        branch_gain: scale of the learned branch; its last layer starts near zero.
    """

    def __init__(
        self,
        widths: tuple[int, int, int, int],
        latent_channels: int,
        lapped_channels: int = 0,
        branch_gain: float = 16.0,
    ) -> None:
        super().__init__()
        half, quarter, eighth, sixteenth = widths
        self.branch_gain = branch_gain
        self.linear = LinearAnalysis(latent_channels, LATENT_STRIDE, lapped_channels)
        self.activation = nn.LeakyReLU(GLLMM_SLOPE, inplace=True)
        self.to_half = strided_convolution(3, half)
        self.to_quarter = strided_convolution(half, quarter)
        self.to_eighth = strided_convolution(quarter, eighth)
        self.to_sixteenth = strided_convolution(eighth, sixteenth)
        self.quality_factors = nn.ModuleList(QualityFactor(c) for c in (quarter, eighth, sixteenth))
        self.modules_at = nn.ModuleList(ConcatenatedResidualModule(c) for c in (quarter, eighth, sixteenth))
        self.to_latent = nn.Conv2d(sixteenth, latent_channels, 1)
        with torch.no_grad():
            self.to_latent.weight.mul_(0.1)
            self.to_latent.bias.zero_()  # type: ignore[union-attr]

    def forward(
        self, x: Float[Tensor, "N 3 H W"], quality: Float[Tensor, "N"], *, linear_only: bool = False
    ) -> Float[Tensor, "N M h w"]:
        """Latent of a picture in [0, 1] whose sides are multiples of 16."""
        linear = 255.0 * self.linear(x)
        if linear_only:
            return linear
        features = self.activation(self.to_half(x - 0.5))
        downs = (self.to_quarter, self.to_eighth, self.to_sixteenth)
        for down, factor, module in zip(downs, self.quality_factors, self.modules_at, strict=True):
            features = module(factor(self.activation(down(features)), quality))
        return linear + self.branch_gain * self.to_latent(features)


class LinearPathAnalysis(nn.Module):
    """A linear block transform plus what a network adds to it.

    ::

        x [3 H W] --+--> Karhunen-Loeve 16x16, stride 16 --(+)--> y [M H/16 W/16]
                    |                                       ^
                    `--> network(x, q) [N H/16 W/16] --> 1x1

    Coefficients are in units of an 8-bit picture (0..255). The 1x1 convolution starts at zero: the transform begins as
    its linear path.

    Args:
        network: picture and quality -> features at 1/16.
        channels: N, of its features.
        latent_channels: M.
        lapped_channels: of them, the first whose linear filters reach into the neighbouring blocks.
        branch_gain: scale of what the network adds.
    """

    def __init__(
        self,
        network: nn.Module,
        channels: int,
        latent_channels: int,
        lapped_channels: int = 0,
        branch_gain: float = 1.6,
    ) -> None:
        super().__init__()
        self.branch_gain = branch_gain
        self.linear = LinearAnalysis(latent_channels, LATENT_STRIDE, lapped_channels)
        self.network = network
        self.to_latent = nn.Conv2d(channels, latent_channels, 1)
        start_at_zero(self.to_latent)

    def forward(
        self, x: Float[Tensor, "N 3 H W"], quality: Float[Tensor, "N"] | None = None, *, linear_only: bool = False
    ) -> Float[Tensor, "N M h w"]:
        """Latent of a picture in [0, 1] whose sides are multiples of 16."""
        linear = 255.0 * self.linear(x)
        if linear_only:
            return linear
        return linear + self.branch_gain * self.to_latent(self.network(x, quality)).float()


def gdn_analysis(channels: int, latent_channels: int) -> QualitySequential:
    """g_a of Ballé et al. 2018 and Minnen et al. 2018: four 5x5 convolutions of stride 2, GDN between them.

    Args:
        channels: N.
        latent_channels: M.
    """
    return QualitySequential(
        strided_convolution(3, channels),
        GeneralizedDivisiveNormalization(channels),
        strided_convolution(channels, channels),
        GeneralizedDivisiveNormalization(channels),
        strided_convolution(channels, channels),
        GeneralizedDivisiveNormalization(channels),
        strided_convolution(channels, latent_channels),
    )


def residual_analysis(channels: int, *, attention: bool) -> QualitySequential:
    """g_a of Cheng et al. 2020: residual blocks with small convolutions, attention at 1/4 and 1/16.

    Args:
        channels: N.
        attention: off for the paper's anchor.
    """
    layers: list[nn.Module | None] = [
        DownsamplingBlock(3, channels, SMALL_SLOPE),
        ResidualBlock(channels, SMALL_SLOPE),
        DownsamplingBlock(channels, channels, SMALL_SLOPE),
        Attention(channels, rectified=True) if attention else None,
        ResidualBlock(channels, SMALL_SLOPE),
        DownsamplingBlock(channels, channels, SMALL_SLOPE),
        ResidualBlock(channels, SMALL_SLOPE),
        strided_convolution(channels, channels, 3),
        Attention(channels, rectified=True) if attention else None,
    ]
    return QualitySequential(*(layer for layer in layers if layer is not None))


def gllmm_analysis(
    channels: int, stages: int, *, concatenated: bool, attention: bool, quality_factors: bool = False
) -> QualitySequential:
    """g_a of GLLMM (Fu et al. 2023, Fig. 2): residual modules between the steps down, attention at 1/4 and 1/16.

    Args:
        channels: N.
        stages: residual blocks of a module.
        concatenated: a shortcut around every module (CRM).
        attention: whether there is attention.
        quality_factors: factors of the channels after each step down, which follow the quality (ours).
    """
    layers: list[nn.Module | None] = [
        DownsamplingBlock(3, channels),
        QualityFactor(channels) if quality_factors else None,
        residual_module(channels, stages, concatenated=concatenated),
        DownsamplingBlock(channels, channels),
        QualityFactor(channels) if quality_factors else None,
        Attention(channels) if attention else None,
        residual_module(channels, stages, concatenated=concatenated),
        DownsamplingBlock(channels, channels),
        QualityFactor(channels) if quality_factors else None,
        residual_module(channels, stages, concatenated=concatenated),
        strided_convolution(channels, channels, 3, bias=False),
        Attention(channels) if attention else None,
    ]
    return QualitySequential(*(layer for layer in layers if layer is not None))


class SpaceToDepth(nn.Module):
    """Pixels of a picture as channels, around zero: [N 3 H W] -> [N 3 factor^2 H/factor W/factor].

    Args:
        factor: side of a block of pixels.
    """

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Float[Tensor, "N 3 H W"]) -> Float[Tensor, "N C h w"]:
        """Return the pixels, less 0.5."""
        unshuffled = nn.functional.pixel_unshuffle(x - 0.5, self.factor)
        return unshuffled.contiguous(memory_format=torch.channels_last)


EIGHTH = 8
"""Pixels a side of a block that low-resolution networks begin with, and end with."""


def low_resolution_analysis(
    widths: tuple[int, int], blocks: tuple[int, int], *, quality_factors: bool
) -> QualitySequential:
    """A network at 1/8 and 1/16 of the resolution alone, where convolutions are cheap: 8x8 pixels are channels.

    Args:
        widths: channels at 1/8 and 1/16.
        blocks: residual blocks there.
        quality_factors: factors of the channels at the start of both, which follow the quality.
    """
    eighth, sixteenth = widths
    layers: list[nn.Module | None] = [
        SpaceToDepth(EIGHTH),
        nn.Conv2d(3 * EIGHTH**2, eighth, 3, padding=1),
        QualityFactor(eighth) if quality_factors else None,
        *(PreactivatedBlock(eighth) for _ in range(blocks[0])),
        nn.LeakyReLU(GLLMM_SLOPE),
        nn.Conv2d(eighth, sixteenth, 2, stride=2),
        QualityFactor(sixteenth) if quality_factors else None,
        *(PreactivatedBlock(sixteenth) for _ in range(blocks[1])),
        nn.LeakyReLU(GLLMM_SLOPE),
    ]
    return QualitySequential(*(layer for layer in layers if layer is not None))
