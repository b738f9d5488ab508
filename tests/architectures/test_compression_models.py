"""Laws of the models that are put together from common parts, and of their configurations."""

import itertools
import math

import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch._subclasses import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from compressai_levels import of_level
from tiny_models import calibration_pictures
from trimix.architectures.building import build
from trimix.architectures.config import (
    AttentionConfig,
    AutoregressiveConfig,
    GllmmConfig,
    GllmmLiteConfig,
    HyperpriorConfig,
    ModelConfig,
)
from trimix.probability import Family, log_likelihood

HYPERPRIOR = HyperpriorConfig(channels=4, latent_channels=6)
SCALES_ALONE = HyperpriorConfig(channels=4, latent_channels=6, zero_mean=True)
AUTOREGRESSIVE = AutoregressiveConfig(channels=4, latent_channels=6)
ATTENTION = AttentionConfig(latent_channels=6)
ANCHOR = AttentionConfig(latent_channels=6, attention=False)
THREE_GAUSSIANS = AttentionConfig(latent_channels=6, components=3, rounding="direct")
# Fewer channels would leave some bottleneck of the attention without any living ReLU.
GLLMM = GllmmConfig(latent_channels=8, head_widths=(10, 12))
CONFIGS = {
    "hyperprior": HYPERPRIOR,
    "scales alone": SCALES_ALONE,
    "autoregressive": AUTOREGRESSIVE,
    "attention": ATTENTION,
    "anchor": ANCHOR,
    "three Gaussians": THREE_GAUSSIANS,
    "GLLMM": GLLMM,
    "GLLMM, all rates": GLLMM.model_copy(update={"all_rates": True}),
    "hyperprior, all rates": HYPERPRIOR.model_copy(update={"all_rates": True}),
}
every_model = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
QUALITY = torch.tensor([20.0, 80.0])


def model_of(config, seed=0, spread=4.0):
    """Random weights, with latents that spread over several integers."""
    torch.manual_seed(seed)
    model = build(config).eval()
    x = calibration_pictures()
    with torch.no_grad():
        for network, run in (
            (model.analysis, lambda: model.analysis(x)),
            (model.hyper_analysis, lambda: model.encode(x, QUALITY)[1]),
        ):
            last = [module for module in network if isinstance(module, torch.nn.Conv2d)][-1]
            last.weight.mul_(spread / run().std())
    return model


def seeded(seed=1):
    return torch.Generator().manual_seed(seed)


def inputs_of(module, run):
    seen = []
    handle = module.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].detach()))
    try:
        run()
    finally:
        handle.remove()
    return seen[0]


@every_model
@pytest.mark.parametrize("rounding", ["noise", "round"])
def test_forward(config, rounding):
    model = model_of(config)
    x = calibration_pictures()
    with torch.no_grad():
        y, z = model.encode(x, QUALITY)
        output = model(x, QUALITY, rounding=rounding, generator=seeded())
        again = model(x, QUALITY, rounding=rounding, generator=seeded())
    assert y.shape == (2, config.latent_channels, 4, 4)
    assert z.shape == (2, config.hyper_latent_channels, 1, 1)
    assert output.reconstruction.shape == x.shape
    assert output.reconstruction.isfinite().all()
    assert (output.latent_bits > 0).all()
    assert (output.hyper_latent_bits > 0).all()
    assert torch.equal(output.latent_bits, again.latent_bits)


@every_model
@pytest.mark.parametrize("rounding", ["noise", "round"])
def test_every_part_that_trains_gets_a_gradient(config, rounding):
    model = model_of(config)
    output = model(calibration_pictures(), QUALITY, rounding=rounding, generator=seeded())
    (output.latent_bits.sum() + output.hyper_latent_bits.sum() + output.reconstruction.square().sum()).backward()
    without = {name for name, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()}
    without |= {name for name, p in model.named_parameters() if p.grad is not None and not p.grad.any()}
    # The factorized prior's last gate follows its last matrix, where no gate is applied.
    expected = {f"hyper_prior.gates.{len(config.hyper_prior_widths)}"}
    assert without == expected


@pytest.mark.parametrize("config", [AUTOREGRESSIVE, ATTENTION, THREE_GAUSSIANS, GLLMM], ids=lambda config: config.kind)
def test_parameters_depend_on_exactly_the_window_before_them(config):
    rows, columns = 3, 4
    model = model_of(config)
    generator = seeded()
    side = torch.randn(1, 2 * config.latent_channels, rows, columns, generator=generator)
    y_hat = torch.randn(1, config.latent_channels, rows, columns, generator=generator).requires_grad_()
    parameters = model.mixture_parameters(side, y_hat)
    total = parameters.means + parameters.scales + parameters.log_weights
    for row, column in itertools.product(range(rows), range(columns)):
        (gradient,) = torch.autograd.grad(total[..., row, column].sum(), y_hat, retain_graph=True)
        reached = gradient[0].abs().sum(dim=0) != 0
        for r, c in itertools.product(range(rows), range(columns)):
            earlier = (r, c) < (row, column) and abs(r - row) <= 2 and abs(c - column) <= 2
            assert reached[r, c] == earlier


@pytest.mark.parametrize("config", [HYPERPRIOR, SCALES_ALONE], ids=["hyperprior", "scales alone"])
def test_without_context_parameters_follow_the_hyper_latent_alone(config):
    model = model_of(config)
    side = torch.randn(1, config.head_layout.numbers * 6, 2, 3, generator=seeded())
    latents = (torch.zeros(1, 6, 2, 3), torch.ones(1, 6, 2, 3))
    first, second = (model.mixture_parameters(side, y_hat) for y_hat in latents)
    assert torch.equal(first.means, second.means)
    assert torch.equal(first.scales, second.scales)
    assert first.means.any() != config.zero_mean


def what_is_decoded(config, rounding):
    """Input of g_s, latents, noise of the latents, and means, for one seed."""
    model = model_of(config)
    x = calibration_pictures()
    with torch.no_grad():
        y, z = model.encode(x, QUALITY)
        decoded = inputs_of(model.synthesis, lambda: model(x, QUALITY, rounding=rounding, generator=seeded()))
        generator = seeded()
        torch.rand(z.shape, generator=generator)
        noise = torch.rand(y.shape, generator=generator) - 0.5
        z_hat = model.hyper_prior.round(z)
        means = model.mixture_parameters(model.side_features(z_hat, QUALITY), y.round()).means[:, 0, 0]
    return decoded, y, noise, means


def test_directly_rounded_latents_are_integers():
    for config in (GLLMM, SCALES_ALONE, THREE_GAUSSIANS):
        decoded, y, _, _ = what_is_decoded(config, "round")
        assert torch.equal(decoded, y.round())
        assert decoded.unique().numel() > 5


def test_without_context_latents_are_rounded_around_their_means():
    decoded, y, _, means = what_is_decoded(HYPERPRIOR, "round")
    assert torch.equal(decoded, (y - means).round() + means)
    assert (decoded != y.round()).any()


def test_with_context_the_synthesis_sees_what_the_context_saw():
    for config in (AUTOREGRESSIVE, ATTENTION):
        decoded, y, _, _ = what_is_decoded(config, "round")
        assert torch.equal(decoded, y.round())


def test_bits_with_context_are_those_of_latents_rounded_around_their_means():
    model = model_of(AUTOREGRESSIVE)
    x = calibration_pictures()
    with torch.no_grad():
        y, z = model.encode(x, QUALITY)
        parameters = model.mixture_parameters(model.side_features(model.hyper_prior.round(z), QUALITY), y.round())
        means = parameters.means[:, 0, 0]
        likelihoods = log_likelihood((y - means).round() + means, parameters).exp().clamp(min=1e-9)
        expected = -likelihoods.log2().sum(dim=(1, 2, 3))
        torch.testing.assert_close(model(x, QUALITY, rounding="round").latent_bits, expected)


def test_in_training_everything_sees_noise():
    for config in (HYPERPRIOR, AUTOREGRESSIVE, THREE_GAUSSIANS):
        decoded, y, noise, _ = what_is_decoded(config, "noise")
        torch.testing.assert_close(decoded, y + noise)


def test_in_training_of_gllmm_the_synthesis_sees_rounded_latents():
    decoded, y, _, _ = what_is_decoded(GLLMM, "noise")
    assert torch.equal(decoded, y.round())
    around_mean = GLLMM.model_copy(update={"families": (Family.LAPLACIAN,), "components": 1, "rounding": "around_mean"})
    decoded, y, _, _ = what_is_decoded(around_mean, "noise")
    assert torch.equal(decoded, y.round())


def test_hyper_latents_are_rounded_around_medians():
    model = model_of(HYPERPRIOR)
    model.hyper_prior.medians.copy_(torch.tensor([0.0, 0.3, -0.4, 1.25]))
    x = calibration_pictures()
    with torch.no_grad():
        z = model.encode(x, QUALITY)[1]
        seen = inputs_of(model.hyper_synthesis, lambda: model(x, QUALITY, rounding="round"))
    medians = model.hyper_prior.medians[:, None, None]
    assert torch.equal(seen, (z - medians).round() + medians)


ENTROPY_MODELS = [
    *(((family,), components) for family in Family for components in (1, 3, 9)),
    (tuple(Family), 1),
    (tuple(Family), 3),
    ((Family.GAUSSIAN, Family.LAPLACIAN), 3),
]


@pytest.mark.parametrize(("families", "components"), ENTROPY_MODELS)
@pytest.mark.parametrize("two_level", [False, True])
def test_every_entropy_model_of_the_comparison_is_a_configuration(families, components, two_level):
    config = GLLMM.model_copy(update={"families": families, "components": components, "two_level": two_level})
    model = model_of(config)
    generator = seeded()
    y_hat = torch.randint(-3, 4, (1, 8, 2, 3), generator=generator).float()
    side = 5 * torch.randn(1, 16, 2, 3, generator=generator)
    with torch.no_grad():
        parameters = model.mixture_parameters(side, y_hat)
    assert parameters.families == families
    assert parameters.means.shape == (1, len(families), components, 8, 2, 3)
    total = parameters.log_weights.exp().sum(dim=(1, 2))
    torch.testing.assert_close(total, torch.ones_like(total))
    count = len(families) * components
    assert (parameters.log_weights == 0).all() == (count == 1)
    family_logits = len(families) if two_level and min(len(families), components) > 1 else 0
    assert model.head[-1].out_channels == 8 * (family_logits + (3 if count > 1 else 2) * count)


def test_one_family_and_one_component_is_that_family():
    for family, log_mass in (
        (Family.GAUSSIAN, torch.distributions.Normal),
        (Family.LAPLACIAN, torch.distributions.Laplace),
    ):
        model = model_of(GLLMM.model_copy(update={"families": (family,), "components": 1}))
        side = torch.randn(1, 16, 2, 3, generator=seeded())
        y_hat = torch.zeros(1, 8, 2, 3)
        with torch.no_grad():
            parameters = model.mixture_parameters(side, y_hat)
            found = model.latent_log_likelihood(y_hat, parameters).exp()
            law = log_mass(parameters.means[:, 0, 0].double(), parameters.scales[:, 0, 0].double())
            expected = law.cdf(y_hat + 0.5) - law.cdf(y_hat - 0.5)
        torch.testing.assert_close(found.double(), expected.clamp(min=1e-6), rtol=1e-4, atol=0)


def test_likelihoods_have_a_minimum():
    for config, minimum in ((GLLMM, 1e-6), (HYPERPRIOR, 1e-9)):
        model = model_of(config)
        shape = (1, config.latent_channels, 1, 1)
        numbers = 2 * config.latent_channels
        side = torch.randn(1, numbers, 1, 1, generator=seeded())
        with torch.no_grad():
            parameters = model.mixture_parameters(side, torch.zeros(shape))
            far = model.latent_log_likelihood(torch.full(shape, 1e4), parameters)
            hyper = model.hyper_latent_log_likelihood(torch.full((1, config.hyper_latent_channels, 1, 1), 1e4))
        assert far.flatten().tolist() == pytest.approx([math.log(minimum)] * far.numel())
        assert hyper.flatten().tolist() == pytest.approx([math.log(minimum)] * hyper.numel())


def test_a_model_of_one_rate_ignores_the_quality():
    model = model_of(GLLMM)
    x = calibration_pictures()
    with torch.no_grad():
        outputs = [model(x, torch.full((2,), q), rounding="round") for q in (1.0, 100.0)]
    assert torch.equal(outputs[0].reconstruction, outputs[1].reconstruction)
    assert torch.equal(outputs[0].latent_bits, outputs[1].latent_bits)
    assert model.rate_distortion_lambda(torch.tensor([1.0, 100.0])).tolist() == pytest.approx([0.013] * 2)
    assert not [name for name in model.state_dict() if "gain" in name]


def test_gains_of_a_model_of_all_rates_start_as_inverses_and_finer_at_a_higher_quality():
    model = model_of(CONFIGS["GLLMM, all rates"])
    quality = torch.tensor([1.0, 50.5, 100.0])
    steps = model.inverse_gain.factors(quality)
    torch.testing.assert_close(model.gain.factors(quality) * steps, torch.ones(3, 8))
    torch.testing.assert_close(steps[1], torch.ones(8))
    ratio = (GLLMM.lambda_maximum / GLLMM.lambda_minimum) ** 0.5
    torch.testing.assert_close(steps[0] / steps[2], torch.full((8,), ratio))
    low, _, high = model.rate_distortion_lambda(quality).tolist()
    assert (low, high) == (pytest.approx(GLLMM.lambda_minimum), pytest.approx(GLLMM.lambda_maximum))
    y = model.encode_latent(calibration_pictures(1), torch.tensor([100.0]))
    coarse = model.encode_latent(calibration_pictures(1), torch.tensor([1.0]))
    torch.testing.assert_close(y, coarse * ratio)
    seen = [
        inputs_of(model.synthesis, lambda: model.decode(latent, torch.tensor([q])))  # noqa: B023
        for latent, q in ((y, 100.0), (coarse, 1.0))
    ]
    torch.testing.assert_close(*seen)


def test_autocast_leaves_the_entropy_model_in_single_precision():
    model = model_of(GLLMM)
    x = calibration_pictures()
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        output = model(x, QUALITY, generator=seeded())
    assert output.reconstruction.dtype == output.latent_bits.dtype == torch.float32


def parameters_in(module, but=()):
    return sum(p.numel() for name, p in module.named_parameters() if name not in but)


def thousand_multiplications_a_pixel(module, *shape):
    """Of a picture of 256x256."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(torch.zeros(shape))
    return counter.get_total_flops() / 2 / 256**2 / 1000


@pytest.mark.parametrize(
    ("channels", "stages", "millions", "analysis", "decoder"),
    [(128, 2, 17.8, 284, 358), (256, 2, 58.3, 1134, 1380), (128, 3, 19.9, None, 457), (256, 3, 66.6, None, 1772)],
)
def test_gllmm_has_the_size_and_cost_of_its_paper(channels, stages, millions, analysis, decoder):
    with FakeTensorMode():  # shapes alone: nothing is computed
        model = build(GllmmConfig(latent_channels=channels, stages=stages))
        cost = {
            "g_a": thousand_multiplications_a_pixel(model.analysis, 1, 3, 256, 256),
            "h_a": thousand_multiplications_a_pixel(model.hyper_analysis, 1, channels, 16, 16),
            "h_s": thousand_multiplications_a_pixel(model.hyper_synthesis, 1, channels, 4, 4),
            "context": thousand_multiplications_a_pixel(model.context, 1, channels, 16, 16),
            "head": thousand_multiplications_a_pixel(model.head, 1, 4 * channels, 16, 16),
            "g_s": thousand_multiplications_a_pixel(model.synthesis, 1, channels, 16, 16),
        }
        assert parameters_in(model) / 1e6 == pytest.approx(millions, rel=0.01)
    if analysis is not None:
        assert cost["g_a"] == pytest.approx(analysis, rel=0.01)
    if (channels, stages) == (128, 2):
        parts = {"g_s": 329.1, "head": 23.7, "context": 3.2, "h_s": 2.3, "h_a": 1.5}
        # The paper's context counts its 25 taps; of them the 10 below the current row are not computed.
        cost["context"] *= 25 / 15
        assert {name: round(cost[name], 1) for name in parts} == parts
    assert cost["g_s"] + cost["head"] + cost["context"] + cost["h_s"] == pytest.approx(decoder, rel=0.01)


def test_stages_and_plain_residual_blocks_are_configurations():
    sizes = {
        (stages, concatenated): parameters_in(
            build(GllmmConfig(latent_channels=4, stages=stages, concatenated=concatenated))
        )
        for stages in (1, 2, 3)
        for concatenated in (True, False)
    }
    block = 2 * (9 * 4**2 + 4)
    for stages in (1, 2, 3):
        assert sizes[stages, True] == sizes[stages, False] == sizes[1, True] + 7 * (stages - 1) * block
    assert parameters_in(build(GllmmConfig(latent_channels=4, attention=False))) < sizes[2, True]


@pytest.mark.parametrize(
    ("config", "parameters"),
    [
        (of_level(HyperpriorConfig, 5, zero_mean=True), 5_075_459),
        (of_level(HyperpriorConfig, 6, zero_mean=True), 11_815_747),
        (of_level(HyperpriorConfig, 4), 7_027_619),
        (of_level(HyperpriorConfig, 5), 17_561_123),
        (of_level(AutoregressiveConfig, 4), 14_129_891),
        (of_level(AutoregressiveConfig, 5), 25_504_020),
        (of_level(AttentionConfig, 3, attention=False), 11_832_765),
        (of_level(AttentionConfig, 4, attention=False), 26_598_380),
        (of_level(AttentionConfig, 3), 13_182_909),
        (of_level(AttentionConfig, 4), 29_631_212),
    ],
    ids=lambda value: value.kind if hasattr(value, "kind") else str(value),
)
def test_levels_have_the_size_of_published_weights(config, parameters):
    # Counted on CompressAI's models, without quantiles, which ours do not learn. Ours keep a place for one more gate.
    with FakeTensorMode():
        assert parameters_in(build(config), but=("hyper_prior.gates.4",)) == parameters


def test_the_head_of_three_gaussians_is_the_papers():
    with FakeTensorMode():
        model = build(AttentionConfig(latent_channels=128, components=3, rounding="direct"))
        widths = [layer.out_channels for layer in model.head if isinstance(layer, torch.nn.Conv2d)]
    assert widths == [640, 640, 9 * 128]
    assert AttentionConfig(latent_channels=6, head_widths=(7,)).hidden_widths == (7,)


UNION = TypeAdapter(ModelConfig)


@pytest.mark.parametrize("config", [*CONFIGS.values(), GllmmLiteConfig()])
def test_a_configuration_survives_its_json(config):
    assert UNION.validate_json(config.model_dump_json()) == config


def test_the_kind_tells_configurations_apart():
    for kind, configuration in {
        "hyperprior": HyperpriorConfig,
        "autoregressive": AutoregressiveConfig,
        "attention": AttentionConfig,
        "gllmm": GllmmConfig,
        "gllmm-lite": GllmmLiteConfig,
    }.items():
        assert UNION.validate_python({"kind": kind}) == configuration()
    assert UNION.validate_python({"components": 2}) == GllmmLiteConfig(components=2)
    for wrong in ({"kind": "gllmm", "chanels": 3}, {"kind": "vvc"}):
        with pytest.raises(ValidationError):
            UNION.validate_python(wrong)


def test_rounding_around_the_mean_needs_one_mean():
    with pytest.raises(ValidationError, match='rounding = "direct"'):
        AttentionConfig(components=3)
    with pytest.raises(ValidationError, match="found 9"):
        GllmmConfig(rounding="around_mean")
    assert GllmmConfig(rounding="around_mean", families=(Family.LOGISTIC,), components=1).head_layout.around_mean
    assert not HyperpriorConfig(zero_mean=True).head_layout.around_mean
