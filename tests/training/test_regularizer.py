import math

import pytest
import torch

from trimix.errors import UsageError
from trimix.training.regularizer import Regularizer, entropy_in_unit, own_randomness
from trimix.training.source_entropy import SourceEntropyConfig, SourceEntropyModel

FORM = SourceEntropyConfig(features=5, context=True)


@pytest.fixture
def q():
    torch.manual_seed(0)
    model = SourceEntropyModel(FORM)
    with torch.no_grad():
        model.head.weight.normal_(std=0.2)
    return model


@pytest.fixture
def pictures():
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(3, 3, 8, 8, generator=generator)
    noise = 0.05 * torch.randn(3, 3, 8, 8, generator=generator)
    return x, (x + noise).requires_grad_()


def gradients(model):
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("alpha", [0.3, 7.0])
def test_one_backward_pass_gives_both_gradients(q, pictures, alpha):
    x, x_hat = pictures
    (ascent,) = torch.autograd.grad(entropy_in_unit(q(x, x_hat), "bits_per_pixel").mean(), x_hat)
    entropy_in_unit(q(x, x_hat.detach()), "bits_per_pixel").mean().backward()
    expected = gradients(q)
    q.zero_grad()
    Regularizer(q, alpha=alpha)(x, x_hat).backward()
    torch.testing.assert_close(x_hat.grad, -alpha * ascent)
    for name, found in gradients(q).items():
        torch.testing.assert_close(found, expected[name])


def test_a_small_step_along_the_term_makes_the_source_less_certain(q, pictures):
    x, x_hat = pictures
    Regularizer(q, alpha=1.0)(x, x_hat).backward()
    with torch.no_grad():
        before, after = (q(x, seen).mean() for seen in (x_hat, x_hat - 1e-4 * x_hat.grad / x_hat.grad.norm()))
    assert after > before


def test_picture_weights_scale_the_pull_on_pictures_and_not_q(q, pictures):
    x, x_hat = pictures
    weights = torch.tensor([1.0, 0.0, 2.0])
    Regularizer(q, alpha=1.0)(x, x_hat).backward()
    plain, of_q = x_hat.grad.clone(), gradients(q)
    x_hat.grad = None
    q.zero_grad()
    Regularizer(q, alpha=1.0)(x, x_hat, picture_weights=weights).backward()
    torch.testing.assert_close(x_hat.grad, plain * weights[:, None, None, None])
    for name, found in gradients(q).items():
        torch.testing.assert_close(found, of_q[name])


@pytest.mark.parametrize("rho", [0.0, 0.1, 0.7])
def test_rho_is_the_ratio_of_the_pulls(q, pictures, rho):
    x, x_hat = pictures
    distortion = 0.0067 * 255**2 * (x - x_hat).square().mean()
    regularizer = Regularizer(q, rho=rho)
    regularizer(x, x_hat, distortion, share=0.5).backward()
    pull = x_hat.grad.flatten(1).norm(dim=1).mean()
    (reference,) = torch.autograd.grad(0.0067 * 255**2 * (x - x_hat).square().mean(), x_hat)
    # Half of the loss, half of the pull: the ratio is that of the whole.
    assert float(2 * pull / reference.flatten(1).norm(dim=1).mean()) == pytest.approx(rho, rel=1e-4)
    assert float(regularizer.ratio) == pytest.approx(rho, rel=1e-4)


def test_alpha_and_the_rho_that_it_makes_are_one_thing(q, pictures):
    x, x_hat = pictures

    def distortion():
        return 0.01 * 255**2 * (x - x_hat).square().mean()

    by_rho = Regularizer(q, rho=0.2)
    by_rho(x, x_hat, distortion()).backward()
    expected, x_hat.grad = x_hat.grad.clone(), None
    by_alpha = Regularizer(q, alpha=float(by_rho.applied_alpha))
    by_alpha(x, x_hat, distortion()).backward()
    torch.testing.assert_close(x_hat.grad, expected)
    assert float(by_alpha.ratio) == pytest.approx(0.2, rel=1e-4)


def test_near_its_optimum_the_pull_has_the_closed_form():
    # q a Gaussian of the error's own size: dH/dx_hat = (x_hat - x) / (ln2 sigma^2) bits, dD/dx_hat = 2 (x_hat - x) / 3.
    sigma, rate_distortion_lambda, alpha = 6.0, 0.013, 0.05
    generator = torch.Generator().manual_seed(2)
    x = torch.rand(2, 3, 64, 64, generator=generator)
    x_hat = (x + sigma / 255 * torch.randn(2, 3, 64, 64, generator=generator)).requires_grad_()
    model = SourceEntropyModel(SourceEntropyConfig(features=4))
    with torch.no_grad():
        model.head.bias.zero_()
        # log2 of the scale is -4 plus 15.94 times a logistic function that starts at a quarter of the range.
        wanted, start = ((math.log2(scale) + 4) / (16 - 1 / 16) for scale in (sigma, 0.25 * 255))
        model.head.bias[3:] = math.log(wanted / (1 - wanted)) - math.log(start / (1 - start))
    regularizer = Regularizer(model, alpha=alpha)
    error = (x - x_hat).square().mean()
    regularizer(x, x_hat, rate_distortion_lambda * 255**2 * error).backward()
    expected = alpha * 3 / (2 * math.log(2) * sigma**2 * rate_distortion_lambda)
    assert float(regularizer.ratio) == pytest.approx(expected, rel=0.01)
    entropy = 1.5 * math.log2(2 * math.pi * math.e * float(error.detach()) * 255**2)
    assert float(regularizer.entropy_bits_per_pixel) == pytest.approx(entropy, rel=0.01)


def test_units_are_the_same_entropy():
    nats = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(3))
    bits = nats.sum(dim=(1, 2, 3)) / math.log(2) / 16
    torch.testing.assert_close(entropy_in_unit(nats, "bits_per_pixel"), bits)
    torch.testing.assert_close(entropy_in_unit(nats, "unit_range"), bits)
    torch.testing.assert_close(entropy_in_unit(nats, "nats_per_dimension"), bits * math.log(2) / 3)


def test_steps_move_q_and_clear_its_gradients(q, pictures):
    x, x_hat = pictures
    regularizer = Regularizer(q, alpha=1.0, learning_rate=1e-2)
    entropies = []
    for _ in range(60):
        regularizer(x, x_hat).backward()
        regularizer.step()
        entropies.append(float(regularizer.entropy_bits_per_pixel))
    assert entropies[-1] < entropies[0] - 1
    assert all(parameter.grad is None for parameter in q.parameters())


def test_own_randomness_leaves_the_generators_as_they_were():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    with own_randomness(1):
        first = torch.rand(3)
    with own_randomness(1):
        assert torch.equal(torch.rand(3), first)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "either alpha or rho must be given"),
        ({"alpha": 1.0, "rho": 0.1}, "either alpha or rho must be given"),
        ({"alpha": -1.0}, "alpha must be at least 0"),
        ({"alpha": math.nan}, "alpha must be at least 0 and finite"),
        ({"rho": 1.0}, r"rho in \[0, 1\)"),
        ({"alpha": 1.0, "unit": "unit_range"}, "needs a q whose peak is 1, found 255"),
    ],
)
def test_what_makes_no_sense_is_refused(q, options, message):
    with pytest.raises(UsageError, match=message):
        Regularizer(q, **options)


def test_a_step_that_is_not_finite_leaves_q_as_it_is(q, pictures):
    x, x_hat = pictures
    regularizer = Regularizer(q, alpha=1.0)
    before = {name: value.clone() for name, value in q.state_dict().items()}
    regularizer(x, x_hat * math.nan).backward()
    regularizer.step()
    assert all(torch.equal(value, before[name]) for name, value in q.state_dict().items())
    regularizer(x, x_hat).backward()
    regularizer.step()
    assert any(not torch.equal(value, before[name]) for name, value in q.state_dict().items())


def test_a_reconstruction_without_gradient_is_refused(q, pictures):
    x, x_hat = pictures
    with pytest.raises(UsageError, match="x_hat must be part of the graph"):
        Regularizer(q, alpha=1.0)(x, x_hat.detach())


def test_rho_needs_the_distortion(q, pictures):
    with pytest.raises(UsageError, match="every call needs the weighted distortion"):
        Regularizer(q, rho=0.1)(*pictures)
