import copy

import pytest
import torch
from torch import nn

from tiny_models import tiny_model
from trimix.architectures.building import build
from trimix.architectures.config import AttentionConfig, AutoregressiveConfig, GllmmConfig, HyperpriorConfig
from trimix.errors import TrainingError
from trimix.training.config import ObjectiveConfig, PhaseConfig, RegularizerConfig
from trimix.training.source_entropy import SourceEntropyModel
from trimix.training.steps import Batch, PlainStep, Step, StepReport
from trimix.training.two_stage import TwoStageStep

PHASE = PhaseConfig(name="all", steps=1)
OBJECTIVE = ObjectiveConfig()
CODECS = {
    "hyperprior": HyperpriorConfig(channels=4, latent_channels=6),
    "autoregressive": AutoregressiveConfig(channels=4, latent_channels=6),
    "attention": AttentionConfig(latent_channels=4),
    "gllmm": GllmmConfig(latent_channels=4, head_widths=(8, 8)),
    "hyperprior, all rates": HyperpriorConfig(channels=4, latent_channels=6, all_rates=True),
}


def codec(name):
    torch.manual_seed(0)
    return tiny_model() if name == "gllmm-lite" else build(CODECS[name])


def batch(seed=1):
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(2, 3, 64, 64, generator=generator)
    return Batch(x, torch.tensor([20.0, 80.0]), torch.Generator().manual_seed(seed))


def informed(step):
    """A step whose q looks at everything from the start."""
    torch.manual_seed(7)
    with torch.no_grad():
        step.source_entropy.head.weight.normal_(std=0.2)
    return step


def gradients(module):
    return {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("name", [*CODECS, "gllmm-lite"])
@pytest.mark.parametrize("weight", [{"alpha": 0.05}, {"rho": 0.3}], ids=["alpha", "rho"])
def test_both_forms_of_the_algorithm_are_equal(name, weight):
    found = {}
    for form in ("fused", "plain"):
        model = codec(name)
        step = informed(TwoStageStep(model, OBJECTIVE, RegularizerConfig(form=form, **weight)))
        report = step.backward(model, batch(), PHASE, share=0.5)
        found[form] = (report, gradients(model), gradients(step.source_entropy))
    for fused, plain in zip(vars(found["fused"][0]).values(), vars(found["plain"][0]).values(), strict=True):
        torch.testing.assert_close(fused, plain, rtol=1e-4, atol=1e-4)
    for fused, plain in zip(found["fused"][1:], found["plain"][1:], strict=True):
        assert fused.keys() == plain.keys()
        for name, gradient in fused.items():
            scale = float(plain[name].abs().max())
            torch.testing.assert_close(gradient, plain[name], atol=1e-4 * scale + 1e-9, rtol=1e-3)


@pytest.mark.parametrize("form", ["fused", "plain"])
def test_each_stage_is_the_gradient_of_its_own_objective(form):
    alpha = 0.05
    model = codec("hyperprior")
    step = informed(TwoStageStep(model, OBJECTIVE, RegularizerConfig(alpha=alpha, form=form)))
    q = step.source_entropy
    step.backward(model, batch(), PHASE)
    of_codec, of_q = gradients(model), gradients(q)
    model.zero_grad()
    q.zero_grad()

    output, parts = PlainStep(model, OBJECTIVE).forward(model, batch(), PHASE)
    entropy = (q(batch().x, output.reconstruction).mean() * 3 / torch.tensor(2.0).log()).mean()
    weights = list(model.parameters())
    expected = torch.autograd.grad(
        parts.loss.mean() - alpha * entropy, weights, retain_graph=True, allow_unused=True
    )
    for (name, _), gradient in zip(model.named_parameters(), expected, strict=True):
        if gradient is not None:
            scale = float(gradient.abs().max())
            torch.testing.assert_close(of_codec[name], gradient, atol=1e-4 * scale + 1e-9, rtol=1e-3)
    own = torch.autograd.grad(entropy, list(q.parameters()))
    for (name, _), gradient in zip(q.named_parameters(), own, strict=True):
        torch.testing.assert_close(of_q[name], gradient, rtol=1e-3, atol=1e-5)


def test_each_optimiser_moves_its_own_weights():
    model = codec("hyperprior")
    step = TwoStageStep(model, OBJECTIVE, RegularizerConfig(alpha=0.05))
    codec_optimizer = torch.optim.SGD(model.parameters(), 1e-3)
    before = [copy.deepcopy(m.state_dict()) for m in (model, step.source_entropy)]
    step.backward(model, batch(), PHASE)
    codec_optimizer.step()
    assert all(torch.equal(v, before[1][n]) for n, v in step.source_entropy.state_dict().items())
    after = copy.deepcopy(model.state_dict())
    step.companion.optimizer.step()
    assert all(torch.equal(v, after[n]) for n, v in model.state_dict().items())
    assert any(not torch.equal(v, before[0][n]) for n, v in after.items())
    assert any(not torch.equal(v, before[1][n]) for n, v in step.source_entropy.state_dict().items())


@pytest.mark.parametrize("form", ["fused", "plain"])
def test_without_weight_it_is_the_plain_step_bit_for_bit(form):
    def trained(make):
        model = codec("hyperprior")
        step = make(model)
        optimizer = torch.optim.Adam(model.parameters(), 1e-3)
        for index in range(20):
            optimizer.zero_grad()
            step.backward(model, batch(index), PHASE)
            optimizer.step()
            if step.companion is not None:
                step.companion.optimizer.step()
                step.companion.optimizer.zero_grad()
        return model.state_dict()

    plain = trained(lambda model: PlainStep(model, OBJECTIVE))
    two = trained(lambda model: TwoStageStep(model, OBJECTIVE, RegularizerConfig(alpha=0.0, form=form)))
    assert all(torch.equal(value, two[name]) for name, value in plain.items())


def test_more_weight_leaves_the_source_less_certain():
    def entropy(alpha):
        model = codec("hyperprior")
        step = informed(TwoStageStep(model, OBJECTIVE, RegularizerConfig(alpha=alpha)))
        optimizer = torch.optim.SGD(model.parameters(), 1e-6)
        for _ in range(3):  # q as it is
            optimizer.zero_grad()
            step.backward(model, batch(), PHASE)
            optimizer.step()
        return float(step.backward(model, batch(), PHASE).source_entropy_bits_per_pixel)

    assert entropy(5.0) > entropy(0.0)


def test_a_model_of_all_rates_weighs_the_entropy_as_the_rest_of_its_loss():
    model = codec("hyperprior, all rates")
    step = informed(TwoStageStep(model, OBJECTIVE, RegularizerConfig(alpha=0.1)))
    report = step.backward(model, batch(), PHASE)
    _, parts = PlainStep(model, OBJECTIVE).forward(model, batch(), PHASE)
    entropy = step._regularizer.entropy
    expected = (parts.weight * (parts.bits_per_pixel + parts.weighted_distortion - 0.1 * entropy)).mean()
    torch.testing.assert_close(report.loss, expected.detach())


def test_the_loop_knows_it_as_a_step_and_its_q_as_a_companion():
    step = TwoStageStep(codec("hyperprior"), OBJECTIVE, RegularizerConfig(alpha=0.1, learning_rate=3e-4))
    assert isinstance(step, Step)
    assert isinstance(step.companion.module, SourceEntropyModel)
    assert step.companion.learning_rate == 3e-4


def report(ratio):
    zero = torch.tensor(0.0)
    return StepReport(zero, zero, zero, zero, torch.tensor(ratio))


def test_a_strong_pull_is_warned_of_and_a_stronger_one_stopped():
    step = TwoStageStep(codec("hyperprior"), OBJECTIVE, RegularizerConfig(alpha=0.1))
    assert step.review(report(0.49)) is None
    assert "0.5 or more" in step.review(report(0.62))
    with pytest.raises(TrainingError, match=r"must stay below 1, found 1.50: lower alpha"):
        step.review(report(1.5))


def test_q_is_no_part_of_the_model():
    model = codec("hyperprior")
    names = set(model.state_dict())
    TwoStageStep(model, OBJECTIVE, RegularizerConfig(alpha=0.1)).backward(model, batch(), PHASE)
    assert set(model.state_dict()) == names
    assert not any(isinstance(module, SourceEntropyModel) for module in nn.ModuleList([model]).modules())
