"""A training step has the gradients of its formulas as they are written."""

from pathlib import Path

import pytest
import torch

from tiny_models import TINY
from trimix.architectures.building import build
from trimix.architectures.config import AttentionConfig, GllmmConfig, HyperpriorConfig
from trimix.training.config import ObjectiveConfig, PhaseConfig
from trimix.training.steps import Batch, PlainStep

MODELS = {
    "gllmm-lite": TINY.model_copy(update={"context": "interlaced", "lapped_channels": 4}),
    "gllmm": GllmmConfig(latent_channels=8, head_widths=(8, 8), all_rates=True),
    "hyperprior": HyperpriorConfig(channels=8, latent_channels=8),
    "attention": AttentionConfig(latent_channels=8),
}


@pytest.fixture(autouse=True)
def benchmarks(monkeypatch):
    """Where benchmarks are imported from."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))


def loss_and_gradients(config):
    torch.manual_seed(0)
    model = build(config).to(memory_format=torch.channels_last)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lapped" in name:
                parameter.normal_(0, 0.02, generator=generator)
    x = torch.rand(2, 3, 128, 64, generator=generator).contiguous(memory_format=torch.channels_last)
    step = PlainStep(ObjectiveConfig())
    batch = Batch(x, torch.tensor([20.0, 80.0]), generator)
    report = step.backward(model, batch, PhaseConfig(name="all", steps=1))
    return report.loss, {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("name", MODELS)
def test_a_step_is_its_plain_forms(name):
    from plain_forms import plain_forms

    loss, found = loss_and_gradients(MODELS[name])
    with plain_forms():
        plain_loss, expected = loss_and_gradients(MODELS[name])
    torch.testing.assert_close(loss, plain_loss, rtol=1e-5, atol=0)
    assert found.keys() == expected.keys()
    whole = torch.stack([gradient.norm() for gradient in expected.values()]).norm()
    for key, gradient in expected.items():
        error = (found[key] - gradient).norm()
        assert error <= 1e-4 * gradient.norm() + 1e-7 * whole, key
