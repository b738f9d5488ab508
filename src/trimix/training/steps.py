"""Training steps: a batch of pictures becomes gradients. The loop knows a Step and nothing of losses or papers.

::

    Batch --> Step.backward --> .grad of the model's parameters, and of its auxiliary model's --> clip --> optimisers
                    `--> StepReport --> log

    batch of a step   |--------- device 0 ---------|--------- device 1 ---------|
    its parts         |-- shard 0 --|-- shard 1 --|-- shard 2 --|-- shard 3 --|     accumulation = 2

Pictures and qualities are drawn for the whole batch, the noise shard by shard; all are functions of (configuration,
step) alone.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import nn

from trimix.architectures.compression_model import CompressionModel, TrainingOutput
from trimix.errors import ConfigurationError
from trimix.layers.quality import QUALITY_MAXIMUM, QUALITY_MINIMUM
from trimix.shapes import Float, Tensor
from trimix.training.chosen_latents import encoder_latents
from trimix.training.config import ObjectiveConfig, PhaseConfig, TrainingConfig
from trimix.training.devices import Devices
from trimix.training.objective import RateDistortion, psnr_db, rate_distortion
from trimix.training.patches import PatchSampler


@dataclass(frozen=True)
class Batch:
    """What one step is made of.

    Args:
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

    def read(self) -> dict[str, float]:
        """The numbers by name; waits for the device, once."""
        named = {name: value for name, value in vars(self).items() if value is not None}
        return dict(zip(named, torch.stack(list(named.values())).tolist(), strict=True))


def mean_report(
    reports: Sequence[StepReport], devices: Devices | None = None, *, finite_only: bool = False
) -> StepReport:
    """Mean of every number; what one report lacks, all lack.

    Args:
        devices: over which the mean is taken, too, all of them at once; None for this one alone.
        finite_only: leave numbers out that are not finite, as steps were left out that had them.

    >>> one, other = (StepReport(*torch.tensor([loss, 0.5, 30.0])) for loss in (1.0, 3.0))
    >>> mean_report([one, other]).loss
    tensor(2.)
    """
    names = [field.name for field in fields(StepReport) if getattr(reports[0], field.name) is not None]
    table = torch.stack([torch.stack([getattr(report, name) for name in names]) for report in reports])
    means = torch.where(table.isfinite(), table, math.nan).nanmean(dim=0) if finite_only else table.mean(dim=0)
    if devices is not None:
        means = devices.mean(means)
    return StepReport(**dict(zip(names, means, strict=True)))


@dataclass
class AuxiliaryModel:
    """A module that is trained beside the model, with its own optimiser, and is not part of what is exported.

    Args:
        learning_rate: at the peak of a schedule; it follows that of the model in proportion.
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

    def backward(self, model: CompressionModel, batch: Batch, phase: PhaseConfig, share: float = 1.0) -> StepReport:
        """Add ``share`` times the gradients of a part of a batch to those of model and auxiliary model."""
        ...

    def review(self, mean: StepReport) -> str | None:
        """Look at the means of many steps; returns a warning, if there is one.

        Raises:
            TrainingError: the run cannot go on like this.
        """
        ...


def draw_quality(count: int, generator: torch.Generator) -> Float[Tensor, "N"]:
    """A quality for every picture of a whole batch, stratified: every batch spans the range."""
    device = generator.device
    share = torch.arange(count, device=device) + torch.rand(1, generator=generator, device=device)
    return QUALITY_MINIMUM + (QUALITY_MAXIMUM - QUALITY_MINIMUM) * (share / count)


def check_parts(config: TrainingConfig, devices: Devices) -> None:
    """Check that batches have equal parts.

    Raises:
        ConfigurationError: one has not.
    """
    for phase in config.phases:
        if phase.batch_size % (devices.count * phase.accumulation):
            raise ConfigurationError(
                f"batch_size must be a multiple of devices times accumulation, found {phase.batch_size} and "
                f"{devices.count} * {phase.accumulation} in the phase {phase.name}; change one of them"
            )


def parts_of_batch(
    sampler: PatchSampler, config: TrainingConfig, phase: PhaseConfig, step: int, devices: Devices
) -> Iterator[Batch]:
    """This device's parts of the batch of a step, equal in size."""
    share = phase.batch_size // devices.count
    mine = range(devices.rank * share, (devices.rank + 1) * share)
    pictures = sampler.batch(step, phase.batch_size, phase.patch_size, mine)
    pictures = pictures.to(devices.device, memory_format=torch.channels_last)
    generator = torch.Generator(device=devices.device).manual_seed(_seed(config.seed, step))
    quality = draw_quality(phase.batch_size, generator)[mine.start : mine.stop]
    first = devices.rank * phase.accumulation
    parts = zip(pictures.chunk(phase.accumulation), quality.chunk(phase.accumulation), strict=True)
    for shard, (x, part_of_quality) in enumerate(parts, first):
        generator.manual_seed(_seed(config.seed, step, 1 + shard))
        yield Batch(x, part_of_quality, generator)


def _seed(*numbers: int) -> int:
    """A seed for each tuple of numbers that does not end in zeros, which make no difference."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0])


class PlainStep:
    """R + lambda * D."""

    auxiliary: AuxiliaryModel | None = None

    def __init__(self, objective: ObjectiveConfig) -> None:
        self._objective = objective

    def forward(
        self, model: CompressionModel, batch: Batch, phase: PhaseConfig
    ) -> tuple[TrainingOutput, RateDistortion]:
        """Output of the model and the parts of its objective, picture by picture."""
        objective, latents = self._objective, None
        if phase.rounding == "chosen":
            latents = encoder_latents(model, batch.x, batch.quality, objective.measure)
        output = model(
            batch.x,
            batch.quality,
            rounding="noise" if phase.rounding == "noise" else "round",
            linear_only=phase.linear_only,
            generator=batch.noise,
            latents=latents,
        )
        balance = objective.balance if model.config.all_rates else 0.0
        return output, rate_distortion(batch.x, output, model.rate_distortion_lambda(batch.quality), balance, objective)

    def backward(self, model: CompressionModel, batch: Batch, phase: PhaseConfig, share: float = 1.0) -> StepReport:
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
