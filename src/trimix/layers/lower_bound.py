"""Bounds whose gradient lets values beyond them come back."""

import math

import torch
from torch.autograd.function import FunctionCtx

from trimix.shapes import Float, Tensor


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


def within_bounds(
    values: Float[Tensor, "*shape"], minimum: float, maximum: float = math.inf
) -> Float[Tensor, "*shape"]:
    """``min(max(values, minimum), maximum)``, with a gradient that still brings back what is beyond.

    That of a plain minimum or maximum is zero there, so a parameter would stay (Ballé et al. 2018, appendix).

    >>> import torch
    >>> x = torch.tensor([-2.0, 0.5, 2.0], requires_grad=True)
    >>> within_bounds(x, -1.0, 1.0).sum().backward()
    >>> x.grad.tolist()
    [0.0, 1.0, 1.0]
    """
    return _Bounds.apply(values, minimum, maximum)  # type: ignore[no-any-return]
