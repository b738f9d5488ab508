"""Laws of masked convolutions: the future does not reach the past, by autograd."""

import pytest
import torch

from trimix.layers.masked_convolution import MaskedConvolution
from trimix.layers.offsets import checkerboard_offsets, raster_offsets

ROWS, COLUMNS = 4, 5
OFFSETS = {"raster": raster_offsets, "checkerboard": checkerboard_offsets}
each_kind = pytest.mark.parametrize("kind", OFFSETS)
each_kernel = pytest.mark.parametrize("kernel", [3, 5])


def build(kind, kernel, inputs=3, outputs=4):
    torch.manual_seed(1)
    offsets = OFFSETS[kind](kernel)
    return MaskedConvolution(inputs, outputs, kernel, offsets), offsets


@each_kind
@each_kernel
def test_gradient_reaches_exactly_the_taps_for_every_pair_of_positions(kind, kernel):
    convolution, offsets = build(kind, kernel)
    x = torch.randn(1, 3, ROWS, COLUMNS, requires_grad=True)
    y = convolution(x)
    for row in range(ROWS):
        for column in range(COLUMNS):
            (gradient,) = torch.autograd.grad(y[0, :, row, column].square().sum(), x, retain_graph=True)
            reached = gradient[0].abs().sum(0) != 0
            expected = torch.zeros(ROWS, COLUMNS, dtype=torch.bool)
            for by_row, by_column in offsets:
                if 0 <= row + by_row < ROWS and 0 <= column + by_column < COLUMNS:
                    expected[row + by_row, column + by_column] = True
            assert torch.equal(reached, expected)


@each_kernel
def test_raster_taps_are_strictly_earlier_and_complete(kernel):
    offsets = raster_offsets(kernel)
    assert len(set(offsets)) == len(offsets) == (kernel**2 - 1) // 2
    assert all(row < 0 or (row == 0 and column < 0) for row, column in offsets)


@each_kernel
def test_checkerboard_taps_have_the_other_colour(kernel):
    offsets = checkerboard_offsets(kernel)
    assert len(set(offsets)) == len(offsets) == (kernel**2 - 1) // 2
    assert all((row + column) % 2 == 1 for row, column in offsets)


@each_kind
@each_kernel
def test_gathering_the_taps_equals_the_dense_convolution(kind, kernel):
    convolution, offsets = build(kind, kernel)
    convolution.double()
    x = torch.randn(2, 3, ROWS, COLUMNS, dtype=torch.float64)
    half = kernel // 2
    padded = torch.nn.functional.pad(x, (half, half, half, half))
    gathered = torch.stack(
        [
            padded[:, :, half + row : half + row + ROWS, half + column : half + column + COLUMNS]
            for row, column in offsets
        ],
        dim=1,
    )
    expected = torch.einsum("dtc,ntchw->ndhw", convolution.tap_weights(), gathered)
    torch.testing.assert_close(convolution(x), expected + convolution.bias[:, None, None])


@each_kind
def test_unused_taps_get_no_gradient_and_no_say(kind):
    convolution, offsets = build(kind, 5)
    x = torch.randn(1, 3, ROWS, COLUMNS)
    before = convolution(x)
    before.square().sum().backward()
    used = convolution.mask[0, 0].bool()
    assert used.sum() == len(offsets)
    assert (convolution.weight.grad[:, :, ~used] == 0).all()
    with torch.no_grad():
        convolution.weight[:, :, ~used] = 1e6
    assert torch.equal(convolution(x), before)


def test_the_mask_is_no_part_of_the_weights_file():
    assert set(build("raster", 5)[0].state_dict()) == {"weight", "bias"}
