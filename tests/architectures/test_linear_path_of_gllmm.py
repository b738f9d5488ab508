"""Laws of a GLLMM with a linear path, factors that follow the quality, and another context."""

import pytest
import torch
from pydantic import ValidationError

from tiny_models import GLLMM_WITH_LINEAR_PATH, LOW_RESOLUTION, calibration_pictures
from trimix.architectures.building import build
from trimix.architectures.config import GllmmConfig, GllmmLiteConfig
from trimix.entropy_models.context import InterlacedContext
from trimix.layers.quality import QualityFactor

QUALITY = torch.tensor([20.0, 80.0])


def new_model(config=GLLMM_WITH_LINEAR_PATH, **changes):
    torch.manual_seed(3)
    return build(config.model_copy(update=changes))


both = pytest.mark.parametrize("config", [GLLMM_WITH_LINEAR_PATH, LOW_RESOLUTION], ids=["paper's", "low resolution"])


@both
def test_it_begins_as_its_linear_path(config):
    model = new_model(config)
    x = calibration_pictures()
    with torch.no_grad():
        y = model.analysis(x, QUALITY)
        torch.testing.assert_close(y, 255 * model.analysis.linear(x))
        torch.testing.assert_close(model.synthesis(y, QUALITY), model.synthesis.linear(y / 255))


@both
def test_what_the_networks_say_is_added(config):
    model = new_model(config)
    x = calibration_pictures()
    with torch.no_grad():
        model.analysis.to_latent.bias.fill_(2.0)
        y = model.analysis(x, QUALITY)
        torch.testing.assert_close(y, 255 * model.analysis.linear(x) + 2 * model.analysis.branch_gain)
        model.synthesis.network[-1][0].bias.fill_(3.0)
        expected = model.synthesis.linear(y / 255) + 3 * model.synthesis.branch_gain
        torch.testing.assert_close(model.synthesis(y, QUALITY), expected)


@both
def test_every_weight_learns_once_the_networks_speak(config):
    model = new_model(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 4 and not parameter.any():
                parameter.normal_(std=0.1)
        model.hyper_analysis[-1].weight.mul_(100)  # hyper-latents that are not all zero
    output = model(calibration_pictures(), QUALITY, generator=torch.Generator().manual_seed(1))
    (output.latent_bits.sum() + output.hyper_latent_bits.sum() + output.reconstruction.square().sum()).backward()
    without = {name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()}
    assert without == {f"hyper_prior.gates.{len(model.config.hyper_prior_widths)}"}


def test_factors_see_the_quality_of_their_own_picture():
    model = new_model()
    factors = [layer for layer in model.synthesis.network if isinstance(layer, QualityFactor)]
    assert len(factors) == 4
    assert sum(isinstance(layer, QualityFactor) for layer in model.analysis.network) == 3
    with torch.no_grad():
        model.synthesis.network[-1][0].weight.normal_(std=0.1)
        factors[0].log_factors[-2] = 1.0
        y = 64 * torch.randn(2, model.config.latent_channels, 4, 4)
        together = model.synthesis(y, QUALITY)
        for index in range(2):
            alone = model.synthesis(y[index : index + 1], QUALITY[index : index + 1])
            torch.testing.assert_close(together[index : index + 1], alone)
        assert not torch.allclose(together, model.synthesis(y, QUALITY.flip(0)))


def test_steps_begin_as_those_of_gllmm_lite():
    ours = new_model()
    lite = build(GllmmLiteConfig(latent_channels=10, lapped_channels=2))
    torch.testing.assert_close(ours.gain.log_factors, lite.gain.log_factors)


def test_the_context_is_the_configurations():
    assert isinstance(new_model(context="interlaced").context, InterlacedContext)


def test_low_resolution_networks_are_those_of_the_configuration():
    model = new_model(LOW_RESOLUTION)
    sizes = {
        name: [(m.in_channels, m.out_channels) for m in part.network.modules() if isinstance(m, torch.nn.Conv2d)]
        for name, part in (("analysis", model.analysis), ("synthesis", model.synthesis))
    }
    assert sizes["analysis"] == [(192, 6), *[(6, 6)] * 2, (6, 8), *[(8, 8)] * 4]
    assert sizes["synthesis"] == [*[(6, 6)] * 2, (6, 16), *[(4, 4)] * 4, (4, 192)]
    assert (model.config.hyper_latent_channels, model.config.side_channels, model.config.context_channels) == (4, 12, 6)
    assert model.side_features(torch.zeros(1, 4, 1, 1), QUALITY[:1]).shape == (1, 12, 4, 4)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"channels": 4}, "without a linear path"),
        ({"lapped_channels": 1}, "without a linear path"),
        ({"low_resolution_widths": (4, 4), "all_rates": True}, "low_resolution_widths need a linear path"),
        ({"side_channels": 4}, "side_channels must be 2 M without narrow_hyper_channels"),
        ({"linear_path": True}, "linear_path must be false in a model of one rate"),
        ({"quality_factors": True}, "quality_factors must be false in a model of one rate"),
        ({"linear_path": True, "all_rates": True, "lapped_channels": 9}, "at most latent_channels, 8, found 9"),
    ],
)
def test_what_does_not_fit_together_is_refused(changes, said):
    with pytest.raises(ValidationError, match=said):
        GllmmConfig(latent_channels=8, **changes)
