"""Generalized divisive normalization: every channel divided by the energy of all channels at its position."""

from typing import Any, cast

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from trimix.layers.lower_bound import within_bounds
from trimix.shapes import Float, Tensor

PEDESTAL = 2.0**-36
"""Keeps the gradient of the square from vanishing at zero: a parameter p is stored as sqrt(p + pedestal)."""
BETA_MINIMUM = 1e-6


_NUMBERS_AT_ONCE = 2**18
"""On a CPU, so that what is made of them on the way stays in its cache."""


def _parts(rows: Tensor) -> list[slice]:
    if rows.device.type != "cpu":
        return [slice(None)]
    step = max(1, _NUMBERS_AT_ONCE // rows.shape[1])
    return [slice(first, first + step) for first in range(0, len(rows), step)]


def _rows(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1).flatten(0, 2)


def _by_position(x: Tensor) -> Tensor:
    return torch.empty_like(x, memory_format=torch.channels_last)


class _Normalization(torch.autograd.Function):
    """Value and closed derivatives, position by position, in the precision of beta.

    With r = E^p, p = -1/2 or 1/2, and g the gradient of y = x r:

        dL/dE = g x dr/dE           dr/dE = -r^3 / 2  or  1 / (2 r)
        dL/dx = g r + 2 x gamma^T dL/dE

    The automatic derivative takes twice the passes over memory, which are most of the time.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, beta: Tensor, gamma: Tensor, inverse: bool) -> Tensor:
        rows = _rows(x)
        root, result = torch.empty_like(rows, dtype=beta.dtype), _by_position(x)
        written = _rows(result)
        for part in _parts(rows):
            values = rows[part].to(beta.dtype)
            energy = torch.addmm(beta, values.square(), gamma.T, out=root[part])
            energy = energy.sqrt_() if inverse else energy.rsqrt_()
            written[part] = values * energy
        ctx.inverse = inverse
        ctx.save_for_backward(x, gamma, root)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, gamma, root = ctx.saved_tensors
        rows, gradients = _rows(x), _rows(gradient)
        by_beta, by_gamma = gamma.new_zeros(len(gamma)), torch.zeros_like(gamma)
        by_x = _by_position(x)
        written = _rows(by_x)
        factor = 0.5 if ctx.inverse else -0.5
        # Products in the precision of the input, as those of the convolutions around it.
        weight = (2 * factor * gamma).to(x.dtype)
        with torch.autocast(x.device.type, enabled=False):
            for part in _parts(rows):
                values, gain, by_y = rows[part].to(root.dtype), root[part], gradients[part].to(root.dtype)
                by_energy = by_y * values  # its factor, 1/2 or -1/2, goes where there is less to multiply
                if ctx.inverse:
                    by_energy.div_(gain)
                else:
                    by_energy.mul_(gain).mul_(gain).mul_(gain)
                by_beta.add_(by_energy.sum(dim=0), alpha=factor)
                by_energy = by_energy.to(x.dtype)
                by_gamma.add_(by_energy.T @ values.square().to(x.dtype), alpha=factor)
                by_square = (by_energy @ weight).to(root.dtype)
                written[part] = by_y.mul(gain).addcmul_(values, by_square)
        return by_x, by_beta, by_gamma, None


def normalize(
    x: Float[Tensor, "N C H W"], beta: Float[Tensor, "C"], gamma: Float[Tensor, "C C"], inverse: bool
) -> Float[Tensor, "N C H W"]:
    """``x_i / sqrt(beta_i + sum_j gamma_ij x_j^2)``, or times the root; its gradient cannot be differentiated again.

    Computed in the precision of beta and gamma; the result has that of x.
    """
    if torch.is_grad_enabled():
        return cast(Tensor, _Normalization.apply(x, beta, gamma, inverse))
    values = x.to(beta.dtype)
    energy = F.conv2d(values.square(), gamma[:, :, None, None], beta)
    # In place: at full resolution, fresh memory costs more than the arithmetic.
    root = energy.sqrt_() if inverse else energy.rsqrt_()
    return root.mul_(values).to(x.dtype)


class GeneralizedDivisiveNormalization(nn.Module):
    """``y_i = x_i / sqrt(beta_i + sum_j gamma_ij x_j^2)``, at every position (GDN, Ballé et al. 2016).

    beta and gamma are stored as square roots with a pedestal and bounded from below, so that no step of an optimizer
    makes them negative, and none leaves them stuck at the bound (Ballé 2018, "Efficient nonlinear transforms").

    Args:
        inverse: multiply by the root instead of dividing by it (inverse GDN).
        gamma_start: the diagonal of gamma at the start; the rest of it starts at 0, beta at 1.

    >>> x = torch.full((1, 2, 1, 1), 3.0)
    >>> [round(y, 4) for y in GeneralizedDivisiveNormalization(2)(x).flatten().tolist()]  # 3 / sqrt(1 + 0.1 * 9)
    [2.1764, 2.1764]
    """

    def __init__(self, channels: int, *, inverse: bool = False, gamma_start: float = 0.1) -> None:
        super().__init__()
        self.inverse = inverse
        self.beta = nn.Parameter(torch.sqrt(torch.ones(channels) + PEDESTAL))
        self.gamma = nn.Parameter(torch.sqrt(gamma_start * torch.eye(channels) + PEDESTAL))

    def coefficients(self) -> tuple[Float[Tensor, "C"], Float[Tensor, "C C"]]:
        """Beta > 0 and gamma >= 0, as the formula has them; gamma's rows are output channels."""
        bounds = ((self.beta, BETA_MINIMUM), (self.gamma, 0.0))
        beta, gamma = (within_bounds(p, (least + PEDESTAL) ** 0.5).square() - PEDESTAL for p, least in bounds)
        return beta, gamma

    def forward(self, x: Float[Tensor, "N C H W"]) -> Float[Tensor, "N C H W"]:
        """Normalize in single precision at least; the result has the precision of ``x``."""
        with torch.autocast(x.device.type, enabled=False):
            beta, gamma = self.coefficients()
            precision = torch.promote_types(x.dtype, torch.promote_types(beta.dtype, torch.float32))
            return normalize(x, beta.to(precision), gamma.to(precision), self.inverse)
