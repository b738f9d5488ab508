"""Laws of the contexts: checkerboard and raster."""

import pytest
import torch

from trimix.entropy_models.context import (
    CheckerboardContext,
    InterlacedContext,
    RasterContext,
    anchor_mask,
    layers_of,
    schedule_of,
)
from trimix.layers.masked_convolution import MaskedConvolution

ROWS, COLUMNS = 4, 5
sizes = pytest.mark.parametrize("size", [(1, 1), (1, 4), (4, 5), (6, 6)])


@pytest.fixture
def context():
    torch.manual_seed(1)
    return CheckerboardContext(3, 4)


def random_latent(rows, columns):
    return torch.randn(2, 3, rows, columns, generator=torch.Generator().manual_seed(2))


@sizes
def test_anchors_and_the_others_share_the_positions(size):
    mask = anchor_mask(*size)
    assert mask.shape == (1, 1, *size)
    expected = [[float((row + column) % 2 == 0) for column in range(size[1])] for row in range(size[0])]
    assert mask[0, 0].tolist() == expected


@sizes
def test_is_zero_at_the_anchors(context, size):
    anchors = anchor_mask(*size).bool().expand(2, 4, -1, -1)
    features = context(random_latent(*size))
    assert (features[anchors] == 0).all()
    assert (features[~anchors] != 0).all()


@sizes
def test_depends_on_the_anchors_alone(context, size):
    latent = random_latent(*size)
    anchors = anchor_mask(*size)
    assert torch.equal(context(latent), context(latent * anchors + 100 * (1 - anchors)))


def test_gradient_reaches_exactly_the_anchors_of_the_window_for_every_pair_of_positions(context):
    latent = random_latent(ROWS, COLUMNS)[:1].requires_grad_()
    features = context(latent)
    for row in range(ROWS):
        for column in range(COLUMNS):
            (gradient,) = torch.autograd.grad(features[0, :, row, column].sum(), latent, retain_graph=True)
            reached = (gradient[0].abs().sum(0) != 0).tolist()
            second_pass = (row + column) % 2 == 1
            assert reached == [
                [second_pass and (r + c) % 2 == 0 and abs(r - row) <= 2 and abs(c - column) <= 2
                 for c in range(COLUMNS)]
                for r in range(ROWS)
            ]  # fmt: skip


def test_state_dict_names():
    for context in (CheckerboardContext(2, 3), RasterContext(2, 3)):
        assert set(context.state_dict()) == {"convolution.weight", "convolution.bias"}


def test_raster_gradient_reaches_exactly_the_window_before_every_position():
    torch.manual_seed(3)
    context = RasterContext(3, 4)
    latent = random_latent(ROWS, COLUMNS)[:1].requires_grad_()
    features = context(latent)
    for row in range(ROWS):
        for column in range(COLUMNS):
            (gradient,) = torch.autograd.grad(features[0, :, row, column].sum(), latent, retain_graph=True)
            reached = (gradient[0].abs().sum(0) != 0).tolist()
            assert reached == [
                [(r, c) < (row, column) and abs(r - row) <= 2 and abs(c - column) <= 2 for c in range(COLUMNS)]
                for r in range(ROWS)
            ]


@sizes
def test_interlaced_gradient_reaches_exactly_the_taps_of_every_level(size):
    torch.manual_seed(4)
    context = InterlacedContext(3, 4)
    layers = layers_of(context)
    latent = random_latent(*size)[:1].requires_grad_()
    features = context(latent)
    for one in schedule_of(context)(*size):
        for row, column in zip(one.rows.tolist(), one.columns.tolist(), strict=True):
            if one.context is None:
                assert not features[0, :, row, column].any()
                continue
            (gradient,) = torch.autograd.grad(features[0, :, row, column].sum(), latent, retain_graph=True)
            reached = {tuple(place) for place in (gradient[0].abs().sum(0) != 0).nonzero().tolist()}
            taps = {(row + down, column + right) for down, right in layers[one.context].offsets}
            assert reached == {(r, c) for r, c in taps if 0 <= r < size[0] and 0 <= c < size[1]}


def test_the_last_level_of_an_interlaced_context_is_a_checkerboards():
    torch.manual_seed(5)
    one, other = InterlacedContext(3, 4), CheckerboardContext(3, 4)
    (theirs,), last = layers_of(other), layers_of(one)[-1]
    with torch.no_grad():
        last.weight.copy_(theirs.tap_weights().reshape(last.weight.shape))
        last.bias.copy_(theirs.bias)
    latent = random_latent(7, 9)
    second = (1 - anchor_mask(7, 9)).bool().expand(2, 4, -1, -1)
    assert torch.allclose(one(latent)[second], other(latent)[second], atol=1e-6)


@sizes
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_interlaced_is_a_masked_convolution_at_every_level_in_value_and_gradients(size, layout):
    torch.manual_seed(6)
    context = InterlacedContext(3, 4).double()
    latent = random_latent(*size).double().contiguous(memory_format=layout).requires_grad_()
    expected = torch.zeros(2, 4, *size, dtype=torch.float64)
    for one in schedule_of(context)(*size):
        if one.context is not None:
            layer = layers_of(context)[one.context]
            masked = MaskedConvolution(3, 4, 5, layer.offsets).double()
            weight = torch.zeros_like(masked.weight)
            for tap, (down, right) in enumerate(layer.offsets):
                weight[:, :, 2 + down, 2 + right] = layer.tap_weights()[:, tap]
            everywhere = torch.func.functional_call(masked, {"weight": weight, "bias": layer.bias}, (latent,))
            own = torch.zeros(size, dtype=torch.float64)
            own[one.rows, one.columns] = 1
            expected = expected + everywhere * own
    found = context(latent)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    if size == (1, 1):
        assert not found.requires_grad  # there is only the first pass
        return
    inputs = (latent, *context.parameters())
    gradients = [
        torch.autograd.grad(value.square().sum(), inputs, allow_unused=True, materialize_grads=True)
        for value in (found, expected)
    ]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
