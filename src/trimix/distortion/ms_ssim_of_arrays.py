"""MS-SSIM of arrays with its slope, worked out by hand; `ms_ssim` is the same for torch.

With A = 2 s_xy + C2, B = s_x^2 + s_y^2 + C2 and cs = A / B, over the window's means M:

    d cs / d M(xy) = 2 / B      d cs / d M(y^2) = -A / B^2      d cs / d m_y = (2 m_y A / B - 2 m_x) / B

and back through the window and the halvings, whose adjoints are a window and a spreading.
"""

import math
from collections.abc import Iterator

import numpy as np

from trimix.distortion.array_windows import windowed_sums
from trimix.distortion.constants import (
    MS_SSIM_CONTRAST_STABILIZER,
    MS_SSIM_LUMINANCE_STABILIZER,
    MS_SSIM_REACH,
    MS_SSIM_SCALE_WEIGHTS,
    MS_SSIM_SMALLEST_FACTOR,
    MS_SSIM_WINDOW,
)
from trimix.shapes import Float


def ms_ssim_and_slope(
    x: Float[np.ndarray, "C H W"], x_hat: Float[np.ndarray, "C H W"], *, with_slope: bool
) -> tuple[float, Float[np.ndarray, "C H W"] | None]:
    """MS-SSIM, the mean over the channels, and its slope by ``x_hat``; see ``ms_ssim.ms_ssim``.

    Args:
        x: a picture in [0, 1], both sides at least 161 pixels.
        x_hat: what came of it.
        with_slope: the slope is None without.

    >>> x = np.broadcast_to(np.linspace(0, 1, 161, dtype=np.float32), (1, 161, 161))
    >>> value, slope = ms_ssim_and_slope(x, x, with_slope=True)
    >>> value, float(np.abs(slope).max()) < 1e-6
    (1.0, True)
    """
    found = list(_similarities(x, x_hat, with_slope=with_slope))
    logarithms = sum(
        weight * np.array([_bounded_logarithm(factor) for factor in factors])
        for weight, (factors, _) in zip(MS_SSIM_SCALE_WEIGHTS, found, strict=True)
    )
    values = np.exp(logarithms)
    value = float(values.mean())
    if not with_slope:
        return value, None
    slope = None
    for weight, (factors, of_factor) in reversed(list(zip(MS_SSIM_SCALE_WEIGHTS, found, strict=True))):
        assert of_factor is not None
        share = weight * values / len(values)
        share /= np.maximum(factors, MS_SSIM_SMALLEST_FACTOR)  # the slope of the logarithm, or of its tangent
        own = of_factor * share.astype(np.float32)[:, None, None]
        slope = own if slope is None else own + _spread(slope, own.shape)
    return value, slope


def ms_ssim_factors(
    x: Float[np.ndarray, "C H W"], x_hat: Float[np.ndarray, "C H W"]
) -> Iterator[Float[np.ndarray, "C"]]:
    """What every scale gives of each plane, finest first: cs of the first four, ssim of the last.

    Args:
        x: values in [0, 1], both sides at least 161 pixels.
        x_hat: of the same shape.
    """
    for factors, _ in _similarities(x, x_hat, with_slope=False):
        yield factors


def _similarities(
    x: np.ndarray, x_hat: np.ndarray, *, with_slope: bool
) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """Of every scale, finest first: the factors of the planes, and their slopes."""
    last = len(MS_SSIM_SCALE_WEIGHTS) - 1
    for scale in range(last + 1):
        yield _similarity(x, x_hat, with_luminance=scale == last, with_slope=with_slope)
        if scale < last:
            x, x_hat = _halved(x), _halved(x_hat)


def _bounded_logarithm(factor: float) -> float:
    """log c, and below 0.01 its tangent."""
    if factor > MS_SSIM_SMALLEST_FACTOR:
        return math.log(factor)
    return math.log(MS_SSIM_SMALLEST_FACTOR) + (factor - MS_SSIM_SMALLEST_FACTOR) / MS_SSIM_SMALLEST_FACTOR


def _similarity(
    x: np.ndarray, y: np.ndarray, *, with_luminance: bool, with_slope: bool
) -> tuple[np.ndarray, np.ndarray | None]:
    """Mean of ssim, or of cs alone, over each plane, and the slope of that."""
    # Variances are differences of squares: about the mean of the plane these are small, and so is what rounding leaves.
    level_x, level_y = (plane.mean(axis=(1, 2), keepdims=True) for plane in (x, y))
    x, y = x - level_x, y - level_y
    mean_x, mean_y, squares, product = (
        windowed_sums(planes, MS_SSIM_WINDOW, margin=0) for planes in (x, y, x * x + y * y, x * y)
    )
    above = 2 * (product - mean_x * mean_y) + np.float32(MS_SSIM_CONTRAST_STABILIZER)
    below = squares - mean_x * mean_x - mean_y * mean_y + np.float32(MS_SSIM_CONTRAST_STABILIZER)
    contrast = above / below
    shown_x, shown_y = mean_x + level_x, mean_y + level_y
    luminance, sum_of_squares = np.float32(1), None
    if with_luminance:
        sum_of_squares = shown_x * shown_x + shown_y * shown_y + np.float32(MS_SSIM_LUMINANCE_STABILIZER)
        luminance = (2 * shown_x * shown_y + np.float32(MS_SSIM_LUMINANCE_STABILIZER)) / sum_of_squares
    factors = (contrast * luminance).mean(axis=(1, 2), dtype=np.float64)
    if not with_slope:
        return factors, None
    by_product = 2 * luminance / below
    by_square = -0.5 * by_product * contrast
    by_mean = -by_product * mean_x - 2 * by_square * mean_y
    if sum_of_squares is not None:
        by_mean += 2 * contrast * (shown_x - shown_y * luminance) / sum_of_squares
    back = (
        windowed_sums(planes, MS_SSIM_WINDOW, margin=2 * MS_SSIM_REACH) for planes in (by_product, by_square, by_mean)
    )
    of_product, of_square, of_mean = back
    slope = of_product * x + 2 * of_square * y + of_mean
    slope /= np.float32(contrast[0].size)
    return factors, slope


def _halved(x: np.ndarray) -> np.ndarray:
    """Means of 2 x 2 pixels; an odd side is padded with a zero before its first pixel, as pytorch-msssim does."""
    odd_rows, odd_columns = (side % 2 for side in x.shape[1:])
    if odd_rows or odd_columns:
        x = np.pad(x, ((0, 0), (odd_rows, 0), (odd_columns, 0)))
    rows = x[:, ::2] + x[:, 1::2]
    return np.float32(0.25) * (rows[..., ::2] + rows[..., 1::2])


def _spread(slope: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The adjoint of halving."""
    wide = (np.float32(0.25) * slope).repeat(2, axis=1).repeat(2, axis=2)
    return wide[:, shape[1] % 2 :, shape[2] % 2 :]
