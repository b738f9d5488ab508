"""The optimiser of a run, its parameter groups, which of its steps count, and the moving average of weights."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from trimix.layers.masked_convolution import TapConvolution
from trimix.shapes import Float, Tensor
from trimix.training.config import OptimizerConfig
from trimix.training.products import is_fast_in_bfloat16
from trimix.training.soap import Soap
from trimix.transforms.karhunen_loeve import LinearAnalysis, LinearSynthesis

_FLOOR = 0.01


class ChangeLimit:
    """Shortens the steps of an optimiser, matrix by matrix: so deep, wide networks do not explode at high rates.

    Adam moves every weight by about one learning rate. What the gradient of a few pictures asks for is nearly of rank
    one, so these moves add up in one direction: they change the largest singular value of a layer by up to ``rate *
    sqrt(size)``, in a wide one a tenth of it and more. Layers one after the other multiply, and where each of twenty
    gains a tenth in one step, the next one overshoots again::

        |dW| <= limit * max(|W| / sqrt(rank), 0.01)       Frobenius norms; |W| / sqrt(rank) is the root mean square of
                                                          W's singular values, and the floor lets what is zero grow

    What stays within the limit keeps every bit.

    Args:
        matrices: of its weights those that are limited, rows first.
        limit: largest change, over the root mean square of a matrix's singular values.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, matrices: Sequence[nn.Parameter], limit: float) -> None:
        self._matrices: list[Tensor] = list(matrices)
        self._limit = limit
        self._roots = [min(len(matrix), matrix[0].numel()) ** 0.5 for matrix in matrices]
        self._kept = [torch.empty_like(matrix) for matrix in matrices]
        optimizer.register_step_pre_hook(self._keep)
        optimizer.register_step_post_hook(self._shorten)

    @torch.no_grad()
    def _keep(self, *_: object) -> None:
        torch._foreach_copy_(self._kept, self._matrices)  # pyright: ignore[reportPrivateImportUsage]

    @torch.no_grad()
    def _shorten(self, *_: object) -> None:
        norms = torch.stack(torch._foreach_norm(self._kept))  # pyright: ignore[reportPrivateImportUsage]
        back = self._kept  # the way
        torch._foreach_sub_(back, self._matrices)  # pyright: ignore[reportPrivateImportUsage]
        sizes = torch.stack(torch._foreach_norm(back))  # pyright: ignore[reportPrivateImportUsage]
        typical = (norms / torch.tensor(self._roots, dtype=norms.dtype, device=norms.device)).clamp_(min=_FLOOR)
        # Nothing waits for the device: what is within the limit goes back by nothing.
        shares = 1 - (self._limit * typical / sizes).clamp_(max=1.0)
        for matrix, way, share in zip(self._matrices, back, shares, strict=True):
            matrix.addcmul_(way, share)


MAXIMUM_IN_A_ROW = 10
"""A run with so many in a row is stopped."""


class NonFiniteSteps:
    """Which steps are skipped."""

    def __init__(self, device: torch.device | str) -> None:
        self.found: Float[Tensor, ""] = torch.zeros((), device=device)
        """Of the last step: 1 where it is skipped, else 0."""
        self._in_a_row, self._longest, self._count = torch.zeros(3, device=device)

    def look(self, norms: Sequence[Float[Tensor, ""]]) -> None:
        """Decide on a step by the norms of its gradients."""
        self.found = 1 - torch.stack([torch.isfinite(norm) for norm in norms]).all().float()
        self._count = self._count + self.found
        self._in_a_row = (self._in_a_row + 1) * self.found
        self._longest = torch.maximum(self._longest, self._in_a_row)

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        """``optimizer.step()``, unless this step is skipped."""
        # As torch's GradScaler: fused optimisers look at found_inf on the device and leave weights and moments alone.
        if getattr(optimizer, "_step_supports_amp_scaling", False):
            optimizer.found_inf = self.found  # type: ignore[attr-defined]
            optimizer.step()
            del optimizer.found_inf  # type: ignore[attr-defined]
        elif not self.found:
            optimizer.step()

    def read(self) -> tuple[int, int]:
        """Steps that were skipped so far, and the longest row of them; waits for the device."""
        count, longest = torch.stack([self._count, self._longest]).tolist()
        return int(count), int(longest)


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
    parameters, taps = list(model.parameters()), _taps_of_matrices(model)
    matrices = [parameter for parameter in parameters if id(parameter) in taps]
    if config.kind == "soap":
        others = [parameter for parameter in parameters if id(parameter) not in taps]
        optimizer = Soap(
            {parameter: taps[id(parameter)] for parameter in matrices},
            _groups_of_adam(others, model, config, ratio=config.soap.vector_ratio),
            decay=config.soap.decay,
            basis_every=config.soap.basis_every_steps,
            largest_side=config.soap.largest_side,
            half_products=config.soap.half_products and is_fast_in_bfloat16(parameters[0].device),
        )
    else:
        optimizer = torch.optim.Adam(_groups_of_adam(parameters, model, config, ratio=1.0), lr=0.0, fused=True)
    if config.change_limit is not None:
        ChangeLimit(optimizer, matrices, config.change_limit)
    return optimizer


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


def build_average(model: nn.Module, decay: float, non_finite: NonFiniteSteps) -> AveragedModel:
    """Exponential moving average whose decay starts low, so that the first weights are soon forgotten.

    ``average += (1 - min(decay, (1 + n) / (10 + n))) * (weights - average)`` after n steps.

    Args:
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
