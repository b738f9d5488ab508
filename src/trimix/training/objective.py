"""The rate-distortion objective. Units are stated here once.

``R + lambda * D``: R in bits per pixel (latents and hyper-latents), D the mean squared error over pixels and
channels on the 0..255 scale. Where many rates share one model a picture's loss is divided by
``(lambda / 0.016)^balance``, so that rates count by their ratio and not by their difference; of one rate it is not.
"""

from dataclasses import dataclass

import torch

from trimix.models.training_output import TrainingOutput
from trimix.shapes import Float, Tensor

_LAMBDA_OF_WEIGHT_ONE = 0.016


@dataclass(frozen=True)
class RateDistortion:
    """The parts of the objective, one value a picture.

    Args:
        loss: what is minimised, before the mean: weight times (R + lambda * D).
        bits_per_pixel: R, latents and hyper-latents.
        weighted_distortion: lambda * D.
        weight: of the picture in its batch; 1 in a model of one rate.
        mean_squared_error: on the 0..255 scale.
    """

    loss: Float[Tensor, "N"]
    bits_per_pixel: Float[Tensor, "N"]
    weighted_distortion: Float[Tensor, "N"]
    weight: Float[Tensor, "N"]
    mean_squared_error: Float[Tensor, "N"]


def rate_distortion(
    x: Float[Tensor, "N 3 H W"],
    output: TrainingOutput,
    rate_distortion_lambda: Float[Tensor, "N"],
    balance: float,
) -> RateDistortion:
    """R + lambda * 255^2 * MSE of every picture, divided by (lambda / 0.016)^balance."""
    pixels = x.shape[2] * x.shape[3]
    bits_per_pixel = (output.latent_bits + output.hyper_latent_bits) / pixels
    error = (x - output.reconstruction).square().mean(dim=(1, 2, 3)) * 255.0**2
    distortion = rate_distortion_lambda * error
    weight = (rate_distortion_lambda / _LAMBDA_OF_WEIGHT_ONE) ** -balance
    return RateDistortion(weight * (bits_per_pixel + distortion), bits_per_pixel, distortion, weight, error)


def psnr_db(mean_squared_error: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Peak signal-to-noise ratio of an error on the 0..255 scale, in dB.

    >>> import torch
    >>> round(psnr_db(torch.tensor(65.025)).item(), 4)
    30.0
    """
    return 10 * torch.log10(255.0**2 / mean_squared_error)
