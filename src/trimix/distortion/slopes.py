"""D with its slope, of a picture in arrays for the encoder or a batch of torch for training; and what stands for D."""

import math
from typing import Any

import numpy as np

from trimix.distortion.constants import HALF_A_STEP, OWN_SLOPE, SMALLEST, WEIGHT_RANGE
from trimix.distortion.measure import Distortion
from trimix.distortion.ms_ssim import ms_ssim_and_slope
from trimix.distortion.planes import Planes, by_plane, library_of, like, padded, plane_means
from trimix.distortion.ssimulacra2 import ssimulacra2_and_slope
from trimix.images.psnr import BT601_LUMA_WEIGHTS, PEAK


def distortion_and_slope(
    measure: Distortion, x: Planes, x_hat: Planes, *, with_slope: bool = True
) -> tuple[Any, Planes | None]:
    """D of every picture, and its slope by ``x_hat``.

    Args:
        x: pictures in [0, 1], [... 3 H W].

    >>> black = np.zeros((3, 2, 2), np.float32)
    >>> lost, slope = distortion_and_slope(Distortion(), black, black + np.float32(2 / 255))
    >>> round(float(lost), 4), round(float(slope[0, 0, 0]), 2)  # 4, and 2 * 2 * 255 / 12
    (4.0, 85.0)
    >>> lost, _ = distortion_and_slope(Distortion("weighted-mse"), black, black + np.float32(4 / 255))
    >>> round(float(lost), 4)  # grey is off in luma alone, which weighs 6 of 8
    12.0
    """
    if measure.kind == "ms-ssim":
        value, slope = ms_ssim_and_slope(x, x_hat, with_slope=with_slope)
        return 1 - value, None if slope is None else -slope
    error = x_hat - x
    if measure.kind == "mse":
        lost = PEAK**2 * plane_means(error * error).mean(axis=-1)
        return lost, 2 * PEAK**2 / math.prod(x.shape[-3:]) * error if with_slope else None
    # Weighted mean of the squared errors of Y, Cb and Cr (ITU-R BT.601, full range) on the 0..255 scale.
    mixing, shares = like(_YCBCR, x), np.array(measure.luma_chroma_weights) / sum(measure.luma_chroma_weights)
    planes = mixing @ error.reshape(*error.shape[:-2], -1)
    means = plane_means((planes * planes)[..., None, :])
    lost, slope = PEAK**2 * (means @ like(shares, means)), None
    if with_slope:
        scale = like(2 * PEAK**2 / planes.shape[-1] * shares, x)
        slope = (mixing.T @ (planes * scale[:, None])).reshape(error.shape)
    if measure.kind == "weighted-mse":
        return lost, slope
    # A root has no slope at 0: errors that 8 bits would hide are not asked for.
    root = (lost + HALF_A_STEP**2) ** 0.5
    del error, planes  # what follows takes most of the memory
    score, of_score = ssimulacra2_and_slope(x, x_hat, as_patches=True, with_slope=with_slope)
    if slope is not None:
        slope = by_plane(measure.squared_error_weight / 2 / root, x)[..., None] * slope - of_score
    return 100 - score + measure.squared_error_weight * (root - HALF_A_STEP), slope


def _ycbcr() -> np.ndarray:
    red, green, blue = BT601_LUMA_WEIGHTS
    y = np.array([red, green, blue])
    cb = (np.array([0, 0, 1]) - y) / (2 - 2 * blue)
    cr = (np.array([1, 0, 0]) - y) / (2 - 2 * red)
    return np.stack([y, cb, cr]).astype(np.float32)


_YCBCR = _ycbcr()


def stand_in(error: Planes, own_slope: Planes, stride: int, size: tuple[int, int]) -> tuple[Planes, Planes]:
    """A squared error that stands for another distortion D: its slope, and its weights [... h w] from place to place.

    With ``e = x_hat - x`` the weight ``w = sum of e dD/dx_hat / sum of 2 e^2``, over the pixels around, gives the slope
    of D along the error that there is. Its slope ``2 w e`` is used, with a little of dD/dx_hat itself. The slope of D
    alone asks for what no move of symbols gives: where all moved by it, D grew.

    Args:
        error: x_hat - x, [... C H W].
        own_slope: dD/dx_hat.
        stride: pixels from one position of a latent to the next.
        size: rows and columns of positions; they may reach beyond the picture.

    >>> error = np.random.default_rng(1).normal(size=(3, 32, 32)).astype(np.float32)
    >>> slope, weights = stand_in(error, 2 * 5 * error, 16, (2, 2))  # D is 5 times the squared error
    >>> np.allclose(slope, 10 * error, rtol=1e-4), weights.ravel().round().tolist()
    (True, [5.0, 5.0, 5.0, 5.0])
    """
    height, width = error.shape[-2:]
    products, squares = (
        _around_positions(plane, stride, size)
        for plane in ((own_slope * error).sum(axis=-3), 2 * (error * error).sum(axis=-3))
    )
    of_all, squares_of_all = (each.sum(axis=(-2, -1))[..., None, None] for each in (products, squares))
    of_all = of_all / squares_of_all.clip(min=SMALLEST)
    weights = (products / squares.clip(min=SMALLEST)).clip(of_all / WEIGHT_RANGE, of_all * WEIGHT_RANGE)
    of_rows = _between(weights, stride)[..., :height, :]
    of_pixels = _between(of_rows.swapaxes(-2, -1), stride)[..., :width, :].swapaxes(-2, -1)
    slope = 2 * (1 - OWN_SLOPE) * of_pixels[..., None, :, :] * error
    slope += OWN_SLOPE * own_slope
    return slope, weights


def _around_positions(plane: Planes, stride: int, size: tuple[int, int]) -> Planes:
    """Means over the block of every position and the eight blocks around it; 0 outside the picture."""
    rows, columns = size
    height, width = plane.shape[-2:]
    plane = padded(plane, (0, stride * rows - height), (0, stride * columns - width))
    blocks = plane.reshape(*plane.shape[:-2], rows, stride, columns, stride).mean(axis=(-3, -1))
    around, near = (
        sum(each[..., row : row + rows, column : column + columns] for row in range(3) for column in range(3))
        for each in (padded(one, (1, 1), (1, 1)) for one in (blocks, library_of(blocks).ones_like(blocks)))
    )
    return around / near


def _between(values: Planes, stride: int) -> Planes:
    """Rows, each between the two positions around its middle."""
    count = values.shape[-2]
    place = np.maximum((np.arange(stride * count) + 0.5) / stride - 0.5, 0)
    lower = place.astype(np.int64)
    upper = np.minimum(lower + 1, count - 1)
    share = like((place - lower)[:, None], values)
    return values[..., lower, :] * (1 - share) + values[..., upper, :] * share
