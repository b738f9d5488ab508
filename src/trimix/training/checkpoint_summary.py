"""Training checkpoints, as commands look at them. Imports torch."""

import json
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from trimix.errors import TrainingError
from trimix.shapes import Tensor
from trimix.training.checkpoint import load_checkpoint
from trimix.training.config import TrainingConfig, recorded_config


@dataclass(frozen=True)
class CheckpointSummary:
    """The configuration of the run that wrote a checkpoint, its averaged weights, the steps that were done."""

    configuration: TrainingConfig
    average: dict[str, Tensor]
    steps: int


def read_checkpoint(path: Path) -> CheckpointSummary:
    """Read a checkpoint (TrainingError: missing, damaged, or of another version)."""
    checkpoint = load_checkpoint(path)
    try:
        return CheckpointSummary(
            recorded_config(json.loads(str(checkpoint["configuration"]))),
            dict(checkpoint["average"]),  # type: ignore[call-overload]
            checkpoint["progress"]["step"],  # type: ignore[index]
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise TrainingError(
            f"{path}: its configuration is not of this version of trimix: "
            f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
        ) from error
    except (KeyError, TypeError, ValueError) as error:
        raise TrainingError(f"{path}: is not a checkpoint of trimix ({error})") from error
