"""MS-SSIM that can be differentiated: the distortion of models that are trained for how pictures look.

::

    x, x_hat --> cs_1 --> halve --> cs_2 --> halve --> cs_3 --> halve --> cs_4 --> halve --> ssim_5
                  |                  |                  |                  |                  |
                  '------------------'------------------'-- weighted geometric mean of each channel --> mean
"""

import math
from collections.abc import Iterator

import torch
from torch.nn import functional

from trimix.distortion.constants import (
    MS_SSIM_CONTRAST_STABILIZER,
    MS_SSIM_LUMINANCE_STABILIZER,
    MS_SSIM_REACH,
    MS_SSIM_SCALE_WEIGHTS,
    MS_SSIM_SMALLEST_FACTOR,
    MS_SSIM_WINDOW,
)
from trimix.distortion.windows import windowed_sums
from trimix.shapes import Float, Tensor


class _GaussianMean(torch.autograd.Function):
    """Weighted mean in an 11 x 11 window that stays inside the picture."""

    @staticmethod
    def forward(ctx, x: Float[Tensor, "C H W"]) -> Float[Tensor, "C h w"]:  # noqa: ANN001
        return windowed_sums(x, MS_SSIM_WINDOW, margin=0)

    @staticmethod
    def backward(ctx, gradient: Float[Tensor, "C h w"]) -> Float[Tensor, "C H W"]:  # noqa: ANN001
        return windowed_sums(gradient, MS_SSIM_WINDOW, margin=2 * MS_SSIM_REACH)


def ms_ssim(x: Float[Tensor, "N 3 H W"], x_hat: Float[Tensor, "N 3 H W"]) -> Float[Tensor, "N"]:
    """Multi-scale structural similarity of every picture, mean over the channels; in float32, also under autocast.

    prod_j cs_j^w_j (scales 1 .. 4) times ssim_5^w_5; cs = (2 s_xy + C2) / (s_x^2 + s_y^2 + C2),
    ssim = cs (2 m_x m_y + C1) / (m_x^2 + m_y^2 + C1), in an 11 x 11 Gaussian window of sigma 1.5 that stays inside
    the picture. Wang, Simoncelli and Bovik 2003.

    What is measured of a file counts negative factors as 0, where there is no gradient. Here a factor below 0.01 goes
    on as c -> 0.01 exp((c - 0.01) / 0.01): small, positive, and with a finite slope that leads out of there.
    Values beyond [0, 1] are taken as they are, so that the gradient leads back from there, too.

    Args:
        x: pictures in [0, 1], both sides at least 161 pixels.
        x_hat: what came of them; gets the gradient.

    >>> x = torch.linspace(0, 1, 161).expand(1, 3, 161, 161)
    >>> ms_ssim(x, x).item()
    1.0
    >>> round(ms_ssim(x, 0.9 * x).item(), 3)
    0.995
    """
    with torch.autocast(x.device.type, enabled=False):
        factors = _factors(*(_planes(pictures) for pictures in (x, x_hat)))
        logarithm = sum(
            weight * _bounded_logarithm(factor) for weight, factor in zip(MS_SSIM_SCALE_WEIGHTS, factors, strict=True)
        )
        return torch.as_tensor(logarithm).exp().view(x.shape[:2]).mean(dim=1)


def _factors(x: Float[Tensor, "C H W"], x_hat: Float[Tensor, "C H W"]) -> Iterator[Float[Tensor, "C"]]:
    """What every scale gives of each plane, finest first: cs of the first four, ssim of the last."""
    last = len(MS_SSIM_SCALE_WEIGHTS) - 1
    for scale in range(last + 1):
        yield _similarity(x, x_hat, with_luminance=scale == last)
        if scale < last:
            x, x_hat = _halve(x), _halve(x_hat)


def _planes(pictures: Float[Tensor, "N 3 H W"]) -> Float[Tensor, "C H W"]:
    if pictures.dtype in (torch.bfloat16, torch.float16):
        pictures = pictures.float()
    return pictures.contiguous().flatten(0, 1)


def _similarity(x: Float[Tensor, "C H W"], y: Float[Tensor, "C H W"], *, with_luminance: bool) -> Float[Tensor, "C"]:
    """Mean of ssim, or of cs alone, over each plane."""
    # Variances are differences of squares: about the mean of the plane these are small, and so is what rounding leaves.
    # They do not depend on what is subtracted, and so nor does the gradient.
    level_x, level_y = (plane.detach().mean(dim=(1, 2), keepdim=True) for plane in (x, y))
    x, y = x - level_x, y - level_y
    mean_x = _mean_in_window(x)
    mean_y, squares, product = _mean_in_window(torch.cat([y, x.square() + y.square(), x * y])).chunk(3)
    means_squared = mean_x.square() + mean_y.square()
    covariance = product - mean_x * mean_y
    similarity = (2 * covariance + MS_SSIM_CONTRAST_STABILIZER) / (
        squares - means_squared + MS_SSIM_CONTRAST_STABILIZER
    )
    if with_luminance:
        mean_x, mean_y = mean_x + level_x, mean_y + level_y
        similarity = (
            similarity
            * (2 * mean_x * mean_y + MS_SSIM_LUMINANCE_STABILIZER)
            / (mean_x.square() + mean_y.square() + MS_SSIM_LUMINANCE_STABILIZER)
        )
    return similarity.mean(dim=(1, 2))


def _mean_in_window(x: Float[Tensor, "C H W"]) -> Float[Tensor, "C h w"]:
    return _GaussianMean.apply(x)  # type: ignore[return-value]


def _halve(x: Float[Tensor, "C H W"]) -> Float[Tensor, "C h w"]:
    """Means of 2 x 2 pixels; an odd side is padded with zeros at both ends, as pytorch-msssim does."""
    return functional.avg_pool2d(x, 2, padding=(x.shape[1] % 2, x.shape[2] % 2))


def _bounded_logarithm(factor: Float[Tensor, "C"]) -> Float[Tensor, "C"]:
    """log c, and below 0.01 its tangent."""
    tangent = math.log(MS_SSIM_SMALLEST_FACTOR) + (factor - MS_SSIM_SMALLEST_FACTOR) / MS_SSIM_SMALLEST_FACTOR
    return torch.where(factor > MS_SSIM_SMALLEST_FACTOR, factor.clamp(min=MS_SSIM_SMALLEST_FACTOR).log(), tangent)
