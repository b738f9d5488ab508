"""Every operation of a program in operators of ONNX, and its adjoint: from a slope of the result to those of inputs.

For the linear ones ``<A x, y> = <x, A* y>``; the others are linear at the values that they were given.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trimix.frozen.onnx_graph import Graph
from trimix.frozen.program import (
    Absolute,
    Add,
    Affine,
    Convolution,
    DepthToSpace,
    FirstChannels,
    LeakyRelu,
    Multiply,
    Normalization,
    Operation,
    QualityFactors,
    QualityPlane,
    ReplicatePadding,
    Shape,
    Sigmoid,
    SpaceToDepth,
    TransposedConvolution,
)

_ROWS, _COLUMNS, _CHANNELS = 2, 3, 1

Adjoint = Callable[[Graph, str], Sequence[str]]
"""Graph, slope of the result -> slopes of the inputs."""


@dataclass(frozen=True)
class Written:
    """An operation in a graph.

    Args:
        needed: values of the graph that the adjoint looks at.
        adjoint: writes the adjoint, into the same graph or into one to which the values are given by the same names.
        signs: values whose ``sign_of`` the adjoint looks at.
    """

    result: str
    needed: tuple[str, ...]
    adjoint: Adjoint
    signs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Given:
    """What there is when an operation is written.

    Args:
        shapes: of the inputs; their sides are examples.
        factors: name of the value [1 C 1 1] with the factors of this operation, should it have some.
        quality: name of the value with the quality as a plane has it.
    """

    graph: Graph
    inputs: Sequence[str]
    shapes: Sequence[Shape]
    tensors: Mapping[str, np.ndarray]
    factors: str
    quality: str

    @property
    def x(self) -> str:
        """The first input."""
        return self.inputs[0]

    def tensor(self, name: str | None) -> np.ndarray | None:
        """An optional tensor."""
        return None if name is None else self.tensors[name]


def written(one: Operation, at: Given) -> Written:
    """Write an operation into a graph."""
    graph, x, shape = at.graph, at.x, at.shapes[0]
    match one:
        case Convolution():
            weight = at.tensors[one.weight]
            missing = [(side + 2 * one.padding - weight.shape[2]) % one.stride for side in (shape.height, shape.width)]
            assert missing[0] == missing[1], "sides are multiples of the strides"
            result = _convolved(graph, x, weight, at.tensor(one.bias), one.stride, one.padding)
            return _linear(result, lambda to, y: _spread(to, y, weight, None, one.stride, one.padding, missing[0]))
        case TransposedConvolution():
            weight = at.tensors[one.weight]
            result = _spread(graph, x, weight, at.tensor(one.bias), one.stride, one.padding, one.output_padding)
            return _linear(result, lambda to, y: _convolved(to, y, weight, None, one.stride, one.padding))
        case LeakyRelu():
            result = graph.node("LeakyRelu", [x], alpha=float(one.slope))
            # The result has the sign of the input; and an input that nobody else sees need not be written.
            seen = result if one.slope >= 0 else x

            def through_leaky_relu(graph: Graph, slope: str) -> list[str]:
                # A product with 0 or 1 and a sum: five times as fast as a choice.
                more = graph.node("Mul", [graph.node("Cast", [sign_of(seen)], to=1), graph.number(1 - one.slope)])
                return [graph.node("Mul", [slope, graph.node("Add", [more, graph.number(one.slope)])])]

            return Written(result, (), through_leaky_relu, (seen,))
        case Sigmoid():
            result = graph.node("Sigmoid", [x])

            def through_sigmoid(graph: Graph, slope: str) -> list[str]:
                rest = graph.node("Sub", [graph.number(1.0), result])
                return [graph.node("Mul", [slope, graph.node("Mul", [result, rest])])]

            return Written(result, (result,), through_sigmoid)
        case Absolute():
            result = graph.node("Abs", [x])
            return Written(result, (x,), lambda to, y: [to.node("Mul", [y, to.node("Sign", [x])])])
        case Affine():
            result = _scaled(graph, x, one.factor)
            if one.offset or result == x:
                result = graph.node("Add", [result, graph.number(one.offset)])
            return _linear(result, lambda to, y: _scaled(to, y, one.factor))
        case Add():
            return _added(at)
        case Multiply():
            a, b = at.inputs
            return Written(
                graph.node("Mul", [a, b]), (a, b), lambda to, y: [to.node("Mul", [y, b]), to.node("Mul", [y, a])]
            )
        case QualityFactors():
            factors = at.factors
            return Written(graph.node("Mul", [x, factors]), (factors,), lambda to, y: [to.node("Mul", [y, factors])])
        case QualityPlane():
            result = graph.node("Pad", [x, graph.integers([0, 0, 0, 0, 0, 1, 0, 0]), at.quality])
            return _linear(result, lambda to, y: _sliced(to, y, _CHANNELS, 0, shape.channels))
        case Normalization():
            return _normalized(one, at)
        case DepthToSpace():
            result = _to_space(graph, x, one.factor)
            return _linear(result, lambda to, y: _to_depth(to, y, one.factor, shape.channels))
        case SpaceToDepth():
            result = _to_depth(graph, x, one.factor, shape.channels * one.factor**2)
            return _linear(result, lambda to, y: _to_space(to, y, one.factor))
        case ReplicatePadding():
            result = graph.node("Pad", [x, graph.integers([0, 0, one.margin, one.margin] * 2)], mode="edge")
            return _linear(result, lambda to, y: _folded(to, y, one.margin))
        case FirstChannels():
            rest = shape.channels - one.channels
            result = _sliced(graph, x, _CHANNELS, 0, one.channels)
            return _linear(result, lambda to, y: _with_channels(to, y, rest))
    raise TypeError(f"no operators of ONNX for {type(one).__name__}: add them to onnx_operations.py")


def _linear(result: str, adjoint: Callable[[Graph, str], str]) -> Written:
    """An operation of one input whose adjoint looks at no value."""
    return Written(result, (), lambda graph, slope: [adjoint(graph, slope)])


def sign_of(value: str) -> str:
    """Name of what tells where a value is above 0."""
    return f"{value}_above_zero"


def above_zero(graph: Graph, value: str) -> str:
    """Where a value is above 0, a byte each."""
    return graph.node("Greater", [value, graph.number(0.0)])


def _scaled(graph: Graph, x: str, factor: float) -> str:
    return x if factor == 1 else graph.node("Mul", [x, graph.number(factor)])


def _sliced(graph: Graph, x: str, axis: int, first: int, last: int) -> str:
    return graph.node("Slice", [x, *(graph.integers([one]) for one in (first, last, axis))])


def _with_channels(graph: Graph, x: str, more: int) -> str:
    """With as many channels of zeros at the end."""
    return graph.node("Pad", [x, graph.integers([0, 0, 0, 0, 0, more, 0, 0])]) if more else x


def _added(at: Given) -> Written:
    (a, b), (left, right) = at.inputs, at.shapes
    more = left.channels - right.channels

    def through_addition(graph: Graph, slope: str) -> list[str]:
        return [slope, _sliced(graph, slope, _CHANNELS, 0, right.channels) if more else slope]

    return Written(at.graph.node("Add", [a, _with_channels(at.graph, b, more)]), (), through_addition)


def _convolved(graph: Graph, x: str, weight: np.ndarray, bias: np.ndarray | None, stride: int, padding: int) -> str:
    kernel = weight.shape[2]
    if stride == kernel and padding == 0 and stride > 1:
        # Of blocks that do not overlap a matrix product, which is faster.
        x = _to_depth(graph, x, stride, weight.shape[1] * stride**2)
        weight, kernel, stride = weight.reshape(len(weight), -1, 1, 1), 1, 1
    return graph.node(
        "Conv",
        [x, graph.constant(weight), *([] if bias is None else [graph.constant(bias)])],
        kernel_shape=[kernel] * 2,
        strides=[stride] * 2,
        pads=[padding] * 4,
    )


def _spread(
    graph: Graph, x: str, weight: np.ndarray, bias: np.ndarray | None, stride: int, padding: int, output_padding: int
) -> str:
    """A transposed convolution, as a convolution that gives all pixels of a block, and a depth to space.

    With a kernel that zeros make a multiple of the stride ``i + padding = stride (m + b) + r`` for block b of the
    kernel and place r in it.
    """
    inputs, outputs, kernel, _ = weight.shape
    blocks = -(-max(kernel, kernel - padding + output_padding) // stride)
    more = blocks * stride - kernel
    weight = np.pad(weight, ((0, 0), (0, 0), (0, more), (0, more)))
    by_block = weight.reshape(inputs, outputs, blocks, stride, blocks, stride)[:, :, ::-1, :, ::-1]
    of_place = by_block.transpose(1, 3, 5, 0, 2, 4).reshape(-1, inputs, blocks, blocks)
    # What is cut off at both ends; whole blocks of it are not made at all.
    cuts = [padding, more + padding - output_padding]
    skipped = [min(blocks - 1, cut // stride) for cut in cuts]
    given = [graph.constant(np.ascontiguousarray(of_place))]
    if bias is not None:
        places = np.broadcast_to(bias[:, None, None] if bias.ndim == 1 else bias, (outputs, stride, stride))
        given.append(graph.constant(np.roll(places, padding, (1, 2)).ravel()))
    y = graph.node(
        "Conv", [x, *given], kernel_shape=[blocks] * 2, pads=[blocks - 1 - one for one in skipped for _ in "yx"]
    )
    y = _to_space(graph, y, stride)
    first, last = (cut - stride * one for cut, one in zip(cuts, skipped, strict=True))
    for axis in (_ROWS, _COLUMNS) if first or last else ():
        y = _sliced(graph, y, axis, first, -last if last else np.iinfo(np.int64).max)
    return y


def _to_space(graph: Graph, x: str, factor: int) -> str:
    return x if factor == 1 else graph.node("DepthToSpace", [x], blocksize=factor, mode="CRD")


def _to_depth(graph: Graph, x: str, factor: int, results: int) -> str:
    """Space to depth; the channels of ONNX's are ordered by place, then channel."""
    if factor == 1:
        return x
    order = np.arange(results).reshape(factor**2, -1).T.ravel()
    return graph.node(
        "Gather", [graph.node("SpaceToDepth", [x], blocksize=factor), graph.constant(order)], axis=_CHANNELS
    )


def _normalized(one: Normalization, at: Given) -> Written:
    x, beta, gamma = at.x, at.tensors[one.beta], at.tensors[one.gamma]
    graph = at.graph
    energy = _convolved(graph, graph.node("Mul", [x, x]), gamma[:, :, None, None], beta, 1, 0)
    root = graph.node("Sqrt", [energy])

    def through_normalization(graph: Graph, slope: str) -> list[str]:
        # With r = E^p, p = 1/2 or -1/2: dL/dx = g r + 2 x gamma^T (g x dr/dE), where 2 dr/dE = 1 / sqrt(E) or
        # -1 / sqrt(E)^3.
        kind = "Mul" if one.inverse else "Div"
        by_energy = graph.node("Div", [graph.node("Mul", [slope, x]), root])
        if not one.inverse:
            by_energy = graph.node("Div", [graph.node("Neg", [by_energy]), energy])
        by_square = _convolved(graph, by_energy, gamma.T[:, :, None, None], None, 1, 0)
        own = graph.node(kind, [slope, root])
        return [graph.node("Add", [own, graph.node("Mul", [x, by_square])])]

    result = graph.node("Mul" if one.inverse else "Div", [x, root])
    return Written(result, (x, root) if one.inverse else (x, root, energy), through_normalization)


def _folded(graph: Graph, slope: str, margin: int) -> str:
    """What was repeated, added to what it repeats. Sides must have two pixels or more."""
    if not margin:
        return slope
    for axis in (_ROWS, _COLUMNS):
        parts = [
            graph.node("ReduceSum", [_sliced(graph, slope, axis, first, last), graph.integers([axis])])
            for first, last in ((0, margin + 1), (-margin - 1, np.iinfo(np.int64).max))
        ]
        middle = _sliced(graph, slope, axis, margin + 1, -margin - 1)
        slope = graph.node("Concat", [parts[0], middle, parts[1]], axis=axis)
    return slope
