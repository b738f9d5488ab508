"""The optimiser of a run and its parameter groups."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from trimix.layers.masked_convolution import TapConvolution
from trimix.training.change_limit import ChangeLimit
from trimix.training.config import OptimizerConfig
from trimix.training.soap import Matrices, Soap
from trimix.transforms.karhunen_loeve import LinearAnalysis, LinearSynthesis

_FIRST_MOMENT_DECAY = 0.9
_SMALLEST_SIDE = 4
"""Rows and columns from which on a weight is a matrix."""


def build_optimizer(model: nn.Module, config: OptimizerConfig) -> torch.optim.Adam | Soap:
    """Adam, or SOAP for weights of convolutions; each parameter group carries its learning rate's ratio to the phase's.

    The Karhunen-Loeve path starts at its optimum and has small, orthonormal weights: it moves more slowly.

    ::

        first step of a weight = rate * (1 - beta1) / sqrt(1 - beta2)

    where its gradient was near zero for long and suddenly is not: 3.2 rates at beta2 = 0.999, 1 at 0.99.
    """
    optimizer = _build_soap(model, config) if config.kind == "soap" else _build_adam(model, config)
    if config.change_limit is not None:
        taps = _taps_of_matrices(model)
        matrices = [parameter for parameter in model.parameters() if id(parameter) in taps]
        ChangeLimit(optimizer, matrices, config.change_limit)
    return optimizer


def _build_adam(model: nn.Module, config: OptimizerConfig) -> torch.optim.Adam:
    groups = _groups_of_adam(list(model.parameters()), model, config, ratio=1.0)
    return torch.optim.Adam(groups, lr=0.0, fused=True)


def _build_soap(model: nn.Module, config: OptimizerConfig) -> Soap:
    taps = _taps_of_matrices(model)
    matrices = [parameter for parameter in model.parameters() if id(parameter) in taps]
    others = [parameter for parameter in model.parameters() if id(parameter) not in taps]
    return Soap(
        Matrices(matrices, [taps[id(parameter)] for parameter in matrices]),
        _groups_of_adam(others, model, config, ratio=config.soap.vector_ratio),
        decay=config.soap.decay,
        basis_every=config.soap.basis_every_steps,
        largest_side=config.soap.largest_side,
        half_products=config.soap.half_products,
    )


def _groups_of_adam(
    parameters: Sequence[nn.Parameter], model: nn.Module, config: OptimizerConfig, ratio: float
) -> list[dict[str, Any]]:
    """All but the linear path, and the linear path."""
    linear = {
        id(parameter)
        for module in model.modules()
        if isinstance(module, LinearAnalysis | LinearSynthesis)
        for parameter in module.parameters()
    }
    groups: dict[bool, list[nn.Parameter]] = {False: [], True: []}
    for parameter in parameters:
        groups[id(parameter) in linear].append(parameter)
    betas = (_FIRST_MOMENT_DECAY, config.second_moment_decay)
    return [
        {"params": groups[False], "ratio": ratio, "betas": betas},
        {"params": groups[True], "ratio": ratio * config.linear_path_ratio, "betas": betas},
    ]


def _taps_of_matrices(model: nn.Module) -> dict[int, int]:
    """Taps of every weight of a convolution or linear layer that is not too narrow to be a matrix, by its id."""
    taps = {}
    for module in model.modules():
        if not isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            continue
        weight = module.weight
        count = len(module.offsets) if isinstance(module, TapConvolution) else weight[0, 0].numel()
        if min(len(weight), weight[0].numel() // count) >= _SMALLEST_SIDE:
            taps[id(weight)] = count
    return taps
