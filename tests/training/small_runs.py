"""Runs of a tiny model on one small picture."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from trimix.architectures.config import HyperpriorConfig
from trimix.training.config import PhaseConfig, TrainingConfig

MODEL = HyperpriorConfig(channels=4, latent_channels=6)


def write_pictures(folder: Path) -> Path:
    coarse = np.random.default_rng(0).integers(0, 256, (36, 36, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize((288, 288), Image.Resampling.BICUBIC).save(folder / "0.png")
    return folder


def small_run(pictures: Path, *, steps=2, validated=False, run=None, **phase) -> TrainingConfig:
    """A run of one phase.

    Args:
        pictures: folder of training and validation pictures.
        steps: of the phase.
        validated: whether there is validation.
        run: other settings of the run.
        phase: other settings of the phase.
    """
    values = {"batch_size": 4, "patch_size": 64, "learning_rate": 1e-3} | phase
    data = {"training": [pictures]} | ({"validation": [pictures]} if validated else {})
    phases = [PhaseConfig(name="all", steps=steps, **values)]
    return TrainingConfig(model=MODEL, data=data, phases=phases, **(run or {}))


def contents(folder: Path) -> dict:
    return torch.load(folder / "last.ckpt", weights_only=True)


def same(one: object, other: object) -> bool:
    """Whether two nested states are equal, bit for bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def same_checkpoint(one: dict, other: dict) -> bool:
    """Whether two runs stand at the same place; time is no part of it."""
    ignored = {"seconds": 0.0, "core_seconds": 0.0}
    return same(one | {"progress": one["progress"] | ignored}, other | {"progress": other["progress"] | ignored})


def stop_after(trainer, step: int) -> None:
    """Let a run end as by a signal that comes while this step is made."""
    plain = trainer.step.backward

    def stopping(*arguments):
        trainer._stop.made = trainer.progress.step == step
        return plain(*arguments)

    trainer.step.backward = stopping
