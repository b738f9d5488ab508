import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trimix.entropy_models import fixed_point
from trimix.entropy_models.fixed_point import (
    ACTIVATION_LIMIT,
    IntegerConvolution,
    IntegerLayer,
    RequantizedActivation,
    column_shifts,
    freeze_layer,
)
from trimix.errors import ModelError


def random_layer(seed, inputs=7, outputs=5, slope=0.2):
    random = np.random.default_rng(seed)
    limit = np.full(outputs, ACTIVATION_LIMIT)
    return freeze_layer(
        random.normal(size=(outputs, inputs)).astype(np.float32),
        random.normal(size=outputs).astype(np.float32),
        np.full(inputs, 1e-3),
        np.full(inputs, ACTIVATION_LIMIT),
        RequantizedActivation(np.full(outputs, 5e-3), -limit, limit, slope),
    )


def reference(layer, row):
    """The layer's definition in Python integers, which never overflow."""
    t = {name: tensor.tolist() for name, tensor in layer.arrays.items()}
    result = []
    for o in range(layer.outputs):
        accumulator = sum(w * v for w, v in zip(t["weight"][o], row, strict=True)) + t["bias"][o]
        factor = t["multiplier"][o] if accumulator >= 0 else t["negative_multiplier"][o]
        value = (accumulator * factor + (1 << (t["shift"][o] - 1))) >> t["shift"][o]
        result.append(min(max(value, t["minimum"][o]), t["maximum"][o]))
    return result


@given(
    seed=st.integers(0, 1000), row=st.lists(st.integers(-ACTIVATION_LIMIT, ACTIVATION_LIMIT), min_size=7, max_size=7)
)
def test_a_layer_equals_its_definition_in_python_integers(seed, row):
    layer = random_layer(seed)
    found = layer(np.array([row]))[0].tolist()
    assert found == reference(layer, row)


def test_a_layer_at_the_extremes_equals_its_definition():
    layer = random_layer(3, inputs=300, outputs=4)
    signs = np.sign(layer.arrays["weight"].astype(np.int64))
    rows = np.concatenate([signs, -signs]) * ACTIVATION_LIMIT
    for row, found in zip(rows, layer(rows), strict=True):
        assert found.tolist() == reference(layer, [int(v) for v in row])


@settings(max_examples=20)
@given(seed=st.integers(0, 1000))
def test_a_frozen_layer_follows_its_float_layer(seed):
    random = np.random.default_rng(seed)
    weight, bias = random.normal(size=(5, 40)), random.normal(size=5)
    x = random.integers(-3000, 3000, size=(64, 40))
    real = (x * 1e-3) @ weight.T + bias
    step = 4 * np.abs(real).max() / ACTIVATION_LIMIT
    limit = np.full(5, ACTIVATION_LIMIT)
    layer = freeze_layer(
        weight,
        bias,
        np.full(40, 1e-3),
        np.full(40, ACTIVATION_LIMIT),
        RequantizedActivation(np.full(5, step), -limit, limit, 0.2),
    )
    expected = np.where(real < 0, 0.2 * real, real)
    found = layer(x) * step
    # Half a step of the output, and the rounding of 16-bit weights.
    assert np.abs(found - expected).max() < 0.5 * step + 2e-4 * np.abs(real).max()


def test_eight_bits_and_a_shift_keep_the_resolution_of_small_columns():
    random = np.random.default_rng(0)
    weight = random.normal(size=(6, 30)) * 2.0 ** random.integers(-6, 1, 30)
    limit = np.full(6, ACTIVATION_LIMIT)
    layer = freeze_layer(
        weight,
        np.zeros(6),
        np.ones(30),
        np.full(30, ACTIVATION_LIMIT),
        RequantizedActivation(np.full(6, 1.0), -limit, limit),
        weight_bits=8,
    )
    integers = layer.arrays["weight"].astype(np.int64)
    shifts = column_shifts(integers)
    assert np.array_equal((integers >> shifts) << shifts, integers)
    assert np.abs(integers >> shifts).max() <= 127
    real = weight / np.abs(weight).max(axis=1, keepdims=True) * ACTIVATION_LIMIT
    largest = np.abs(real).max(axis=0)
    assert (np.abs(integers - real).max(axis=0) <= largest / 64 + 1).all()


def test_rows_do_not_influence_each_other():
    layer = random_layer(1, inputs=50, outputs=20)
    rows = np.random.default_rng(2).integers(-9999, 9999, (64, 50))
    together = layer(rows)
    assert all(np.array_equal(layer(rows[i : i + 1])[0], together[i]) for i in range(64))


def test_a_sum_that_could_pass_two_to_53_is_refused():
    layer = random_layer(0)
    huge = {**layer.arrays, "bias": np.full(5, 2**53)}
    with pytest.raises(ModelError, match=r"2\^53"):
        IntegerLayer(**huge)


def test_a_product_that_could_pass_two_to_63_is_refused():
    layer = random_layer(0)
    huge = {**layer.arrays, "multiplier": np.full(5, 2**40)}
    with pytest.raises(ModelError, match=r"2\^63"):
        IntegerLayer(**huge)


def test_an_integer_convolution_equals_the_float_convolution_of_its_integers():
    random = np.random.default_rng(4)
    inputs = random.integers(-9, 10, (6, 5, 3), dtype=np.int16)
    kernel = random.integers(-90, 90, (8, 3, 3, 3))
    one = np.ones(8, np.int64)
    layer = IntegerLayer(
        weight=kernel.reshape(8, -1).astype(np.int16),
        bias=np.arange(8) - 4,
        multiplier=2 * one,
        negative_multiplier=2 * one,
        shift=one,
        minimum=-ACTIVATION_LIMIT * one,
        maximum=ACTIVATION_LIMIT * one,
        input_limit=np.full(27, 9),
    )
    as_tensor = lambda array: torch.from_numpy(array).double()  # noqa: E731
    expected = torch.nn.functional.conv2d(as_tensor(inputs).permute(2, 0, 1), as_tensor(kernel), padding=1)
    expected += as_tensor(layer.arrays["bias"])[:, None, None]
    assert torch.equal(as_tensor(IntegerConvolution(layer, 3)(inputs)).permute(2, 0, 1), expected)
    shuffled = IntegerConvolution(layer, 3, upscale=2)(inputs)
    assert torch.equal(as_tensor(shuffled).permute(2, 0, 1), torch.nn.functional.pixel_shuffle(expected, 2))


def test_strips_do_not_change_a_convolution(monkeypatch):
    layer = random_layer(2, inputs=27, outputs=4)
    x = np.random.default_rng(0).integers(-999, 999, (13, 7, 3), dtype=np.int16)
    whole = IntegerConvolution(layer, 3)(x)
    for positions in (1, 20, 40):
        monkeypatch.setattr(fixed_point, "ROWS_AT_ONCE", positions)
        assert np.array_equal(IntegerConvolution(layer, 3)(x), whole)


def test_a_convolution_of_wide_results_is_refused():
    layer = random_layer(0, inputs=9)
    wide = IntegerLayer(**{**layer.arrays, "maximum": np.full(5, 2**24)})
    assert IntegerConvolution(wide, 3)(np.zeros((2, 2, 1), np.int16)).dtype == np.int32
    wide = IntegerLayer(**{**layer.arrays, "maximum": np.full(5, 2**24 + 1)})
    with pytest.raises(ModelError, match="16777216"):
        IntegerConvolution(wide, 3)
