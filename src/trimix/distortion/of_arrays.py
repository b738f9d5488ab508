"""D of one picture and its slope, for the encoder: arrays, no torch."""

import numpy as np

from trimix.distortion.constants import HALF_A_STEP, OWN_SLOPE, SMALLEST, WEIGHT_RANGE
from trimix.distortion.measure import Distortion
from trimix.distortion.ms_ssim_of_arrays import ms_ssim_and_slope
from trimix.distortion.ssimulacra2_of_arrays import ssimulacra2_and_slope
from trimix.images.psnr import BT601_LUMA_WEIGHTS, PEAK
from trimix.shapes import Float


def distortion_and_slope(
    measure: Distortion, x: Float[np.ndarray, "3 H W"], x_hat: Float[np.ndarray, "3 H W"], *, with_slope: bool = True
) -> tuple[float, Float[np.ndarray, "3 H W"] | None]:
    """D, and its slope by ``x_hat``.

    Args:
        measure: which D.
        x: a picture in [0, 1].
        x_hat: what came of it.
        with_slope: the slope is None without.

    >>> black = np.zeros((3, 2, 2), np.float32)
    >>> lost, slope = distortion_and_slope(Distortion(), black, black + np.float32(2 / 255))
    >>> round(lost, 4), round(float(slope[0, 0, 0]), 2)  # 4, and 2 * 2 * 255 / 12
    (4.0, 85.0)
    """
    if measure.kind == "ms-ssim":
        value, slope = ms_ssim_and_slope(x, x_hat, with_slope=with_slope)
        return 1 - value, None if slope is None else -slope
    if measure.kind == "mse":
        weights: tuple[float, ...] = (1.0, 1.0, 1.0)
        mixing = np.eye(3, dtype=np.float32)
    else:
        weights, mixing = measure.luma_chroma_weights, _YCBCR
    planes = np.tensordot(mixing, x_hat - x, 1)
    shares = np.array(weights) / sum(weights)
    error = PEAK**2 * float(shares @ np.square(planes).mean(axis=(1, 2), dtype=np.float64))
    slope = None
    if with_slope:
        scale = (2 * PEAK**2 / x[0].size * shares).astype(np.float32)
        slope = np.tensordot(mixing.T, planes * scale[:, None, None], 1)
    if measure.kind != "ssimulacra2":
        return error, slope
    root = (error + HALF_A_STEP**2) ** 0.5
    score, of_score = ssimulacra2_and_slope(x, x_hat, as_patches=True, with_slope=with_slope)
    if slope is not None and of_score is not None:
        slope = np.float32(measure.squared_error_weight / 2 / root) * slope - of_score
    return 100 - score + measure.squared_error_weight * (root - HALF_A_STEP), slope


def _ycbcr() -> np.ndarray:
    red, green, blue = BT601_LUMA_WEIGHTS
    y = np.array([red, green, blue])
    cb = (np.array([0, 0, 1]) - y) / (2 - 2 * blue)
    cr = (np.array([1, 0, 0]) - y) / (2 - 2 * red)
    return np.stack([y, cb, cr]).astype(np.float32)


_YCBCR = _ycbcr()


def stand_in_of_arrays(
    error: Float[np.ndarray, "C H W"], own_slope: Float[np.ndarray, "C H W"], stride: int, size: tuple[int, int]
) -> tuple[Float[np.ndarray, "C H W"], Float[np.ndarray, "h w"]]:
    """The slope of what stands for D, and its weights at the positions of a latent; see `stand_in`.

    Args:
        error: x_hat - x.
        own_slope: dD/dx_hat.
        stride: pixels from one position to the next.
        size: rows and columns of positions; they may reach beyond the picture.

    >>> error = np.random.default_rng(1).normal(size=(3, 32, 32)).astype(np.float32)
    >>> slope, weights = stand_in_of_arrays(error, 2 * 5 * error, 16, (2, 2))  # D is 5 times the squared error
    >>> np.allclose(slope, 10 * error, rtol=1e-4), weights.ravel().round().tolist()
    (True, [5.0, 5.0, 5.0, 5.0])
    """
    products, squares = (
        _around_positions(plane, stride, size)
        for plane in ((own_slope * error).sum(axis=0), 2 * np.square(error).sum(axis=0))
    )
    of_all = products.sum() / max(squares.sum(), SMALLEST)
    weights = products / np.maximum(squares, SMALLEST)
    weights = np.minimum(np.maximum(weights, of_all / WEIGHT_RANGE), of_all * WEIGHT_RANGE).astype(np.float32)
    height, width = error.shape[1:]
    of_pixels = _between(_between(weights, stride)[:height].T, stride)[:width].T
    slope = np.float32(2 * (1 - OWN_SLOPE)) * of_pixels * error
    slope += np.float32(OWN_SLOPE) * own_slope
    return slope, weights


def _around_positions(plane: np.ndarray, stride: int, size: tuple[int, int]) -> np.ndarray:
    """Means over the block of every position and the eight blocks around it; 0 outside the picture."""
    rows, columns = size
    height, width = plane.shape
    padded = np.pad(plane, ((0, stride * rows - height), (0, stride * columns - width)))
    blocks = padded.reshape(rows, stride, columns, stride).mean(axis=(1, 3))
    counts = np.pad(np.ones_like(blocks), 1)
    sums = np.pad(blocks, 1)
    around, near = (
        sum(each[row : row + rows, column : column + columns] for row in range(3) for column in range(3))
        for each in (sums, counts)
    )
    return np.asarray(around / near)


def _between(values: np.ndarray, stride: int) -> np.ndarray:
    """Rows, each between the two positions around its middle."""
    place = np.maximum((np.arange(stride * len(values)) + 0.5) / stride - 0.5, 0)
    lower = place.astype(np.int64)
    upper = np.minimum(lower + 1, len(values) - 1)
    share = (place - lower).astype(np.float32)[:, None]
    return values[lower] * (1 - share) + values[upper] * share
