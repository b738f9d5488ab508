"""Measuring a model on the validation crops."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from trimix.layers.quality import QUALITY_MAXIMUM
from trimix.models.building import TrainableModel
from trimix.shapes import Float, Tensor
from trimix.training.config import Distortion
from trimix.training.objective import psnr_db, rate_distortion

VALIDATION_QUALITIES = (5.0, 20.0, 35.0, 50.0, 65.0, 80.0, 95.0)
VALIDATION_SIZE = 256
_BATCH = 8


@dataclass(frozen=True)
class ValidationRow:
    """Means over the crops, on rounded latents.

    Args:
        quality: of a model of all rates; its highest for one of one rate.
        bits_per_pixel: latents and hyper-latents.
        psnr_db: of the reconstruction, clamped to [0, 1].
        objective: R + lambda * D, without weights of pictures.
    """

    quality: float
    bits_per_pixel: float
    psnr_db: float
    objective: float


@torch.no_grad()
def validate(
    model: TrainableModel,
    crops: Float[Tensor, "N 3 H W"],
    *,
    distortion: Distortion = "mse",
    linear_only: bool,
    between_batches: Callable[[], None] = lambda: None,
) -> list[ValidationRow]:
    """Measure on rounded latents: a row for each quality, or one for a model of one rate."""
    was_training = model.training
    model.eval()
    rows = []
    options = {"linear_only": True} if linear_only else {}
    for quality in VALIDATION_QUALITIES if model.config.all_rates else (QUALITY_MAXIMUM,):
        bits, decibels, objectives = [], [], []
        for x in crops.split(_BATCH):
            between_batches()
            qualities = torch.full((len(x),), quality, device=x.device)
            output = model(x, qualities, rounding="round", **options)
            output = replace(output, reconstruction=output.reconstruction.clamp(0, 1))
            lambdas = model.rate_distortion_lambda(qualities)
            parts = rate_distortion(x, output, lambdas, balance=0.0, distortion=distortion)
            bits.append(parts.bits_per_pixel)
            decibels.append(psnr_db(parts.mean_squared_error))
            objectives.append(parts.bits_per_pixel + parts.weighted_distortion)
        means = (float(torch.cat(values).mean()) for values in (bits, decibels, objectives))
        rows.append(ValidationRow(quality, *means))
    model.train(was_training)
    return rows
