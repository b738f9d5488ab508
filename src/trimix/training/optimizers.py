"""The optimiser of a run and its parameter groups."""

import torch
from torch import nn

from trimix.training.config import OptimizerConfig


def build_optimizer(model: nn.Module, config: OptimizerConfig) -> torch.optim.Adam:
    """Adam; each parameter group carries its learning rate's ratio to the phase's.

    The Karhunen-Loeve path starts at its optimum and has small, orthonormal weights: it moves more slowly.
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
        fused=True,
    )
