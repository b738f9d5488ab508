"""Measuring a model on the validation crops."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from trimix.architectures.compression_model import CompressionModel
from trimix.distortion.differentiable import differentiable
from trimix.distortion.ssimulacra2 import ssimulacra2_and_slope
from trimix.layers.quality import QUALITY_MAXIMUM
from trimix.shapes import Float, Tensor
from trimix.training.config import ObjectiveConfig
from trimix.training.objective import psnr_db, rate_distortion

VALIDATION_QUALITIES = (5.0, 20.0, 35.0, 50.0, 65.0, 80.0, 95.0)
VALIDATION_SIZE = 256
_BATCH = 8
_SQUARED_ERROR = ObjectiveConfig()


@dataclass(frozen=True)
class ValidationRow:
    """Means over the crops, on rounded latents.

    Args:
        quality: of a model of all rates; its highest for one of one rate.
        bits_per_pixel: latents and hyper-latents.
        psnr_db: of the reconstruction, clamped to [0, 1].
        objective: R + lambda * D, without weights of pictures.
        ssimulacra2: score as it is measured of whole pictures; None where that is not the distortion.
    """

    quality: float
    bits_per_pixel: float
    psnr_db: float
    objective: float
    ssimulacra2: float | None = None

    @property
    def summary(self) -> str:
        """In a line of a report.

        >>> ValidationRow(50.0, 0.7115, 31.107, 1.0, 51.727).summary
        '0.712 bpp 31.11 dB 51.73 points'
        """
        points = "" if self.ssimulacra2 is None else f" {self.ssimulacra2:.2f} points"
        return f"{self.bits_per_pixel:.3f} bpp {self.psnr_db:.2f} dB{points}"


@torch.no_grad()
def validate(
    model: CompressionModel,
    crops: Float[Tensor, "N 3 H W"],
    *,
    objective: ObjectiveConfig = _SQUARED_ERROR,
    linear_only: bool,
    between_batches: Callable[[], None] = lambda: None,
) -> list[ValidationRow]:
    """Measure on rounded latents: a row for each quality, or one for a model of one rate."""
    was_training = model.training
    model.eval()
    rows = []
    for quality in VALIDATION_QUALITIES if model.config.all_rates else (QUALITY_MAXIMUM,):
        bits, decibels, objectives, scores = [], [], [], []
        for x in crops.split(_BATCH):
            between_batches()
            qualities = torch.full((len(x),), quality, device=x.device)
            output = model(x, qualities, rounding="round", linear_only=linear_only)
            output = replace(output, reconstruction=output.reconstruction.clamp(0, 1))
            lambdas = model.rate_distortion_lambda(qualities)
            parts = rate_distortion(x, output, lambdas, balance=0.0, objective=objective)
            bits.append(parts.bits_per_pixel)
            decibels.append(psnr_db(parts.mean_squared_error))
            objectives.append(parts.bits_per_pixel + parts.weighted_distortion)
            if objective.distortion == "ssimulacra2":
                scores.append(differentiable(ssimulacra2_and_slope, x, output.reconstruction))
        measured = [bits, decibels, objectives, *([scores] if scores else [])]
        means = (float(torch.cat(values).mean()) for values in measured)
        rows.append(ValidationRow(quality, *means))
    model.train(was_training)
    return rows
