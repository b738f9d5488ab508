"""Transforms as tensors of a weights file, and back.

::

    weight of a large convolution of gllmm-lite --> int8, a float32 scale for each output and one for each input
    everything else                             --> float16

Eight bits are for learned branches, whose results are added to those of the linear path. The linear path itself, and
what a factor or a bias is, stay in half precision. Inputs have scales of their own because channels of a latent differ
by orders of magnitude: a weight that is small beside the others may belong to the largest of them.
"""

import math
from collections.abc import Mapping

import torch
from torch import nn

from trimix.errors import ModelError
from trimix.models.stored_layers import StoredTensors
from trimix.shapes import Float, Tensor

_LARGEST = 127
_SMALLEST_IN_BYTES = 2**12
"""Numbers of a weight; smaller ones are not worth it."""
_LINEAR = "linear"
_SCALE_LIMIT = 2.0**10


def transform_tensors(prefix: str, transforms: nn.Module, *, in_bytes: bool) -> dict[str, Tensor]:
    """What transforms are stored as.

    Args:
        prefix: of the tensors' names.
        transforms: in single precision.
        in_bytes: store weights of large convolutions in 8 bits.
    """
    stored: dict[str, Tensor] = {}
    for name, value in transforms.state_dict().items():
        key = f"{prefix}.{name}"
        if in_bytes and is_for_bytes(name, value):
            stored |= byte_tensors(key, value)
        else:
            stored[key] = value.half().contiguous()
    return stored


def is_for_bytes(name: str, value: Tensor) -> bool:
    """Whether a weight is one of a large convolution of a learned branch."""
    return value.dim() == 4 and value.numel() >= _SMALLEST_IN_BYTES and _LINEAR not in name.split(".")


def byte_tensors(key: str, weight: Float[Tensor, "D C k l"]) -> dict[str, Tensor]:
    """A weight in 8 bits, with a scale for each output and one for each input; `weight_of_bytes` is the way back.

    Args:
        key: of the weight.
        weight: in single precision.
    """
    tiny = torch.finfo(torch.float32).tiny
    of_inputs = weight.abs().amax(dim=(0, 2, 3), keepdim=True).clamp(min=tiny)
    relative = weight / of_inputs
    of_outputs = relative.abs().amax(dim=(1, 2, 3), keepdim=True).clamp(min=tiny) / _LARGEST
    return {
        key: (relative / of_outputs).round().to(torch.int8),
        f"{key}_input_scale": of_inputs.flatten(),
        f"{key}_output_scale": of_outputs.flatten(),
    }


def weight_of_bytes(tensors: Mapping[str, Tensor], key: str) -> Float[Tensor, "D C k l"]:
    """The weight that `byte_tensors` has stored.

    Raises:
        KeyError: a part of it is missing.

    >>> weight = torch.tensor([[[[1.0]], [[-0.5]]]])
    >>> weight_of_bytes(byte_tensors("w", weight), "w").flatten().tolist()
    [1.0, -0.5]
    """
    inputs, outputs = tensors[f"{key}_input_scale"], tensors[f"{key}_output_scale"]
    return tensors[key].float() * inputs.view(1, -1, 1, 1) * outputs.view(-1, 1, 1, 1)


def read_transform(stored: StoredTensors, name: str, shape: torch.Size) -> Float[Tensor, "*shape"]:
    """One tensor of the transforms, in single precision.

    Args:
        stored: where it is.
        name: its name.
        shape: that it must have.

    Raises:
        ModelError: it is missing, of another type or shape, or not finite.
    """
    if f"{name}_input_scale" in stored:
        tensors = {name: stored.take(name, torch.int8, shape)}
        for side, size in (("input", shape[1]), ("output", shape[0])):
            scale = tensors[f"{name}_{side}_scale"] = stored.take(
                f"{name}_{side}_scale", torch.float32, (size,)
            )
            if not bool((scale.abs() <= _SCALE_LIMIT).all()):  # written so that NaN is refused, too
                raise ModelError(
                    f"{name}_{side}_scale must lie within {_SCALE_LIMIT:g}, found {float(scale.abs().max()):g}"
                )
        return weight_of_bytes(tensors, name)
    value = stored.take(name, torch.float16, shape).float()
    if not math.isfinite(float(value.sum())):  # of float16 values: it cannot overflow
        raise ModelError(f"{name} must be finite, found NaN or infinity")
    return value
