"""Laws of rounding and its stand-ins."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trimix.quantization import add_uniform_noise, round_straight_through


@settings(deadline=None, max_examples=50, derandomize=True)
@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=20))
def test_rounding_gives_exactly_the_integer_and_the_identity_gradient(values):
    latent = torch.tensor(values, requires_grad=True)
    rounded = round_straight_through(latent)
    assert torch.equal(rounded, latent.round())
    weights = torch.arange(1.0, len(values) + 1)
    (rounded * weights).sum().backward()
    assert torch.equal(latent.grad, weights)


def test_noise_lies_in_its_bounds_and_is_uniform():
    noise = add_uniform_noise(torch.zeros(20_000), torch.Generator().manual_seed(1))
    assert noise.min() >= -0.5
    assert noise.max() < 0.5
    counts = torch.histc(noise, bins=10, min=-0.5, max=0.5)
    # Chi-squared of 9 degrees of freedom exceeds 27.9 once in a thousand draws.
    assert ((counts - 2000) ** 2 / 2000).sum() < 27.9


def test_noise_is_reproducible_from_its_generator_alone():
    latent = torch.randn(3, 4, generator=torch.Generator().manual_seed(2))
    first = add_uniform_noise(latent, torch.Generator().manual_seed(3))
    torch.rand(7)
    assert torch.equal(first, add_uniform_noise(latent, torch.Generator().manual_seed(3)))
    assert not torch.equal(first, add_uniform_noise(latent, torch.Generator().manual_seed(4)))
    assert (first - latent).abs().max() <= 0.5 + 1e-6


def test_noise_passes_the_gradient_and_keeps_the_precision():
    latent = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    noisy = add_uniform_noise(latent)
    assert noisy.dtype == torch.float64
    noisy.sum().backward()
    assert torch.equal(latent.grad, torch.ones_like(latent))
