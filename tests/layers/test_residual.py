"""Laws of residual blocks and the concatenated residual module."""

import pytest
import torch
from torch.nn import functional as F

from trimix.layers.residual import (
    ConcatenatedResidualModule,
    DownsamplingBlock,
    ResidualBlock,
    UpsamplingBlock,
    residual_module,
)


def parameter_count(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("stages", [1, 2, 3])
def test_doubles_its_input_when_every_last_convolution_is_zero(stages):
    module = ConcatenatedResidualModule(4, stages)
    for block in module.blocks:
        torch.nn.init.zeros_(block.second.weight)
        torch.nn.init.zeros_(block.second.bias)
    x = torch.randn(2, 4, 5, 6, generator=torch.Generator().manual_seed(1))
    assert torch.equal(module(x), 2 * x)


@pytest.mark.parametrize("stages", [2, 3])
def test_is_its_formula(stages):
    torch.manual_seed(2)
    module = ConcatenatedResidualModule(3, stages).double()
    x = torch.randn(1, 3, 4, 5, dtype=torch.float64)
    y = x
    for block in module.blocks:
        hidden = F.leaky_relu(F.conv2d(y, block.first.weight, block.first.bias, padding=1), 0.2)
        y = y + F.leaky_relu(F.conv2d(hidden, block.second.weight, block.second.bias, padding=1), 0.2)
    torch.testing.assert_close(module(x), x + y)


@pytest.mark.parametrize("channels", [4, 128])
@pytest.mark.parametrize("stages", [2, 3])
def test_parameter_count(channels, stages):
    module = ConcatenatedResidualModule(channels, stages)
    assert parameter_count(module) == stages * 2 * (9 * channels**2 + channels)


def test_parameters_that_a_third_stage_adds_to_gllmm():
    # Three modules in g_a, four in g_s: 19.9 M - 17.8 M at 128 channels, 66.6 M - 58.3 M at 256.
    for channels, millions in ((128, 2.1), (256, 8.3)):
        assert round(7 * parameter_count(ResidualBlock(channels)) / 1e6, 1) == millions


def test_the_slope_reaches_every_activation():
    block = ResidualBlock(1, slope=1.0)
    with torch.no_grad():
        for convolution in (block.first, block.second):
            convolution.weight.zero_()[0, 0, 1, 1] = -1.0
            convolution.bias.zero_()
    x = torch.tensor([-2.0, 3.0]).view(1, 1, 1, 2)
    assert torch.equal(block(x), 2 * x)


def normalized(module, x, *, inverse):
    beta, gamma = module.coefficients()
    root = (F.conv2d(x.square(), gamma[:, :, None, None], beta)).sqrt()
    return x * root if inverse else x / root


def test_downsampling_is_its_formula():
    torch.manual_seed(3)
    block = DownsamplingBlock(3, 5).double()
    x = torch.randn(2, 3, 6, 8, dtype=torch.float64)
    hidden = F.leaky_relu(F.conv2d(x, block.first.weight, block.first.bias, stride=2, padding=1), 0.2)
    hidden = F.conv2d(hidden, block.second.weight, block.second.bias, padding=1)
    shortcut = F.conv2d(x[:, :, ::2, ::2], block.shortcut.weight, block.shortcut.bias)
    expected = normalized(block.normalization, hidden, inverse=False) + shortcut
    torch.testing.assert_close(block(x), expected)


@pytest.mark.parametrize("shortcut_kernel", [1, 3])
def test_upsampling_is_its_formula(shortcut_kernel):
    torch.manual_seed(4)
    block = UpsamplingBlock(3, 5, 0.01, shortcut_kernel).double()
    x = torch.randn(2, 3, 3, 4, dtype=torch.float64)
    hidden = F.leaky_relu(F.conv2d(x, block.first[0].weight, block.first[0].bias, padding=1), 0.01)
    hidden = F.conv2d(F.pixel_shuffle(hidden, 2), block.second.weight, block.second.bias, padding=1)
    shortcut = F.conv2d(x, block.shortcut[0].weight, block.shortcut[0].bias, padding=shortcut_kernel // 2)
    assert block.shortcut[0].weight.shape == (20, 3, shortcut_kernel, shortcut_kernel)
    expected = normalized(block.normalization, hidden, inverse=True) + F.pixel_shuffle(shortcut, 2)
    torch.testing.assert_close(block(x), expected)


def test_a_module_without_its_shortcut_lacks_its_input_once():
    torch.manual_seed(5)
    concatenated = residual_module(3, 2, concatenated=True)
    plain = residual_module(3, 2, concatenated=False)
    plain.load_state_dict({name.removeprefix("blocks."): p for name, p in concatenated.state_dict().items()})
    x = torch.randn(1, 3, 4, 5)
    torch.testing.assert_close(concatenated(x), plain(x) + x)
