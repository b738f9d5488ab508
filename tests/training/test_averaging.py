"""Laws of the moving average of weights."""

import copy

import torch
from torch import nn

from trimix.training.optimizers import NonFiniteSteps, build_average


def test_follows_its_formula_and_leaves_steps_out_that_do_not_count():
    torch.manual_seed(1)
    model = nn.Linear(3, 2).double()
    non_finite = NonFiniteSteps("cpu")
    average = build_average(model, 0.3, non_finite)
    average.update_parameters(model)  # the first takes the weights
    expected = [parameter.detach().clone() for parameter in model.parameters()]
    for count, norm in enumerate((1.0, 2.0, float("nan"), 1.0, float("inf"), 3.0), 1):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.normal_()
        non_finite.look([torch.tensor(norm)])
        before = copy.deepcopy(average.module.state_dict())
        average.update_parameters(model)
        if norm < torch.inf:
            weight = 1 - min(0.3, (1 + count) / (10 + count))
            expected = [old + weight * (new - old) for old, new in zip(expected, model.parameters(), strict=True)]
        else:
            assert all(torch.equal(value, before[name]) for name, value in average.module.state_dict().items())
        for found, wanted in zip(average.module.parameters(), expected, strict=True):
            torch.testing.assert_close(found.detach(), wanted.detach(), rtol=1e-12, atol=1e-12)
