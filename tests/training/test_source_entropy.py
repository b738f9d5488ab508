import math

import pytest
import torch

from trimix.architectures.config import (
    AttentionConfig,
    AutoregressiveConfig,
    GllmmConfig,
    GllmmLiteConfig,
    HyperpriorConfig,
)
from trimix.probability import Family
from trimix.training.config import RegularizerConfig
from trimix.training.source_entropy import (
    SourceEntropyConfig,
    SourceEntropyModel,
    source_entropy_complexity,
    source_entropy_config,
)

GAUSSIAN = (Family.GAUSSIAN,)
ALL = (Family.GAUSSIAN, Family.LAPLACIAN, Family.LOGISTIC)
FORMS = {
    "hyperprior": SourceEntropyConfig(features=6),
    "without means": SourceEntropyConfig(features=6, has_means=False),
    "autoregressive": SourceEntropyConfig(features=6, context=True),
    "gllmm": SourceEntropyConfig(ALL, 3, context=True, features=6),
    "unit range": SourceEntropyConfig(features=6, peak=1.0),
}
every_form = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)


def random_model(form, seed=0):
    """q with weights that look at everything."""
    torch.manual_seed(seed)
    q = SourceEntropyModel(form)
    with torch.no_grad():
        q.head.weight.normal_(std=0.2)
        q.head.bias.normal_(std=0.2)
    return q


@every_form
def test_probabilities_of_a_pixel_sum_to_one(form):
    q = random_model(form)
    x_hat = torch.rand(1, 3, 6, 6, generator=torch.Generator().manual_seed(1))
    x = x_hat.clone()
    # The corner, so that no other pixel's context moves with it; each colour's bin is its own.
    reach = 3000 if form.peak == 255 else 20
    steps = torch.arange(-reach, reach + 1)
    pictures = x.repeat(len(steps), 1, 1, 1)
    pictures[:, :, 5, 5] = (steps / form.peak)[:, None]
    nats = q(pictures, x_hat.expand(len(steps), -1, -1, -1))
    total = nats[:, :, 5, 5].double().neg().exp().sum(dim=0)
    torch.testing.assert_close(total, torch.ones(3, dtype=torch.float64), atol=2e-4, rtol=0)


@every_form
def test_a_pixel_is_judged_by_earlier_pixels_and_itself_alone(form):
    q = random_model(form)
    generator = torch.Generator().manual_seed(2)
    x, x_hat = (torch.rand(1, 3, 7, 7, generator=generator) for _ in range(2))
    x.requires_grad_()
    row, column, colour = 3, 3, 1
    nats = q(x, x_hat)[0, colour, row, column]
    (gradient,) = torch.autograd.grad(nats, x)
    own = gradient[0, :, row, column]
    assert own[colour] != 0
    assert own[[0, 2]].abs().max() == 0
    reached = gradient[0].abs().amax(dim=0)
    reached[row, column] = 0
    flat = reached.flatten()
    assert flat[row * 7 + column :].abs().max() == 0
    earlier = flat[: row * 7 + column]
    assert (earlier != 0).sum() == (12 if form.context else 0)


@every_form
def test_it_starts_as_one_wide_bell_around_the_reconstruction(form):
    torch.manual_seed(3)
    q = SourceEntropyModel(form)
    x_hat = torch.rand(1, 3, 8, 8)
    near, far = (float(q(x_hat + offset, x_hat).detach().mean()) for offset in (0.0, 0.3))
    assert near < far < near + 4
    (gradient,) = torch.autograd.grad(q(x_hat, probe := x_hat.clone().requires_grad_()).sum(), probe)
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize(("context", "sigma"), [(False, 4.0), (True, 9.0)])
def test_of_gaussian_noise_the_estimate_reaches_the_analytic_entropy(context, sigma):
    # H of one colour in bins of width 1 is that of the density, 1/2 log2(2 pi e sigma^2), up to O(sigma^-2) of noise.
    expected = 3 * 0.5 * math.log2(2 * math.pi * math.e * sigma**2)
    torch.manual_seed(4)
    q = SourceEntropyModel(SourceEntropyConfig(context=context, features=8))
    optimizer = torch.optim.Adam(q.parameters(), 2e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 300)

    def batch():
        x_hat = torch.rand(4, 3, 1, 1) * torch.rand(4, 3, 16, 16)
        return (255 * x_hat + sigma * torch.randn_like(x_hat)).round() / 255, x_hat

    for _ in range(300):
        optimizer.zero_grad()
        q(*batch()).mean().backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        found = sum(float(q(*batch()).mean()) for _ in range(20)) / 20 * 3 / math.log(2)
    assert found == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize(
    ("codec", "strength", "expected"),
    [
        (HyperpriorConfig(), "aligned", (GAUSSIAN, 1, False, True)),
        (HyperpriorConfig(), "stronger", (GAUSSIAN, 1, True, True)),
        (HyperpriorConfig(), "weaker", (GAUSSIAN, 1, False, False)),
        (AutoregressiveConfig(), "aligned", (GAUSSIAN, 1, True, True)),
        (AutoregressiveConfig(), "stronger", (GAUSSIAN, 3, True, True)),
        (AttentionConfig(), "weaker", (GAUSSIAN, 1, False, True)),
        (AttentionConfig(components=3, rounding="direct"), "aligned", (GAUSSIAN, 3, True, True)),
        (GllmmConfig(), "aligned", (ALL, 3, True, True)),
        (GllmmLiteConfig(), "aligned", (ALL, 1, True, True)),
    ],
)
def test_it_mirrors_the_latents_own_entropy_model(codec, strength, expected):
    form = source_entropy_config(codec, RegularizerConfig(alpha=1, strength=strength))
    assert (form.families, form.components, form.context, form.has_means) == expected


def test_features_and_grid_are_those_of_the_configuration():
    chosen = RegularizerConfig(alpha=1, unit="unit_range", features=5)
    assert source_entropy_config(HyperpriorConfig(), chosen) == SourceEntropyConfig(features=5, peak=1.0)


def test_cost_is_that_of_its_layers():
    parameters, plain = source_entropy_complexity(SourceEntropyConfig())
    assert plain == 27 * 32 + 9 * 32 * 32 + 32 * 6
    assert parameters == 27 * 32 + 32 + 9 * 32 * 32 + 32 + 32 * 6 + 6
    assert source_entropy_complexity(SourceEntropyConfig(context=True))[1] - plain == 3 * 15 * 32 + 32 * 32
