"""Transforms in eight bits: what is lost is below half a step of both scales."""

import numpy as np
import pytest
import torch
from torch import nn

from trimix.errors import ModelError
from trimix.frozen.byte_weights import byte_tensors, is_for_bytes
from trimix.frozen.stored_layers import FloatTensors, StoredTensors


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.large = nn.Conv2d(24, 20, 3)
        self.small = nn.Conv2d(3, 4, 3)
        self.linear = nn.Conv2d(24, 20, 3)
        with torch.no_grad():
            self.large.weight.mul_(torch.logspace(-4, 2, 24)[None, :, None, None])
            self.large.weight[:, 5] = 0
            self.large.weight[7] = 0


def stored(network):
    tensors = {}
    for name, value in network.state_dict().items():
        array = value.numpy()
        is_large = is_for_bytes(name, array)
        tensors |= byte_tensors(name, array) if is_large else {name: array.astype(np.float16)}
    return tensors


def read(tensors, network):
    left = StoredTensors(tensors)
    found = {name: torch.from_numpy(left.take_floats(name).value()) for name in network.state_dict()}
    left.refuse_rest()
    return found


def test_large_convolutions_are_bytes_and_the_rest_half_precision():
    kinds = {name: tensor.dtype for name, tensor in stored(Network()).items()}
    assert kinds.pop("large.weight") == np.int8
    assert {kinds.pop(f"large.weight_{side}_scale") for side in ("input", "output")} == {np.dtype(np.float32)}
    assert set(kinds.values()) == {np.dtype(np.float16)}


def test_errors_are_below_half_a_step_however_much_inputs_differ():
    network = Network()
    found = read(stored(network), network)
    weight = network.large.weight.detach()
    by_input = weight.abs().amax(dim=(0, 2, 3), keepdim=True)
    step = (weight / by_input.clamp(min=1e-30)).abs().amax(dim=(1, 2, 3), keepdim=True) * by_input / 127
    assert ((found["large.weight"] - weight).abs() <= 0.5 * step * (1 + 1e-4)).all()
    for name in ("linear.weight", "small.weight", "large.bias"):
        assert torch.allclose(found[name], network.state_dict()[name], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 2000.0])
@pytest.mark.parametrize("side", ["input", "output"])
def test_scales_out_of_range_are_refused(side, number):
    network = Network()
    tensors = stored(network)
    tensors[f"large.weight_{side}_scale"][3] = number
    with pytest.raises(ModelError, match=rf"large\.weight_{side}_scale must lie within 1024"):
        read(tensors, network)


def test_both_scales_must_be_there():
    network = Network()
    tensors = stored(network)
    del tensors["large.weight_output_scale"]
    with pytest.raises(ModelError, match=r"must have large\.weight_output_scale"):
        read(tensors, network)


def test_weights_in_any_order_of_memory_are_stored_in_one():
    weight = Network().large.weight.detach()
    last = weight.to(memory_format=torch.channels_last).numpy()
    assert not last.flags.c_contiguous
    found, wanted = byte_tensors("w", last), byte_tensors("w", weight.numpy())
    for name, values in found.items():
        assert values.flags.c_contiguous
        np.testing.assert_array_equal(values, wanted[name])


def test_weights_are_made_single_precision_when_they_are_asked_for():
    network = Network()
    left = StoredTensors(stored(network))
    found = {name: left.take_floats(name) for name in network.state_dict()}
    tensors = FloatTensors(found)
    assert {name: one.shape for name, one in found.items()} == {
        n: tuple(v.shape) for n, v in network.state_dict().items()
    }
    assert [*tensors] == [*found] and len(tensors) == len(found)
    for name, value in tensors.items():
        assert value.dtype == np.float32
        np.testing.assert_array_equal(value, tensors[name])
        assert value is not tensors[name]
