"""The logistic: F(u) = 1 / (1 + exp(-u)); its scale is s, of standard deviation s pi / sqrt 3."""

import torch
from torch.nn import functional as F

from trimix.shapes import Float, Tensor


def log_mass(distance: Float[Tensor, "*shape"], scale: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """``log [F(u) - F(l)]`` with u = (1/2 - d)/s, l = (-1/2 - d)/s: log mass of the unit bin at distance ``d``.

    As ``log F(u) + log F(-l) + log(1 - exp(-1/s))``, which has no cancellation at any distance or scale.

    Error of log p for scales 2^-4..4096 and distances up to 30 scales: at most 3e-7 (1 + |log p|) in single, 1e-15
    (1 + |log p|) in double precision. Value and gradient are finite at any distance up to 1e4 for scales from 1e-3.

    Args:
        distance: |y - mean| >= 0, any shape, in steps of the quantizer, single or double precision.
        scale: s > 0, same shape, unit and precision.

    >>> import torch
    >>> round(log_mass(torch.tensor([0.0]), torch.tensor([1.0])).exp().item(), 4)
    0.2449
    """
    upper = F.logsigmoid((0.5 - distance) / scale)
    lower = F.logsigmoid((0.5 + distance) / scale)
    return upper + lower + torch.log(-torch.expm1(-1.0 / scale))
