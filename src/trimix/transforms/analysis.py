"""Analysis transforms g_a: picture -> latent at 1/16 of the resolution."""

from collections.abc import Callable, Sequence

import torch
from torch import nn

from trimix.layers.attention import Attention
from trimix.layers.gdn import GeneralizedDivisiveNormalization
from trimix.layers.quality import QualityFactor, QualitySequential, in_series
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


class LinearPathAnalysis(nn.Module):
    """A linear block transform plus what a learned branch adds to it.

    ::

        x [3 H W] --+--> Karhunen-Loeve 16x16, stride 16 --(+)--> y [M H/16 W/16]
                    |                                       ^
                    `--> branch(x, q) ----------------------'

    Coefficients are in units of an 8-bit picture (0..255). The branch starts at or near zero.

    Args:
        latent_channels: M.
        lapped_channels: of them, the first whose linear filters reach into the neighbouring blocks.
        branch_gain: scale of what the branch adds.
    """

    def __init__(self, latent_channels: int, lapped_channels: int, branch_gain: float) -> None:
        super().__init__()
        self.branch_gain = branch_gain
        self.linear = LinearAnalysis(latent_channels, LATENT_STRIDE, lapped_channels)

    def branch(self) -> Sequence[nn.Module]:
        """Its layers in series."""
        raise NotImplementedError

    def forward(
        self, x: Float[Tensor, "N 3 H W"], quality: Float[Tensor, "N"] | None = None, *, linear_only: bool = False
    ) -> Float[Tensor, "N M h w"]:
        """Latent of a picture in [0, 1] whose sides are multiples of 16."""
        linear = 255.0 * self.linear(x)
        if linear_only:
            return linear
        return linear + self.branch_gain * in_series(self.branch(), x, quality).float()


class Centre(nn.Module):
    """Pixels around zero."""

    def forward(self, x: Float[Tensor, "N 3 H W"]) -> Float[Tensor, "N 3 H W"]:
        """Return ``x - 0.5``."""
        return x - 0.5


class LiteAnalysis(LinearPathAnalysis):
    """g_a of ``gllmm-lite``; ``f(q)`` scales channels with the quality.

    ::

        branch    conv/2 -> conv/2 -> f(q) CRM -> conv/2 -> f(q) CRM -> conv/2 -> f(q) CRM -> 1x1

    Args:
        widths: channels at 1/2, 1/4, 1/8 and 1/16 of the resolution.
    """

    def __init__(self, widths: tuple[int, int, int, int], latent_channels: int, lapped_channels: int = 0) -> None:
        super().__init__(latent_channels, lapped_channels, branch_gain=16.0)
        half, quarter, eighth, sixteenth = widths
        self.centre = Centre()
        self.activation = nn.LeakyReLU(GLLMM_SLOPE, inplace=True)
        self.to_half = strided_convolution(3, half)
        self.to_quarter = strided_convolution(half, quarter)
        self.to_eighth = strided_convolution(quarter, eighth)
        self.to_sixteenth = strided_convolution(eighth, sixteenth)
        self.quality_factors = nn.ModuleList(QualityFactor(c) for c in widths[1:])
        self.modules_at = nn.ModuleList(ConcatenatedResidualModule(c) for c in widths[1:])
        self.to_latent = nn.Conv2d(sixteenth, latent_channels, 1)
        with torch.no_grad():
            self.to_latent.weight.mul_(0.1)
            self.to_latent.bias.zero_()  # type: ignore[union-attr]

    def branch(self) -> Sequence[nn.Module]:
        """Its layers in series."""
        downs = (self.to_quarter, self.to_eighth, self.to_sixteenth)
        stages = zip(downs, self.quality_factors, self.modules_at, strict=True)
        further = [layer for down, factor, module in stages for layer in (down, self.activation, factor, module)]
        return (self.centre, self.to_half, self.activation, *further, self.to_latent)


class NetworkAnalysis(LinearPathAnalysis):
    """A network beside the linear path, and a 1x1 convolution from its N features at 1/16, which starts at zero.

    Args:
        network: picture and quality -> features.
    """

    def __init__(
        self, network: QualitySequential, channels: int, latent_channels: int, lapped_channels: int = 0
    ) -> None:
        super().__init__(latent_channels, lapped_channels, branch_gain=1.6)
        self.network = network
        self.to_latent = nn.Conv2d(channels, latent_channels, 1)
        start_at_zero(self.to_latent)

    def branch(self) -> Sequence[nn.Module]:
        """Its layers in series."""
        return (self.network, self.to_latent)


def gdn_analysis(channels: int, latent_channels: int) -> QualitySequential:
    """g_a of Ballé et al. 2018 and Minnen et al. 2018: four 5x5 convolutions of stride 2, GDN between them."""
    layers: list[nn.Module] = []
    for inputs in (3, channels, channels):
        layers += [strided_convolution(inputs, channels), GeneralizedDivisiveNormalization(channels)]
    return QualitySequential(*layers, strided_convolution(channels, latent_channels))


def residual_analysis(channels: int, *, attention: bool) -> QualitySequential:
    """g_a of Cheng et al. 2020: residual blocks with small convolutions; without attention the paper's anchor."""
    return _steps_down(
        channels,
        SMALL_SLOPE,
        block=lambda: ResidualBlock(channels, SMALL_SLOPE),
        attention=lambda: Attention(channels, rectified=True) if attention else None,
    )


def gllmm_analysis(
    channels: int, stages: int, *, concatenated: bool, attention: bool, quality_factors: bool = False
) -> QualitySequential:
    """g_a of GLLMM (Fu et al. 2023, Fig. 2).

    Args:
        stages: residual blocks of a module.
        concatenated: a shortcut around every module (CRM).
        quality_factors: factors of the channels after each step down, which follow the quality (ours).
    """
    return _steps_down(
        channels,
        GLLMM_SLOPE,
        block=lambda: residual_module(channels, stages, concatenated=concatenated),
        attention=lambda: Attention(channels) if attention else None,
        factor=lambda: QualityFactor(channels) if quality_factors else None,
        last_bias=False,
    )


def _steps_down(
    channels: int,
    slope: float,
    block: Callable[[], nn.Module],
    attention: Callable[[], nn.Module | None],
    factor: Callable[[], nn.Module | None] = lambda: None,
    *,
    last_bias: bool = True,
) -> QualitySequential:
    """Residual modules between the steps down, attention at 1/4 and 1/16."""
    return QualitySequential(
        DownsamplingBlock(3, channels, slope),
        factor(),
        block(),
        DownsamplingBlock(channels, channels, slope),
        factor(),
        attention(),
        block(),
        DownsamplingBlock(channels, channels, slope),
        factor(),
        block(),
        strided_convolution(channels, channels, 3, bias=last_bias),
        attention(),
    )


class SpaceToDepth(nn.Module):
    """Pixels of blocks of a picture as channels, around zero: [N 3 H W] -> [N 3 factor^2 H/factor W/factor]."""

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
    return QualitySequential(
        SpaceToDepth(EIGHTH),
        nn.Conv2d(3 * EIGHTH**2, eighth, 3, padding=1),
        QualityFactor(eighth) if quality_factors else None,
        *(PreactivatedBlock(eighth) for _ in range(blocks[0])),
        nn.LeakyReLU(GLLMM_SLOPE),
        nn.Conv2d(eighth, sixteenth, 2, stride=2),
        QualityFactor(sixteenth) if quality_factors else None,
        *(PreactivatedBlock(sixteenth) for _ in range(blocks[1])),
        nn.LeakyReLU(GLLMM_SLOPE),
    )
