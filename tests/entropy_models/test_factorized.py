"""Laws of the factorized prior."""

import numpy as np
import pytest
import torch
from scipy.special import expit

from trimix.entropy_models.factorized import FactorizedPrior


def random_prior(seed=1, channels=3):
    torch.manual_seed(seed)
    prior = FactorizedPrior(channels).double()
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape))
    return prior


def on_integers(prior, low, high, dtype=torch.float64):
    values = torch.arange(low, high + 1, dtype=dtype)
    return values[None, None, None, :].expand(1, prior.channels, 1, -1)


def reference_logits(prior, values):
    """The chain of Ballé et al. 2018, appendix 6.1, channel by channel in NumPy."""
    result = []
    for channel in range(prior.channels):
        v = values[None, :]
        for index in range(len(prior.matrices)):
            matrix, bias, gate = (
                p[index][channel].detach().numpy() for p in (prior.matrices, prior.biases, prior.gates)
            )
            v = np.log1p(np.exp(matrix)) @ v + bias
            if index + 1 < len(prior.matrices):
                v = v + np.tanh(gate) * np.tanh(v)
        result.append(v[0])
    return np.stack(result)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_masses_sum_to_one(seed):
    prior = random_prior(seed)
    total = prior.log_likelihood(on_integers(prior, -3000, 3000)).exp().sum(dim=(0, 2, 3))
    torch.testing.assert_close(total, torch.ones_like(total), rtol=0, atol=1e-11)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_cumulative_distribution_is_strictly_increasing(seed):
    prior = random_prior(seed)
    # Gates at their most hostile: the chain must stay monotone.
    with torch.no_grad():
        for gate in prior.gates:
            gate.copy_(torch.linspace(-5, 5, gate.numel()).view_as(gate))
    values = torch.linspace(-200, 200, 4001, dtype=torch.float64)
    logits = prior.logits(values.expand(prior.channels, 1, -1))
    assert (logits.diff(dim=2) > 0).all()


def test_equals_plain_sigmoid_differences():
    prior = random_prior()
    points = np.linspace(-30, 30, 241)
    expected = expit(reference_logits(prior, points + 0.5)) - expit(reference_logits(prior, points - 0.5))
    latent = torch.from_numpy(points)[None, None, None].expand(1, prior.channels, 1, -1)
    found = prior.log_likelihood(latent).exp()[0, :, 0]
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-8, atol=1e-15)


def test_single_precision_follows_the_double_one():
    prior = random_prior()
    exact = prior.log_likelihood(on_integers(prior, -100, 100))
    single = prior.float().log_likelihood(on_integers(prior, -100, 100, torch.float32))
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), exact, rtol=1e-5, atol=1e-4)


def test_gradients_are_finite_far_out():
    prior = random_prior().float()
    latent = torch.tensor([-1e4, -300.0, 0.0, 300.0, 1e4]).expand(1, 3, 1, -1).clone().requires_grad_()
    value = prior.log_likelihood(latent)
    value.sum().backward()
    assert value.isfinite().all()
    assert latent.grad.isfinite().all()
    for name, parameter in prior.named_parameters():
        # The last layer has no gate; its place is kept so that the names of the weights are regular.
        assert name == "gates.3" or parameter.grad.isfinite().all()
    # The far tails pull back to the middle.
    assert (latent.grad[..., :2] > 0).all()
    assert (latent.grad[..., -2:] < 0).all()


def test_gradcheck():
    prior = random_prior(channels=2)
    latent = torch.linspace(-4, 4, 10, dtype=torch.float64).view(1, 2, 1, 5).requires_grad_()
    assert torch.autograd.gradcheck(prior.log_likelihood, (latent,))


def test_channels_and_pictures_keep_their_places():
    prior = random_prior()
    latent = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    whole = prior.log_likelihood(latent)
    for n in range(2):
        torch.testing.assert_close(whole[n : n + 1], prior.log_likelihood(latent[n : n + 1]))
    moved = latent.clone()
    moved[1, 2, 3, 4] += 1
    assert (prior.log_likelihood(moved) != whole).nonzero().tolist() == [[1, 2, 3, 4]]


def test_autocast_changes_nothing():
    prior = random_prior().float()
    latent = on_integers(prior, -20, 20, torch.float32)
    plain = prior.log_likelihood(latent)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(prior.log_likelihood(latent), plain)


def test_state_dict_names_and_shapes():
    shapes = {name: tuple(p.shape) for name, p in FactorizedPrior(2).state_dict().items()}
    assert shapes == {
        **{f"matrices.{k}": s for k, s in enumerate([(2, 3, 1), (2, 3, 3), (2, 3, 3), (2, 1, 3)])},
        **{f"biases.{k}": s for k, s in enumerate([(2, 3, 1), (2, 3, 1), (2, 3, 1), (2, 1, 1)])},
        **{f"gates.{k}": s for k, s in enumerate([(2, 3, 1), (2, 3, 1), (2, 3, 1), (2, 1, 1)])},
    }


def test_medians_are_a_buffer_only_where_asked_for():
    assert "medians" not in FactorizedPrior(2).state_dict()
    assert FactorizedPrior(2, has_medians=True).state_dict()["medians"].tolist() == [0.0, 0.0]


def test_rounds_around_medians_with_the_gradient_of_the_identity():
    prior = FactorizedPrior(2, has_medians=True)
    prior.medians.copy_(torch.tensor([0.25, -3.5]))
    latent = torch.tensor([[0.7, 0.8], [0.1, -0.1]])[None, :, None].requires_grad_()
    rounded = prior.round(latent)
    assert rounded.flatten().tolist() == [0.25, 1.25, 0.5, -0.5]
    rounded.sum().backward()
    assert (latent.grad == 1).all()
    assert FactorizedPrior(2).round(latent.detach()).flatten().tolist() == [1.0, 1.0, 0.0, 0.0]
