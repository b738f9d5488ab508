"""What the papers state of the networks, layer by layer and in numbers; docs/papers.md lists the statements."""

import re
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import torch
from torch import nn

from compressai_levels import MSE_LAMBDAS, of_level
from trimix.architectures.building import build
from trimix.architectures.complexity import complexity
from trimix.architectures.config import AttentionConfig, AutoregressiveConfig, GllmmConfig, HyperpriorConfig
from trimix.entropy_models.conditional import ScaleForm, read_parameters
from trimix.evaluation.rate_points import reference_curves
from trimix.layers.attention import Attention, BottleneckBlock
from trimix.layers.resampling import SubpixelConvolution
from trimix.layers.residual import ConcatenatedResidualModule, DownsamplingBlock, ResidualBlock, UpsamplingBlock
from trimix.probability import Family

PAGE = Path(__file__).parent.parent.parent / "docs" / "papers.md"
N = 8
QUALITY = torch.tensor([50.0])
GLLMM = GllmmConfig(latent_channels=N, head_widths=(10, 12))
BASELINES = {
    "bmshj2018-hyperprior": HyperpriorConfig(channels=4, latent_channels=6, zero_mean=True),
    "mbt2018-mean": HyperpriorConfig(channels=4, latent_channels=6),
    "mbt2018": AutoregressiveConfig(channels=4, latent_channels=6),
    "cheng2020-attn": AttentionConfig(latent_channels=6),
}
BLOCKS = {
    DownsamplingBlock: "down",
    UpsamplingBlock: "up",
    ConcatenatedResidualModule: "CRM",
    ResidualBlock: "RB",
    Attention: "attention",
    nn.Conv2d: "conv",
    SubpixelConvolution: "sub-pixel",
}


def model_of(config):
    torch.manual_seed(0)
    return build(config).eval()


def blocks(network):
    return [BLOCKS[type(block)] for block in network]


def layers(network):
    """What every convolution is, with the activation after it: 'conv 4->6 3x3 /2 LReLU 0.2'."""
    found = []
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            kind = "conv" if isinstance(module, nn.Conv2d) else "up-conv"
            step = f" /{module.stride[0]}" if module.stride[0] > 1 else ""
            side = module.kernel_size[0]
            found.append(f"{kind} {module.in_channels}->{module.out_channels} {side}x{side}{step}")
        elif isinstance(module, nn.LeakyReLU):
            found[-1] += f" LReLU {module.negative_slope:g}"
        elif isinstance(module, nn.ReLU):
            found[-1] += " ReLU"
    return found


def seen_by(module, run):
    seen = []
    handle = module.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].detach()))
    try:
        run()
    finally:
        handle.remove()
    return seen[0]


def test_blocks_of_gllmm_stand_in_the_order_of_its_figure():
    model = model_of(GLLMM)
    assert blocks(model.analysis) == [
        "down",
        *("CRM", "down", "attention"),
        *("CRM", "down"),
        *("CRM", "conv", "attention"),
    ]
    assert blocks(model.synthesis) == [
        *("attention", "CRM", "up"),
        *("CRM", "up"),
        *("attention", "CRM", "up"),
        *("CRM", "sub-pixel"),
    ]


def test_hyper_transforms_of_gllmm_layer_by_layer():
    model = model_of(GLLMM)
    n, wide = N, 3 * N // 2
    assert layers(model.hyper_analysis) == [
        f"conv {n}->{n} 3x3 LReLU 0.2",
        f"conv {n}->{n} 3x3 LReLU 0.2",
        f"conv {n}->{n} 3x3 /2 LReLU 0.2",
        f"conv {n}->{n} 3x3 LReLU 0.2",
        f"conv {n}->{n} 3x3 /2",
    ]
    assert layers(model.hyper_synthesis) == [
        f"conv {n}->{n} 3x3 LReLU 0.2",
        f"up-conv {n}->{n} 3x3 /2 LReLU 0.2",
        f"conv {n}->{wide} 3x3 LReLU 0.2",
        f"up-conv {wide}->{wide} 3x3 /2 LReLU 0.2",
        f"conv {wide}->{2 * n} 3x3",
    ]


def test_context_and_head_of_gllmm_layer_by_layer():
    with torch.device("meta"):
        model = build(GllmmConfig())
    assert layers(model.context) == ["conv 128->256 5x5"]
    assert layers(model.head) == ["conv 512->640 1x1 LReLU 0.2", "conv 640->1280 1x1 LReLU 0.2", "conv 1280->3840 1x1"]


def test_bottlenecks_of_gllmm_layer_by_layer():
    attention = Attention(N)
    bottleneck = [f"conv {N}->{N // 2} 1x1 ReLU", f"conv {N // 2}->{N // 2} 3x3 ReLU", f"conv {N // 2}->{N} 1x1"]
    assert layers(attention.trunk) == 3 * bottleneck
    assert layers(attention.mask) == [*(3 * bottleneck), f"conv {N}->{N} 1x1"]
    for module in model_of(GLLMM).modules():
        assert not isinstance(module, BottleneckBlock) or isinstance(module.activation, nn.Identity)


def test_two_convolutions_of_gllmm_have_no_bias():
    model = model_of(GLLMM)
    convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    assert [m for m in convolutions if m.bias is None] == [model.analysis[-2], model.head[-1]]


def test_slopes_of_leaky_activations():
    for config, slopes in ((GLLMM, {0.2}), *((config, {0.01}) for config in BASELINES.values())):
        found = {m.negative_slope for m in model_of(config).modules() if isinstance(m, nn.LeakyReLU)}
        scales_alone = isinstance(config, HyperpriorConfig) and config.zero_mean
        assert found == (set() if scales_alone else slopes)


@pytest.mark.parametrize("amplitude", [0.5, 2.0, 20.0])
def test_likelihood_of_gllmm_from_the_heads_numbers_is_its_formula(amplitude):
    generator = torch.Generator().manual_seed(1)
    raw = amplitude * torch.randn(1, 30 * N, 2, 3, generator=generator)
    y_hat = torch.randint(-6, 7, (1, N, 2, 3), generator=generator).float()
    model = model_of(GLLMM)
    found = model.latent_log_likelihood(y_hat, read_parameters(raw, GLLMM.head_layout)).exp()
    numbers = raw.double().reshape(30, N, 2, 3).numpy()
    family_logits, rest = (
        numbers[:3],
        numbers[3:].reshape(3, 3, 3, N, 2, 3),
    )  # logits, means, scales; family; component
    family_weights = np.exp(family_logits) / np.exp(family_logits).sum(axis=0)
    expected = np.zeros((N, 2, 3))
    for f, law in enumerate((scipy.stats.norm, scipy.stats.laplace, scipy.stats.logistic)):
        weights = np.exp(rest[0, f]) / np.exp(rest[0, f]).sum(axis=0)
        for k in range(3):
            mean, scale = rest[1, f, k], np.abs(rest[2, f, k]) + 2.0**-4
            distance = np.abs(y_hat[0].numpy() - mean)  # both tails alike: no cancellation far above the mean
            mass = law.sf((distance - 0.5) / scale) - law.sf((distance + 0.5) / scale)
            expected += family_weights[f] * weights[k] * mass
    np.testing.assert_allclose(found[0].numpy(), np.maximum(expected, 1e-6), rtol=2e-4)


def test_the_families_of_gllmm():
    layout = GllmmConfig().head_layout
    assert layout.families == (Family.GAUSSIAN, Family.LAPLACIAN, Family.LOGISTIC)
    assert (layout.components, layout.two_level, layout.numbers) == (3, True, 30)
    assert (layout.scale_form, GllmmConfig().likelihood_minimum) == (ScaleForm.ABSOLUTE, 1e-6)


def lively(config):
    """A model whose latents reach beyond 1/2, so that rounding is seen, and a picture for it."""
    model = model_of(config)
    for network in (model.analysis, model.hyper_analysis):
        with torch.no_grad():
            [layer for layer in network if isinstance(layer, nn.Conv2d)][-1].weight.mul_(100)
    return model, torch.rand(1, 3, 64, 128, generator=torch.Generator().manual_seed(2))


def noise_of(model, x):
    """Latents, hyper-latents, and what is added to them from a generator of seed 4: to the hyper-latents first."""
    generator = torch.Generator().manual_seed(4)
    y, z = model.encode(x, QUALITY)
    assert min(y.abs().max(), z.abs().max()) > 1
    z_noise = torch.rand(z.shape, generator=generator) - 0.5
    return y, z, torch.rand(y.shape, generator=generator) - 0.5, z_noise


def trained(model, x):
    return model(x, QUALITY, rounding="noise", generator=torch.Generator().manual_seed(4))


@torch.no_grad()
def test_in_training_context_and_hyper_synthesis_of_gllmm_see_rounded_latents():
    model, x = lively(GLLMM)
    y, z, _, _ = noise_of(model, x)
    assert torch.equal(seen_by(model.context, lambda: trained(model, x)), y.round())
    assert torch.equal(seen_by(model.hyper_synthesis, lambda: trained(model, x)), z.round())


@torch.no_grad()
def test_in_training_bits_of_gllmm_are_counted_on_noise():
    model, x = lively(GLLMM)
    y, z, y_noise, z_noise = noise_of(model, x)
    parameters = model.mixture_parameters(model.side_features(z.round(), QUALITY), y.round())
    nats = {
        "latent_bits": model.latent_log_likelihood(y + y_noise, parameters),
        "hyper_latent_bits": model.hyper_latent_log_likelihood(z + z_noise),
    }
    output = trained(model, x)
    for name, logarithms in nats.items():
        torch.testing.assert_close(getattr(output, name), -logarithms.sum().reshape(1) / np.log(2))


@pytest.mark.parametrize("name", BASELINES)
@torch.no_grad()
def test_in_training_context_and_hyper_synthesis_of_the_baselines_see_noise(name):
    model, x = lively(BASELINES[name])
    y, z, y_noise, z_noise = noise_of(model, x)
    torch.testing.assert_close(seen_by(model.hyper_synthesis, lambda: trained(model, x)), z + z_noise)
    if model.context is not None:
        torch.testing.assert_close(seen_by(model.context, lambda: trained(model, x)), y + y_noise)


def test_layers_of_the_factorized_prior():
    # As many matrices as hidden layers plus one: three of width 3 in Ballé et al. 2018, four in CompressAI.
    for config, hidden in ((GLLMM, 3), *((config, 4) for config in BASELINES.values())):
        prior = model_of(config).hyper_prior
        shapes = [tuple(matrix.shape[1:]) for matrix in prior.matrices]
        assert shapes == [(3, 1), *[(3, 3)] * (hidden - 1), (1, 3)]


def test_the_hyperprior_of_scales_sees_magnitudes_and_gives_scales():
    config = BASELINES["bmshj2018-hyperprior"]
    model = model_of(config)
    generator = torch.Generator().manual_seed(3)
    y = 5 * torch.randn(1, 6, 4, 8, generator=generator)
    z = 5 * torch.randn(1, 4, 1, 2, generator=generator)
    with torch.no_grad():
        assert torch.equal(model.hyper_analysis(y), model.hyper_analysis(-y))
        assert (model.hyper_synthesis(z) >= 0).all()
        parameters = model.mixture_parameters(model.hyper_synthesis(z), y)
    assert parameters.scales.min() == torch.tensor(0.11)
    assert not parameters.means.any()


def test_trade_offs_of_the_first_four_levels():
    assert MSE_LAMBDAS[:4] == (0.0018, 0.0035, 0.0067, 0.0130)
    for configuration in (HyperpriorConfig, AutoregressiveConfig, AttentionConfig):
        found = [of_level(configuration, level).rate_distortion_lambda for level in (1, 2, 3, 4)]
        assert found == [0.0018, 0.0035, 0.0067, 0.0130]
        assert all(of_level(configuration, level).head_layout.count == 1 for level in (1, 2, 3, 4))


def test_the_published_anchor():
    points = [(point.bits_per_pixel, point.psnr_db) for point in reference_curves()["vtm"].points]
    rates = (0.0482, 0.1125, 0.2458, 0.4905, 0.8748, 1.4308, 2.3246, 3.6326)
    decibels = (26.145, 28.493, 31.200, 34.262, 37.420, 40.424, 43.506, 46.592)
    assert points == list(zip(rates, decibels, strict=True))


def table_of_the_page(title):
    """Rows of the table below a heading, by their first cell."""
    page = PAGE.read_text(encoding="utf-8")
    section = page.split(f"# {title}\n", 1)[1].split("\n#", 1)[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"]
    return {row[0]: row[1:] for row in rows[2:]}


@pytest.mark.parametrize(("column", "channels", "stages"), [(0, 128, 2), (2, 256, 2), (4, 128, 3), (6, 256, 3)])
def test_the_page_has_the_size_and_cost_that_are_counted(column, channels, stages):
    networks = complexity(GllmmConfig(latent_channels=channels, stages=stages))
    table = table_of_the_page("Size and cost, part by part")
    for network in networks:
        parameters, cost = table[network.name][column : column + 2]
        assert int(re.sub(r"\D", "", parameters)) == network.parameters
        assert float(cost) == pytest.approx(network.multiply_accumulates_per_pixel / 1000, abs=0.051)
    sums = {
        "to encode": sum(n.multiply_accumulates_per_pixel for n in networks if n.encodes) / 1000,
        "to decode": sum(n.multiply_accumulates_per_pixel for n in networks if n.decodes) / 1000,
    }
    assert int(re.sub(r"\D", "", table["all"][column])) == sum(network.parameters for network in networks)
    for name, total in sums.items():
        assert float(table[name][column + 1]) == pytest.approx(total, abs=0.051)
