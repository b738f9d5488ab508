"""D of batches of torch, differentiable: what training minimizes."""

from trimix.distortion.constants import HALF_A_STEP
from trimix.distortion.measure import Distortion
from trimix.distortion.ms_ssim import ms_ssim
from trimix.distortion.ssimulacra2 import ssimulacra2
from trimix.images.psnr import BT601_LUMA_WEIGHTS
from trimix.shapes import Float, Tensor


def distortion_of(
    measure: Distortion, x: Float[Tensor, "N 3 H W"], x_hat: Float[Tensor, "N 3 H W"]
) -> Float[Tensor, "N"]:
    """D of every picture of a batch, which can be differentiated by ``x_hat``.

    Args:
        measure: which D.
        x: pictures in [0, 1].
        x_hat: what came of them.

    >>> import torch
    >>> black = torch.zeros(1, 3, 2, 2)
    >>> round(distortion_of(Distortion(), black, black + 2 / 255).item(), 4)
    4.0
    """
    if measure.kind == "mse":
        # A sum, not a mean: the gradient of a mean is laid out anew, channel by channel, which is slow.
        return (x_hat - x).square().sum(dim=(1, 2, 3)) * (255.0**2 / x[0].numel())
    if measure.kind == "ms-ssim":
        return 1 - ms_ssim(x, x_hat)
    error = weighted_squared_error(x, x_hat, measure.luma_chroma_weights)
    if measure.kind == "weighted-mse":
        return error
    # A root has no slope at 0: errors that 8 bits would hide are not asked for.
    root = (error + HALF_A_STEP**2).sqrt() - HALF_A_STEP
    return 100 - ssimulacra2(x, x_hat, as_patches=True) + measure.squared_error_weight * root


def weighted_squared_error(
    x: Float[Tensor, "N 3 H W"], x_hat: Float[Tensor, "N 3 H W"], weights: tuple[float, float, float]
) -> Float[Tensor, "N"]:
    """Weighted mean of the squared errors of Y, Cb and Cr (ITU-R BT.601, full range) on the 0..255 scale.

    Args:
        x, x_hat: pictures, white is 1.
        weights: of Y, Cb and Cr; only their ratios count.

    >>> import torch
    >>> black, grey = torch.zeros(1, 3, 2, 2), torch.full((1, 3, 2, 2), 4 / 255)
    >>> round(weighted_squared_error(black, grey, (6.0, 1.0, 1.0)).item(), 4)
    12.0
    """
    red, green, blue = (x - x_hat).unbind(dim=1)
    of_red, of_green, of_blue = BT601_LUMA_WEIGHTS
    y = of_red * red + of_green * green + of_blue * blue
    planes = (y, (blue - y) / (2 - 2 * of_blue), (red - y) / (2 - 2 * of_red))
    errors = (plane.square().mean(dim=(1, 2)) for plane in planes)
    total = sum(weight * error for weight, error in zip(weights, errors, strict=True))
    return total * (255.0**2 / sum(weights))  # type: ignore[return-value]
