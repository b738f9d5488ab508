"""Synthesis transforms g_s: latent -> picture."""

import torch
from torch import nn

from trimix.layers.attention import Attention
from trimix.layers.gdn import GeneralizedDivisiveNormalization
from trimix.layers.quality import QualityFactor, QualitySequential, quality_plane
from trimix.layers.resampling import subpixel_convolution, transposed_convolution
from trimix.layers.residual import (
    GLLMM_SLOPE,
    SMALL_SLOPE,
    ConcatenatedResidualModule,
    PreactivatedBlock,
    ResidualBlock,
    UpsamplingBlock,
    residual_module,
    start_at_zero,
)
from trimix.shapes import LATENT_STRIDE, Float, Tensor
from trimix.transforms.analysis import EIGHTH
from trimix.transforms.karhunen_loeve import LinearSynthesis


class LiteSynthesis(nn.Module):
    """g_s of ``gllmm-lite``: the transposed block transform plus a learned correction.

    ::

        y_hat [M h w] --+--> Karhunen-Loeve transposed ----------------------------------------(+)--> x_hat [3 16h 16w]
                        |                                                                       ^
        quality plane --`-> 1x1 -> f(q) CRM -> up -> f(q) CRM -> up -> f(q) CRM -> up -> conv -> depth to space

    Args:
        widths: channels at 1/2, 1/4, 1/8 and 1/16 of the resolution.
        latent_channels: M.
        lapped_channels: of them, the first whose linear filters reach into the neighbouring blocks.
        input_scale: latents are multiplied by it before the branch, to bring 8-bit units near 1.
    """

    def __init__(
        self,
        widths: tuple[int, int, int, int],
        latent_channels: int,
        lapped_channels: int = 0,
        input_scale: float = 1 / 64,
    ) -> None:
        super().__init__()
        half, quarter, eighth, sixteenth = widths
        self.input_scale = input_scale
        self.linear = LinearSynthesis(latent_channels, LATENT_STRIDE, lapped_channels)
        self.activation = nn.LeakyReLU(GLLMM_SLOPE, inplace=True)
        self.from_latent = nn.Conv2d(latent_channels + 1, sixteenth, 1)
        self.quality_factors = nn.ModuleList(QualityFactor(c) for c in (sixteenth, eighth, quarter))
        self.modules_at = nn.ModuleList(ConcatenatedResidualModule(c) for c in (sixteenth, eighth, quarter))
        self.ups = nn.ModuleList(
            (
                subpixel_convolution(sixteenth, eighth),
                subpixel_convolution(eighth, quarter),
                subpixel_convolution(quarter, half),
            )
        )
        self.to_picture = subpixel_convolution(half, 3)
        with torch.no_grad():
            for parameter, factor in zip(self.to_picture.parameters(), (0.1, 0.0), strict=True):
                parameter.mul_(factor)

    def forward(
        self, y: Float[Tensor, "N M h w"], quality: Float[Tensor, "N"], *, linear_only: bool = False
    ) -> Float[Tensor, "N 3 H W"]:
        """Picture, nominally in [0, 1] and not clamped, of a latent in 8-bit units."""
        linear = self.linear(y * (1 / 255))
        if linear_only:
            return linear
        features = torch.cat([y * self.input_scale, quality_plane(quality, y)], dim=1)
        features = self.from_latent(features)
        for factor, module, up in zip(self.quality_factors, self.modules_at, self.ups, strict=True):
            features = self.activation(up(module(factor(features, quality))))
        return linear + self.to_picture(features)


class LinearPathSynthesis(nn.Module):
    """The transposed block transform plus what a network adds to it.

    ::

        y_hat [M h w] --+--> Karhunen-Loeve transposed --(+)--> x_hat [3 16h 16w]
                        |                                 ^
                        `--> 1x1 --> network(., q) -------'

    The network's last layer starts at zero: the transform begins as its linear path.

    Args:
        network: N channels at 1/16, and quality -> picture; its last layer a sub-pixel convolution.
        channels: N.
        latent_channels: M.
        lapped_channels: of them, the first whose linear filters reach into the neighbouring blocks.
        input_scale: latents are multiplied by it before the network, to bring 8-bit units near 1.
        branch_gain: scale of what the network adds.
    """

    def __init__(
        self,
        network: nn.Sequential,
        channels: int,
        latent_channels: int,
        lapped_channels: int = 0,
        input_scale: float = 1 / 64,
        branch_gain: float = 0.1,
    ) -> None:
        super().__init__()
        self.input_scale = input_scale
        self.branch_gain = branch_gain
        self.linear = LinearSynthesis(latent_channels, LATENT_STRIDE, lapped_channels)
        self.from_latent = nn.Conv2d(latent_channels, channels, 1)
        self.network = network
        start_at_zero(network[-1])

    def forward(
        self, y: Float[Tensor, "N M h w"], quality: Float[Tensor, "N"] | None = None, *, linear_only: bool = False
    ) -> Float[Tensor, "N 3 H W"]:
        """Picture, nominally in [0, 1] and not clamped, of a latent in 8-bit units."""
        linear = self.linear(y * (1 / 255))
        if linear_only:
            return linear
        correction = self.network(self.from_latent(y * self.input_scale), quality).float()
        return linear + self.branch_gain * correction


def gdn_synthesis(channels: int, latent_channels: int) -> QualitySequential:
    """g_s of Ballé et al. 2018 and Minnen et al. 2018: four 5x5 transposed convolutions, inverse GDN between them.

    Args:
        channels: N.
        latent_channels: M.
    """
    return QualitySequential(
        transposed_convolution(latent_channels, channels),
        GeneralizedDivisiveNormalization(channels, inverse=True),
        transposed_convolution(channels, channels),
        GeneralizedDivisiveNormalization(channels, inverse=True),
        transposed_convolution(channels, channels),
        GeneralizedDivisiveNormalization(channels, inverse=True),
        transposed_convolution(channels, 3),
    )


def residual_synthesis(channels: int, *, attention: bool) -> QualitySequential:
    """g_s of Cheng et al. 2020: residual blocks and sub-pixel convolutions, attention at 1/16 and 1/4.

    Args:
        channels: N.
        attention: off for the paper's anchor.
    """
    layers: list[nn.Module | None] = [
        Attention(channels, rectified=True) if attention else None,
        ResidualBlock(channels, SMALL_SLOPE),
        UpsamplingBlock(channels, channels, SMALL_SLOPE, shortcut_kernel=3),
        ResidualBlock(channels, SMALL_SLOPE),
        UpsamplingBlock(channels, channels, SMALL_SLOPE, shortcut_kernel=3),
        Attention(channels, rectified=True) if attention else None,
        ResidualBlock(channels, SMALL_SLOPE),
        UpsamplingBlock(channels, channels, SMALL_SLOPE, shortcut_kernel=3),
        ResidualBlock(channels, SMALL_SLOPE),
        subpixel_convolution(channels, 3),
    ]
    return QualitySequential(*(layer for layer in layers if layer is not None))


def gllmm_synthesis(
    channels: int, stages: int, *, concatenated: bool, attention: bool, quality_factors: bool = False
) -> QualitySequential:
    """g_s of GLLMM (Fu et al. 2023, Fig. 2): residual modules between the steps up, attention at 1/16 and 1/4.

    Args:
        channels: N.
        stages: residual blocks of a module.
        concatenated: a shortcut around every module (CRM).
        attention: whether there is attention.
        quality_factors: factors of the channels at the start and after each step up, which follow the quality (ours).
    """
    layers: list[nn.Module | None] = [
        QualityFactor(channels) if quality_factors else None,
        Attention(channels) if attention else None,
        residual_module(channels, stages, concatenated=concatenated),
        UpsamplingBlock(channels, channels),
        QualityFactor(channels) if quality_factors else None,
        residual_module(channels, stages, concatenated=concatenated),
        UpsamplingBlock(channels, channels),
        QualityFactor(channels) if quality_factors else None,
        Attention(channels) if attention else None,
        residual_module(channels, stages, concatenated=concatenated),
        UpsamplingBlock(channels, channels),
        QualityFactor(channels) if quality_factors else None,
        residual_module(channels, stages, concatenated=concatenated),
        subpixel_convolution(channels, 3),
    ]
    return QualitySequential(*(layer for layer in layers if layer is not None))


def low_resolution_synthesis(
    widths: tuple[int, int], blocks: tuple[int, int], *, quality_factors: bool
) -> QualitySequential:
    """The mirror of ``low_resolution_analysis``: [N widths[1] H/16 W/16] -> [N 3 H W].

    Args:
        widths: channels at 1/8 and 1/16.
        blocks: residual blocks there.
        quality_factors: factors of the channels at the start of both, which follow the quality.
    """
    eighth, sixteenth = widths
    layers: list[nn.Module | None] = [
        QualityFactor(sixteenth) if quality_factors else None,
        *(PreactivatedBlock(sixteenth) for _ in range(blocks[1])),
        nn.LeakyReLU(GLLMM_SLOPE),
        subpixel_convolution(sixteenth, eighth, 1),
        QualityFactor(eighth) if quality_factors else None,
        *(PreactivatedBlock(eighth) for _ in range(blocks[0])),
        nn.LeakyReLU(GLLMM_SLOPE),
        nn.Sequential(nn.Conv2d(eighth, 3 * EIGHTH**2, 3, padding=1), nn.PixelShuffle(EIGHTH)),
    ]
    return QualitySequential(*(layer for layer in layers if layer is not None))
