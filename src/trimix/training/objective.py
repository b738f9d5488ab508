"""The rate-distortion objective. Units are stated here once.

``R + lambda * D``: R in bits per pixel (latents and hyper-latents), and D one of

============  ============================================================================================
mse           mean squared error over pixels and channels, on the 0..255 scale
weighted-mse  the same with weights of Y, Cb and Cr, divided by their sum
ms-ssim       1 - MS-SSIM
ssimulacra2   points of SSIMULACRA2 lost, 100 - score, plus squared_error_weight times the root of weighted-mse
============  ============================================================================================

Where the rate doubles the root shrinks about as much as the points lost: its part in the last is much the same at all
rates. It holds what the score hardly sees, colour that drifts and flat areas that are no longer flat.

Where many rates share one model a picture's loss is divided by ``(lambda / lambda_0)^balance``, so that rates count by
their ratio and not by their difference; of one rate it is not. lambda_0 is a lambda of middling rate: 0.016 for the
squared errors, 20 for MS-SSIM, 0.034 for SSIMULACRA2.
"""

from dataclasses import dataclass

import torch

from trimix.architectures.training_output import TrainingOutput
from trimix.images.colour import BT601_LUMA_WEIGHTS
from trimix.shapes import Float, Tensor
from trimix.training.config import Distortion, ObjectiveConfig
from trimix.training.ms_ssim import ms_ssim
from trimix.training.ssimulacra2 import ssimulacra2

_LAMBDA_OF_WEIGHT_ONE: dict[Distortion, float] = {
    "mse": 0.016,
    "weighted-mse": 0.016,
    "ms-ssim": 20.0,
    "ssimulacra2": 0.034,
}
_HALF_A_STEP = 0.5
_SQUARED_ERROR = ObjectiveConfig()


@dataclass(frozen=True)
class RateDistortion:
    """The parts of the objective, one value a picture.

    Args:
        loss: what is minimised, before the mean: weight times (R + lambda * D).
        bits_per_pixel: R, latents and hyper-latents.
        weighted_distortion: lambda * D, whichever distortion that is.
        weight: of the picture in its batch; 1 in a model of one rate.
        mean_squared_error: on the 0..255 scale, also where it is not what is minimised.
    """

    loss: Float[Tensor, "N"]
    bits_per_pixel: Float[Tensor, "N"]
    weighted_distortion: Float[Tensor, "N"]
    weight: Float[Tensor, "N"]
    mean_squared_error: Float[Tensor, "N"]

    @property
    def distortion_in_loss(self) -> Float[Tensor, ""]:
        """The distortion's part of the mean loss."""
        return (self.weight * self.weighted_distortion).mean()


def rate_distortion(
    x: Float[Tensor, "N 3 H W"],
    output: TrainingOutput,
    rate_distortion_lambda: Float[Tensor, "N"],
    balance: float,
    objective: ObjectiveConfig = _SQUARED_ERROR,
) -> RateDistortion:
    """R + lambda * D of every picture, divided by (lambda / lambda_0)^balance.

    Args:
        x: pictures in [0, 1]; both sides have at least 161 pixels for MS-SSIM, 128 for SSIMULACRA2.
        output: what the model made of them.
        rate_distortion_lambda: of every picture, in the unit of its distortion.
        balance: 0: rates count by their difference, 1: by their ratio.
        objective: says what D is.
    """
    pixels = x.shape[2] * x.shape[3]
    bits_per_pixel = (output.latent_bits + output.hyper_latent_bits) / pixels
    x_hat = output.reconstruction
    # Where it is not what is minimised only the value of the error is told; its graph would only hold memory.
    with torch.set_grad_enabled(torch.is_grad_enabled() and objective.distortion == "mse"):
        # A sum, not a mean: the gradient of a mean is laid out anew, channel by channel, and all that follow are slow.
        error = (x_hat - x).square().sum(dim=(1, 2, 3)) * (255.0**2 / x[0].numel())
    weighted = rate_distortion_lambda * (
        error if objective.distortion == "mse" else _distortion(x, x_hat, objective)
    )
    weight = (rate_distortion_lambda / _LAMBDA_OF_WEIGHT_ONE[objective.distortion]) ** -balance
    return RateDistortion(weight * (bits_per_pixel + weighted), bits_per_pixel, weighted, weight, error)


def _distortion(
    x: Float[Tensor, "N 3 H W"], x_hat: Float[Tensor, "N 3 H W"], objective: ObjectiveConfig
) -> Float[Tensor, "N"]:
    if objective.distortion == "ms-ssim":
        return 1 - ms_ssim(x, x_hat)
    error = weighted_squared_error(x, x_hat, objective.luma_chroma_weights)
    if objective.distortion == "weighted-mse":
        return error
    # A root has no slope at 0: errors that 8 bits would hide are not asked for.
    root = (error + _HALF_A_STEP**2).sqrt() - _HALF_A_STEP
    return 100 - ssimulacra2(x, x_hat, as_patches=True) + objective.squared_error_weight * root


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


def psnr_db(mean_squared_error: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Peak signal-to-noise ratio of an error on the 0..255 scale, in dB.

    >>> import torch
    >>> round(psnr_db(torch.tensor(65.025)).item(), 4)
    30.0
    """
    return 10 * torch.log10(255.0**2 / mean_squared_error)
