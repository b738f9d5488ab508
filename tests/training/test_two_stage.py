import copy
import math

import pytest
import torch
from torch import nn
from torch.func import functional_call

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


def two_passes(model, q, config, share):
    """Algorithm 1 as the paper writes it: rho and alpha, then the gradients of stage 1 and of stage 2."""
    output, parts = PlainStep(OBJECTIVE).forward(model, batch(), PHASE)
    x, x_hat = batch().x, output.reconstruction
    constants = {name: value.detach() for name, value in q.named_parameters()}
    entropy = bits_per_pixel(functional_call(q, constants, (x, x_hat)))
    weighted = (parts.weight * entropy).mean()
    norms = [
        torch.linalg.vector_norm(torch.autograd.grad(value, x_hat, retain_graph=True)[0], dim=(1, 2, 3)).mean()
        for value in (weighted, parts.distortion_in_loss)
    ]
    alpha = config.alpha if config.rho is None else float(config.rho * norms[1] / norms[0])
    ((parts.loss.mean() - alpha * weighted) * share).backward()  # stage 1
    (bits_per_pixel(q(x, x_hat.detach())).mean() * share).backward()  # stage 2
    loss = (parts.loss - alpha * parts.weight * entropy).mean()
    return {"loss": loss, "gradient_ratio": alpha * norms[0] / norms[1], "applied_alpha": torch.tensor(alpha)}


def bits_per_pixel(nats):
    return nats.mean(dim=(1, 2, 3)) * 3 / math.log(2)


@pytest.mark.parametrize("name", [*CODECS, "gllmm-lite"])
@pytest.mark.parametrize("weight", [{"alpha": 0.05}, {"rho": 0.3}], ids=["alpha", "rho"])
def test_one_backward_pass_gives_the_gradients_of_both_stages(name, weight):
    config = RegularizerConfig(**weight)
    model = codec(name)
    step = informed(TwoStageStep(model, OBJECTIVE, config))
    report = step.backward(model, batch(), PHASE, share=0.5)
    found = [gradients(model), gradients(step.source_entropy)]
    model, q = codec(name), step.source_entropy
    q.zero_grad()
    expected = two_passes(model, q, config, share=0.5)
    for key, value in expected.items():
        torch.testing.assert_close(getattr(report, key), value.detach(), rtol=1e-4, atol=1e-4)
    for fused, plain in zip(found, [gradients(model), gradients(q)], strict=True):
        assert fused.keys() == plain.keys()
        for name, gradient in fused.items():
            scale = float(plain[name].abs().max())
            torch.testing.assert_close(gradient, plain[name], atol=1e-4 * scale + 1e-9, rtol=1e-3)


def test_each_optimiser_moves_its_own_weights():
    model = codec("hyperprior")
    step = TwoStageStep(model, OBJECTIVE, RegularizerConfig(alpha=0.05))
    codec_optimizer = torch.optim.SGD(model.parameters(), 1e-3)
    before = [copy.deepcopy(m.state_dict()) for m in (model, step.source_entropy)]
    step.backward(model, batch(), PHASE)
    codec_optimizer.step()
    assert all(torch.equal(v, before[1][n]) for n, v in step.source_entropy.state_dict().items())
    after = copy.deepcopy(model.state_dict())
    step.auxiliary.optimizer.step()
    assert all(torch.equal(v, after[n]) for n, v in model.state_dict().items())
    assert any(not torch.equal(v, before[0][n]) for n, v in after.items())
    assert any(not torch.equal(v, before[1][n]) for n, v in step.source_entropy.state_dict().items())


def test_without_weight_it_is_the_plain_step_bit_for_bit():
    def trained(make):
        model = codec("hyperprior")
        step = make(model)
        optimizer = torch.optim.Adam(model.parameters(), 1e-3)
        for index in range(20):
            optimizer.zero_grad()
            step.backward(model, batch(index), PHASE)
            optimizer.step()
            if step.auxiliary is not None:
                step.auxiliary.optimizer.step()
                step.auxiliary.optimizer.zero_grad()
        return model.state_dict()

    plain = trained(lambda model: PlainStep(OBJECTIVE))
    two = trained(lambda model: TwoStageStep(model, OBJECTIVE, RegularizerConfig(alpha=0.0)))
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
    _, parts = PlainStep(OBJECTIVE).forward(model, batch(), PHASE)
    entropy = step._regularizer.entropy
    expected = (parts.weight * (parts.bits_per_pixel + parts.weighted_distortion - 0.1 * entropy)).mean()
    torch.testing.assert_close(report.loss, expected.detach())


def test_the_loop_knows_it_as_a_step_and_its_q_as_an_auxiliary_model():
    step = TwoStageStep(codec("hyperprior"), OBJECTIVE, RegularizerConfig(alpha=0.1, learning_rate=3e-4))
    assert isinstance(step, Step)
    assert isinstance(step.auxiliary.module, SourceEntropyModel)
    assert step.auxiliary.learning_rate == 3e-4


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
