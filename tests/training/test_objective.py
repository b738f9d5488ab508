"""Distortions have their units; MS-SSIM equals that of evaluation and an independent one, with finite gradients."""

from functools import partial

import numpy as np
import pytest
import pytorch_msssim
import torch
from PIL import Image
from torch.nn import functional

from tiny_models import TINY, tiny_model
from trimix.architectures.compression_model import TrainingOutput
from trimix.distortion import Distortion
from trimix.distortion.differentiable import differentiable, distortion_of
from trimix.distortion.ms_ssim import ms_ssim_and_slope
from trimix.distortion.ssimulacra2 import ssimulacra2_and_slope
from trimix.errors import ConfigurationError
from trimix.evaluation import metrics
from trimix.training.config import ObjectiveConfig, PhaseConfig, TrainingConfig, load_training_config
from trimix.training.objective import rate_distortion
from trimix.training.steps import Batch, PlainStep

MS_SSIM = ObjectiveConfig(distortion="ms-ssim")
ssimulacra2 = partial(differentiable, partial(ssimulacra2_and_slope, as_patches=True))
ms_ssim = partial(differentiable, ms_ssim_and_slope)


def weighted_squared_error(x, x_hat, weights):
    return distortion_of(Distortion("weighted-mse", weights), x, x_hat)


def smooth(rows, columns, seed=0, count=2):
    """Random pictures with energy at all scales."""
    generator = torch.Generator().manual_seed(seed)
    total = torch.zeros(count, 3, rows, columns)
    for side in (4, 16, 64):
        coarse = torch.rand(count, 3, side, side, generator=generator) - 0.5
        total += functional.interpolate(coarse, (rows, columns), mode="bicubic") * 4 / side**0.5
    return (0.5 + 0.3 * total).clamp(0, 1)


def noise(x):
    return torch.randn(x.shape, generator=torch.Generator().manual_seed(1))


def damaged(x, deviation=0.05):
    blurred = functional.avg_pool2d(x, 5, 1, padding=2, count_include_pad=False)
    return blurred + deviation * noise(x)


@pytest.mark.parametrize("shape", [(161, 161), (192, 192), (163, 250), (176, 162)])
@pytest.mark.parametrize("deviation", [0.003, 0.05, 0.3])
def test_ms_ssim_and_its_gradient_equal_pytorch_msssim(shape, deviation):
    x = smooth(*shape)
    ours, theirs = (damaged(x, deviation).requires_grad_() for _ in range(2))
    value = ms_ssim(x, ours)
    expected = pytorch_msssim.ms_ssim(x, theirs, data_range=1, size_average=False)
    assert value.detach() == pytest.approx(expected.detach(), abs=1e-5)
    (value * torch.tensor([1.0, -2.0])).sum().backward()
    (expected * torch.tensor([1.0, -2.0])).sum().backward()
    difference = (ours.grad - theirs.grad).norm() / theirs.grad.norm()
    assert float(difference) < 1e-3


@pytest.mark.parametrize("shape", [(161, 161), (192, 256), (163, 250)])
def test_ms_ssim_equals_the_metric_of_evaluation(shape):
    x = (smooth(*shape) * 255).round()
    x_hat = (damaged(x / 255) * 255).round().clamp(0, 255)
    found = ms_ssim(x / 255, x_hat / 255)
    for value, *pair in zip(found, x, x_hat, strict=True):
        pixels = [picture.permute(1, 2, 0).byte().numpy() for picture in pair]
        assert float(value) == pytest.approx(metrics.ms_ssim(*pixels), abs=1e-5)


def test_pictures_and_memory_formats_do_not_mix():
    x = smooth(161, 170, count=3)
    x_hat = damaged(x)
    together = ms_ssim(x, x_hat)
    alone = torch.cat([ms_ssim(x[i : i + 1], x_hat[i : i + 1]) for i in range(3)])
    last = ms_ssim(*(pictures.to(memory_format=torch.channels_last) for pictures in (x, x_hat)))
    assert together == pytest.approx(alone, abs=1e-6)
    assert together == pytest.approx(last, abs=1e-6)


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_identical_and_flat_pictures_have_finite_gradients(level):
    flat = torch.full((1, 3, 192, 192), level)
    for x in (flat, smooth(192, 192, count=1)):
        x_hat = x.clone().requires_grad_()
        value = ms_ssim(x, x_hat)
        value.sum().backward()
        assert float(value.detach()) == pytest.approx(1.0, abs=1e-6)
        # 1 is the largest value: nothing leads away from it.
        assert float(x_hat.grad.abs().max()) < 1e-4
    for x, other in ((flat, smooth(192, 192, count=1)), (smooth(192, 192, count=1), flat)):
        x_hat = other.clone().requires_grad_()
        ms_ssim(x, x_hat).sum().backward()
        assert bool(x_hat.grad.isfinite().all())


@pytest.mark.parametrize("level", [1.0, 0.9, 0.2])
def test_of_flat_pictures_only_the_luminance_counts(level):
    # Variances as differences of large means: where float32 could go wrong.
    bright = 254 / 255
    expected = ((2 * bright * level + 1e-4) / (bright**2 + level**2 + 1e-4)) ** 0.1333
    flat, other = (torch.full((1, 3, 192, 192), value) for value in (bright, level))
    assert float(ms_ssim(flat, other)) == pytest.approx(expected, abs=1e-6)


def test_negative_factors_are_worth_next_to_nothing_and_lead_out():
    x = smooth(192, 192, count=1)
    x_hat = (1 - x).requires_grad_()
    value = ms_ssim(x, x_hat)
    assert 0 <= float(value.detach()) < 1e-6
    x_hat = (0.5 - 0.05 * (x - 0.5) + 0.01 * noise(x)).requires_grad_()
    value = ms_ssim(x, x_hat)
    (gradient,) = torch.autograd.grad(value.sum(), x_hat)
    assert bool(gradient.isfinite().all())
    with torch.no_grad():
        assert float(ms_ssim(x, x_hat + 0.01 * gradient / gradient.abs().mean())) > float(value)


def test_values_beyond_the_range_are_led_back():
    x = smooth(192, 192, count=1).clamp(0.1, 0.9)
    x_hat = torch.where(x > 0.8, x + 0.5, x).requires_grad_()
    (gradient,) = torch.autograd.grad(ms_ssim(x, x_hat).sum(), x_hat)
    assert float(gradient[x > 0.8].mean()) < 0


def test_it_is_computed_in_float32_under_autocast():
    x = smooth(192, 192)
    x_hat = damaged(x).bfloat16().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = ms_ssim(x, x_hat)
    assert value.dtype == torch.float32
    assert torch.equal(value, ms_ssim(x, x_hat.float()))
    value.sum().backward()
    assert bool(x_hat.grad.isfinite().all())


def test_the_objective_for_ms_ssim_is_its_formula():
    x = smooth(192, 192)
    x_hat = damaged(x).requires_grad_()
    output = TrainingOutput(x_hat, torch.tensor([9216.0, 4608.0]), torch.tensor([9216.0, 4608.0]))
    trade_off = torch.tensor([12.0, 80.0])
    parts = rate_distortion(x, output, trade_off, 0.0, MS_SSIM)
    similarity = pytorch_msssim.ms_ssim(x, x_hat, data_range=1, size_average=False).detach()
    assert parts.bits_per_pixel.tolist() == [0.5, 0.25]
    assert parts.weighted_distortion.detach() == pytest.approx(trade_off * (1 - similarity), rel=1e-3)
    assert torch.equal(parts.loss, parts.bits_per_pixel + parts.weighted_distortion)
    # The error is told as it is, and nothing is learned from it.
    assert torch.equal(parts.mean_squared_error, rate_distortion(x, output, trade_off, 0.0).mean_squared_error.detach())
    assert not parts.mean_squared_error.requires_grad
    balanced = rate_distortion(x, output, trade_off, 0.5, MS_SSIM)
    assert balanced.weight == pytest.approx((trade_off / 20) ** -0.5)
    assert torch.equal(balanced.loss, balanced.weight * parts.loss)


def test_the_weighted_error_is_that_of_jpegs_luma_and_chroma():
    pixels = [
        np.array(Image.fromarray((picture * 255).byte().permute(1, 2, 0).numpy()).convert("YCbCr"), float)
        for picture in (smooth(64, 80, count=1)[0], smooth(64, 80, seed=1, count=1)[0])
    ]
    rounded = [(smooth(64, 80, seed=seed, count=1) * 255).byte() / 255 for seed in (0, 1)]
    errors = np.square(pixels[0] - pixels[1]).mean(axis=(0, 1))
    for weights in ((6.0, 1.0, 1.0), (1.0, 0.0, 0.0), (1.0, 2.0, 5.0)):
        # Pillow rounds what it converts.
        expected = errors @ weights / sum(weights)
        assert float(weighted_squared_error(*rounded, weights)) == pytest.approx(expected, rel=1e-3)


def test_of_grey_errors_the_weighted_one_sees_the_share_of_luma():
    x = smooth(64, 64)
    x_hat = x + 0.02 * noise(x[:, :1])
    plain = 255**2 * (x - x_hat).square().mean(dim=(1, 2, 3))
    assert weighted_squared_error(x, x_hat, (6.0, 1.0, 1.0)) == pytest.approx(0.75 * plain, rel=1e-5)
    assert weighted_squared_error(x, x_hat, (1.0, 0.0, 0.0)) == pytest.approx(plain, rel=1e-5)


@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_the_objective_for_the_eye_is_its_formula(weight):
    x = smooth(192, 192)
    x_hat = damaged(x, 0.02).requires_grad_()
    output = TrainingOutput(x_hat, torch.tensor([9216.0, 4608.0]), torch.tensor([9216.0, 4608.0]))
    trade_off = torch.tensor([0.01, 0.1])
    objective = ObjectiveConfig(
        distortion="ssimulacra2", luma_chroma_weights=(2.0, 1.0, 1.0), squared_error_weight=weight
    )
    parts = rate_distortion(x, output, trade_off, 0.0, objective)
    root = weighted_squared_error(x, x_hat, (2.0, 1.0, 1.0)).sqrt()
    distortion = 100 - ssimulacra2(x, x_hat) + weight * root
    # Off by half a step of 8 bits at most, which a root without a slope at 0 costs.
    assert parts.weighted_distortion.detach() == pytest.approx(
        (trade_off * distortion).detach(), abs=0.5 * weight * 0.1 + 1e-5
    )
    assert torch.equal(parts.loss, parts.bits_per_pixel + parts.weighted_distortion)
    assert not parts.mean_squared_error.requires_grad
    assert rate_distortion(x, output, trade_off, 0.5, objective).weight == pytest.approx((trade_off / 0.034) ** -0.5)
    parts.loss.sum().backward()
    assert bool(x_hat.grad.any())


@pytest.mark.parametrize("distortion", ["mse", "weighted-mse", "ms-ssim", "ssimulacra2"])
def test_of_equal_pictures_nothing_is_lost_and_nothing_learned(distortion):
    x = smooth(192, 192)
    x_hat = x.clone().requires_grad_()
    output = TrainingOutput(x_hat, torch.zeros(2), torch.zeros(2))
    parts = rate_distortion(x, output, torch.ones(2), 0.0, ObjectiveConfig(distortion=distortion))
    parts.loss.sum().backward()
    assert parts.weighted_distortion.detach() == pytest.approx(torch.zeros(2), abs=1e-6)
    assert float(x_hat.grad.abs().max()) < 1e-4


def test_the_squared_error_holds_the_colour_that_the_score_hardly_sees():
    x = smooth(192, 192, count=1)
    tint = torch.tensor([1.0, -0.5, 1.0])[:, None, None] * 4 / 255
    output = TrainingOutput(x + tint, torch.zeros(1), torch.zeros(1))
    lost = {}
    for weight in (0.0, 0.5):
        objective = ObjectiveConfig(
            distortion="ssimulacra2", luma_chroma_weights=(1.0, 1.0, 1.0), squared_error_weight=weight
        )
        lost[weight] = float(rate_distortion(x, output, torch.ones(1), 0.0, objective).weighted_distortion)
    red, green = 4 * 1.0, 4 * -0.5
    y = 0.299 * red + 0.587 * green + 0.114 * red
    error = (y**2 + ((red - y) / 1.772) ** 2 + ((red - y) / 1.402) ** 2) / 3
    assert lost[0.5] - lost[0.0] == pytest.approx(0.5 * ((error + 0.25) ** 0.5 - 0.5), rel=1e-3)


def test_a_power_of_lambda_gives_that_of_squared_errors():
    config = {"lambda_minimum": 0.0024, "lambda_maximum": 0.18, "lambda_ratio": 0.52, "lambda_exponent": 0.66}
    model = tiny_model(TINY.model_copy(update=config))
    quality = torch.tensor([1.0, 50.0, 100.0])
    squared = model.squared_error_lambda(quality)
    assert 0.52 * squared**0.66 == pytest.approx(model.rate_distortion_lambda(quality), rel=1e-5)
    # The range of the models for squared errors.
    assert squared[[0, 2]] == pytest.approx([0.0003, 0.2], rel=0.05)


def configuration(patch_size, distortion="ms-ssim", **model):
    return {
        "model": {"kind": "gllmm-lite", "lambda_minimum": 0.4, "lambda_maximum": 240.0} | model,
        "data": {"training": ["pictures"]},
        "objective": {"distortion": distortion},
        "phases": [{"name": "all", "steps": 1, "patch_size": patch_size}],
    }


def test_ms_ssim_needs_patches_and_lambdas_that_fit(tmp_path):
    assert TrainingConfig.model_validate(configuration(192)).objective.distortion == "ms-ssim"
    assert TrainingConfig(data={"training": ["x"]}, phases=[{"name": "x", "steps": 1}]).objective.distortion == "mse"
    with pytest.raises(ValueError, match=r"patch_size must be at least 192 .*found 128 in the phase all"):
        TrainingConfig.model_validate(configuration(128))
    with pytest.raises(ValueError, match=r"lambda_maximum must be at least 1 .*found 0\.2"):
        TrainingConfig.model_validate(configuration(192, lambda_minimum=0.0003, lambda_maximum=0.2))
    path = tmp_path / "run.toml"
    path.write_text(
        '[data]\ntraining = ["x"]\n[objective]\ndistortion = "ms-ssim"\n'
        '[[phases]]\nname = "all"\nsteps = 1\npatch_size = 64\n'
    )
    with pytest.raises(ConfigurationError, match="patch_size must be at least 192") as caught:
        load_training_config(path)
    assert "\n" not in str(caught.value)


def test_the_eye_needs_patches_and_lambdas_that_fit():
    fitting = {"lambda_minimum": 0.0024, "lambda_maximum": 0.18}
    TrainingConfig.model_validate(configuration(192, "ssimulacra2", **fitting))
    TrainingConfig.model_validate(configuration(64, "weighted-mse"))
    with pytest.raises(ValueError, match=r"patch_size must be at least 192 .*ssimulacra2.*found 128"):
        TrainingConfig.model_validate(configuration(128, "ssimulacra2", **fitting))
    for lambda_minimum in (0.0003, 2.4):
        with pytest.raises(ValueError, match=rf"lambda_minimum must be between .*found {lambda_minimum}"):
            TrainingConfig.model_validate(configuration(192, "ssimulacra2", lambda_minimum=lambda_minimum))


def test_the_step_minimises_the_distortion_of_its_configuration():
    model = tiny_model(TINY.model_copy(update={"lambda_minimum": 0.4, "lambda_maximum": 240.0})).train()
    x, phase = smooth(192, 192), PhaseConfig(name="all", steps=1, patch_size=192)
    batches = (Batch(x, torch.tensor([20.0, 80.0]), torch.Generator().manual_seed(0)) for _ in range(2))
    step = PlainStep(MS_SSIM)
    output, parts = step.forward(model, next(batches), phase)
    trade_off = model.rate_distortion_lambda(torch.tensor([20.0, 80.0]))
    distortion = 1 - ms_ssim(x, output.reconstruction).detach()
    assert parts.weighted_distortion.detach() == pytest.approx(trade_off * distortion, rel=1e-5)
    report = step.backward(model, next(batches), phase)
    assert float(report.loss) == pytest.approx(float(parts.loss.detach().mean()))
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters() if p.grad is not None)
    assert any(bool(p.grad.any()) for p in model.synthesis.parameters())
