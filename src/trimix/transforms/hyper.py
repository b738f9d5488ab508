"""Hyper transforms: latent -> hyper-latent at 1/4 of its resolution, and back to side features.

Analysis is [N M h w] -> [N Z h/4 w/4], synthesis [N Z h/4 w/4] -> [N side h w].
"""

from torch import nn

from trimix.layers.resampling import SubpixelConvolution, strided_convolution, transposed_convolution
from trimix.layers.residual import GLLMM_SLOPE, SMALL_SLOPE
from trimix.shapes import Float, Tensor


def _rectified(slope: float, *convolutions: nn.Module) -> nn.Sequential:
    """Convolutions with leaky ReLU between them; of slope 0, ReLU."""
    layers: list[nn.Module] = []
    for convolution in convolutions:
        layers += [convolution, nn.LeakyReLU(slope) if slope else nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def _same(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)


def lite_hyper_analysis(latent_channels: int, width: int, hyper_channels: int) -> nn.Sequential:
    """h_a of ``gllmm-lite``."""
    return _rectified(
        GLLMM_SLOPE,
        _same(latent_channels, width),
        strided_convolution(width, width, 3),
        strided_convolution(width, hyper_channels, 3),
    )


def lite_hyper_synthesis(inputs: int, widths: tuple[int, int], side_channels: int) -> nn.Sequential:
    """h_s of ``gllmm-lite``: of the hyper-latent, and of a quality plane if there is one."""
    return _rectified(
        GLLMM_SLOPE,
        SubpixelConvolution(inputs, widths[0]),
        SubpixelConvolution(*widths),
        _same(widths[1], side_channels),
    )


class Absolute(nn.Module):
    """Magnitudes: what a hyperprior of scales alone looks at."""

    def forward(self, y: Float[Tensor, "N M h w"]) -> Float[Tensor, "N M h w"]:
        """Return ``|y|``."""
        return y.abs()


def scale_hyper_analysis(latent_channels: int, channels: int) -> nn.Sequential:
    """h_a of Ballé et al. 2018, of |y|."""
    layers = _same(latent_channels, channels), *(strided_convolution(channels, channels) for _ in range(2))
    return nn.Sequential(Absolute(), *_rectified(0, *layers))


def scale_hyper_synthesis(channels: int, latent_channels: int) -> nn.Sequential:
    """h_s of Ballé et al. 2018, to scales."""
    layers = *(transposed_convolution(channels, channels) for _ in range(2)), _same(channels, latent_channels)
    return nn.Sequential(*_rectified(0, *layers), nn.ReLU())


def mean_scale_hyper_analysis(latent_channels: int, channels: int) -> nn.Sequential:
    """h_a of Minnen et al. 2018."""
    layers = _same(latent_channels, channels), *(strided_convolution(channels, channels) for _ in range(2))
    return _rectified(SMALL_SLOPE, *layers)


def mean_scale_hyper_synthesis(channels: int, latent_channels: int) -> nn.Sequential:
    """h_s of Minnen et al. 2018, to means and scales or 2 M features of them."""
    wider = 3 * latent_channels // 2
    return _rectified(
        SMALL_SLOPE,
        transposed_convolution(channels, latent_channels),
        transposed_convolution(latent_channels, wider),
        _same(wider, 2 * latent_channels),
    )


def deep_hyper_analysis(channels: int, slope: float) -> nn.Sequential:
    """h_a of Cheng et al. 2020 and of GLLMM, five 3x3 convolutions, with a negative slope of the leaky ReLU."""
    n = channels
    return _rectified(
        slope, _same(n, n), _same(n, n), strided_convolution(n, n, 3), _same(n, n), strided_convolution(n, n, 3)
    )


def deep_hyper_synthesis(channels: int, slope: float, *, transposed: bool) -> nn.Sequential:
    """h_s of Cheng et al. 2020 and of GLLMM, five 3x3 convolutions, to 2 N side features.

    Args:
        transposed: steps up by transposed convolutions (GLLMM); otherwise by sub-pixel convolutions (Cheng et al.).
    """
    n, wider = channels, 3 * channels // 2
    up = transposed_convolution if transposed else SubpixelConvolution
    return _rectified(slope, _same(n, n), up(n, n, 3), _same(n, wider), up(wider, wider, 3), _same(wider, 2 * n))
