"""Bounds whose gradient lets values beyond them come back."""

import torch
from torch.autograd.function import FunctionCtx

from trimix.shapes import Float, Tensor


class _LowerBound(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, values: Tensor, bound: float) -> Tensor:
        ctx.save_for_backward(values >= bound)
        return values.clamp(min=bound)

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        (inside,) = ctx.saved_tensors  # type: ignore[attr-defined]
        return gradient * (inside | (gradient < 0)), None


def lower_bound(values: Float[Tensor, "*shape"], bound: float) -> Float[Tensor, "*shape"]:
    """``max(values, bound)``, with a gradient that still lifts values below the bound.

    A plain maximum has gradient zero below the bound, so a parameter that falls under it stays there.
    Here a descent step may always move a value upwards (Ballé et al. 2018, appendix).

    Args:
        values: any shape.
        bound: the smallest value of the result.

    >>> import torch
    >>> x = torch.tensor([-1.0, 2.0], requires_grad=True)
    >>> lower_bound(x, 0.0).neg().sum().backward()
    >>> x.grad.tolist()
    [-1.0, -1.0]
    """
    return _LowerBound.apply(values, bound)  # type: ignore[no-any-return]


class _Bounds(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, values: Tensor, minimum: float, maximum: float) -> Tensor:
        bounded = values.clamp(minimum, maximum)
        ctx.save_for_backward((bounded - values).sign_())
        return bounded

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        (way_back,) = ctx.saved_tensors  # type: ignore[attr-defined]
        # Zero where a descent step against it would lead further away. In place: numbers 0 and 1, which are faster.
        return (way_back * gradient).le_(0).mul_(gradient), None, None


def within_bounds(values: Float[Tensor, "*shape"], minimum: float, maximum: float) -> Float[Tensor, "*shape"]:
    """``min(max(values, minimum), maximum)``, with a gradient that still brings back what is beyond.

    See ``lower_bound``: these are two of them.

    Args:
        values: any shape.
        minimum: the smallest value of the result.
        maximum: the largest.

    >>> import torch
    >>> x = torch.tensor([-2.0, 0.5, 2.0], requires_grad=True)
    >>> within_bounds(x, -1.0, 1.0).sum().backward()
    >>> x.grad.tolist()
    [0.0, 1.0, 1.0]
    """
    return _Bounds.apply(values, minimum, maximum)  # type: ignore[no-any-return]
