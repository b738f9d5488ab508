"""A float network as data: a list of operations, each with the names of its tensors.

::

    value 0: the input      operation 1 -> value 1      operation 2 -> value 2 ...      the last is the result

An operation takes the value before it, or those that its ``inputs`` name. Arrays are [channels height width]; q is the
quality. The meaning of every operation stands in its docstring and in ``docs/format.md``; an engine runs them.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from fractions import Fraction
from typing import ClassVar, NamedTuple

from trimix.errors import ModelError

OPERATION_LIMIT = 2**12
"""Most operations of a program."""
CHANNEL_LIMIT = 2**14
_INTEGER_LIMIT = 2**12
_NUMBER_LIMIT = 1e6


class Shape(NamedTuple):
    """Of a value."""

    channels: int
    height: int
    width: int


Shapes = Mapping[str, tuple[int, ...]]
"""Of tensors, by name."""


@dataclass(frozen=True, kw_only=True)
class Operation:
    """What all operations have.

    Args:
        inputs: numbers of the values that it takes; none for the value before it.
    """

    count: ClassVar[int] = 1
    """Of its inputs."""
    inputs: tuple[int, ...] = ()

    @property
    def tensors(self) -> tuple[str, ...]:
        """Names of its tensors."""
        return tuple(
            value
            for one in fields(self)
            if one.type in (str, str | None) and (value := getattr(self, one.name)) is not None
        )


@dataclass(frozen=True, kw_only=True)
class Convolution(Operation):
    """``y[d, i, j] = bias[d] + sum of weight[d, c, k, l] x[c, stride i + k - padding, stride j + l - padding]``.

    Outside of x there are zeros.
    """

    weight: str
    bias: str | None = None
    stride: int = 1
    padding: int = 0


@dataclass(frozen=True, kw_only=True)
class TransposedConvolution(Operation):
    """``y[d, i, j] = bias[d] + sum of weight[c, d, k, l] x[c, m, n]`` with ``i = stride m + k - padding``; so j.

    The result has ``stride (height - 1) + kernel - 2 padding + output_padding`` rows. A bias [D stride stride] is one
    for each place: ``bias[d, i mod stride, j mod stride]``.
    """

    weight: str
    bias: str | None = None
    stride: int = 1
    padding: int = 0
    output_padding: int = 0


@dataclass(frozen=True, kw_only=True)
class LeakyRelu(Operation):
    """``y = x where x >= 0, else slope x``."""

    slope: float


@dataclass(frozen=True, kw_only=True)
class Sigmoid(Operation):
    """``y = 1 / (1 + exp(-x))``."""


@dataclass(frozen=True, kw_only=True)
class Absolute(Operation):
    """``y = |x|``."""


@dataclass(frozen=True, kw_only=True)
class Affine(Operation):
    """``y = factor x + offset``."""

    factor: float = 1.0
    offset: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Add(Operation):
    """``y = a + b``; where b has fewer channels, they are added to the first of a."""

    count: ClassVar[int] = 2


@dataclass(frozen=True, kw_only=True)
class Multiply(Operation):
    """``y = a b``."""

    count: ClassVar[int] = 2


@dataclass(frozen=True, kw_only=True)
class QualityFactors(Operation):
    """``y[c] = x[c] exp(t)``, t from the rows of ``logarithms[:, c]``, which stand for equally spaced q from 1 to 100.

    Between two rows t is interpolated linearly.
    """

    logarithms: str


@dataclass(frozen=True, kw_only=True)
class QualityPlane(Operation):
    """x with one more channel, ``(q - 50.5) / 49.5`` everywhere."""


@dataclass(frozen=True, kw_only=True)
class Normalization(Operation):
    """``y[c] = x[c] / sqrt(beta[c] + sum of gamma[c, d] x[d]^2)``; if ``inverse``, times the root (GDN)."""

    beta: str
    gamma: str
    inverse: bool = False


@dataclass(frozen=True, kw_only=True)
class DepthToSpace(Operation):
    """``y[c, f i + r, f j + k] = x[f f c + f r + k, i, j]`` with f the factor."""

    factor: int


@dataclass(frozen=True, kw_only=True)
class SpaceToDepth(Operation):
    """``y[f f c + f r + k, i, j] = x[c, f i + r, f j + k]`` with f the factor."""

    factor: int


@dataclass(frozen=True, kw_only=True)
class ReplicatePadding(Operation):
    """x with ``margin`` more rows and columns on every side, which repeat the outermost ones."""

    margin: int


@dataclass(frozen=True, kw_only=True)
class FirstChannels(Operation):
    """``y[c] = x[c]`` for the first ``channels``."""

    channels: int


_NAMES = {kind: re.sub("(?<=.)(?=[A-Z])", "_", kind.__name__).lower() for kind in Operation.__subclasses__()}
OPERATIONS = {name: kind for kind, name in _NAMES.items()}
"""By the name that a model file has: that of the class, words joined by underscores."""

Program = tuple[Operation, ...]


def inputs_of(program: Sequence[Operation]) -> list[tuple[int, ...]]:
    """Numbers of the values that every operation takes."""
    return [one.inputs or (index,) for index, one in enumerate(program)]


def program_to_json(program: Sequence[Operation]) -> list[dict[str, object]]:
    """The operations as a model file has them; what is as by default is left out."""
    listed = []
    for one in program:
        defaults = {field.name: field.default for field in fields(one)}
        given = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(one).items()
            if value != defaults[name]
        }
        listed.append({"operation": _NAMES[type(one)], **given})
    return listed


def program_from_json(listed: object) -> Program:
    """The operations of a model file, each number checked for its type and range.

    Raises:
        ModelError: they are none.

    >>> program_from_json([{"operation": "affine", "factor": 2.0}])
    (Affine(inputs=(), factor=2.0, offset=0.0),)
    """
    if not isinstance(listed, list) or not 1 <= len(listed) <= OPERATION_LIMIT:
        raise ModelError(f"a program must be a list of 1..{OPERATION_LIMIT} operations, found {_short(listed)}")
    program = tuple(_operation(one) for one in listed)
    for index, (one, inputs) in enumerate(zip(program, inputs_of(program), strict=True)):
        if len(inputs) != one.count or not all(0 <= number <= index for number in inputs):
            raise ModelError(
                f"operation {index + 1} must take {one.count} of the values 0..{index}, found {list(inputs)}"
            )
    return program


def reach(program: Sequence[Operation], tensors: Shapes) -> Fraction:
    """How far from its place a result looks at most, in samples of the input; somewhat more where blocks are cut.

    >>> reach([Convolution("w", stride=2, padding=2), Convolution("w", padding=2)], {"w": (8, 8, 5, 5)})
    Fraction(6, 1)
    """
    found = [(Fraction(0), Fraction(1))]  # reach, and samples of the input that one of the value stands for
    for one, inputs in zip(program, inputs_of(program), strict=True):
        reaches, scales = zip(*(found[number] for number in inputs), strict=True)
        more, scale = Fraction(0), scales[0]
        match one:
            case Convolution():
                more = max(one.padding, tensors[one.weight][2] - 1 - one.padding) * scale
                scale *= one.stride
            case TransposedConvolution():
                scale /= one.stride
                more = max(one.padding, tensors[one.weight][2] - 1 - one.padding) * scale
            case DepthToSpace():
                scale /= one.factor
            case SpaceToDepth():
                more = (one.factor - 1) * scale
                scale *= one.factor
        found.append((max(reaches) + more, scale))
    return found[-1][0]


def result_shape(program: Sequence[Operation], shape: Shape, tensors: Shapes) -> Shape:
    """Shape of what a program makes of an input of some shape; raises as ``value_shapes`` does."""
    return value_shapes(program, shape, tensors)[-1]


def value_shapes(program: Sequence[Operation], shape: Shape, tensors: Shapes) -> list[Shape]:
    """Shapes of all values, the input first.

    Raises:
        ModelError: a tensor is missing, or an operation does not fit what it is given.
    """
    shapes = [shape]
    for index, (one, inputs) in enumerate(zip(program, inputs_of(program), strict=True)):
        try:
            for name in one.tensors:
                if name not in tensors:
                    raise ModelError(f"the weights must have {name}, found none of that name")
            found = _result(one, [shapes[number] for number in inputs], tensors)
            if not (1 <= found.channels <= CHANNEL_LIMIT and min(found.height, found.width) >= 1):
                raise ModelError(f"1..{CHANNEL_LIMIT} channels and some pixels must be there, found {found}")
        except ModelError as error:
            raise ModelError(f"operation {index + 1}, {_NAMES[type(one)]}: {error}") from error
        shapes.append(found)
    return shapes


def _result(one: Operation, given: list[Shape], tensors: Shapes) -> Shape:
    channels, height, width = given[0]
    match one:
        case Convolution():
            outputs, kernel = _kernel(one.weight, tensors, one.stride, 1, channels)
            _check_tensor(one.bias, tensors, [(outputs,)])
            sides = ((side + 2 * one.padding - kernel) // one.stride + 1 for side in (height, width))
            return Shape(outputs, *sides)
        case TransposedConvolution():
            outputs, kernel = _kernel(one.weight, tensors, one.stride, 0, channels)
            _check_tensor(one.bias, tensors, [(outputs,), (outputs, one.stride, one.stride)])
            if one.output_padding >= one.stride:
                raise ModelError(f"output_padding must be less than the stride, found {one.output_padding}")
            added = kernel - 2 * one.padding + one.output_padding
            return Shape(outputs, *(one.stride * (side - 1) + added for side in (height, width)))
        case Add():
            if given[1][1:] != given[0][1:] or given[1].channels > channels:
                raise ModelError(f"what is added must not be larger, found {given[1]} beside {given[0]}")
        case Multiply():
            if given[0] != given[1]:
                raise ModelError(f"factors must have one shape, found {given[0]} and {given[1]}")
        case QualityFactors():
            table = tensors[one.logarithms]
            if len(table) != 2 or table[0] < 2 or table[1] != channels:
                raise ModelError(f"{one.logarithms} must have two rows or more of {channels}, found {list(table)}")
        case QualityPlane():
            return Shape(channels + 1, height, width)
        case Normalization():
            _check_tensor(one.beta, tensors, [(channels,)])
            _check_tensor(one.gamma, tensors, [(channels, channels)])
        case DepthToSpace(factor=factor):
            if factor < 1 or channels % factor**2:
                raise ModelError(f"channels must be a multiple of the factor {factor} squared, found {channels}")
            return Shape(channels // factor**2, factor * height, factor * width)
        case SpaceToDepth(factor=factor):
            if factor < 1 or height % factor or width % factor:
                raise ModelError(f"sides must be multiples of the factor {factor}, found {height}x{width}")
            return Shape(channels * factor**2, height // factor, width // factor)
        case ReplicatePadding():
            return Shape(channels, height + 2 * one.margin, width + 2 * one.margin)
        case FirstChannels():
            if not 1 <= one.channels <= channels:
                raise ModelError(f"the first {one.channels} of {channels} channels are not there")
            return Shape(one.channels, height, width)
    return given[0]


def _operation(described: object) -> Operation:
    name = described.get("operation") if isinstance(described, dict) else None
    if not isinstance(described, dict) or not isinstance(name, str) or name not in OPERATIONS:
        raise ModelError(f"an operation must be one of {', '.join(OPERATIONS)}, found {_short(described)}")
    kind = OPERATIONS[name]
    given = {key: value for key, value in described.items() if key != "operation"}
    known = {one.name: one for one in fields(kind)}
    missing = [key for key, one in known.items() if one.default is MISSING and key not in given]
    if missing or set(given) - set(known):
        raise ModelError(f"{name} must have {', '.join(known)}, found {_short(described)}")
    for key, value in given.items():
        if not _is_allowed(value, known[key].type):
            raise ModelError(f"{name}: {key} is out of range, found {_short(value)}")
    return kind(**{key: tuple(value) if key == "inputs" else value for key, value in given.items()})


def _is_allowed(value: object, kind: object) -> bool:
    if kind in (str, str | None):
        return isinstance(value, str)
    if kind is bool:
        return isinstance(value, bool)
    if isinstance(value, bool):
        return False
    if kind is int:
        return isinstance(value, int) and 0 <= value <= _INTEGER_LIMIT
    if kind is float:
        return isinstance(value, int | float) and math.isfinite(value) and abs(value) <= _NUMBER_LIMIT
    return isinstance(value, list) and bool(value) and all(_is_allowed(one, int) for one in value)


def _short(value: object) -> str:
    return json.dumps(value)[:60] if value is not None else "nothing"


def _kernel(name: str, tensors: Shapes, stride: int, axis: int, channels: int) -> tuple[int, int]:
    """Channels of the other axis, and the side of the kernel."""
    shape = tensors[name]
    if len(shape) != 4 or shape[2] != shape[3] or shape[axis] != channels or stride < 1:
        raise ModelError(
            f"{name} must have a square kernel of {channels} inputs and a stride above 0, found {list(shape)} and "
            f"{stride}"
        )
    return shape[1 - axis], shape[2]


def _check_tensor(name: str | None, tensors: Shapes, wanted: list[tuple[int, ...]]) -> None:
    if name is not None and tensors[name] not in wanted:
        raise ModelError(f"{name} must be {list(wanted[0])}, found {list(tensors[name])}")
