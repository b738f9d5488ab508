"""Laws of the choice of latents in training."""

import math
from itertools import product

import pytest
import torch
from scipy.stats import laplace

from tiny_models import TINY
from trimix.architectures.building import build
from trimix.coding import Family
from trimix.distortion import Distortion
from trimix.distortion.differentiable import distortion_of
from trimix.probability import MixtureParameters
from trimix.training.chosen_latents import chosen_latents, encoder_latents


def laplacian(means: torch.Tensor, scale: float = 0.6) -> MixtureParameters:
    means = means[:, None, None]
    return MixtureParameters((Family.LAPLACIAN,), torch.zeros_like(means), means, torch.full_like(means, scale))


def bits(symbol: float, mean: float, scale: float = 0.6) -> float:
    law = laplace(mean, scale)
    return -math.log2(law.cdf(symbol + 0.5) - law.cdf(symbol - 0.5))


def test_each_latent_is_the_cheapest_of_three():
    generator = torch.Generator().manual_seed(1)
    nearest = torch.randint(-4, 5, (2, 3, 4, 5), generator=generator).float()
    means = torch.randn(nearest.shape, generator=generator)
    slope = 2 * torch.randn(nearest.shape, generator=generator)
    curvature = 1 + torch.rand(2, 3, 1, 1, generator=generator)
    chosen = chosen_latents(nearest, slope, curvature, lambda _: laplacian(means))
    for place in product(*map(range, nearest.shape)):
        costs = {
            step: bits(float(nearest[place]) + step, float(means[place]))
            + step * float(slope[place])
            + step**2 * float(curvature[place[:2]])
            for step in (-1, 0, 1)
        }
        assert costs[int(chosen[place] - nearest[place])] <= min(costs.values()) + 1e-4
    assert 0.1 < float((chosen != nearest).float().mean()) < 0.9


@pytest.mark.parametrize("kind", ["mse", "ssimulacra2"])
def test_what_the_encoder_writes_costs_no_more_than_the_nearest_integers(kind):
    torch.manual_seed(3)
    model = build(TINY).eval()
    generator = torch.Generator().manual_seed(4)
    x = torch.nn.functional.interpolate(torch.rand(3, 3, 16, 16, generator=generator), scale_factor=8)
    quality, measure = torch.tensor([20.0, 50.0, 80.0]), Distortion(kind)
    chosen, z = encoder_latents(model, x, quality, measure)
    with torch.no_grad():
        nearest = model.encode(x, quality)[0].round()
        costs = []
        for latent in (nearest, chosen):
            output = model(x, quality, rounding="round", latents=(latent, z))
            lost = distortion_of(measure, x, output.reconstruction.clamp(0, 1))
            costs.append(output.latent_bits / x[0, 0].numel() + model.rate_distortion_lambda(quality) * lost)
    assert float((chosen - nearest).abs().max()) == 1
    assert bool((costs[1] <= costs[0] + 1e-6).all())
    assert bool((costs[1] < costs[0] - 1e-4).any())


def test_dear_errors_leave_the_nearest_integers():
    nearest = torch.arange(12.0).view(1, 3, 2, 2)
    chosen = chosen_latents(
        nearest,
        torch.zeros_like(nearest),
        torch.full((1, 3, 1, 1), 1e3),
        lambda _: laplacian(torch.zeros_like(nearest)),
    )
    assert torch.equal(chosen, nearest)


def test_contexts_hold_what_was_chosen():
    # The second latent is expected where the first one is: it follows it down, which only a second look can know.
    nearest, dear = torch.tensor([1.0, 1.0]).view(1, 2, 1, 1), torch.tensor([0.3, 0.9]).view(1, 2, 1, 1)

    def at(values: torch.Tensor) -> MixtureParameters:
        return laplacian(torch.stack([torch.zeros(1, 1, 1), values[:, 0]], dim=1), scale=0.5)

    chosen = chosen_latents(nearest, torch.zeros_like(nearest), dear, at)
    assert chosen.flatten().tolist() == [0.0, 0.0]
