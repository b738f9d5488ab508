"""Hyper transforms: latent -> hyper-latent at 1/4 of its resolution, and back to side features."""

from torch import nn

from trimix.layers.resampling import subpixel_convolution
from trimix.layers.residual import GLLMM_SLOPE

HYPER_STRIDE = 4
"""Latent positions a side of one hyper-latent position."""


def lite_hyper_analysis(latent_channels: int, width: int, hyper_channels: int) -> nn.Sequential:
    """h_a of ``gllmm-lite``: [N M h w] -> [N hyper_channels h/4 w/4]."""
    return nn.Sequential(
        nn.Conv2d(latent_channels, width, 3, padding=1),
        nn.LeakyReLU(GLLMM_SLOPE),
        nn.Conv2d(width, width, 3, stride=2, padding=1),
        nn.LeakyReLU(GLLMM_SLOPE),
        nn.Conv2d(width, hyper_channels, 3, stride=2, padding=1),
    )


def lite_hyper_synthesis(hyper_channels: int, widths: tuple[int, int], side_channels: int) -> nn.Sequential:
    """h_s of ``gllmm-lite``: hyper-latent and quality plane [N hyper_channels+1 h/4 w/4] -> [N side_channels h w]."""
    return nn.Sequential(
        subpixel_convolution(hyper_channels + 1, widths[0]),
        nn.LeakyReLU(GLLMM_SLOPE),
        subpixel_convolution(widths[0], widths[1]),
        nn.LeakyReLU(GLLMM_SLOPE),
        nn.Conv2d(widths[1], side_channels, 3, padding=1),
    )
