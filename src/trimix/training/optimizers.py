"""The optimiser of a run and its parameter groups."""

import torch
from torch import nn

from trimix.training.config import OptimizerConfig

_FIRST_MOMENT_DECAY = 0.9


def build_optimizer(model: nn.Module, config: OptimizerConfig) -> torch.optim.Adam:
    """Adam; each parameter group carries its learning rate's ratio to the phase's.

    The Karhunen-Loeve path starts at its optimum and has small, orthonormal weights: it moves more slowly.

    ::

        first step of a weight = rate * (1 - beta1) / sqrt(1 - beta2)

    where its gradient was near zero for long and suddenly is not: 3.2 rates at beta2 = 0.999, 1 at 0.99.
    """
    groups: dict[bool, list[nn.Parameter]] = {True: [], False: []}
    for name, parameter in model.named_parameters():
        groups[".linear." in name].append(parameter)
    return torch.optim.Adam(
        [
            {"params": groups[False], "ratio": 1.0},
            {"params": groups[True], "ratio": config.linear_path_ratio},
        ],
        lr=0.0,
        betas=(_FIRST_MOMENT_DECAY, config.second_moment_decay),
        fused=True,
    )
