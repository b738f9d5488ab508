"""Distortion of a decoded picture: PSNR and MS-SSIM of 8-bit pixels, and what `perceptual_metrics` adds.

All are values of one picture; a data set's value is the mean over its pictures.
"""

import math

import numpy as np

from trimix.distortion.ms_ssim import MS_SSIM_MINIMUM_SIDE, MS_SSIM_SCALE_WEIGHTS
from trimix.evaluation.perceptual_metrics import BUTTERAUGLI, SSIMULACRA2
from trimix.evaluation.rate_points import RatePoint, ms_ssim_db
from trimix.images import BT601_LUMA_WEIGHTS, PEAK, check_shapes, psnr_db, psnr_of_error_db
from trimix.shapes import Float, UInt8

__all__ = ["MS_SSIM_MINIMUM_SIDE", "luma_psnr_db", "measure_point", "ms_ssim", "ms_ssim_db", "psnr_db"]

_WINDOW_REACH = 5
_WINDOW_SIGMA = 1.5
_LUMINANCE_STABILIZER = (0.01 * PEAK) ** 2
_CONTRAST_STABILIZER = (0.03 * PEAK) ** 2


def measure_point(
    original: UInt8[np.ndarray, "H W C"],
    decoded: UInt8[np.ndarray, "h w c"],
    file_bytes: int,
    quality: float | None = None,
) -> RatePoint:
    """All metrics of one decoded picture that are installed, and the rate of the whole file it came from.

    Args:
        original: pixels, 0 .. 255, RGB or grey.
        decoded: the same shape.
        file_bytes: size of the file, headers and all.
        quality: setting of the codec, kept in the point.

    Raises:
        UsageError: the shapes differ.
        TrimixError: the program of a metric failed.
    """
    return RatePoint(
        bits_per_pixel=8 * file_bytes / (original.shape[0] * original.shape[1]),
        psnr_db=psnr_db(original, decoded),
        ms_ssim=ms_ssim(original, decoded),
        luma_psnr_db=luma_psnr_db(original, decoded),
        quality=quality,
        ssimulacra2=SSIMULACRA2.measure(original, decoded),
        butteraugli=BUTTERAUGLI.measure(original, decoded),
    )


def luma_psnr_db(original: UInt8[np.ndarray, "H W C"], decoded: UInt8[np.ndarray, "h w c"]) -> float:
    """PSNR of the luma, Y = 0.299 R + 0.587 G + 0.114 B in full range (ITU-R BT.601), not rounded.

    Args:
        original: pixels, 0 .. 255, RGB; grey ones are their own luma.
        decoded: the same shape.

    Returns:
        dB; infinity for equal lumas.

    Raises:
        UsageError: the shapes differ.
    """
    check_shapes(original, decoded)
    difference = original.astype(np.float64) - decoded
    if difference.shape[2] == 3:
        difference = difference @ np.array(BT601_LUMA_WEIGHTS)
    return psnr_of_error_db(float(np.square(difference).mean()))


def ms_ssim(original: UInt8[np.ndarray, "H W C"], decoded: UInt8[np.ndarray, "h w c"]) -> float | None:
    """Multi-scale structural similarity, mean over the channels.

    prod_j cs_j^w_j (scales 1 .. 4) times ssim_5^w_5; cs = (2 s_xy + C2) / (s_x^2 + s_y^2 + C2),
    ssim = cs (2 m_x m_y + C1) / (m_x^2 + m_y^2 + C1), in an 11 x 11 Gaussian window of sigma 1.5 that stays inside
    the picture. Wang, Simoncelli and Bovik 2003; negative factors count as 0, as in pytorch-msssim.

    Args:
        original: pixels, 0 .. 255, RGB or grey.
        decoded: the same shape.

    Returns:
        0 .. 1, 1 for equal pictures; None when a side has fewer than 161 pixels.

    Raises:
        UsageError: the shapes differ.
    """
    check_shapes(original, decoded)
    if min(original.shape[:2]) < MS_SSIM_MINIMUM_SIDE:
        return None
    x, y = _channels_first(original), _channels_first(decoded)
    value = np.ones(x.shape[0])
    last = len(MS_SSIM_SCALE_WEIGHTS) - 1
    for scale, weight in enumerate(MS_SSIM_SCALE_WEIGHTS):
        similarity, contrast = _structural_similarity(x, y)
        value *= np.maximum(similarity if scale == last else contrast, 0.0) ** weight
        if scale < last:
            x, y = _halve(x), _halve(y)
    return min(float(value.mean()), 1.0)


def _channels_first(pixels: np.ndarray) -> Float[np.ndarray, "C H W"]:
    # float32: within 1e-5 of float64 on photographs, in half the time.
    return np.ascontiguousarray(pixels.transpose(2, 0, 1), dtype=np.float32)


def _gaussian_mean(x: Float[np.ndarray, "C H W"]) -> Float[np.ndarray, "C h w"]:
    """Weighted mean in the window, rows and columns one after the other, where the window fits.

    Sums of shifted pictures in NumPy: several times faster than a convolution of torch with one channel.
    """
    weights = [
        math.exp(-(place**2) / (2 * _WINDOW_SIGMA**2)) for place in range(-_WINDOW_REACH, _WINDOW_REACH + 1)
    ]
    for axis in (1, 2):
        length = x.shape[axis] - 2 * _WINDOW_REACH
        windows = [
            x[:, start : start + length] if axis == 1 else x[:, :, start : start + length]
            for start in range(len(weights))
        ]
        total = np.zeros_like(windows[0])
        product = np.empty_like(total)
        for window, weight in zip(windows, weights, strict=True):
            total += np.multiply(window, np.float32(weight / sum(weights)), out=product)
        x = total
    return x


def _structural_similarity(
    x: Float[np.ndarray, "C H W"], y: Float[np.ndarray, "C H W"]
) -> tuple[Float[np.ndarray, "C"], Float[np.ndarray, "C"]]:
    """Mean of ssim and of cs over the picture, for each channel."""
    mean_x, mean_y = _gaussian_mean(x), _gaussian_mean(y)
    variance_x = _gaussian_mean(x * x) - mean_x**2
    variance_y = _gaussian_mean(y * y) - mean_y**2
    covariance = _gaussian_mean(x * y) - mean_x * mean_y
    contrast = (2 * covariance + _CONTRAST_STABILIZER) / (variance_x + variance_y + _CONTRAST_STABILIZER)
    luminance = (2 * mean_x * mean_y + _LUMINANCE_STABILIZER) / (
        mean_x**2 + mean_y**2 + _LUMINANCE_STABILIZER
    )
    similarity = (luminance * contrast).mean(axis=(1, 2), dtype=np.float64)
    return similarity, contrast.mean(axis=(1, 2), dtype=np.float64)


def _halve(x: Float[np.ndarray, "C H W"]) -> Float[np.ndarray, "C h w"]:
    """Means of 2 x 2 pixels; an odd side is padded with zeros at both ends, as pytorch-msssim does."""
    odd_rows, odd_columns = x.shape[1] % 2, x.shape[2] % 2
    x = np.pad(x, ((0, 0), (odd_rows, odd_rows), (odd_columns, odd_columns)))
    # The last row or column of an odd side has no partner: pooling leaves it out.
    x = x[:, : x.shape[1] // 2 * 2, : x.shape[2] // 2 * 2]
    return (x[:, ::2, ::2] + x[:, 1::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, 1::2]) / 4
