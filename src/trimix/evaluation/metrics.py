"""Distortion of a decoded picture: PSNR and MS-SSIM of 8-bit pixels, and what `perceptual_metrics` adds.

All are values of one picture; a data set's value is the mean over its pictures.
"""

import numpy as np

from trimix.distortion.constants import MS_SSIM_MINIMUM_SIDE, MS_SSIM_SCALE_WEIGHTS
from trimix.distortion.ms_ssim import ms_ssim_factors
from trimix.evaluation.perceptual_metrics import BUTTERAUGLI, SSIMULACRA2
from trimix.evaluation.rate_points import RatePoint, ms_ssim_db
from trimix.images import BT601_LUMA_WEIGHTS, PEAK, check_shapes, psnr_db, psnr_of_error_db
from trimix.shapes import UInt8

__all__ = ["MS_SSIM_MINIMUM_SIDE", "luma_psnr_db", "measure_point", "ms_ssim", "ms_ssim_db", "psnr_db"]


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

    prod_j cs_j^w_j (scales 1 .. 4) times ssim_5^w_5, see `trimix.distortion.ms_ssim`; negative factors
    count as 0, as in pytorch-msssim.

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
    planes = (
        np.ascontiguousarray(pixels.transpose(2, 0, 1), dtype=np.float32) / PEAK for pixels in (original, decoded)
    )
    value = np.ones(original.shape[2])
    for weight, factor in zip(MS_SSIM_SCALE_WEIGHTS, ms_ssim_factors(*planes), strict=True):
        value *= np.maximum(factor, 0.0) ** weight
    return min(float(value.mean()), 1.0)
