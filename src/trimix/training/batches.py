"""The batches of a run: pictures, qualities and noise as functions of (configuration, step) alone.

::

    batch of a step   |--------- device 0 ---------|--------- device 1 ---------|
    its parts         |-- shard 0 --|-- shard 1 --|-- shard 2 --|-- shard 3 --|     accumulation = 2

Pictures and qualities are drawn for the whole batch, the noise shard by shard.
"""

from collections.abc import Iterator

import numpy as np
import torch

from trimix.errors import ConfigurationError
from trimix.training.config import PhaseConfig, TrainingConfig
from trimix.training.devices import Devices
from trimix.training.patches import PatchSampler
from trimix.training.steps import Batch, draw_quality


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
