"""Laws of the convolutions that change the resolution."""

import pytest
import torch
from torch.nn import functional as F

from trimix.layers.resampling import (
    SubpixelConvolution,
    every_second,
    strided_convolution,
    subpixel_weights_of_transposed,
    transposed_convolution,
)


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("size", [(2, 2), (6, 10)])
def test_shapes(kernel, size):
    rows, columns = size
    x = torch.zeros(2, 3, rows, columns)
    assert strided_convolution(3, 4, kernel)(x).shape == (2, 4, rows // 2, columns // 2)
    assert SubpixelConvolution(3, 4, kernel)(x).shape == (2, 4, 2 * rows, 2 * columns)
    assert transposed_convolution(3, 4, kernel)(x).shape == (2, 4, 2 * rows, 2 * columns)


def test_subpixel_places_four_channels_in_a_square():
    up = SubpixelConvolution(4, 1, kernel=1)
    with torch.no_grad():
        up[0].weight.copy_(torch.eye(4)[:, :, None, None])
        up[0].bias.zero_()
    x = torch.arange(4.0).view(1, 4, 1, 1)
    assert up(x)[0, 0].tolist() == [[0.0, 1.0], [2.0, 3.0]]


def test_strided_takes_every_second_pixel_from_the_first_on():
    down = strided_convolution(1, 1, kernel=5)
    with torch.no_grad():
        down.weight.zero_()[0, 0, 2, 2] = 1.0
        down.bias.zero_()
    x = torch.arange(24.0).view(1, 1, 4, 6)
    assert torch.equal(down(x), x[:, :, ::2, ::2])


@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
@pytest.mark.parametrize("size", [(1, 1), (1, 4), (2, 2), (5, 3)])
@pytest.mark.parametrize("bias", [True, False])
def test_a_transposed_convolution_equals_its_subpixel_convolution_up_to_the_borders(kernel, size, bias):
    torch.manual_seed(1)
    module = transposed_convolution(3, 2, kernel).double()
    if not bias:
        module.bias = None
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    weight, offsets = subpixel_weights_of_transposed(module)
    side = weight.shape[2]
    assert weight.shape == (8, 3, side, side)
    assert side == {1: 1, 3: 3, 5: 3, 7: 5}[kernel]
    found = F.pixel_shuffle(F.conv2d(x, weight, offsets, padding=side // 2), 2)
    torch.testing.assert_close(found, module(x), rtol=0, atol=1e-14)


def test_subpixel_weights_are_those_of_the_transposed_convolution_each_once():
    torch.manual_seed(2)
    module = transposed_convolution(3, 2, 5)
    weight, offsets = subpixel_weights_of_transposed(module)
    assert torch.equal(weight[weight != 0].sort().values, module.weight.flatten().sort().values)
    assert torch.equal(offsets.view(2, 4), module.bias[:, None].expand(2, 4))


def test_strided_convolution_without_bias():
    assert strided_convolution(3, 4, 3, bias=False).bias is None


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("size", [(2, 2), (16, 10)])
def test_subpixel_is_its_convolution_and_depth_to_space_in_value_and_gradients(kernel, size):
    torch.manual_seed(3)
    up = SubpixelConvolution(3, 2, kernel).double().to(memory_format=torch.channels_last)
    x = torch.randn(2, 3, *size, dtype=torch.float64).contiguous(memory_format=torch.channels_last)
    x.requires_grad_()
    # Both ways are seen: whole channels are moved where there are many positions.
    assert (2 * size[0] * size[1] >= 4 * up[0].weight[0].numel()) == (size[0] > 2)
    plain = F.pixel_shuffle(F.conv2d(x, up[0].weight, up[0].bias, padding=kernel // 2), 2)
    results = []
    for result in (up(x), plain):
        # What follows may change the result in place.
        result = F.leaky_relu(result, 0.2, inplace=True)
        results.append((result, *torch.autograd.grad(result.square().sum(), (x, *up.parameters()))))
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    assert results[0][0].is_contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        torch.testing.assert_close(up(x).relu_(), results[0][0].relu())


@pytest.mark.parametrize("size", [(1, 1), (4, 6), (5, 3)])
def test_every_second_is_a_slice_in_value_and_gradient(size):
    x = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(4), requires_grad=True)
    results = []
    for result in (every_second(x), x[:, :, ::2, ::2]):
        weight = torch.arange(result.numel(), dtype=x.dtype).view(result.shape)
        results.append((result, *torch.autograd.grad((result * weight).sum(), x)))
    for found, expected in zip(*results, strict=True):
        assert torch.equal(found, expected)
        assert found.is_contiguous(memory_format=torch.channels_last)
