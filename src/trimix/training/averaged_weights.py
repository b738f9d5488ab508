"""Averaged weights of a run as one small file, from which it goes on with a new optimiser.

::

    Trainer --> bytes: safetensors with the recipe and the progress --> checkpoint --> Trainer

A checkpoint holds the weights twice, and the moments of the optimiser, in single precision: some eight times as much as
float16, sixteen times as much as 8 bits.
"""

import json

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn

from trimix.errors import TrainingError
from trimix.frozen.byte_weights import byte_tensors, is_for_bytes, weight_of_bytes
from trimix.shapes import Tensor
from trimix.training.checkpoint import Progress
from trimix.training.config import TrainingConfig

AVERAGED_WEIGHTS = "trimix_training"
"""The entry in the metadata of such a file."""
_HEADER_BYTES = 8


def averaged_weights(
    average: nn.Module, progress: Progress, config: TrainingConfig, *, in_bytes: bool = False
) -> bytes:
    """The file: weights in float16.

    Args:
        in_bytes: large convolutions in 8 bits, with scales, as a released model has them.
    """
    weights: dict[str, Tensor] = {}
    for name, value in average.state_dict().items():
        if in_bytes and is_for_bytes(name, array := value.detach().cpu().numpy()):
            parts = byte_tensors(name, array)
            weights |= {key: torch.from_numpy(part) for key, part in parts.items()}
        else:
            value = value.detach().cpu().contiguous()
            half = value.half() if value.is_floating_point() else value
            # In float16 where that can hold it.
            weights[name] = half if bool((half.isfinite() | ~value.isfinite()).all()) else value
    # One entry: several would be written in an order that differs from time to time.
    about = {"configuration": config.model_dump_json(), "progress": vars(progress)}
    return save(weights, {AVERAGED_WEIGHTS: json.dumps(about)})


def checkpoint_of_averaged(data: bytes, name: str) -> dict[str, object]:
    """The entries of a checkpoint that `Trainer` resumes, or starts from.

    Raises:
        TrainingError: it is no such file.
    """
    try:
        length = int.from_bytes(data[:_HEADER_BYTES], "little")
        header = json.loads(data[_HEADER_BYTES : _HEADER_BYTES + length])
        about = json.loads(header["__metadata__"][AVERAGED_WEIGHTS])
        tensors = load(data)
        arrays = {key: value.numpy() for key, value in tensors.items()}
        weights = {
            key: torch.from_numpy(weight_of_bytes(arrays, key))
            if f"{key}_input_scale" in tensors
            else (value.float() if value.is_floating_point() else value)
            for key, value in tensors.items()
            if not key.endswith(("_input_scale", "_output_scale"))
        }
        progress = about["progress"]
        return {
            "model": weights,
            "average": weights,
            "averaged": progress["step"],
            "progress": progress,
            "configuration": about["configuration"],
        }
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(
            f"{name}: must hold the averaged weights of a run, found something else ({type(error).__name__})"
        ) from error
