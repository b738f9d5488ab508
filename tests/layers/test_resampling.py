"""Laws of the convolutions that change the resolution."""

import pytest
import torch

from trimix.layers.resampling import strided_convolution, subpixel_convolution


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("size", [(2, 2), (6, 10)])
def test_shapes(kernel, size):
    rows, columns = size
    x = torch.zeros(2, 3, rows, columns)
    assert strided_convolution(3, 4, kernel)(x).shape == (2, 4, rows // 2, columns // 2)
    assert subpixel_convolution(3, 4, kernel)(x).shape == (2, 4, 2 * rows, 2 * columns)


def test_subpixel_places_four_channels_in_a_square():
    up = subpixel_convolution(4, 1, kernel=1)
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
