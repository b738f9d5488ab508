"""Half precision and compilation change how transforms are computed, and nothing else."""

import pytest
import torch
from small_runs import contents, same, small_run

from tiny_models import tiny_model
from trimix.architectures import compression_model
from trimix.architectures.building import build
from trimix.architectures.config import AutoregressiveConfig, GllmmConfig, HyperpriorConfig
from trimix.training.config import ObjectiveConfig, PhaseConfig
from trimix.training.loop import Trainer
from trimix.training.steps import Batch, PlainStep

MODELS = {
    "hyperprior": lambda: build(HyperpriorConfig(channels=4, latent_channels=6)),
    "autoregressive": lambda: build(AutoregressiveConfig(channels=4, latent_channels=6)),
    "gllmm": lambda: build(GllmmConfig(latent_channels=4, head_widths=(8, 8))),
    "gllmm-lite": tiny_model,
}


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_likelihoods_are_in_single_precision_under_autocast(make, monkeypatch):
    model = make()
    seen = []
    for module in (compression_model,):

        def spy(y, parameters, plain=module.log_likelihood):
            result = plain(y, parameters)
            seen.extend((y, parameters.log_weights, parameters.means, parameters.scales, result))
            return result

        monkeypatch.setattr(module, "log_likelihood", spy)
    prior = model.hyper_prior.log_likelihood
    monkeypatch.setattr(model.hyper_prior, "log_likelihood", lambda z: seen.append(prior(z)) or seen[-1])
    analysed = []
    for module in model.analysis.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(lambda *arguments: analysed.append(arguments[-1].dtype))
    step = PlainStep(ObjectiveConfig())
    batch = Batch(
        torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)),
        torch.tensor([20.0, 80.0]),
        torch.Generator().manual_seed(0),
    )
    with torch.autocast("cpu", torch.bfloat16):
        report = step.backward(model, batch, PhaseConfig(name="x", steps=1))
    assert len(seen) == 6
    assert {tensor.dtype for tensor in [*seen, report.loss, report.bits_per_pixel]} == {torch.float32}
    assert all(p.grad is None or p.grad.dtype == torch.float32 for p in model.parameters())
    assert torch.bfloat16 in analysed


def test_compiled_transforms_keep_the_names_of_weights_and_the_run(picture_folder, tmp_path, monkeypatch):
    eager = small_run(picture_folder)
    compiled = small_run(picture_folder, run={"optimizer": {"compile": "on"}})
    compiled_functions = []
    # Generating code takes half a minute; here it is only what is asked to be compiled.
    monkeypatch.setattr(torch, "compile", lambda function: compiled_functions.append(function) or function)
    for name, config in (("eager", eager), ("compiled", compiled)):
        Trainer(config, tmp_path / name, "cpu").run()
    assert len(compiled_functions) == 2
    one, other = contents(tmp_path / "eager"), contents(tmp_path / "compiled")
    for name in ("model", "average"):
        assert list(one[name]) == list(other[name])
        assert same(one[name], other[name])
    Trainer(eager, tmp_path / "compiled", "cpu")
