"""Integer layers as tensors of a weights file, and back with the proof that each can take what feeds it.

::

    IntegerLayer --> L.weight (int16, or int8 with L.weight_shift), L.bias, ... --> checked: types, shapes, ranges
        largest magnitude of what feeds a layer --> IntegerLayer --> largest magnitude of its results --> next layer

A file may hold anything, whatever its hash says; nothing here trusts a number before it is checked.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike

from trimix.entropy_models.fixed_point import IntegerConvolution, IntegerLayer, column_shifts
from trimix.errors import ModelError
from trimix.frozen.byte_weights import weight_of_bytes
from trimix.shapes import Float, Int64

LAYER_LIMIT = 2**16
"""Most inputs or outputs of a layer: bounds the memory of unfolding."""
KERNEL_LIMIT = 15
UPSCALE_LIMIT = 4
_COLUMN_SHIFT_LIMIT = 8
_SCALE_LIMIT = 2.0**10
_FLOAT_LIMIT = 2.0**40

# What a layer's tensors are stored as; all are int64 in memory but the weights.
_STORED_AS = {
    "bias": np.dtype(np.int64),
    "multiplier": np.dtype(np.int32),
    "negative_multiplier": np.dtype(np.int32),
    "shift": np.dtype(np.uint8),
    "minimum": np.dtype(np.int32),
    "maximum": np.dtype(np.int32),
    "input_limit": np.dtype(np.int32),
}


@dataclass(frozen=True)
class StoredFloats:
    """A tensor of the transforms as the file has it: in 8 bits with its scales, or in float16 or float32."""

    name: str
    parts: Mapping[str, np.ndarray]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the tensor."""
        return self.parts[self.name].shape

    def value(self) -> Float[np.ndarray, "*shape"]:
        """The tensor in single precision, made anew."""
        if len(self.parts) > 1:
            return weight_of_bytes(self.parts, self.name)
        return self.parts[self.name].astype(np.float32)


class FloatTensors(Mapping[str, np.ndarray]):
    """Tensors in single precision, each made when it is asked for.

    An engine makes its own of them, and needs them once: kept, they would take four times the memory of a file.
    """

    def __init__(self, stored: Mapping[str, StoredFloats]) -> None:
        self._stored = stored

    def __getitem__(self, name: str) -> Float[np.ndarray, "*shape"]:
        return self._stored[name].value()

    def __iter__(self) -> Iterator[str]:
        return iter(self._stored)

    def __len__(self) -> int:
        return len(self._stored)

    def parts(self, name: str) -> Mapping[str, np.ndarray]:
        """A tensor as the file has it: itself, and its scales where it is of 8 bits."""
        return self._stored[name].parts

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of all, none of which is made for it."""
        return {name: one.shape for name, one in self._stored.items()}


class StoredTensors:
    """The tensors of a weights file; each is taken once, with the type and shape that it must have."""

    def __init__(self, tensors: Mapping[str, np.ndarray]) -> None:
        self._left = dict(tensors)

    def __contains__(self, name: str) -> bool:
        """Whether there is such a tensor and nobody has taken it."""
        return name in self._left

    def rows(self, name: str) -> int:
        """Size of a tensor's first dimension; 0 for one that is not there or has none."""
        return self._left[name].shape[0] if name in self._left and self._left[name].ndim else 0

    def take(self, name: str, kind: DTypeLike, shape: Sequence[int | None]) -> np.ndarray:
        """A tensor.

        Args:
            shape: its shape; None for a dimension of any size.

        Raises:
            ModelError: it is missing, or of another type or shape.
        """
        if name not in self._left:
            raise ModelError(f"the weights must have {name}, found none of that name")
        tensor = self._left[name]
        fits = len(shape) == tensor.ndim and all(
            wanted in (None, found) for wanted, found in zip(shape, tensor.shape, strict=True)
        )
        if tensor.dtype != np.dtype(kind) or not fits:
            wanted = ", ".join("any" if size is None else str(size) for size in shape)
            raise ModelError(f"{name} must be {np.dtype(kind)} [{wanted}], found {tensor.dtype} {list(tensor.shape)}")
        del self._left[name]
        return tensor

    def take_floats(self, name: str) -> "StoredFloats":
        """A tensor of the transforms: it is in float16 or float32, or in 8 bits with scales.

        Raises:
            ModelError: it is missing, of another type, or not finite.
        """
        tensor = self._left.get(name, np.empty(0, np.float16))
        shape = list(tensor.shape)
        if f"{name}_input_scale" in self and tensor.ndim == 4:
            tensors = {name: self.take(name, np.int8, shape)}
            for side, size in (("input", shape[1]), ("output", shape[0])):
                scale = tensors[f"{name}_{side}_scale"] = self.take(f"{name}_{side}_scale", np.float32, (size,))
                if not bool((np.abs(scale) <= _SCALE_LIMIT).all()):  # written so that NaN is refused, too
                    raise ModelError(
                        f"{name}_{side}_scale must lie within {_SCALE_LIMIT:g}, found {float(np.abs(scale).max()):g}"
                    )
            return StoredFloats(name, tensors)
        kind = np.float32 if tensor.dtype == np.float32 else np.float16
        value = self.take(name, kind, shape)
        if not bool((np.abs(value.astype(np.float32)) <= _FLOAT_LIMIT).all()):
            raise ModelError(f"{name} must be finite, found NaN or infinity")
        return StoredFloats(name, {name: value})

    def refuse_rest(self) -> None:
        """Check that everything was taken. Raises ModelError: there is a tensor that the model does not have."""
        if self._left:
            raise ModelError(
                f"the weights must hold the model's tensors only, found {len(self._left)} more: {min(self._left)!r}"
            )


def layer_tensors(prefix: str, layer: IntegerLayer) -> dict[str, np.ndarray]:
    """What a layer is stored as."""
    stored = {f"{prefix}.{name}": layer.arrays[name].astype(kind) for name, kind in _STORED_AS.items()}
    weight = layer.arrays["weight"]
    shifts = column_shifts(weight)
    mantissas = weight >> shifts
    if np.array_equal(mantissas << shifts, weight):
        stored[f"{prefix}.weight"] = mantissas.astype(np.int8)
        stored[f"{prefix}.weight_shift"] = shifts.astype(np.uint8)
    else:
        stored[f"{prefix}.weight"] = weight
    return stored


def read_layer(stored: StoredTensors, prefix: str, largest_inputs: Int64[np.ndarray, "inputs"]) -> IntegerLayer:
    """A layer.

    Args:
        largest_inputs: largest magnitude of each input that feeds it.

    Raises:
        ModelError: a tensor is missing or of another type or shape, an input may be larger than the layer's proof
            allows for, or the layer could leave the exact range.
    """
    inputs, outputs = len(largest_inputs), stored.rows(f"{prefix}.weight")
    _check_size(prefix, "inputs", inputs)
    _check_size(prefix, "outputs", outputs)
    shift_name = f"{prefix}.weight_shift"
    if shift_name in stored:
        mantissas = stored.take(f"{prefix}.weight", np.int8, (outputs, inputs))
        shifts = stored.take(shift_name, np.uint8, (inputs,))
        if int(shifts.max()) > _COLUMN_SHIFT_LIMIT:
            raise ModelError(f"{shift_name} must be 0..{_COLUMN_SHIFT_LIMIT}, found {int(shifts.max())}")
        weight = mantissas.astype(np.int16) << shifts.astype(np.int16)  # -2^7 * 2^8 still fits
    else:
        weight = stored.take(f"{prefix}.weight", np.int16, (outputs, inputs)).copy()
    # Copies: tensors of a file are views of it, and a file may change.
    numbers = {
        name: stored.take(f"{prefix}.{name}", kind, (inputs if name == "input_limit" else outputs,)).astype(np.int64)
        for name, kind in _STORED_AS.items()
    }
    short = numbers["input_limit"] < largest_inputs
    if bool(short.any()):
        index = int(np.flatnonzero(short)[0])
        raise ModelError(
            f"{prefix}.input_limit {index} must cover the {int(largest_inputs[index])} that its input may reach, "
            f"found {int(numbers['input_limit'][index])}"
        )
    if bool((numbers["minimum"] > numbers["maximum"]).any()):
        raise ModelError(f"{prefix}.minimum must not exceed its maximum, found that it does")
    try:
        return IntegerLayer(weight=weight, **numbers)
    except ModelError as error:
        raise ModelError(f"{prefix}: {error}") from error


def _check_size(prefix: str, what: str, size: int) -> None:
    if not 1 <= size <= LAYER_LIMIT:
        raise ModelError(f"{prefix} must have 1..{LAYER_LIMIT} {what}, found {size}")


def largest_results(layer: IntegerLayer) -> Int64[np.ndarray, "outputs"]:
    """Largest magnitude of each output of a layer: it saturates at its bounds."""
    return np.maximum(np.abs(layer.arrays["minimum"]), np.abs(layer.arrays["maximum"]))


def read_convolutions(
    stored: StoredTensors, forms: Sequence[tuple[str, int, int]], largest_inputs: Int64[np.ndarray, "C"]
) -> tuple[tuple[IntegerConvolution, ...], Int64[np.ndarray, "D"]]:
    """A chain of convolutions, and the largest magnitude of each channel of its result.

    Args:
        stored: where their tensors are.
        forms: of each the prefix of its tensors' names, the side of its kernel, and the factor of a depth to space.
        largest_inputs: largest magnitude of each channel that feeds the first.

    Raises:
        ModelError: as ``read_layer``, or a kernel or factor that is none.
    """
    convolutions = []
    for name, kernel, upscale in forms:
        if not (1 <= kernel <= KERNEL_LIMIT and kernel % 2 == 1 and 1 <= upscale <= UPSCALE_LIMIT):
            raise ModelError(
                f"{name} must have an odd kernel up to {KERNEL_LIMIT} and a factor 1..{UPSCALE_LIMIT}, "
                f"found {kernel} and {upscale}"
            )
        _check_size(name, "inputs", len(largest_inputs) * kernel**2)
        layer = read_layer(stored, name, largest_inputs.repeat(kernel**2))
        if layer.outputs % upscale**2:
            raise ModelError(f"{name} must give a multiple of {upscale**2} outputs, found {layer.outputs}")
        try:
            convolutions.append(IntegerConvolution(layer, kernel, upscale))
        except ModelError as error:
            raise ModelError(f"{name}: {error}") from error
        largest_inputs = largest_results(layer).reshape(-1, upscale**2).max(axis=1)
    return tuple(convolutions), largest_inputs
