"""Synthesis transforms g_s: latent -> picture."""

from collections.abc import Callable, Sequence

import torch
from torch import nn

from trimix.layers.attention import Attention
from trimix.layers.gdn import GeneralizedDivisiveNormalization
from trimix.layers.quality import QualityFactor, QualityPlane, QualitySequential, in_series
from trimix.layers.resampling import SubpixelConvolution, transposed_convolution
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


class LinearPathSynthesis(nn.Module):
    """The transposed block transform plus what a learned branch adds to it.

    ::

        y_hat [M h w] --+--> Karhunen-Loeve transposed --(+)--> x_hat [3 16h 16w]
                        |                                 ^
                        `--> branch(., q) ----------------'

    The branch starts at or near zero.

    Args:
        latent_channels: M.
        lapped_channels: of them, the first whose linear filters reach into the neighbouring blocks.
        branch_gain: scale of what the branch adds.
    """

    input_scale = 1 / 64
    """Latents are multiplied by it before the branch, to bring 8-bit units near 1."""

    def __init__(self, latent_channels: int, lapped_channels: int, branch_gain: float) -> None:
        super().__init__()
        self.branch_gain = branch_gain
        self.linear = LinearSynthesis(latent_channels, LATENT_STRIDE, lapped_channels)

    def branch(self) -> Sequence[nn.Module]:
        """Its layers in series."""
        raise NotImplementedError

    def forward(
        self, y: Float[Tensor, "N M h w"], quality: Float[Tensor, "N"] | None = None, *, linear_only: bool = False
    ) -> Float[Tensor, "N 3 H W"]:
        """Picture, nominally in [0, 1] and not clamped, of a latent in 8-bit units."""
        linear = self.linear(y * (1 / 255))
        if linear_only:
            return linear
        return linear + self.branch_gain * in_series(self.branch(), y * self.input_scale, quality).float()


class LiteSynthesis(LinearPathSynthesis):
    """g_s of ``gllmm-lite``; ``f(q)`` scales channels with the quality.

    ::

        branch    quality plane -> 1x1 -> f(q) CRM -> up -> f(q) CRM -> up -> f(q) CRM -> up -> conv -> depth to space

    Args:
        widths: channels at 1/2, 1/4, 1/8 and 1/16 of the resolution.
    """

    def __init__(self, widths: tuple[int, int, int, int], latent_channels: int, lapped_channels: int = 0) -> None:
        super().__init__(latent_channels, lapped_channels, branch_gain=1.0)
        half, quarter, eighth, sixteenth = widths
        self.plane = QualityPlane()
        self.activation = nn.LeakyReLU(GLLMM_SLOPE, inplace=True)
        self.from_latent = nn.Conv2d(latent_channels + 1, sixteenth, 1)
        self.quality_factors = nn.ModuleList(QualityFactor(c) for c in (sixteenth, eighth, quarter))
        self.modules_at = nn.ModuleList(ConcatenatedResidualModule(c) for c in (sixteenth, eighth, quarter))
        pairs = ((sixteenth, eighth), (eighth, quarter), (quarter, half))
        self.ups = nn.ModuleList(SubpixelConvolution(inputs, outputs) for inputs, outputs in pairs)
        self.to_picture = SubpixelConvolution(half, 3)
        with torch.no_grad():
            for parameter, factor in zip(self.to_picture.parameters(), (0.1, 0.0), strict=True):
                parameter.mul_(factor)

    def branch(self) -> Sequence[nn.Module]:
        """Its layers in series."""
        stages = zip(self.quality_factors, self.modules_at, self.ups, strict=True)
        further = [layer for factor, module, up in stages for layer in (factor, module, up, self.activation)]
        return (self.plane, self.from_latent, *further, self.to_picture)


class NetworkSynthesis(LinearPathSynthesis):
    """A 1x1 convolution to N channels, and a network beside the linear path whose last layer starts at zero.

    Args:
        network: N channels at 1/16, and quality -> picture.
    """

    def __init__(
        self, network: QualitySequential, channels: int, latent_channels: int, lapped_channels: int = 0
    ) -> None:
        super().__init__(latent_channels, lapped_channels, branch_gain=0.1)
        self.from_latent = nn.Conv2d(latent_channels, channels, 1)
        self.network = network
        start_at_zero(network[-1])

    def branch(self) -> Sequence[nn.Module]:
        """Its layers in series."""
        return (self.from_latent, self.network)


def gdn_synthesis(channels: int, latent_channels: int) -> QualitySequential:
    """g_s of Ballé et al. 2018 and Minnen et al. 2018: four 5x5 transposed convolutions, inverse GDN between them."""
    layers: list[nn.Module] = []
    for inputs in (latent_channels, channels, channels):
        layers += [transposed_convolution(inputs, channels), GeneralizedDivisiveNormalization(channels, inverse=True)]
    return QualitySequential(*layers, transposed_convolution(channels, 3))


def residual_synthesis(channels: int, *, attention: bool) -> QualitySequential:
    """g_s of Cheng et al. 2020: residual blocks, sub-pixel convolutions; without attention the paper's anchor."""
    return _steps_up(
        channels,
        block=lambda: ResidualBlock(channels, SMALL_SLOPE),
        up=lambda: UpsamplingBlock(channels, channels, SMALL_SLOPE, shortcut_kernel=3),
        attention=lambda: Attention(channels, rectified=True) if attention else None,
    )


def gllmm_synthesis(
    channels: int, stages: int, *, concatenated: bool, attention: bool, quality_factors: bool = False
) -> QualitySequential:
    """g_s of GLLMM (Fu et al. 2023, Fig. 2).

    Args:
        stages: residual blocks of a module.
        concatenated: a shortcut around every module (CRM).
        quality_factors: factors of the channels at the start and after each step up, which follow the quality (ours).
    """
    return _steps_up(
        channels,
        block=lambda: residual_module(channels, stages, concatenated=concatenated),
        up=lambda: UpsamplingBlock(channels, channels),
        attention=lambda: Attention(channels) if attention else None,
        factor=lambda: QualityFactor(channels) if quality_factors else None,
    )


def _steps_up(
    channels: int,
    block: Callable[[], nn.Module],
    up: Callable[[], nn.Module],
    attention: Callable[[], nn.Module | None],
    factor: Callable[[], nn.Module | None] = lambda: None,
) -> QualitySequential:
    """Residual modules between the steps up, attention at 1/16 and 1/4."""
    return QualitySequential(
        factor(),
        attention(),
        block(),
        up(),
        factor(),
        block(),
        up(),
        factor(),
        attention(),
        block(),
        up(),
        factor(),
        block(),
        SubpixelConvolution(channels, 3),
    )


def low_resolution_synthesis(
    widths: tuple[int, int], blocks: tuple[int, int], *, quality_factors: bool
) -> QualitySequential:
    """The mirror of ``low_resolution_analysis``: [N widths[1] H/16 W/16] -> [N 3 H W]."""
    eighth, sixteenth = widths
    return QualitySequential(
        QualityFactor(sixteenth) if quality_factors else None,
        *(PreactivatedBlock(sixteenth) for _ in range(blocks[1])),
        nn.LeakyReLU(GLLMM_SLOPE),
        SubpixelConvolution(sixteenth, eighth, 1),
        QualityFactor(eighth) if quality_factors else None,
        *(PreactivatedBlock(eighth) for _ in range(blocks[0])),
        nn.LeakyReLU(GLLMM_SLOPE),
        nn.Sequential(nn.Conv2d(eighth, 3 * EIGHTH**2, 3, padding=1), nn.PixelShuffle(EIGHTH)),
    )
