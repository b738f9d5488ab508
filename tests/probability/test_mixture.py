"""Laws of the mixture: GLLMM and every subset of it are one likelihood."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from family_laws import CUMULATIVE, SCIPY
from trimix.probability import Family, MixtureParameters, log_likelihood, mixture

SUBSETS = [s for n in range(1, len(Family) + 1) for s in itertools.combinations(Family, n)]


def random_parameters(seed, families, components, latent=(4, 3, 2), pictures=2, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    shape = (pictures, len(families), components, *latent)
    logits, means, log_scales = (torch.randn(shape, generator=generator, dtype=dtype) for _ in range(3))
    log_weights = torch.log_softmax(logits.flatten(1, 2), dim=1).view(shape)
    return MixtureParameters(families, log_weights, 3 * means, torch.exp(log_scales))


def random_latent(seed, latent=(4, 3, 2), pictures=2, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return 5 * torch.randn((pictures, *latent), generator=generator, dtype=dtype)


@pytest.mark.parametrize("families", SUBSETS, ids=str)
@pytest.mark.parametrize("components", [1, 3])
def test_equals_a_mixture_made_of_scipy_distributions(families, components):
    p = random_parameters(3, families, components)
    latent = random_latent(4)
    total = np.zeros(latent.shape)
    for f, family in enumerate(families):
        for k in range(components):
            weight, mean, scale = (a[:, f, k].numpy() for a in (p.log_weights.exp(), p.means, p.scales))
            distance = np.abs(latent.numpy() - mean)
            distribution = SCIPY[family]
            mass = distribution.sf((distance - 0.5) / scale) - distribution.sf((distance + 0.5) / scale)
            total += weight * mass
    np.testing.assert_allclose(log_likelihood(latent, p).exp().numpy(), total, rtol=1e-10, atol=1e-300)


@settings(deadline=None, max_examples=20, derandomize=True)
@given(families=st.permutations(list(Family)), components=st.permutations(range(3)), seed=st.integers(0, 2**20))
def test_the_order_of_families_and_components_changes_nothing(families, components, seed):
    p = random_parameters(seed, tuple(Family), 3)
    latent = random_latent(seed + 1)
    q = MixtureParameters(
        tuple(families), *(a[:, families][:, :, components] for a in (p.log_weights, p.means, p.scales))
    )
    torch.testing.assert_close(log_likelihood(latent, q), log_likelihood(latent, p), rtol=1e-12, atol=1e-12)


def test_a_component_of_weight_zero_adds_nothing():
    p = random_parameters(5, (Family.GAUSSIAN, Family.LOGISTIC), 1)
    none = torch.full_like(p.log_weights[:, :1], -torch.inf)
    only = MixtureParameters(p.families, torch.cat([none * 0, none], 1), p.means, p.scales)
    # Written out because -inf * 0 is NaN.
    only.log_weights[:, 0] = 0.0
    latent = random_latent(6)
    alone = log_likelihood(
        latent, MixtureParameters((Family.GAUSSIAN,), *(a[:, :1] for a in (only.log_weights, p.means, p.scales)))
    )
    torch.testing.assert_close(log_likelihood(latent, only), alone, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("families", SUBSETS, ids=str)
def test_sums_to_one_over_the_integers(families):
    p = random_parameters(7, families, 2, latent=(), pictures=1)
    integers = torch.arange(-800, 801, dtype=torch.float64)
    wide = MixtureParameters(
        families, *(a[..., None].expand(1, len(families), 2, len(integers)) for a in (p.log_weights, p.means, p.scales))
    )
    assert abs(log_likelihood(integers[None], wide).exp().sum().item() - 1) < 1e-12


def test_symmetric_about_a_common_mean():
    p = random_parameters(8, tuple(Family), 2)
    centred = MixtureParameters(p.families, p.log_weights, torch.full_like(p.means, 0.25), p.scales)
    away = random_latent(9).round()
    torch.testing.assert_close(
        log_likelihood(0.25 + away, centred), log_likelihood(0.25 - away, centred), rtol=0, atol=0
    )


def test_gradcheck():
    p = random_parameters(10, tuple(Family), 2, latent=(2,), pictures=1)
    inputs = tuple(
        a.clone().requires_grad_()
        for a in (random_latent(11, latent=(2,), pictures=1), p.log_weights, p.means, p.scales)
    )
    assert torch.autograd.gradcheck(
        lambda y, w, m, s: log_likelihood(y, MixtureParameters(tuple(Family), w, m, s)), inputs
    )


@pytest.mark.parametrize("value", [-1e4, 1e4])
@pytest.mark.parametrize("scale", [1e-3, 2.0**-4, 1.0, 4096.0])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_no_nan_far_out_in_any_precision(value, scale, dtype):
    shape = (1, len(Family), 2, 1)
    parts = [torch.full(shape, v, dtype=dtype).requires_grad_() for v in (-1.8, 0.0, scale)]
    latent = torch.tensor([[value]], dtype=dtype, requires_grad=True)
    result = log_likelihood(latent, MixtureParameters(tuple(Family), *parts))
    result.sum().backward()
    assert result.isfinite().all()
    assert all(v.grad.isfinite().all() for v in (latent, *parts))


def test_half_precision_inputs_are_computed_in_single():
    p = random_parameters(12, tuple(Family), 3, dtype=torch.float32)
    latent = random_latent(13, dtype=torch.float32).bfloat16()
    short = MixtureParameters(p.families, *(a.bfloat16() for a in (p.log_weights, p.means, p.scales)))
    long = MixtureParameters(p.families, *(a.float() for a in (short.log_weights, short.means, short.scales)))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = log_likelihood(latent, short)
    assert found.dtype == torch.float32
    assert torch.equal(found, log_likelihood(latent.float(), long))


def gradients_of(likelihood, latent, p):
    inputs = [a.clone().requires_grad_() for a in (latent, p.log_weights, p.means, p.scales)]
    value = likelihood(inputs[0], MixtureParameters(p.families, *inputs[1:]))
    weight = torch.linspace(-1, 2, value.numel(), dtype=value.dtype).view(value.shape)
    return value.detach(), *torch.autograd.grad((value * weight).sum(), inputs)


@pytest.mark.parametrize("families", SUBSETS, ids=str)
@pytest.mark.parametrize("components", [1, 3])
def test_gradients_are_the_automatic_ones_of_the_formula(families, components):
    p, latent = random_parameters(13, families, components), random_latent(14)
    p.scales.clamp_(min=1.0)  # so that the formula does not underflow

    def formula(y, p):
        total = 0.0
        for f, family in enumerate(p.families):
            difference, scale = y[:, None] - p.means[:, f], p.scales[:, f]
            # On the side where nothing is near 1.
            away = -difference.abs()
            mass = CUMULATIVE[family]((away + 0.5) / scale) - CUMULATIVE[family]((away - 0.5) / scale)
            total = total + (p.log_weights[:, f].exp() * mass).sum(dim=1)
        return total.log()

    for found, expected in zip(gradients_of(log_likelihood, latent, p), gradients_of(formula, latent, p), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_parts_and_the_layout_in_memory_make_no_difference(dtype, monkeypatch):
    p = random_parameters(15, tuple(Family), 2, dtype=dtype)
    latent = random_latent(16, dtype=dtype)
    whole = gradients_of(log_likelihood, latent, p)
    last = MixtureParameters(
        p.families,
        *(
            a.permute(0, 4, 5, 1, 2, 3).contiguous().permute(0, 3, 4, 5, 1, 2)
            for a in (p.log_weights, p.means, p.scales)
        ),
    )
    monkeypatch.setattr(mixture, "_COMPONENTS_AT_ONCE", 8 * 3)
    in_parts = gradients_of(log_likelihood, latent.contiguous(memory_format=torch.channels_last), last)
    for one, other in zip(whole, in_parts, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
