"""The moving average of weights, and which steps count for it."""

from collections.abc import Sequence

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from trimix.shapes import Tensor
from trimix.training.non_finite import NonFiniteSteps


def build_average(model: nn.Module, decay: float, non_finite: NonFiniteSteps) -> AveragedModel:
    """Exponential moving average whose decay starts low, so that the first weights are soon forgotten.

    ``average += (1 - min(decay, (1 + n) / (10 + n))) * (weights - average)`` after n steps.

    Args:
        model: is copied; its ``update_parameters`` follows it.
        decay: in [0, 1).
        non_finite: knows whether the last step counts. The answer stays on its device: nothing waits for it.
    """

    @torch.no_grad()
    def update(averaged: Sequence[Tensor], current: Sequence[Tensor], count: Tensor | int) -> None:
        if averaged[0].device.type == "cpu":
            # To look at numbers is free there, and one pass over memory does.
            if not non_finite.found:
                weight = 1 - min(decay, (1 + int(count)) / (10 + int(count)))
                torch._foreach_lerp_(list(averaged), list(current), weight)  # pyright: ignore[reportPrivateImportUsage]
            return
        steps = torch.as_tensor(count)
        weight = 1 - ((1 + steps) / (10 + steps)).clamp(max=decay)
        # torch's own moving average keeps its decay constant, and its lerp takes no weight that lies on a device.
        change = torch._foreach_sub(list(current), list(averaged))  # pyright: ignore[reportPrivateImportUsage]
        torch._foreach_mul_(change, weight * (1 - non_finite.found))  # pyright: ignore[reportPrivateImportUsage]
        torch._foreach_add_(list(averaged), change)  # pyright: ignore[reportPrivateImportUsage]

    return AveragedModel(model, multi_avg_fn=update)
