"""Laws of residual blocks and the concatenated residual module."""

import pytest
import torch
from torch.nn import functional as F

from trimix.layers.residual import ConcatenatedResidualModule, ResidualBlock


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
