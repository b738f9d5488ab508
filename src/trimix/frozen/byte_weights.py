"""Weights of large convolutions in 8 bits.

::

    weight [D C k l] --> int8 [D C k l], a float32 scale for each output and one for each input

Eight bits are for learned branches, whose results are added to those of a linear path. The linear path itself, and what
a factor or a bias is, stay in half precision. Inputs have scales of their own because channels of a latent differ by
orders of magnitude: a weight that is small beside the others may belong to the largest of them.
"""

from collections.abc import Mapping

import torch

from trimix.shapes import Float, Tensor

_LARGEST = 127
_SMALLEST_IN_BYTES = 2**12
"""Numbers of a weight; smaller ones are not worth it."""
_LINEAR = "linear"


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
        key: (relative / of_outputs).round().to(torch.int8).contiguous(),
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
