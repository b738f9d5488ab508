"""Laws of the attention module."""

import pytest
import torch
from torch import nn

from trimix.layers.attention import Attention, BottleneckBlock


def random_input(channels=6):
    return torch.randn(2, channels, 5, 4, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("amplitude", [1e-3, 1.0, 10.0])
def test_mask_lies_between_zero_and_one(amplitude):
    torch.manual_seed(2)
    # In single precision a sigmoid rounds to 1 from 17 on.
    mask = Attention(6).double().mask(amplitude * random_input().double())
    assert mask.shape == (2, 6, 5, 4)
    assert (mask > 0).all()
    assert (mask < 1).all()


class Zeros(nn.Module):
    def forward(self, x):
        return torch.zeros_like(x)


def test_equals_its_input_when_the_trunk_is_zero():
    torch.manual_seed(3)
    attention = Attention(6)
    attention.trunk = Zeros()
    x = random_input()
    assert torch.equal(attention(x), x)


def test_with_zero_branches_adds_half_of_the_input():
    # Every bottleneck block is the identity then, and the mask is sigmoid(0).
    attention = Attention(6)
    for parameter in attention.parameters():
        nn.init.zeros_(parameter)
    x = random_input()
    torch.testing.assert_close(attention(x), 1.5 * x)


def test_is_its_formula():
    torch.manual_seed(4)
    attention = Attention(4)
    x = random_input(4)
    trunk, mask = x, x
    for block in attention.trunk:
        trunk = trunk + block.branch(trunk)
    for block in attention.mask[:3]:
        mask = mask + block.branch(mask)
    mask = torch.sigmoid(attention.mask[3](mask))
    torch.testing.assert_close(attention(x), x + mask * trunk)


@pytest.mark.parametrize("channels", [4, 128])
def test_parameter_count(channels):
    half = channels // 2
    block = (channels * half + half) + (9 * half**2 + half) + (half * channels + channels)
    assert sum(p.numel() for p in BottleneckBlock(channels).parameters()) == block
    assert sum(p.numel() for p in Attention(channels).parameters()) == 6 * block + channels**2 + channels


def test_rectified_bottleneck_blocks_end_with_a_rectifier():
    torch.manual_seed(5)
    attention = Attention(4, rectified=True)
    x = random_input(4)
    block = attention.trunk[0]
    torch.testing.assert_close(block(x), torch.relu(x + block.branch(x)))
    assert (attention.trunk(x) >= 0).all()
    assert all(part.activation(-x).eq(torch.relu(-x)).all() for part in (*attention.trunk, *attention.mask[:3]))


def test_rectified_or_not_the_weights_have_the_same_names():
    assert Attention(4).state_dict().keys() == Attention(4, rectified=True).state_dict().keys()
