import pytest
import torch

from trimix.entropy_models.fixed_point import IntegerConvolution, IntegerLayer
from trimix.errors import ModelError
from trimix.models.stored_layers import (
    StoredTensors,
    convolution_tensors,
    largest_results,
    layer_tensors,
    read_convolutions,
    read_layer,
)


def some_layer(outputs: int, inputs: int, largest_weight: int, seed: int = 0) -> IntegerLayer:
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randint(-largest_weight, largest_weight + 1, (outputs, inputs), generator=generator)
    return IntegerLayer(
        weight=weight.to(torch.int16),
        bias=torch.randint(-1000, 1000, (outputs,), generator=generator),
        multiplier=torch.full((outputs,), 3),
        negative_multiplier=torch.full((outputs,), 1),
        shift=torch.full((outputs,), 20),
        minimum=torch.arange(outputs) - 300,
        maximum=torch.arange(outputs) + 200,
        input_limit=torch.full((inputs,), 100),
    )


@pytest.mark.parametrize("largest_weight", [127, 32767])
def test_a_layer_comes_back_as_it_was(largest_weight):
    layer = some_layer(5, 7, largest_weight)
    tensors = layer_tensors("a", layer)
    assert ("a.weight_shift" in tensors) == (largest_weight == 127)
    stored = StoredTensors(tensors)
    again = read_layer(stored, "a", torch.full((7,), 100), 5)
    stored.refuse_rest()
    for name in IntegerLayer.NAMES:
        assert torch.equal(layer.tensors[name], again.tensors[name])
        assert layer.tensors[name].dtype == again.tensors[name].dtype
    assert largest_results(again).tolist() == [300, 299, 298, 297, 296]


def test_a_layer_must_take_what_feeds_it():
    tensors = layer_tensors("a", some_layer(5, 7, 127))
    read_layer(StoredTensors(tensors), "a", torch.full((7,), 99), 5)
    with pytest.raises(
        ModelError, match=r"a\.input_limit 3 must cover the 101 that its input may reach, found 100"
    ):
        read_layer(StoredTensors(tensors), "a", torch.tensor([100, 100, 100, 101, 100, 100, 100]), 5)
    for inputs, outputs in ((6, 5), (7, 4)):
        with pytest.raises(
            ModelError, match=rf"a.weight must be int8 \[{outputs}, {inputs}\], found int8 \[5, 7\]"
        ):
            read_layer(StoredTensors(tensors), "a", torch.full((inputs,), 100), outputs)
    for inputs, outputs in ((0, 5), (2**16 + 1, 5), (7, 2**40)):
        with pytest.raises(ModelError, match=r"a must have 1..65536"):
            read_layer(StoredTensors(tensors), "a", torch.full((inputs,), 100), outputs)


def test_a_chain_knows_what_each_channel_may_reach():
    first = IntegerConvolution(some_layer(8, 3 * 9, 127), 3, 2)
    second = IntegerConvolution(some_layer(3, 2, 127), 1, 1)
    tensors = convolution_tensors("h", [first, second])
    with pytest.raises(ModelError, match=r"h.1.input_limit 0 must cover the 300"):
        read_convolutions(StoredTensors(tensors), "h", torch.full((3,), 100), (2, 3))
    tensors["h.1.input_limit"] = torch.tensor([300, 296], dtype=torch.int32)
    stored = StoredTensors(tensors)
    convolutions, largest = read_convolutions(stored, "h", torch.full((3,), 100), (2, 3))
    stored.refuse_rest()
    assert [(c.kernel, c.upscale) for c in convolutions] == [(3, 2), (1, 1)]
    assert largest.tolist() == [300, 299, 298]
    with pytest.raises(ModelError, match=r"h.0 must have 1..65536 inputs"):
        read_convolutions(StoredTensors(tensors), "h", torch.full((2**14,), 100), (2, 3))


def test_a_tensor_is_taken_once_and_as_it_must_be():
    stored = StoredTensors({"a": torch.zeros(2, 3), "b": torch.zeros(1)})
    for name, kind, shape, message in (
        ("c", torch.float32, (1,), "must have c, found none"),
        ("a", torch.float32, (2, 4), r"must be float32 \[2, 4\], found float32 \[2, 3\]"),
        ("a", torch.float32, (2,), r"must be float32 \[2\]"),
        ("a", torch.int8, (2, None), r"must be int8 \[2, any\], found float32"),
    ):
        with pytest.raises(ModelError, match=message):
            stored.take(name, kind, shape)
    assert stored.take("a", torch.float32, (None, 3)).shape == (2, 3)
    assert "a" not in stored
    with pytest.raises(ModelError, match="found 1 more: 'b'"):
        stored.refuse_rest()
