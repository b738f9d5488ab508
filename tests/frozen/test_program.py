"""Every operation of the engine beside a naive loop over its formula, and beside its adjoint."""

import itertools
import math

import numpy as np
import pytest
import torch

from trimix.errors import ModelError
from trimix.frozen.onnx_engine import OnnxNetwork
from trimix.frozen.program import (
    OPERATIONS,
    Absolute,
    Add,
    Affine,
    Convolution,
    DepthToSpace,
    FirstChannels,
    LeakyRelu,
    Multiply,
    Normalization,
    QualityFactors,
    QualityPlane,
    ReplicatePadding,
    Shape,
    Sigmoid,
    SpaceToDepth,
    TransposedConvolution,
    program_from_json,
    result_shape,
)
from trimix.frozen.torch_engine import TorchNetwork

GENERATOR = np.random.default_rng(4)
TENSORS = {
    "two": GENERATOR.normal(size=(3, 4, 2, 2)),
    "three": GENERATOR.normal(size=(3, 4, 3, 3)),
    "one": GENERATOR.normal(size=(5, 4, 1, 1)),
    "up three": GENERATOR.normal(size=(4, 2, 3, 3)),
    "up five": GENERATOR.normal(size=(4, 2, 5, 5)),
    "block": GENERATOR.normal(size=(4, 3, 4, 4)),
    "lapped": GENERATOR.normal(size=(4, 3, 8, 8)),
    "bias 2": GENERATOR.normal(size=2),
    "bias 3": GENERATOR.normal(size=3),
    "places": GENERATOR.normal(size=(3, 4, 4)),
    "small places": GENERATOR.normal(size=(2, 2, 2)),
    "beta": GENERATOR.uniform(0.5, 2, size=4),
    "gamma": GENERATOR.uniform(0, 1, size=(4, 4)),
    "logarithms": GENERATOR.normal(size=(4, 4)),
}
SHAPES = {name: value.shape for name, value in TENSORS.items()}
X = GENERATOR.normal(size=(4, 6, 8))
QUALITY = 37.0


def at(x, channel, row, column):
    _, height, width = x.shape
    return x[channel, row, column] if 0 <= row < height and 0 <= column < width else 0.0


def convolved(x, one):
    weight, stride = TENSORS[one.weight], one.stride
    outputs, inputs, kernel, _ = weight.shape
    sides = [(side + 2 * one.padding - kernel) // stride + 1 for side in x.shape[1:]]
    y = np.zeros((outputs, *sides))
    for d, i, j in np.ndindex(*y.shape):
        y[d, i, j] = 0.0 if one.bias is None else TENSORS[one.bias][d]
        for c, k, m in np.ndindex(inputs, kernel, kernel):
            row, column = stride * i + k - one.padding, stride * j + m - one.padding
            y[d, i, j] += weight[d, c, k, m] * at(x, c, row, column)
    return y


def transposed(x, one):
    weight, stride = TENSORS[one.weight], one.stride
    _, outputs, kernel, _ = weight.shape
    added = kernel - 2 * one.padding + one.output_padding
    y = np.zeros((outputs, *(stride * (side - 1) + added for side in x.shape[1:])))
    for d, i, j in np.ndindex(*y.shape):
        if one.bias is not None:
            bias = TENSORS[one.bias]
            y[d, i, j] = bias[d] if bias.ndim == 1 else bias[d, i % stride, j % stride]
    for c, m, n in np.ndindex(*x.shape):
        for d, k, l in np.ndindex(outputs, kernel, kernel):  # noqa: E741
            i, j = stride * m + k - one.padding, stride * n + l - one.padding
            if 0 <= i < y.shape[1] and 0 <= j < y.shape[2]:
                y[d, i, j] += weight[c, d, k, l] * x[c, m, n]
    return y


def scaled(x, one):
    table = TENSORS[one.logarithms]
    place = (QUALITY - 1) / 99 * (len(table) - 1)
    below = int(place)
    share = place - below
    return np.stack(
        [plane * math.exp((1 - share) * table[below, c] + share * table[below + 1, c]) for c, plane in enumerate(x)]
    )


def normalized(x, one):
    beta, gamma, y = TENSORS[one.beta], TENSORS[one.gamma], np.empty_like(x)
    for c, i, j in np.ndindex(*x.shape):
        root = math.sqrt(beta[c] + sum(gamma[c, d] * x[d, i, j] ** 2 for d in range(len(x))))
        y[c, i, j] = x[c, i, j] * root if one.inverse else x[c, i, j] / root
    return y


def in_space(x, one):
    f, (channels, height, width) = one.factor, x.shape
    y = np.empty((channels // f**2, f * height, f * width))
    for c, r, k, i, j in np.ndindex(len(y), f, f, height, width):
        y[c, f * i + r, f * j + k] = x[f * f * c + f * r + k, i, j]
    return y


def in_depth(x, one):
    f, (channels, height, width) = one.factor, x.shape
    y = np.empty((channels * f**2, height // f, width // f))
    for c, r, k, i, j in np.ndindex(channels, f, f, *y.shape[1:]):
        y[f * f * c + f * r + k, i, j] = x[c, f * i + r, f * j + k]
    return y


def surrounded(x, one):
    m, (channels, height, width) = one.margin, x.shape
    y = np.empty((channels, height + 2 * m, width + 2 * m))
    for c, i, j in np.ndindex(*y.shape):
        y[c, i, j] = x[c, min(max(i - m, 0), height - 1), min(max(j - m, 0), width - 1)]
    return y


ONE = [
    (Convolution(weight="three", bias="bias 3", padding=1), convolved),
    (Convolution(weight="three", stride=2, padding=1), convolved),
    (Convolution(weight="two", bias="bias 3", stride=2), convolved),
    (Convolution(weight="one", stride=2), convolved),
    (TransposedConvolution(weight="up five", bias="bias 2", stride=2, padding=2, output_padding=1), transposed),
    (TransposedConvolution(weight="up three", bias="small places", stride=2, padding=1), transposed),
    (TransposedConvolution(weight="block", bias="places", stride=4), transposed),
    (TransposedConvolution(weight="block", bias="bias 3", stride=2, padding=3), transposed),
    (TransposedConvolution(weight="lapped", stride=4, padding=6), transposed),
    (TransposedConvolution(weight="lapped", bias="places", stride=4, padding=5), transposed),
    (LeakyRelu(slope=0.2), lambda x, one: np.where(x >= 0, x, one.slope * x)),
    (Sigmoid(), lambda x, _: 1 / (1 + np.exp(-x))),
    (Absolute(), lambda x, _: np.abs(x)),
    (Affine(factor=3.0, offset=-0.5), lambda x, one: one.factor * x + one.offset),
    (QualityFactors(logarithms="logarithms"), scaled),
    (QualityPlane(), lambda x, _: np.concatenate([x, np.full((1, 6, 8), (QUALITY - 50.5) / 49.5)])),
    (Normalization(beta="beta", gamma="gamma"), normalized),
    (Normalization(beta="beta", gamma="gamma", inverse=True), normalized),
    (DepthToSpace(factor=2), in_space),
    (SpaceToDepth(factor=2), in_depth),
    (ReplicatePadding(margin=2), surrounded),
    (FirstChannels(channels=3), lambda x, one: x[: one.channels]),
]
LINEAR = (Convolution, TransposedConvolution, DepthToSpace, SpaceToDepth, ReplicatePadding, FirstChannels)


def engine(*program):
    tensors = {name: torch.from_numpy(value) for name, value in TENSORS.items()}
    return TorchNetwork(program, tensors, torch.device("cpu"))


def result(program, x, *, grad=False):
    given = torch.from_numpy(x)[None].requires_grad_(grad)
    with torch.enable_grad() if grad else torch.inference_mode():
        return engine(*program)(given, torch.tensor([QUALITY], dtype=torch.float64))[0].detach().numpy()


@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize(("one", "naive"), ONE)
def test_an_operation_is_its_formula(one, naive, grad):
    expected = naive(X, one)
    assert result_shape([one], Shape(*X.shape), SHAPES) == expected.shape
    np.testing.assert_allclose(result([one], X, grad=grad), expected, rtol=1e-9, atol=1e-9)
    # After another one its input may be overwritten.
    np.testing.assert_allclose(
        result([Affine(offset=0.25), one], X, grad=grad), naive(X + 0.25, one), rtol=1e-9, atol=1e-9
    )


@pytest.mark.parametrize("grad", [False, True])
def test_sums_and_products_of_two_values_are_their_formulas(grad):
    half = [FirstChannels(channels=2), Affine(factor=2.0)]
    expected = X.copy()
    expected[:2] += 2 * X[:2]
    np.testing.assert_allclose(result([*half, Add(inputs=(0, 2))], X, grad=grad), expected)
    doubled = [Affine(factor=2.0), Affine(offset=1.0, inputs=(0,))]
    for inputs in itertools.permutations((1, 2)):
        np.testing.assert_allclose(result([*doubled, Add(inputs=inputs)], X, grad=grad), 3 * X + 1)
        np.testing.assert_allclose(result([*doubled, Multiply(inputs=inputs)], X, grad=grad), 2 * X * (X + 1))
    # A value that is still needed stays as it was.
    twice = [Affine(factor=2.0), LeakyRelu(slope=0.0), Add(inputs=(1, 2))]
    np.testing.assert_allclose(result(twice, X, grad=grad), 2 * X + np.maximum(2 * X, 0))
    np.testing.assert_allclose(result([Affine(factor=2.0), Add(inputs=(1, 1))], X, grad=grad), 4 * X)


def test_a_value_in_the_memory_of_another_is_not_overwritten():
    x = GENERATOR.normal(size=(4, 1, 1))  # whose depth to space moves nothing
    program = [Affine(factor=1.0), DepthToSpace(factor=2), LeakyRelu(slope=0.0), DepthToSpace(factor=2, inputs=(1,))]
    np.testing.assert_allclose(
        result([*program, Add(inputs=(4, 3))], x), in_space(x, program[1]) + np.maximum(in_space(x, program[1]), 0)
    )


@pytest.mark.parametrize("one", [one for one, _ in ONE if isinstance(one, LINEAR)])
def test_the_gradient_of_a_linear_operation_is_its_adjoint(one):
    """``<A x, y> = <x, A* y>``, of the part without a bias."""
    run = engine(one)
    x = torch.from_numpy(GENERATOR.normal(size=X.shape))[None].requires_grad_()
    constant = run(torch.zeros_like(x)).detach()
    found = run(x) - constant
    y = torch.from_numpy(GENERATOR.normal(size=found.shape))
    (adjoint,) = torch.autograd.grad(found, x, y)
    assert float((found * y).sum().detach()) == pytest.approx(float((x.detach() * adjoint).sum()), rel=1e-9)


def on_arrays(*program):
    tensors = {name: value.astype(np.float32) for name, value in TENSORS.items()}
    return OnnxNetwork(program, tensors, len(X))


@pytest.mark.parametrize(("one", "naive"), ONE)
def test_an_operation_of_onnx_is_its_formula(one, naive):
    np.testing.assert_allclose(on_arrays(one)(X, QUALITY), naive(X, one), rtol=1e-4, atol=1e-4)
    network = on_arrays(Affine(offset=0.25), one)
    np.testing.assert_allclose(network(X, QUALITY), naive(X + 0.25, one), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(network.with_adjoint(X, QUALITY)[0], network(X, QUALITY), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("one", [one for one, _ in ONE if isinstance(one, LINEAR)])
def test_the_adjoint_of_a_linear_operation_of_onnx_is_its_adjoint(one):
    """``<A x, y> = <x, A* y>``, of the part without a bias."""
    network = on_arrays(one)
    x = GENERATOR.normal(size=X.shape).astype(np.float32)
    found, adjoint = network.with_adjoint(x)
    found = found.astype(np.float64) - network(np.zeros_like(x))
    y = GENERATOR.normal(size=found.shape).astype(np.float32)
    slope = adjoint(y)
    assert slope.shape == x.shape
    scale = np.linalg.norm(found) * np.linalg.norm(y)
    assert (found * y).sum() == pytest.approx((x.astype(np.float64) * slope).sum(), abs=1e-5 * scale)


@pytest.mark.parametrize(("one", "_"), ONE)
def test_a_network_that_keeps_values_gives_what_one_gives_that_does_not(one, _):
    # Both may have run in a process that encodes: a file must not depend on which of them did.
    plain, keeping = on_arrays(Affine(offset=0.25), one), on_arrays(Affine(offset=0.25), one)
    kept = keeping.with_adjoint(X, QUALITY)[0]
    np.testing.assert_array_equal(keeping(X, QUALITY), kept)
    np.testing.assert_array_equal(plain(X, QUALITY), kept)


TWO_VALUES = (
    [FirstChannels(channels=2), Affine(factor=2.0), Add(inputs=(0, 2))],
    [Affine(factor=2.0), Sigmoid(inputs=(0,)), Multiply(inputs=(1, 2)), Add(inputs=(3, 0))],
    [Affine(factor=2.0), Multiply(inputs=(1, 1)), LeakyRelu(slope=0.0, inputs=(0,)), Add(inputs=(2, 3))],
    [Convolution(weight="three", padding=1), LeakyRelu(slope=0.2), Add(inputs=(0, 2))],
)


@pytest.mark.parametrize("program", [*([one] for one, _ in ONE), *TWO_VALUES])
def test_the_adjoint_is_the_gradient_of_torch(program):
    given = torch.from_numpy(X)[None].requires_grad_()
    with torch.enable_grad():
        found = engine(*program)(given, torch.tensor([QUALITY], dtype=torch.float64))
    y = GENERATOR.normal(size=found.shape[1:])
    expected = torch.autograd.grad(found, given, torch.from_numpy(y)[None])[0][0].numpy()
    value, adjoint = on_arrays(*program).with_adjoint(X, QUALITY)
    np.testing.assert_allclose(value, found[0].detach().numpy(), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(adjoint(y), expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_every_operation_is_tested():
    tested = {type(one) for one, _ in ONE} | {Add, Multiply}
    assert tested == set(OPERATIONS.values())


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ([Convolution(weight="one", bias="bias 2")], r"bias 2 must be \[5\], found \[2\]"),
        ([Convolution(weight="none")], "must have none"),
        ([FirstChannels(channels=3), Convolution(weight="one")], "operation 2, convolution: .* kernel of 3 inputs"),
        ([FirstChannels(channels=5)], "are not there"),
        ([DepthToSpace(factor=3)], "multiple of the factor 3 squared"),
        ([SpaceToDepth(factor=5)], "multiples of the factor 5"),
        ([Convolution(weight="three", stride=2), Add(inputs=(0, 1))], "must not be larger"),
        ([FirstChannels(channels=2), Multiply(inputs=(0, 1))], "must have one shape"),
        ([Convolution(weight="three", padding=0), Convolution(weight="up five", padding=0)], "kernel of 3 inputs"),
        ([TransposedConvolution(weight="up three", stride=2, output_padding=2)], "less than the stride"),
        ([QualityFactors(logarithms="beta")], "two rows"),
    ],
)
def test_what_does_not_fit_is_refused(program, message):
    with pytest.raises(ModelError, match=message):
        result_shape(program, Shape(*X.shape), SHAPES)


def test_a_program_of_another_kind_is_refused():
    for listed in (None, {}, [], [1], [{}], [{"operation": "affine", "inputs": []}]):
        with pytest.raises(ModelError):
            program_from_json(listed)
