"""The rate-distortion objective. Units are stated here once.

``R + lambda * D``: R in bits per pixel, D of ``distortion/measure.py``, where the units stand.

Where many rates share one model a picture's loss is divided by ``(lambda / lambda_0)^balance``, so that rates count by
their ratio and not by their difference; of one rate it is not. lambda_0 is a lambda of middling rate: 0.016 for the
squared errors, 20 for MS-SSIM, 0.034 for SSIMULACRA2.
"""

from dataclasses import dataclass

import torch

from trimix.architectures.compression_model import TrainingOutput
from trimix.distortion import Distortion, DistortionKind
from trimix.distortion.butteraugli import butteraugli
from trimix.distortion.differentiable import distortion_of
from trimix.shapes import Float, Tensor
from trimix.training.config import ObjectiveConfig

_LAMBDA_OF_WEIGHT_ONE: dict[DistortionKind, float] = {
    "mse": 0.016,
    "weighted-mse": 0.016,
    "ms-ssim": 20.0,
    "ssimulacra2": 0.034,
}
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
        rate_distortion_lambda: of every picture, in the unit of its distortion.
        balance: 0: rates count by their difference, 1: by their ratio.
    """
    pixels = x.shape[2] * x.shape[3]
    bits_per_pixel = (output.latent_bits + output.hyper_latent_bits) / pixels
    x_hat = output.reconstruction
    # Where it is not what is minimised only the value of the error is told; its graph would only hold memory.
    with torch.set_grad_enabled(torch.is_grad_enabled() and objective.distortion == "mse"):
        error = distortion_of(Distortion(), x, x_hat)
    measured = error if objective.distortion == "mse" else distortion_of(objective.measure, x, x_hat)
    if objective.butteraugli_weight:
        # It takes as long as the networks do: half of the pictures tell enough.
        seen = butteraugli(x[::2], x_hat[::2])
        share = objective.butteraugli_weight * len(x) / len(seen)
        measured = measured.index_add(0, torch.arange(0, len(x), 2, device=x.device), share * seen)
    weighted = rate_distortion_lambda * measured
    weight = (rate_distortion_lambda / _LAMBDA_OF_WEIGHT_ONE[objective.distortion]) ** -balance
    return RateDistortion(weight * (bits_per_pixel + weighted), bits_per_pixel, weighted, weight, error)


def psnr_db(mean_squared_error: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Peak signal-to-noise ratio of an error on the 0..255 scale, in dB.

    >>> import torch
    >>> round(psnr_db(torch.tensor(65.025)).item(), 4)
    30.0
    """
    return 10 * torch.log10(255.0**2 / mean_squared_error)
