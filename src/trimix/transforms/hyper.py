"""Hyper transforms: latent -> hyper-latent at 1/4 of its resolution, and back to side features."""

from torch import nn

from trimix.layers.resampling import strided_convolution, subpixel_convolution, transposed_convolution
from trimix.layers.residual import GLLMM_SLOPE, SMALL_SLOPE
from trimix.shapes import Float, Tensor


def lite_hyper_analysis(latent_channels: int, width: int, hyper_channels: int) -> nn.Sequential:
    """h_a of ``gllmm-lite``: [N M h w] -> [N hyper_channels h/4 w/4]."""
    return nn.Sequential(
        nn.Conv2d(latent_channels, width, 3, padding=1),
        nn.LeakyReLU(GLLMM_SLOPE),
        nn.Conv2d(width, width, 3, stride=2, padding=1),
        nn.LeakyReLU(GLLMM_SLOPE),
        nn.Conv2d(width, hyper_channels, 3, stride=2, padding=1),
    )


def lite_hyper_synthesis(inputs: int, widths: tuple[int, int], side_channels: int) -> nn.Sequential:
    """h_s of ``gllmm-lite``: hyper-latent, and a quality plane if there is one [N inputs h/4 w/4] -> [N side h w]."""
    return nn.Sequential(
        subpixel_convolution(inputs, widths[0]),
        nn.LeakyReLU(GLLMM_SLOPE),
        subpixel_convolution(widths[0], widths[1]),
        nn.LeakyReLU(GLLMM_SLOPE),
        nn.Conv2d(widths[1], side_channels, 3, padding=1),
    )


class Absolute(nn.Module):
    """Magnitudes: what a hyperprior of scales alone looks at."""

    def forward(self, y: Float[Tensor, "N M h w"]) -> Float[Tensor, "N M h w"]:
        """Return ``|y|``."""
        return y.abs()


def scale_hyper_analysis(latent_channels: int, channels: int) -> nn.Sequential:
    """h_a of Ballé et al. 2018, of |y|: [N M h w] -> [N channels h/4 w/4]."""
    return nn.Sequential(
        Absolute(),
        nn.Conv2d(latent_channels, channels, 3, padding=1),
        nn.ReLU(),
        strided_convolution(channels, channels),
        nn.ReLU(),
        strided_convolution(channels, channels),
    )


def scale_hyper_synthesis(channels: int, latent_channels: int) -> nn.Sequential:
    """h_s of Ballé et al. 2018, to scales: [N channels h/4 w/4] -> [N M h w]."""
    return nn.Sequential(
        transposed_convolution(channels, channels),
        nn.ReLU(),
        transposed_convolution(channels, channels),
        nn.ReLU(),
        nn.Conv2d(channels, latent_channels, 3, padding=1),
        nn.ReLU(),
    )


def mean_scale_hyper_analysis(latent_channels: int, channels: int) -> nn.Sequential:
    """h_a of Minnen et al. 2018: [N M h w] -> [N channels h/4 w/4]."""
    return nn.Sequential(
        nn.Conv2d(latent_channels, channels, 3, padding=1),
        nn.LeakyReLU(SMALL_SLOPE),
        strided_convolution(channels, channels),
        nn.LeakyReLU(SMALL_SLOPE),
        strided_convolution(channels, channels),
    )


def mean_scale_hyper_synthesis(channels: int, latent_channels: int) -> nn.Sequential:
    """h_s of Minnen et al. 2018, to means and scales or features of them: [N channels h/4 w/4] -> [N 2M h w]."""
    wider = 3 * latent_channels // 2
    return nn.Sequential(
        transposed_convolution(channels, latent_channels),
        nn.LeakyReLU(SMALL_SLOPE),
        transposed_convolution(latent_channels, wider),
        nn.LeakyReLU(SMALL_SLOPE),
        nn.Conv2d(wider, 2 * latent_channels, 3, padding=1),
    )


def deep_hyper_analysis(channels: int, slope: float) -> nn.Sequential:
    """h_a of Cheng et al. 2020 and of GLLMM, five 3x3 convolutions: [N channels h w] -> [N channels h/4 w/4].

    Args:
        channels: N.
        slope: negative slope of the leaky ReLU.
    """
    return nn.Sequential(
        nn.Conv2d(channels, channels, 3, padding=1),
        nn.LeakyReLU(slope),
        nn.Conv2d(channels, channels, 3, padding=1),
        nn.LeakyReLU(slope),
        strided_convolution(channels, channels, 3),
        nn.LeakyReLU(slope),
        nn.Conv2d(channels, channels, 3, padding=1),
        nn.LeakyReLU(slope),
        strided_convolution(channels, channels, 3),
    )


def deep_hyper_synthesis(channels: int, slope: float, *, transposed: bool) -> nn.Sequential:
    """h_s of Cheng et al. 2020 and of GLLMM, five 3x3 convolutions: [N channels h/4 w/4] -> [N 2*channels h w].

    Args:
        channels: N.
        slope: negative slope of the leaky ReLU.
        transposed: steps up by transposed convolutions (GLLMM); otherwise by sub-pixel convolutions (Cheng et al.).
    """
    wider = 3 * channels // 2
    return nn.Sequential(
        nn.Conv2d(channels, channels, 3, padding=1),
        nn.LeakyReLU(slope),
        (transposed_convolution if transposed else subpixel_convolution)(channels, channels, 3),
        nn.LeakyReLU(slope),
        nn.Conv2d(channels, wider, 3, padding=1),
        nn.LeakyReLU(slope),
        (transposed_convolution if transposed else subpixel_convolution)(wider, wider, 3),
        nn.LeakyReLU(slope),
        nn.Conv2d(wider, 2 * channels, 3, padding=1),
    )
