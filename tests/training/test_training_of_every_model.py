"""The trainer takes every architecture."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from tiny_models import GLLMM_WITH_LINEAR_PATH, LOW_RESOLUTION
from trimix.architectures.config import (
    AttentionConfig,
    AutoregressiveConfig,
    CompressionConfig,
    GllmmConfig,
    HyperpriorConfig,
)
from trimix.errors import ConfigurationError
from trimix.training.config import PhaseConfig, TrainingConfig, load_training_config
from trimix.training.loop import Trainer
from trimix.training.objective import rate_distortion
from trimix.training.steps import Batch, PlainStep

MODELS: dict[str, CompressionConfig] = {
    "hyperprior": HyperpriorConfig(channels=4, latent_channels=6),
    "autoregressive": AutoregressiveConfig(channels=4, latent_channels=6),
    "attention": AttentionConfig(latent_channels=4),
    "gllmm": GllmmConfig(latent_channels=4, head_widths=(8, 8)),
    "gllmm, all rates": GllmmConfig(latent_channels=4, head_widths=(8, 8), all_rates=True),
    "gllmm with a linear path": GLLMM_WITH_LINEAR_PATH,
    "gllmm at a low resolution": LOW_RESOLUTION,
    "hyperprior, all rates": HyperpriorConfig(channels=4, latent_channels=6, all_rates=True),
}
every_model = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    coarse = np.random.default_rng(0).integers(0, 256, (36, 36, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize((288, 288), Image.Resampling.BICUBIC).save(folder / "0.png")
    return folder


def configuration(model, pictures, steps, **changes):
    phase = PhaseConfig(name="all", steps=steps, batch_size=2, patch_size=64, learning_rate=1e-3, **changes)
    data = {"training": [pictures], "validation": [pictures]}
    return TrainingConfig(model=model, data=data, phases=[phase])


@pytest.mark.slow
@every_model
def test_a_run_goes_on_bit_for_bit(model, pictures, tmp_path):
    whole = Trainer(configuration(model, pictures, 4), tmp_path / "whole", "cpu")
    before = {name: value.clone() for name, value in whole.model.state_dict().items()}
    whole.run()
    Trainer(configuration(model, pictures, 2), tmp_path / "parts", "cpu").run()
    resumed = Trainer(configuration(model, pictures, 4), tmp_path / "parts", "cpu")
    resumed.progress.phase = 0
    resumed.progress.phase_step = 2
    resumed.run()
    after = whole.model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in resumed.model.state_dict().items())
    assert any(not torch.equal(after[name], value) for name, value in before.items())


@pytest.mark.slow
@every_model
def test_validation_has_a_row_for_each_rate(model, pictures, tmp_path):
    Trainer(configuration(model, pictures, 1), tmp_path / "run", "cpu").run()
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    (validation,) = [line for line in lines if line["kind"] == "validation"]
    assert len(validation["psnr_db"]) == (7 if model.all_rates else 1)


def test_one_rate_is_trained_on_exactly_the_lagrangian(pictures, tmp_path):
    trainer = Trainer(configuration(MODELS["hyperprior"], pictures, 1), tmp_path / "run", "cpu")
    x = trainer.sampler.batch(0, 2, 64)
    step = PlainStep(trainer.config.objective)
    quality = torch.full((2,), 7.0)  # which this model ignores
    batch = Batch(x, quality, torch.Generator().manual_seed(3))
    loss = step.backward(trainer.model, batch, trainer.config.phases[0]).loss
    generator = torch.Generator().manual_seed(3)
    output = trainer.model(x, torch.full((2,), 50.0), generator=generator)
    parts = rate_distortion(x, output, torch.full((2,), 0.0130), balance=0.0)
    expected = (parts.bits_per_pixel + 0.0130 * parts.mean_squared_error).mean()
    torch.testing.assert_close(loss, expected)


def test_only_gllmm_lite_has_a_linear_path(pictures):
    with pytest.raises(ValueError, match="linear_only must be false for gllmm"):
        configuration(MODELS["gllmm"], pictures, 1, linear_only=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('kind = "resnet"', "model.kind: must be one of .*'gllmm'.*, found 'resnet'"),
        ('kind = "gllmm"\nstages = 0', "model.stages: must be greater than 0, found 0"),
        ('kind = "gllmm"\nfamilies = [0, 0]', "model.families: families must differ"),
        ('kind = "hyperprior"\nstages = 2', "model.stages: is no key of a training configuration"),
    ],
)
def test_a_mistake_in_a_model_is_named_by_its_key(text, message, tmp_path):
    path = tmp_path / "run.toml"
    path.write_text(f'[model]\n{text}\n[data]\ntraining = ["x"]\n[[phases]]\nname = "all"\nsteps = 1\n')
    with pytest.raises(ConfigurationError, match=message):
        load_training_config(path)
