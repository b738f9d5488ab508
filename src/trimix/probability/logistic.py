"""The logistic: F(u) = 1 / (1 + exp(-u)); its scale is s, of standard deviation s pi / sqrt 3."""

import torch
from torch.nn import functional as F

from trimix.shapes import Float, Tensor


def log_mass(distance: Float[Tensor, "*shape"], scale: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """``log [F(u) - F(l)] = log F(u) + log F(-l) + log(1 - exp(-1/s))`` with u = (1/2 - d)/s, l = (-1/2 - d)/s.

    The product form has no cancellation at any distance or scale.

    Args:
        distance: |y - mean| >= 0, any shape.
        scale: s > 0, same shape.
    """
    upper = F.logsigmoid((0.5 - distance) / scale)
    lower = F.logsigmoid((0.5 + distance) / scale)
    return upper + lower + torch.log(-torch.expm1(-1.0 / scale))
