"""Functions that know their own derivatives: half the passes over memory of the automatic ones, or fewer."""

from collections.abc import Callable
from typing import cast

import torch
from torch.autograd.function import FunctionCtx, once_differentiable

from trimix.shapes import Float, Tensor

LogMassAndSlopes = Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]
"""From distance and scale: the logarithm of a mass, its derivative by the distance, and that by the scale."""


class _LogMass(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, function: LogMassAndSlopes, distance: Tensor, scale: Tensor) -> Tensor:
        value, by_distance, by_scale = function(distance, scale)
        ctx.save_for_backward(by_distance, by_scale)
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[None, Tensor, Tensor]:  # type: ignore[override]
        by_distance, by_scale = cast(tuple[Tensor, Tensor], ctx.saved_tensors)  # type: ignore[attr-defined]
        return None, gradient * by_distance, gradient * by_scale


def with_closed_derivatives(
    function: LogMassAndSlopes, distance: Float[Tensor, "*shape"], scale: Float[Tensor, "*shape"]
) -> Float[Tensor, "*shape"]:
    """The value of a function whose gradient is what it says, and cannot be differentiated again."""
    return cast(Tensor, _LogMass.apply(function, distance, scale))  # pyright: ignore[reportUnknownMemberType]
