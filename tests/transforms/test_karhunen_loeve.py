"""The linear path as matrix products equals the convolutions that its filters are."""

import pytest
import torch
from torch.nn import functional as F

from trimix.transforms.karhunen_loeve import LinearAnalysis, LinearSynthesis

CHANNELS, BLOCK = 7, 4
lapped = pytest.mark.parametrize("lapped_channels", [0, 3, CHANNELS])
layouts = pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])


def random_path(kind, lapped_channels, layout):
    torch.manual_seed(1)
    path = kind(CHANNELS, BLOCK, lapped_channels)
    with torch.no_grad():
        for parameter in path.parameters():
            parameter.normal_()
    return path.to(memory_format=layout)


def random_planes(seed, channels, rows, columns, layout):
    generator = torch.Generator().manual_seed(seed)
    planes = torch.randn(2, channels, rows, columns, generator=generator)
    return planes.contiguous(memory_format=layout).requires_grad_()


def analysed(weights, x):
    """In double precision: one convolution of a block each, one of twice the side around it."""
    result = F.conv2d(x, weights["weight"], weights["bias"], stride=BLOCK)
    if "lapped_weight" in weights:
        surrounded = F.pad(x, (BLOCK // 2,) * 4, mode="replicate")
        more = F.conv2d(surrounded, weights["lapped_weight"], stride=BLOCK)
        result = result + F.pad(more, (0, 0, 0, 0, 0, CHANNELS - more.shape[1]))
    return result


def synthesized(weights, c):
    result = F.conv_transpose2d(c, weights["weight"], stride=BLOCK)
    if "lapped_weight" in weights:
        surrounded = F.pad(c[:, : len(weights["lapped_weight"])], (1, 1, 1, 1), mode="replicate")
        cut = BLOCK + BLOCK // 2
        result = result + F.conv_transpose2d(surrounded, weights["lapped_weight"], stride=BLOCK, padding=cut)
    return result + weights["mean"].repeat(1, *c.shape[2:])


def check(path, plain, planes):
    result = path(planes)
    gradient = torch.randn(result.shape, generator=torch.Generator().manual_seed(3))
    result.backward(gradient)
    weights = {name: p.detach().double().requires_grad_() for name, p in path.named_parameters()}
    double = planes.detach().double().requires_grad_()
    expected = plain(weights, double)
    expected.backward(gradient.double())
    result, expected = result.detach(), expected.detach()
    pairs = [(result, expected), (planes.grad, double.grad)]
    pairs += [(p.grad, weights[name].grad) for name, p in path.named_parameters()]
    for found, wanted in pairs:
        torch.testing.assert_close(found.double(), wanted, rtol=0, atol=2e-6 * float(wanted.abs().max()))
    with torch.no_grad():
        torch.testing.assert_close(path(planes), result, rtol=0, atol=2e-6 * float(expected.abs().max()))
    return result


@lapped
@layouts
@pytest.mark.parametrize("size", [(1, 1), (3, 5)])
def test_analysis_is_its_convolutions_in_value_and_gradients(lapped_channels, layout, size):
    rows, columns = size
    planes = random_planes(2, 3, BLOCK * rows, BLOCK * columns, layout)
    check(random_path(LinearAnalysis, lapped_channels, layout), analysed, planes)


@lapped
@layouts
@pytest.mark.parametrize("size", [(1, 1), (3, 5)])
def test_synthesis_is_its_transposed_convolutions_in_value_and_gradients(lapped_channels, layout, size):
    planes = random_planes(2, CHANNELS, *size, layout)
    result = check(random_path(LinearSynthesis, lapped_channels, layout), synthesized, planes)
    assert result.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("kind", [LinearAnalysis, LinearSynthesis])
def test_keeps_single_precision_under_autocast(kind):
    path = random_path(kind, 3, torch.channels_last)
    planes = random_planes(4, 3 if kind is LinearAnalysis else CHANNELS, 8, 8, torch.channels_last)
    gradients = []
    for enabled in (False, True):
        path.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            path(planes).square().sum().backward()
        gradients.append([parameter.grad for parameter in path.parameters()])
    for plain, under_autocast in zip(*gradients, strict=True):
        assert torch.equal(plain, under_autocast)
