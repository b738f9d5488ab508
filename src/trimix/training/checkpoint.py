"""Checkpoints: everything that a run needs to go on exactly, written atomically."""

import os
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from trimix.errors import TrainingError


@dataclass
class Progress:
    """Where a run stands.

    Args:
        step: steps done in all phases together; with the seed it decides patches and noise.
        phase: index of the phase.
        phase_step: steps done in it.
        seconds: time spent in steps.
        pixels: training pixels seen.
    """

    step: int = 0
    phase: int = 0
    phase_step: int = 0
    seconds: float = 0.0
    pixels: int = 0


def save_checkpoint(
    path: Path,
    model: nn.Module,
    average: AveragedModel,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
    configuration: str,
) -> None:
    """Write a checkpoint under a temporary name, then rename it over the last one."""
    temporary = path.with_suffix(".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            torch.save(
                {
                    "model": model.state_dict(),
                    "average": average.module.state_dict(),
                    "averaged": int(average.n_averaged),  # type: ignore[arg-type]
                    "optimizer": optimizer.state_dict(),
                    "progress": vars(progress),
                    "configuration": configuration,
                },
                file,
            )
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise TrainingError(f"{path}: the checkpoint cannot be written: {error.strerror}") from error


def load_checkpoint(path: Path) -> dict[str, object]:
    """Read a checkpoint; tensors come to the CPU.

    Raises:
        TrainingError: missing or damaged.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise TrainingError(f"{path}: no such checkpoint") from error
    except Exception as error:
        raise TrainingError(f"{path}: is not a checkpoint of trimix ({type(error).__name__})") from error


def restore(
    checkpoint: dict[str, object],
    model: nn.Module,
    average: AveragedModel,
    optimizer: torch.optim.Optimizer,
) -> Progress:
    """Put a checkpoint's state into place and return where it stood."""
    model.load_state_dict(checkpoint["model"])  # type: ignore[arg-type]
    average.module.load_state_dict(checkpoint["average"])  # type: ignore[arg-type]
    average.n_averaged.fill_(checkpoint["averaged"])  # type: ignore[operator, union-attr, arg-type]
    optimizer.load_state_dict(checkpoint["optimizer"])  # type: ignore[arg-type]
    return Progress(**checkpoint["progress"])  # type: ignore[arg-type]
