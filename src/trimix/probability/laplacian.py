"""The Laplacian: density exp(-|u|) / 2; its scale is the mean absolute deviation b.

With d the distance of a bin from the mean and c = min(d, 1/2), its mass P and the derivatives are, in the central bin
(d < 1/2) and outside it:

    P = A exp(-(d - c)/b)        A = -(X + Y)/2        X = exp(-(1/2 - c)/b) - 1        Y = exp(-(1/2 + c)/b) - 1

    dlog P/dd = -(X - Y) / (2 b A)
    dlog P/db = -[d dlog P/dd + (1/A - 1)/(2 b)] / b
"""

import torch

from trimix.shapes import Tensor


def log_mass_and_slopes(distance: Tensor, scale: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Log mass of the unit bin at distance ``d`` from the mean, and its derivatives by distance and scale.

    Error of log p for scales 2^-4..4096 and distances up to 30 scales: at most 3e-7 (1 + |log p|) in single, 1e-15
    (1 + |log p|) in double precision. All are finite at any distance up to 1e4 for scales from 1e-3.

    Args:
        distance: |y - mean| >= 0, any shape, in steps of the quantizer, single or double precision.
        scale: mean absolute deviation b > 0, same shape, unit and precision.
    """
    inverse = scale.reciprocal()
    inner = distance.clamp(max=0.5)
    near = torch.expm1((inner - 0.5).mul_(inverse))
    far = torch.expm1((-0.5 - inner).mul_(inverse))
    a = (near + far).mul_(-0.5)
    value = torch.log(a).addcmul_(inner.sub_(distance), inverse)
    a.reciprocal_()
    by_distance = near.sub_(far).mul_(-0.5).mul_(a).mul_(inverse)
    by_scale = a.sub_(1).mul_(0.5).mul_(inverse).addcmul_(distance, by_distance).mul_(inverse).neg_()
    return value, by_distance, by_scale
