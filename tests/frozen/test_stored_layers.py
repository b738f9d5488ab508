import numpy as np
import pytest

from trimix.entropy_models.fixed_point import IntegerLayer
from trimix.errors import ModelError
from trimix.frozen.stored_layers import StoredTensors, largest_results, layer_tensors, read_convolutions, read_layer


def some_layer(outputs: int, inputs: int, largest_weight: int, seed: int = 0) -> IntegerLayer:
    generator = np.random.default_rng(seed)
    weight = generator.integers(-largest_weight, largest_weight + 1, (outputs, inputs))
    return IntegerLayer(
        weight=weight.astype(np.int16),
        bias=generator.integers(-1000, 1000, outputs),
        multiplier=np.full(outputs, 3),
        negative_multiplier=np.full(outputs, 1),
        shift=np.full(outputs, 20),
        minimum=np.arange(outputs) - 300,
        maximum=np.arange(outputs) + 200,
        input_limit=np.full(inputs, 100),
    )


@pytest.mark.parametrize("largest_weight", [127, 32767])
def test_a_layer_comes_back_as_it_was(largest_weight):
    layer = some_layer(5, 7, largest_weight)
    tensors = layer_tensors("a", layer)
    assert ("a.weight_shift" in tensors) == (largest_weight == 127)
    stored = StoredTensors(tensors)
    again = read_layer(stored, "a", np.full(7, 100))
    stored.refuse_rest()
    for name in IntegerLayer.NAMES:
        assert np.array_equal(layer.arrays[name], again.arrays[name])
        assert layer.arrays[name].dtype == again.arrays[name].dtype
    assert largest_results(again).tolist() == [300, 299, 298, 297, 296]


def test_a_layer_must_take_what_feeds_it():
    tensors = layer_tensors("a", some_layer(5, 7, 127))
    read_layer(StoredTensors(tensors), "a", np.full(7, 99))
    with pytest.raises(ModelError, match=r"a\.input_limit 3 must cover the 101 that its input may reach, found 100"):
        read_layer(StoredTensors(tensors), "a", np.array([100, 100, 100, 101, 100, 100, 100]))
    with pytest.raises(ModelError, match=r"a.weight must be int8 \[5, 6\], found int8 \[5, 7\]"):
        read_layer(StoredTensors(tensors), "a", np.full(6, 100))
    for inputs in (0, 2**16 + 1):
        with pytest.raises(ModelError, match=r"a must have 1..65536 inputs"):
            read_layer(StoredTensors(tensors), "a", np.full(inputs, 100))
    with pytest.raises(ModelError, match=r"b must have 1..65536 outputs, found 0"):
        read_layer(StoredTensors(tensors), "b", np.full(7, 100))


def test_a_chain_knows_what_each_channel_may_reach():
    tensors = layer_tensors("h.0", some_layer(8, 3 * 9, 127)) | layer_tensors("h.1", some_layer(3, 2, 127))
    forms = [("h.0", 3, 2), ("h.1", 1, 1)]
    with pytest.raises(ModelError, match=r"h.1.input_limit 0 must cover the 300"):
        read_convolutions(StoredTensors(tensors), forms, np.full(3, 100))
    tensors["h.1.input_limit"] = np.array([300, 296], np.int32)
    stored = StoredTensors(tensors)
    convolutions, largest = read_convolutions(stored, forms, np.full(3, 100))
    stored.refuse_rest()
    assert [(c.kernel, c.upscale) for c in convolutions] == [(3, 2), (1, 1)]
    assert largest.tolist() == [300, 299, 298]
    with pytest.raises(ModelError, match=r"h.0 must have 1..65536 inputs"):
        read_convolutions(StoredTensors(tensors), forms, np.full(2**14, 100))


def test_a_tensor_is_taken_once_and_as_it_must_be():
    stored = StoredTensors({"a": np.zeros((2, 3), np.float32), "b": np.zeros(1, np.float32)})
    for name, kind, shape, message in (
        ("c", np.float32, (1,), "must have c, found none"),
        ("a", np.float32, (2, 4), r"must be float32 \[2, 4\], found float32 \[2, 3\]"),
        ("a", np.float32, (2,), r"must be float32 \[2\]"),
        ("a", np.int8, (2, None), r"must be int8 \[2, any\], found float32"),
    ):
        with pytest.raises(ModelError, match=message):
            stored.take(name, kind, shape)
    assert stored.take("a", np.float32, (None, 3)).shape == (2, 3)
    assert "a" not in stored
    with pytest.raises(ModelError, match="found 1 more: 'b'"):
        stored.refuse_rest()
