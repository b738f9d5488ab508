"""Analysis transforms g_a: picture -> latent at 1/16 of the resolution."""

import torch
from torch import nn

from trimix.layers.quality import QualityFactor
from trimix.layers.resampling import strided_convolution
from trimix.layers.residual import GLLMM_SLOPE, ConcatenatedResidualModule
from trimix.shapes import Float, Tensor
from trimix.transforms.karhunen_loeve import LinearAnalysis

LATENT_STRIDE = 16
"""Pixels a side of one latent position."""


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
        branch_gain: scale of the learned branch; its last layer starts near zero.
    """

    def __init__(
        self, widths: tuple[int, int, int, int], latent_channels: int, branch_gain: float = 16.0
    ) -> None:
        super().__init__()
        half, quarter, eighth, sixteenth = widths
        self.branch_gain = branch_gain
        self.linear = LinearAnalysis(latent_channels, LATENT_STRIDE)
        self.activation = nn.LeakyReLU(GLLMM_SLOPE)
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
