import math

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from tiny_models import TINY, calibration_pictures, tiny_model
from trimix.architectures.building import build
from trimix.architectures.config import GllmmLiteConfig
from trimix.transforms.karhunen_loeve import LinearAnalysis, LinearSynthesis, principal_components


def test_the_released_architecture_keeps_its_budget_of_multiplications():
    """At most 60 kMAC a pixel to decode (40 of them in g_s) and 100 to encode."""
    model = build(GllmmLiteConfig()).eval()
    x, quality = torch.zeros(1, 3, 256, 256), torch.tensor([50.0])
    cost = {}
    with torch.no_grad():
        y, z = model.encode(x, quality)
        calls = {
            "g_a and h_a": lambda: model.encode(x, quality),
            "g_s": lambda: model.decode(y.round(), quality),
            "h_s, context, head": lambda: model.mixture_parameters(model.side_features(z, quality), y),
        }
        for name, call in calls.items():
            with FlopCounterMode(display=False) as counter:
                call()
            cost[name] = counter.get_total_flops() / 2 / x[0, 0].numel() / 1000
    assert cost["g_s"] <= 40
    assert cost["g_s"] + cost["h_s, context, head"] <= 60
    assert cost["g_a and h_a"] + cost["h_s, context, head"] <= 100


def test_noise_and_rounding_count_about_the_same_bits():
    model = tiny_model()
    x, quality = calibration_pictures(4), torch.tensor([20.0, 40.0, 60.0, 80.0])
    with torch.no_grad():
        rounded = model(x, quality, rounding="round")
        noisy = model(x, quality, generator=torch.Generator().manual_seed(1))
    assert torch.equal(rounded.reconstruction, noisy.reconstruction)
    assert torch.allclose(rounded.latent_bits, noisy.latent_bits, rtol=0.2)
    assert (rounded.latent_bits > 0).all()


def test_every_part_that_trains_gets_a_gradient():
    model = tiny_model()
    output = model(calibration_pictures(), torch.tensor([30.0, 70.0]), generator=torch.Generator().manual_seed(0))
    (output.latent_bits.sum() + output.hyper_latent_bits.sum() + output.reconstruction.square().sum() * 1e3).backward()
    # The factorized prior's last gate follows its last matrix, where no gate is applied.
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == ["hyper_prior.gates.3"]


def test_lambda_is_exponential_in_the_quality():
    model = tiny_model()
    low, middle, high = model.rate_distortion_lambda(torch.tensor([1.0, 50.5, 100.0])).tolist()
    assert low == pytest.approx(TINY.lambda_minimum)
    assert high == pytest.approx(TINY.lambda_maximum)
    assert middle == pytest.approx(math.sqrt(low * high), rel=1e-5)


def test_first_pass_parameters_do_not_depend_on_latents():
    model = tiny_model()
    side = torch.randn(1, 16, 4, 6, generator=torch.Generator().manual_seed(0))
    y = torch.zeros(1, 8, 4, 6)
    other = y.clone()
    other[:, :, 0, 0] = 3
    with torch.no_grad():
        before, after = model.mixture_parameters(side, y), model.mixture_parameters(side, other)
    changed = (before.means != after.means).any(dim=(0, 1, 2, 3))
    even = torch.tensor([[(r + c) % 2 == 0 for c in range(6)] for r in range(4)])
    assert not changed[even].any()
    assert changed[0, 1]


def test_the_error_of_truncated_principal_components_is_the_truncated_energy():
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(48, 48, generator=generator, dtype=torch.float64)
    blocks = torch.randn(500, 48, generator=generator, dtype=torch.float64) @ mixing + 0.3
    mean, basis = principal_components(blocks, 20)
    assert torch.allclose(basis @ basis.T, torch.eye(20, dtype=torch.float64), atol=1e-9)
    centred = blocks - mean
    error = (centred - centred @ basis.T @ basis).square().sum(dim=1).mean()
    energies = torch.linalg.eigvalsh(centred.T @ centred / 500)
    assert float(error) == pytest.approx(float(energies[:28].sum()), rel=1e-6)


def test_the_linear_path_with_all_components_is_the_identity():
    analysis, synthesis = LinearAnalysis(48, 4), LinearSynthesis(48, 4)
    blocks = torch.rand(400, 48, generator=torch.Generator().manual_seed(0))
    mean, basis = principal_components(blocks, 48)
    for path in (analysis, synthesis):
        path.set_basis(mean, basis)
    x = torch.rand(2, 3, 8, 12, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(synthesis(analysis(x)), x, atol=1e-5)


@pytest.mark.parametrize("lapped_channels", [0, 3])
def test_energies_are_those_of_the_pictures_that_coefficients_make(lapped_channels):
    torch.manual_seed(5)
    synthesis = LinearSynthesis(5, block=4, lapped_channels=lapped_channels)
    with torch.no_grad():
        for parameter in synthesis.parameters():
            parameter.normal_()
        nothing = torch.zeros(5, 5, 3, 3)
        one = nothing.clone()
        one[range(5), range(5), 1, 1] = 1  # a coefficient each, away from the border
        pictures = synthesis(one) - synthesis(nothing)
        torch.testing.assert_close(synthesis.energies(), pictures.square().sum((1, 2, 3)))
