"""A squared error that stands for another distortion D, weighted differently from place to place.

With ``e = x_hat - x`` the weight ``w = sum of e dD/dx_hat / sum of 2 e^2``, over the pixels around, gives the slope of
D along the error that there is. Its slope ``2 w e`` is used, with a little of dD/dx_hat itself. The slope of D alone
asks for what no move of symbols gives: where all moved by it, D grew.
"""

import torch
from torch.nn import functional

from trimix.distortion.constants import OWN_SLOPE, SMALLEST, WEIGHT_RANGE
from trimix.shapes import Float, Tensor


def stand_in(
    error: Float[Tensor, "N C H W"], own_slope: Float[Tensor, "N C H W"], stride: int, size: tuple[int, int]
) -> tuple[Float[Tensor, "N C H W"], Float[Tensor, "N 1 h w"]]:
    """The slope of what stands for D, and its weights at the positions of a latent.

    Args:
        error: x_hat - x.
        own_slope: dD/dx_hat.
        stride: pixels from one position to the next.
        size: rows and columns of positions; they may reach beyond the picture.

    >>> error = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    >>> slope, weights = stand_in(error, 2 * 5 * error, 16, (2, 2))  # D is 5 times the squared error
    >>> torch.allclose(slope, 10 * error), weights.flatten().round().tolist()
    (True, [5.0, 5.0, 5.0, 5.0])
    """
    products, squares = (
        _around_positions(plane.sum(dim=1, keepdim=True), stride, size)
        for plane in (own_slope * error, 2 * error.square())
    )
    of_all = products.sum(dim=(2, 3), keepdim=True) / squares.sum(dim=(2, 3), keepdim=True).clamp(min=SMALLEST)
    weights = products / squares.clamp(min=SMALLEST)
    weights = torch.minimum(torch.maximum(weights, of_all / WEIGHT_RANGE), of_all * WEIGHT_RANGE)
    of_pixels = functional.interpolate(weights, scale_factor=stride, mode="bilinear")
    replaced = 2 * of_pixels[:, :, : error.shape[2], : error.shape[3]] * error
    return OWN_SLOPE * own_slope + (1 - OWN_SLOPE) * replaced, weights


def _around_positions(plane: Float[Tensor, "N 1 H W"], stride: int, size: tuple[int, int]) -> Float[Tensor, "N 1 h w"]:
    """Means over the block of every position and the eight blocks around it; 0 outside the picture."""
    rows, columns = size
    padding = (0, stride * columns - plane.shape[3], 0, stride * rows - plane.shape[2])
    blocks = functional.avg_pool2d(functional.pad(plane, padding), stride)
    return functional.avg_pool2d(blocks, 3, 1, 1, count_include_pad=False)
