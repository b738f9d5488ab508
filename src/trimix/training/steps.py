"""Training steps: a batch of pictures becomes gradients. The loop knows a Step and nothing of losses or papers.

::

    Batch --> Step.backward --> .grad of the model's parameters, and of its auxiliary model's --> clip --> optimisers
                    `--> StepReport --> log
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import nn

from trimix.architectures.compression_model import CompressionModel, TrainingOutput
from trimix.shapes import Float, Tensor
from trimix.training.chosen_latents import encoder_latents
from trimix.training.config import ObjectiveConfig, PhaseConfig
from trimix.training.objective import RateDistortion, psnr_db, rate_distortion


@dataclass(frozen=True)
class Batch:
    """What one step is made of.

    Args:
        x: pictures in [0, 1].
        quality: 1..100, one for each picture; ignored by a model of one rate.
        noise: source of the noise of this step.
    """

    x: Float[Tensor, "N 3 H W"]
    quality: Float[Tensor, "N"]
    noise: torch.Generator


@dataclass(frozen=True)
class StepReport:
    """Means over the batch, detached scalars; reading one waits for the device.

    Args:
        loss: what the model minimised.
        bits_per_pixel: latents and hyper-latents.
        psnr_db: of the reconstruction, mean over pictures.
        source_entropy_bits_per_pixel: H_q(X | X_hat) on the 8-bit grid, or as the unit has it; None without q.
        gradient_ratio: rho, the gradient of the source entropy over that of the distortion; None without q.
        applied_alpha: weight of the source entropy in the loss; None without q.
    """

    loss: Float[Tensor, ""]
    bits_per_pixel: Float[Tensor, ""]
    psnr_db: Float[Tensor, ""]
    source_entropy_bits_per_pixel: Float[Tensor, ""] | None = None
    gradient_ratio: Float[Tensor, ""] | None = None
    applied_alpha: Float[Tensor, ""] | None = None


@dataclass
class AuxiliaryModel:
    """A module that is trained beside the model, with its own optimiser, and is not part of what is exported.

    Args:
        module: gets gradients from ``Step.backward``.
        optimizer: of its parameters.
        learning_rate: at the peak of a schedule; it follows that of the model in proportion.
        clip_norm: of its gradients.
    """

    module: nn.Module
    optimizer: torch.optim.Optimizer
    learning_rate: float
    clip_norm: float


@runtime_checkable
class Step(Protocol):
    """Turns batches into gradients."""

    auxiliary: AuxiliaryModel | None
    """What is trained beside the model, if anything."""

    def backward(self, model: nn.Module, batch: Batch, phase: PhaseConfig, share: float = 1.0) -> StepReport:
        """Add ``share`` times the gradients of one batch to those of the model's and the auxiliary model's parameters.

        Args:
            model: that is trained.
            batch: a whole batch, or an equal part of one.
            phase: how rounding is stood for.
            share: of this part in the whole batch.
        """
        ...

    def review(self, mean: StepReport) -> str | None:
        """Look at the means of many steps; returns a warning, if there is one.

        Raises:
            TrainingError: the run cannot go on like this.
        """
        ...


def draw_quality(objective: ObjectiveConfig, count: int, generator: torch.Generator) -> Float[Tensor, "N"]:
    """A quality for every picture of a batch, stratified: every batch spans the range.

    Args:
        objective: gives the range.
        count: pictures of the whole batch.
        generator: of the device on which they are drawn.
    """
    low, high = objective.quality_minimum, objective.quality_maximum
    device = generator.device
    share = torch.arange(count, device=device) + torch.rand(1, generator=generator, device=device)
    return low + (high - low) * (share / count)


class PlainStep:
    """R + lambda * D.

    Args:
        bare_model: gives lambda of a quality.
        objective: distortion and balance between rates.
    """

    auxiliary: AuxiliaryModel | None = None

    def __init__(self, bare_model: CompressionModel, objective: ObjectiveConfig) -> None:
        self._bare_model = bare_model
        self._objective = objective
        self._balance = objective.balance if bare_model.config.all_rates else 0.0

    def forward(self, model: nn.Module, batch: Batch, phase: PhaseConfig) -> tuple[TrainingOutput, RateDistortion]:
        """Output of the model and the parts of its objective, picture by picture."""
        is_chosen = phase.rounding == "chosen"
        further: dict[str, object] = {"linear_only": True} if phase.linear_only else {}
        if is_chosen:
            measure = self._objective.measure
            further["latents"] = encoder_latents(self._bare_model, batch.x, batch.quality, measure)
        output = model(
            batch.x, batch.quality, rounding="round" if is_chosen else phase.rounding, generator=batch.noise, **further
        )
        rate_distortion_lambda = self._bare_model.rate_distortion_lambda(batch.quality)
        return output, rate_distortion(batch.x, output, rate_distortion_lambda, self._balance, self._objective)

    def backward(self, model: nn.Module, batch: Batch, phase: PhaseConfig, share: float = 1.0) -> StepReport:
        """Gradients of the objective's mean."""
        _, parts = self.forward(model, batch, phase)
        loss = parts.loss.mean()
        (loss * share).backward()
        return report_of(parts)

    def review(self, mean: StepReport) -> str | None:
        """Nothing to say."""
        return None


def report_of(parts: RateDistortion) -> StepReport:
    """Means over the pictures."""
    return StepReport(
        parts.loss.detach().mean(),
        parts.bits_per_pixel.detach().mean(),
        psnr_db(parts.mean_squared_error.detach()).mean(),
    )
