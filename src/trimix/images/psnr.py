"""PSNR of pixels."""

import math

import numpy as np

from trimix.errors import UsageError
from trimix.shapes import UInt

BT601_LUMA_WEIGHTS = (0.299, 0.587, 0.114)
"""Weights of R, G, B in the luma of ITU-R BT.601: the one PSNR-Y of JPEG-like codecs is measured on."""
PEAK = 255.0
"""Largest value of a sample."""
_ROWS_AT_ONCE = 256


def psnr_db(original: UInt[np.ndarray, "H W C"], decoded: UInt[np.ndarray, "h w c"]) -> float:
    """Peak signal-to-noise ratio in dB: 10 log10(255^2 / MSE), MSE over all pixels and channels together.

    Of pixels of 8 or 16 bits; 255 stands for the largest value of either. Infinity for equal pictures.

    Raises:
        UsageError: shapes or types differ.

    >>> round(psnr_db(np.zeros((2, 2, 3), np.uint8), np.ones((2, 2, 3), np.uint8)), 2)
    48.13
    """
    check_shapes(original, decoded)
    total, scale = 0, np.iinfo(original.dtype).max / PEAK
    # Integers: exact, whatever the size of the picture; in parts, for they take four times the memory.
    kind = np.int32 if original.dtype == np.uint8 else np.int64
    for first in range(0, len(original), _ROWS_AT_ONCE):
        rows = slice(first, first + _ROWS_AT_ONCE)
        difference = original[rows].astype(kind) - decoded[rows].astype(kind)
        total += int(np.square(difference).sum(dtype=np.int64))
    return psnr_of_error_db(total / original.size / scale**2)


def psnr_of_error_db(mean_squared_error: float) -> float:
    """PSNR at a mean squared error of samples 0 .. 255; infinity at none.

    >>> psnr_of_error_db(255.0**2)
    0.0
    """
    if mean_squared_error == 0.0:
        return math.inf
    return 10.0 * math.log10(PEAK**2 / mean_squared_error)


def check_shapes(original: np.ndarray, decoded: np.ndarray) -> None:
    """Refuse to compare pictures of different shapes or depths (UsageError: shapes or types differ)."""
    if (original.shape, original.dtype) != (decoded.shape, decoded.dtype):
        raise UsageError(
            f"compared pictures must have one shape, found {original.dtype} {list(original.shape)} and "
            f"{decoded.dtype} {list(decoded.shape)}; "
            "crop or convert one of them"
        )
