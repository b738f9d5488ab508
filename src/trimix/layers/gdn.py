"""Generalized divisive normalization: every channel divided by the energy of all channels at its position."""

import torch
from torch import nn
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
            energy = F.conv2d(
                values.square(), gamma.to(values.dtype)[:, :, None, None], beta.to(values.dtype)
            )
            # In place: at full resolution, fresh memory costs more than the arithmetic.
            root = energy.sqrt_() if self.inverse else energy.rsqrt_()
            return (values * root if torch.is_grad_enabled() else root.mul_(values)).to(x.dtype)

    def extra_repr(self) -> str:
        """Sizes, for ``print``."""
        return f"{self.beta.shape[0]}, inverse={self.inverse}"
