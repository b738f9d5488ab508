"""The logistic: F(u) = 1 / (1 + exp(-u)); its scale is s, of standard deviation s pi / sqrt 3.

With u = (1/2 - d)/s, v = (1/2 + d)/s the edges of a bin as seen from the mean, the mass of the bin is

    P = F(u) F(v) (1 - exp(-1/s))

without cancellation at any distance or scale; where u is negative F(u) is exp(u) F(-u), and the power stays a
logarithm.

    dlog P/dd = -[F(-u) - F(-v)] / s
    dlog P/ds = -[u F(-u) + v F(-v) + 1/s / (exp(1/s) - 1)] / s
"""

import torch

from trimix.shapes import Tensor


def log_mass_and_slopes(distance: Tensor, scale: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Log mass of the unit bin at distance ``d`` from the mean, and its derivatives by distance and scale.

    Error of log p for scales 2^-4..4096 and distances up to 30 scales: at most 3e-7 (1 + |log p|) in single, 1e-15
    (1 + |log p|) in double precision. All are finite at any distance up to 1e4 for scales from 1e-3.

    Args:
        distance: |y - mean| >= 0, any shape, in steps of the quantizer, single or double precision.
        scale: s > 0, same shape, unit and precision.
    """
    inverse = scale.reciprocal()
    u = (0.5 - distance).mul_(inverse)
    v = inverse - u
    shrunk = torch.expm1(-inverse)  # -(1 - exp(-1/s))
    value = torch.sigmoid(u.abs()).mul_(torch.sigmoid(v)).mul_(shrunk).neg_().log_().add_(u.clamp(max=0))
    beyond_u, beyond_v = torch.sigmoid(-u), torch.sigmoid(-v)
    by_scale = shrunk.reciprocal_().add_(1).mul_(inverse)
    by_scale.addcmul_(u, beyond_u, value=-1).addcmul_(v, beyond_v, value=-1).mul_(inverse)
    by_distance = beyond_v.sub_(beyond_u).mul_(inverse)
    return value, by_distance, by_scale
