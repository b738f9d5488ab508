"""A frozen model, thawed, computes what its integers do; frozen again, it is the same."""

import numpy as np
import pytest
import torch
from freezing_examples import CONFIGURATIONS

from tiny_models import INTERLACED, TINY, calibration_pictures, lively
from trimix.freezing.freeze import freeze, measure_freezing_loss
from trimix.freezing.thaw import thaw
from trimix.frozen.catalogue import IDENTIFIERS
from trimix.frozen.model import ModelIdentity


@pytest.mark.parametrize("name", [*CONFIGURATIONS, "gllmm-lite", "gllmm-lite, interlaced"])
def test_a_thawed_model_counts_the_bits_of_its_integers(name):
    config = {**CONFIGURATIONS, "gllmm-lite": TINY, "gllmm-lite, interlaced": INTERLACED}[name]
    identity = ModelIdentity("tiny-0", IDENTIFIERS[config.kind], bytes(8), {})
    frozen = freeze(lively(config), identity, calibration_pictures())
    model = thaw(frozen)
    loss = measure_freezing_loss(model, frozen, calibration_pictures(), (30.0,))
    assert abs(loss.percent) < 0.3
    again = freeze(model, identity, calibration_pictures())
    for tensor, value in frozen.transforms.tensors.items():
        np.testing.assert_allclose(again.transforms.tensors[tensor], value, rtol=1e-3, atol=1e-5)
    assert measure_freezing_loss(model, again, calibration_pictures(), (30.0,)).percent == pytest.approx(0, abs=0.3)
    with torch.no_grad():
        symbols = np.random.default_rng(1).integers(-3, 4, (config.latent_channels, 8, 8)).astype(np.int16)
        hyper = np.random.default_rng(2).integers(-2, 3, (config.hyper_latent_channels, 2, 2)).astype(np.int16)
    assert again.count_bits(symbols, hyper, 500).total == pytest.approx(
        frozen.count_bits(symbols, hyper, 500).total, rel=5e-3
    )
