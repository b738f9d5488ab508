"""No step moves a matrix too far, and deep, wide networks do not explode."""

import pytest
import torch
from torch import nn

from tiny_models import tiny_model
from trimix.layers.residual import ResidualBlock
from trimix.training.config import OptimizerConfig
from trimix.training.optimizers import ChangeLimit, NonFiniteSteps, build_optimizer

LIMIT = 0.1


def matrices_of(network):
    return [parameter for parameter in network.parameters() if parameter.ndim == 4]


def step_of_a_block(rate, limit):
    """Weights of a block before a step of Adam and after it."""
    torch.manual_seed(0)
    block = ResidualBlock(6)
    optimizer = torch.optim.Adam(block.parameters(), lr=rate, fused=True)
    if limit is not None:
        ChangeLimit(optimizer, matrices_of(block), limit)
    before = [parameter.detach().clone() for parameter in block.parameters()]
    block(torch.randn(2, 6, 5, 5)).square().sum().backward()
    optimizer.step()
    return before, [parameter.detach() for parameter in block.parameters()]


def test_what_is_within_the_limit_is_adams_bit_for_bit():
    _, free = step_of_a_block(1e-4, None)
    _, limited = step_of_a_block(1e-4, LIMIT)
    assert all(torch.equal(one, other) for one, other in zip(free, limited, strict=True))


def test_what_is_not_is_shortened_to_a_share_of_the_typical_singular_value():
    before, free = step_of_a_block(0.1, None)
    _, limited = step_of_a_block(0.1, LIMIT)
    for start, far, near in zip(before, free, limited, strict=True):
        if start.ndim != 4:
            assert torch.equal(far, near)
            continue
        values = torch.linalg.svdvals(start.flatten(1))
        change = near - start
        assert float(change.norm()) == pytest.approx(LIMIT * float(values.square().mean().sqrt()), rel=1e-3)
        torch.testing.assert_close(change / change.norm(), (far - start) / (far - start).norm(), rtol=1e-3, atol=1e-5)


def test_a_matrix_of_zeros_can_grow():
    weight = nn.Parameter(torch.zeros(5, 5))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    ChangeLimit(optimizer, [weight], LIMIT)
    for _ in range(100):
        weight.grad = -torch.eye(5)
        optimizer.step()
    assert weight.norm() > 10 * LIMIT * 0.01


@pytest.mark.parametrize("kind", ["adam", "soap"])
def test_it_follows_every_optimiser_and_leaves_a_skipped_step_alone(kind):
    model = tiny_model()
    optimizer = build_optimizer(model, OptimizerConfig(kind=kind, change_limit=1e-3))
    for group in optimizer.param_groups:
        group["lr"] = 1.0
    moved = [parameter for parameter in matrices_of(model.head) if min(parameter.shape[:2]) >= 4]
    assert moved
    for norm in (1.0, torch.nan, 1.0):
        before = [parameter.detach().clone() for parameter in moved]
        for parameter in model.parameters():
            parameter.grad = torch.full_like(parameter, norm)
        guard = NonFiniteSteps("cpu")
        guard.look([torch.tensor(norm)])
        guard.step(optimizer)
        for start, weight in zip(before, moved, strict=True):
            typical = torch.linalg.svdvals(start.flatten(1)).square().mean().sqrt()
            assert (weight - start).norm() <= 1e-3 * typical * (1 + 1e-3)
            assert weight.isfinite().all()
    assert not torch.equal(before[0], moved[0])


def losses(rate, limit):
    """Of six wide residual blocks that learn to shift channels, with pictures of all sizes."""
    torch.manual_seed(0)
    network = nn.Sequential(*(ResidualBlock(64) for _ in range(6)))
    optimizer = torch.optim.Adam(network.parameters(), lr=rate, betas=(0.9, 0.99))
    if limit is not None:
        ChangeLimit(optimizer, matrices_of(network), limit)
    random, found = torch.Generator().manual_seed(1), []
    for _ in range(30):
        size = torch.rand(4, 1, 1, 1, generator=random)
        x = 2 * size * torch.randn(4, 64, 4, 4, generator=random)
        loss = (network(x) - 0.3 * x.roll(1, 1)).square().mean()
        found.append(float(loss.detach()))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
    return found


def test_a_deep_wide_network_explodes_without_it_and_learns_with_it():
    for rate in (1e-2, 2e-2):
        assert max(losses(rate, None)) > 1e3
        limited = losses(rate, LIMIT)
        assert max(limited) < 2 * limited[0]
        assert sum(limited[-10:]) < 0.7 * sum(limited[:10])
