"""Counts of parameters, multiplications and passes: against closed forms, and against the paper's architecture."""

import pytest
import torch

from trimix.architectures.complexity import complexity, entropy_model_passes, multiply_accumulates
from trimix.architectures.config import (
    AttentionConfig,
    AutoregressiveConfig,
    GllmmConfig,
    GllmmLiteConfig,
    HyperpriorConfig,
)
from trimix.layers.masked_convolution import MaskedConvolution
from trimix.layers.offsets import raster_offsets


def kilo_mac(networks):
    return {network.name: network.multiply_accumulates_per_pixel / 1000 for network in networks}


def to_encode(networks):
    return sum(network.multiply_accumulates_per_pixel for network in networks if network.encodes) / 1000


def to_decode(networks):
    return sum(network.multiply_accumulates_per_pixel for network in networks if network.decodes) / 1000


def parameters_of(networks):
    return sum(network.parameters for network in networks)


def test_a_convolution_multiplies_inputs_outputs_and_taps_at_every_result():
    x = torch.zeros(2, 3, 16, 24)
    for layer, expected in (
        (torch.nn.Conv2d(3, 5, 3, padding=1), 2 * 16 * 24 * 3 * 5 * 9),
        (torch.nn.Conv2d(3, 5, 5, padding=2, stride=2), 2 * 8 * 12 * 3 * 5 * 25),
        (torch.nn.ConvTranspose2d(3, 5, 5, stride=2, padding=2, output_padding=1), 2 * 16 * 24 * 3 * 5 * 25),
        (torch.nn.Linear(24, 7), 2 * 3 * 16 * 24 * 7),
        (torch.nn.ReLU(), 0),
    ):
        assert multiply_accumulates(lambda layer=layer: layer(x)) == expected


def test_a_hyperprior_costs_what_its_layers_say():
    n, m = 6, 10
    networks = complexity(HyperpriorConfig(channels=n, latent_channels=m))
    gdn = n * n * (1 / 4 + 1 / 16 + 1 / 64)
    analysis = 25 * (3 * n / 4 + n * n / 16 + n * n / 64 + n * m / 256) + gdn
    hyper_analysis = 9 * m * n / 256 + 25 * n * n / 1024 + 25 * n * n / 4096
    hyper_synthesis = 25 * n * m / 4096 + 25 * m * (m * 3 // 2) / 1024 + 9 * (m * 3 // 2) * 2 * m / 256
    cost = kilo_mac(networks)
    assert cost == pytest.approx(
        {
            "g_a": analysis / 1000,
            "h_a": hyper_analysis / 1000,
            "h_s": hyper_synthesis / 1000,
            "g_s": analysis / 1000,
            "hyper prior": 0.0,
        }
    )
    assert to_encode(networks) == pytest.approx((analysis + hyper_analysis + hyper_synthesis) / 1000)
    assert to_decode(networks) == pytest.approx((hyper_synthesis + analysis) / 1000)
    parameters = {network.name: network.parameters for network in networks}
    assert parameters["g_a"] == 25 * (3 * n + 2 * n * n + n * m) + 3 * n + m + 3 * (n + n * n)


@pytest.mark.parametrize(
    ("channels", "stages", "millions", "analysis", "decoder"),
    [(128, 2, 17.8, 284, 358), (256, 2, 58.3, 1134, 1380), (128, 3, 19.9, None, 457), (256, 3, 66.6, None, 1772)],
)
def test_gllmm_costs_what_its_paper_says(channels, stages, millions, analysis, decoder):
    networks = complexity(GllmmConfig(latent_channels=channels, stages=stages))
    cost = kilo_mac(networks)
    assert parameters_of(networks) / 1e6 == pytest.approx(millions, rel=0.01)
    assert to_decode(networks) == pytest.approx(decoder, rel=0.01)
    if analysis is not None:
        assert cost["g_a"] == pytest.approx(analysis, rel=0.01)
    if (channels, stages) == (128, 2):
        published = {"g_s": 329.1, "entropy parameters": 23.7, "context": 1.5, "h_s": 2.3, "h_a": 1.5}
        assert {name: round(cost[name], 1) for name in published} == published


def test_masked_taps_are_not_multiplied_but_stored():
    n = 4
    layer = MaskedConvolution(n, 2 * n, 5, raster_offsets(5))
    networks = {network.name: network for network in complexity(GllmmConfig(latent_channels=n, head_widths=(8, 8)))}
    context = networks["context"]
    assert context.multiply_accumulates_per_pixel == pytest.approx(12 * n * 2 * n / 256)
    assert context.parameters == sum(parameter.numel() for parameter in layer.parameters())


def test_half_of_a_checkerboard_looks_at_its_context():
    config = GllmmLiteConfig()
    inputs, outputs = config.latent_channels, config.context_channels
    cost = kilo_mac(complexity(config))
    assert cost["context"] == pytest.approx(12 * inputs * outputs / 256 / 2 / 1000)


def test_every_interlaced_level_looks_at_its_own_taps():
    config = GllmmLiteConfig(context="interlaced")
    cost = kilo_mac(complexity(config))
    taps = 4 / 16 + 4 / 8 + 4 / 4 + 12 / 2
    looking = taps * config.latent_channels * config.context_channels
    assert cost["context"] == pytest.approx(looking / 256 / 1000)
    assert entropy_model_passes(config, 512, 768) == 5


def test_synthesis_has_widths_of_its_own_where_they_are_given():
    plain = complexity(GllmmLiteConfig())
    narrow = complexity(GllmmLiteConfig(synthesis_widths=(16, 32, 56, 112)))
    narrower = complexity(GllmmLiteConfig(transform_widths=(16, 32, 56, 112)))
    assert kilo_mac(narrow) == kilo_mac(plain) | {"g_s": kilo_mac(narrower)["g_s"]}
    assert kilo_mac(narrow)["g_s"] < 0.6 * kilo_mac(plain)["g_s"]


@pytest.mark.parametrize("context", ["checkerboard", "interlaced"])
def test_gllmm_lite_keeps_its_budget(context):
    networks = complexity(GllmmLiteConfig(context=context))
    assert kilo_mac(networks)["g_s"] <= 40
    assert to_decode(networks) <= 60
    assert to_encode(networks) <= 100
    assert [network.name for network in networks if network.encodes and not network.decodes] == ["g_a", "h_a", "gain"]


@pytest.mark.parametrize(
    ("config", "passes"),
    [
        (HyperpriorConfig(), 1),
        (GllmmLiteConfig(), 2),
        (AutoregressiveConfig(), 48 + 3 * 31),
        (AttentionConfig(), 48 + 3 * 31),
        (GllmmConfig(), 48 + 3 * 31),
    ],
    ids=lambda value: getattr(value, "kind", value),
)
def test_passes_are_those_of_the_schedule(config, passes):
    assert entropy_model_passes(config, 512, 768) == passes


def test_pictures_are_padded_before_passes_are_counted():
    config = AutoregressiveConfig(channels=2, latent_channels=2)
    assert entropy_model_passes(config, 1, 1) == entropy_model_passes(config, 64, 64) == 4 + 3 * 3
    assert entropy_model_passes(config, 65, 1) == 4 + 3 * 7
