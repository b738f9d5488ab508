"""A pointwise convolution is a 1x1 convolution."""

import copy

import pytest
import torch
from torch import nn

from trimix.layers.pointwise import PointwiseConvolution, product_of_rows


def random_layer(dtype=torch.float64, *, bias=True):
    torch.manual_seed(1)
    return PointwiseConvolution(5, 7, bias=bias).to(dtype)


def random_planes(dtype=torch.float64, layout=torch.contiguous_format):
    planes = torch.randn(2, 5, 3, 4, dtype=dtype, generator=torch.Generator().manual_seed(2))
    return planes.contiguous(memory_format=layout).requires_grad_()


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_equals_a_convolution_in_value_and_gradients(bias, layout):
    layer = random_layer(bias=bias)
    plain = nn.Conv2d(5, 7, 1, bias=bias).double()
    plain.load_state_dict(layer.state_dict())
    x = random_planes(layout=layout)
    gradients = []
    for one in (layer, plain):
        result = one(x)
        gradients.append((result, *torch.autograd.grad(result.square().sum(), (x, *one.parameters()))))
    for found, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-13, atol=1e-13)


def test_gradcheck():
    layer = random_layer()
    inputs = (random_planes().detach(), *(p.detach() for p in layer.parameters()))

    def call(x, weight, bias):
        return torch.func.functional_call(layer, {"weight": weight, "bias": bias}, (x,))

    assert torch.autograd.gradcheck(call, tuple(value.clone().requires_grad_() for value in inputs))


def test_only_what_needs_a_gradient_gets_one():
    layer = random_layer().requires_grad_(False)
    x = random_planes()
    layer(x).sum().backward()
    assert x.grad is not None
    assert all(parameter.grad is None for parameter in layer.parameters())


def test_gradients_keep_single_precision_where_autocast_is_around_them_alone():
    layer, x = random_layer(torch.float32), random_planes(torch.float32)
    inside = copy.deepcopy(layer)
    layer(x).square().sum().backward()
    loss = inside(x).square().sum()
    with torch.autocast("cpu", torch.bfloat16):
        loss.backward()
    assert torch.equal(inside.weight.grad, layer.weight.grad)


def test_is_in_half_precision_under_autocast():
    layer, x = random_layer(torch.float32), random_planes(torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        result = layer(x)
    result.float().sum().backward()
    assert result.dtype == torch.bfloat16
    assert layer.weight.grad.dtype == torch.float32


def test_keeps_channels_last():
    x = random_planes(layout=torch.channels_last)
    assert random_layer()(x).is_contiguous(memory_format=torch.channels_last)


def test_rows_may_lie_in_any_order():
    rows = torch.randn(6, 5, 3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(3)).permute(0, 3, 2, 1)
    weight = random_layer().weight.flatten(1)
    torch.testing.assert_close(product_of_rows(rows, weight), rows @ weight.T, rtol=1e-13, atol=1e-13)
