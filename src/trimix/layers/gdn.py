"""Generalized divisive normalization: every channel divided by the energy of all channels at its position."""

from typing import Any, cast

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from trimix.layers.lower_bound import lower_bound
from trimix.shapes import Float, Tensor

PEDESTAL = 2.0**-36
"""Keeps the gradient of the square from vanishing at zero: a parameter p is stored as sqrt(p + pedestal)."""

BETA_MINIMUM = 1e-6
"""Smallest beta."""


def _stored(value: Tensor) -> nn.Parameter:
    return nn.Parameter(torch.sqrt(value + PEDESTAL))


def _restored(stored: Tensor, minimum: float) -> Tensor:
    return lower_bound(stored, (minimum + PEDESTAL) ** 0.5).square() - PEDESTAL


def _root(x: Tensor, beta: Tensor, gamma: Tensor, inverse: bool) -> Tensor:
    energy = F.conv2d(x.square(), gamma[:, :, None, None], beta)
    # In place: at full resolution, fresh memory costs more than the arithmetic.
    return energy.sqrt_() if inverse else energy.rsqrt_()


class _Normalization(torch.autograd.Function):
    """Value and closed derivatives: half the passes over memory of the automatic one, which is most of the time.

    With r = E^p, p = -1/2 or 1/2, and g the gradient of y = x r:

        dL/dE = g x dr/dE           dr/dE = -r^3 / 2  or  1 / (2 r)
        dL/dx = g r + 2 x gamma^T dL/dE
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, beta: Tensor, gamma: Tensor, inverse: bool) -> Tensor:
        root = _root(x, beta, gamma, inverse)
        ctx.inverse = inverse
        ctx.save_for_backward(x, gamma, root)
        return x * root

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, gamma, root = ctx.saved_tensors
        by_energy = gradient * x  # its factor, 1/2 or -1/2, goes where there is less to multiply
        if ctx.inverse:
            by_energy.div_(root)
        else:
            by_energy.mul_(root).mul_(root).mul_(root)
        factor = 0.5 if ctx.inverse else -0.5
        rows, squares = (array.permute(0, 2, 3, 1).flatten(0, 2) for array in (by_energy, x.square()))
        by_beta, by_gamma = factor * rows.sum(dim=0), factor * (rows.T @ squares)
        by_square = F.conv2d(by_energy, 2 * factor * gamma.T[:, :, None, None])
        return (gradient * root).addcmul_(x, by_square), by_beta, by_gamma, None


def normalize(
    x: Float[Tensor, "N C H W"], beta: Float[Tensor, "C"], gamma: Float[Tensor, "C C"], inverse: bool
) -> Float[Tensor, "N C H W"]:
    """``x_i / sqrt(beta_i + sum_j gamma_ij x_j^2)``, or times the root; its gradient cannot be differentiated again."""
    if torch.is_grad_enabled():
        return cast(Tensor, _Normalization.apply(x, beta, gamma, inverse))
    return _root(x, beta, gamma, inverse).mul_(x)


class GeneralizedDivisiveNormalization(nn.Module):
    """``y_i = x_i / sqrt(beta_i + sum_j gamma_ij x_j^2)``, at every position (GDN, Ballé et al. 2016).

    beta and gamma are stored as square roots with a pedestal and bounded from below, so that no step of an optimizer
    makes them negative, and none leaves them stuck at the bound (Ballé 2018, "Efficient nonlinear transforms").

    Args:
        channels: channels of input and output.
        inverse: multiply by the root instead of dividing by it (inverse GDN).
        gamma_start: the diagonal of gamma at the start; the rest of it starts at 0, beta at 1.

    >>> x = torch.full((1, 2, 1, 1), 3.0)
    >>> [round(y, 4) for y in GeneralizedDivisiveNormalization(2)(x).flatten().tolist()]  # 3 / sqrt(1 + 0.1 * 9)
    [2.1764, 2.1764]
    """

    def __init__(self, channels: int, *, inverse: bool = False, gamma_start: float = 0.1) -> None:
        super().__init__()
        self.inverse = inverse
        self.beta = _stored(torch.ones(channels))
        self.gamma = _stored(gamma_start * torch.eye(channels))

    def coefficients(self) -> tuple[Float[Tensor, "C"], Float[Tensor, "C C"]]:
        """Beta > 0 and gamma >= 0, as the formula has them; gamma's rows are output channels."""
        return _restored(self.beta, BETA_MINIMUM), _restored(self.gamma, 0.0)

    def forward(self, x: Float[Tensor, "N C H W"]) -> Float[Tensor, "N C H W"]:
        """Normalize in single precision at least; the result has the precision of ``x``."""
        with torch.autocast(x.device.type, enabled=False):
            beta, gamma = self.coefficients()
            values = x.to(torch.promote_types(x.dtype, torch.promote_types(beta.dtype, torch.float32)))
            return normalize(values, beta.to(values.dtype), gamma.to(values.dtype), self.inverse).to(x.dtype)

    def extra_repr(self) -> str:
        """Sizes, for ``print``."""
        return f"{self.beta.shape[0]}, inverse={self.inverse}"
