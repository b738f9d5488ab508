"""Weights of large convolutions in 8 bits.

::

    weight [D C k l] --> int8 [D C k l], a float32 scale for each output and one for each input

Eight bits are for learned branches, whose results are added to those of a linear path. The linear path itself, and what
a factor or a bias is, stay in half precision. Inputs have scales of their own because channels of a latent differ by
orders of magnitude: a weight that is small beside the others may belong to the largest of them.
"""

from collections.abc import Mapping

import numpy as np

from trimix.shapes import Float

_LARGEST = 127
_SMALLEST_IN_BYTES = 2**12
"""Numbers of a weight; smaller ones are not worth it."""
_LINEAR = "linear"


def is_for_bytes(name: str, value: np.ndarray) -> bool:
    """Whether a weight is one of a large convolution of a learned branch."""
    return value.ndim == 4 and value.size >= _SMALLEST_IN_BYTES and _LINEAR not in name.split(".")


def byte_tensors(key: str, weight: Float[np.ndarray, "D C k l"]) -> dict[str, np.ndarray]:
    """A weight in 8 bits, with a scale for each output and one for each input; `weight_of_bytes` is the way back."""
    tiny = np.finfo(np.float32).tiny
    of_inputs = np.maximum(np.abs(weight).max(axis=(0, 2, 3), keepdims=True), tiny)
    relative = weight / of_inputs
    of_outputs = np.maximum(np.abs(relative).max(axis=(1, 2, 3), keepdims=True), tiny) / np.float32(_LARGEST)
    return {
        key: np.ascontiguousarray(np.rint(relative / of_outputs).astype(np.int8)),
        f"{key}_input_scale": of_inputs.ravel(),
        f"{key}_output_scale": of_outputs.ravel(),
    }


def weight_of_bytes(tensors: Mapping[str, np.ndarray], key: str) -> Float[np.ndarray, "D C k l"]:
    """The weight that `byte_tensors` has stored.

    Raises:
        KeyError: a part of it is missing.

    >>> weight = np.array([[[[1.0]], [[-0.5]]]], np.float32)
    >>> weight_of_bytes(byte_tensors("w", weight), "w").ravel().tolist()
    [1.0, -0.5]
    """
    inputs, outputs = tensors[f"{key}_input_scale"], tensors[f"{key}_output_scale"]
    return tensors[key].astype(np.float32) * inputs.reshape(1, -1, 1, 1) * outputs.reshape(-1, 1, 1, 1)
