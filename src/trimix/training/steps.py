"""Training steps. The loop knows a Step and nothing of losses or papers."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import nn

from trimix.models.building import TrainableModel
from trimix.shapes import Float, Tensor
from trimix.training.config import ObjectiveConfig, PhaseConfig
from trimix.training.objective import psnr_db, rate_distortion


@dataclass(frozen=True)
class StepReport:
    """Means over the batch, detached."""

    loss: float
    bits_per_pixel: float
    psnr_db: float


@runtime_checkable
class Step(Protocol):
    """Turns a batch into a loss to be differentiated, and what is worth showing."""

    def __call__(
        self, model: nn.Module, x: Tensor, phase: PhaseConfig, generator: torch.Generator
    ) -> tuple[Tensor, StepReport]:
        """Loss (scalar) and report of one batch."""
        ...


class PlainStep:
    """R + lambda * D; at a random quality for every picture where the model covers all rates.

    Args:
        bare_model: gives lambda of a quality; the model that is called may be wrapped around it.
        objective: range of qualities and balance between them.
    """

    def __init__(self, bare_model: TrainableModel, objective: ObjectiveConfig) -> None:
        self._bare_model = bare_model
        self._objective = objective
        self._balance = objective.balance if bare_model.config.all_rates else 0.0

    def __call__(
        self,
        model: nn.Module,
        x: Float[Tensor, "N 3 H W"],
        phase: PhaseConfig,
        generator: torch.Generator,
    ) -> tuple[Tensor, StepReport]:
        """Loss (scalar) and report of one batch."""
        low, high = self._objective.quality_minimum, self._objective.quality_maximum
        # Stratified: every batch spans the range.
        share = torch.arange(len(x), device=x.device) + torch.rand(1, generator=generator, device=x.device)
        quality = low + (high - low) * (share / len(x))
        output = model(
            x,
            quality,
            rounding=phase.rounding,
            generator=generator,
            **({"linear_only": True} if phase.linear_only else {}),
        )
        rate_distortion_lambda = self._bare_model.rate_distortion_lambda(quality)
        parts = rate_distortion(x, output, rate_distortion_lambda, self._balance)
        loss = parts.loss.mean()
        report = StepReport(
            float(loss.detach()),
            float(parts.bits_per_pixel.detach().mean()),
            float(psnr_db(parts.mean_squared_error.detach()).mean()),
        )
        return loss, report
