"""A program computes what the trained transforms do, picture by picture and with the same gradients."""

import copy

import pytest
import torch
from freezing_examples import CONFIGURATIONS

from tiny_models import INTERLACED, TINY, calibration_pictures, lively
from trimix.freezing.freeze import float_programs
from trimix.frozen.program import OPERATIONS, program_from_json, program_to_json
from trimix.frozen.torch_engine import TorchNetwork

ALL = CONFIGURATIONS | {
    "gllmm-lite": TINY,
    "gllmm-lite, lapped": INTERLACED.model_copy(update={"lapped_channels": 3, "lambda_ratio": 1200.0}),
}
QUALITY = torch.tensor([23.0, 71.0])


@pytest.fixture(scope="module", params=ALL)
def both(request):
    model = copy.deepcopy(lively(ALL[request.param])).half().float()
    for name, parameter in model.named_parameters():
        if "lapped" in name:
            torch.nn.init.normal_(parameter, std=0.02)
    return model.requires_grad_(False), float_programs(model, halve=False)


def network(frozen, name):
    return TorchNetwork(frozen.programs[name], frozen.tensors, torch.device("cpu"))


def test_transforms_are_those_of_the_model(both):
    model, frozen = both
    x = calibration_pictures(2, 128)
    for guard in (torch.inference_mode(), torch.enable_grad()):
        with guard:
            y, z = model.encode(x, QUALITY)
            torch.testing.assert_close(network(frozen, "analysis")(x, QUALITY), y, rtol=1e-4, atol=1e-4)
            torch.testing.assert_close(network(frozen, "hyper_analysis")(y), z, rtol=1e-4, atol=1e-4)
            found = network(frozen, "synthesis")(y, QUALITY)
            torch.testing.assert_close(found, model.decode(y, QUALITY), rtol=1e-4, atol=1e-4)


def test_gradients_of_the_synthesis_are_those_of_the_model(both):
    model, frozen = both
    y = model.encode(calibration_pictures(), QUALITY)[0].round()
    gradients = []
    for decode in (network(frozen, "synthesis"), model.decode):
        seen = y.clone().requires_grad_()
        gradients.append(torch.autograd.grad(decode(seen, QUALITY).square().sum(), seen)[0])
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-3 * float(gradients[1].abs().max()))


def test_nothing_that_is_given_is_overwritten(both):
    model, frozen = both
    x = calibration_pictures()
    y = model.encode(x, QUALITY)[0]
    for name, given in (("analysis", x), ("hyper_analysis", y), ("synthesis", y)):
        before = given.clone()
        with torch.inference_mode():
            first, second = (network(frozen, name)(given, QUALITY) for _ in range(2))
        assert torch.equal(given, before)
        assert torch.equal(first, second)


def test_programs_come_back_from_json(both):
    for program in both[1].programs.values():
        assert program_from_json(program_to_json(program)) == program


def test_what_an_encoder_knows_is_what_training_knows(both):
    model, frozen = both
    facts = frozen.facts
    ends = model.squared_error_lambda(torch.tensor([1.0, 100.0])).tolist()
    assert facts.squared_error_lambdas == pytest.approx(tuple(ends), rel=1e-5)
    ends = model.rate_distortion_lambda(torch.tensor([1.0, 100.0])).tolist()
    assert facts.lambdas == pytest.approx(tuple(ends), rel=1e-5)
    assert (facts.halo, facts.all_rates) == (model.config.latent_halo, model.config.all_rates)
    if model.linear_path is not None:
        torch.testing.assert_close(frozen.tensors[facts.energies], model.linear_path[1].energies())


def test_every_operation_is_used_by_some_architecture():
    used = set()
    for config in ALL.values():
        for program in float_programs(lively(config)).programs.values():
            used |= {type(one) for one in program}
    assert used == set(OPERATIONS.values())
