"""PSNR of pixels."""

import math

import numpy as np

from trimix.errors import UsageError
from trimix.shapes import UInt8

PEAK = 255.0
"""Largest value of a sample."""
_ROWS_AT_ONCE = 256


def psnr_db(original: UInt8[np.ndarray, "H W C"], decoded: UInt8[np.ndarray, "h w c"]) -> float:
    """Peak signal-to-noise ratio: 10 log10(255^2 / MSE), MSE over all pixels and channels together.

    Args:
        original: pixels, 0 .. 255, RGB or grey.
        decoded: the same shape.

    Returns:
        dB; infinity for equal pictures.

    Raises:
        UsageError: the shapes differ.

    >>> round(psnr_db(np.zeros((2, 2, 3), np.uint8), np.ones((2, 2, 3), np.uint8)), 2)
    48.13
    """
    check_shapes(original, decoded)
    total = 0
    # Integers: exact, whatever the size of the picture; in parts, for they take four times the memory.
    for first in range(0, len(original), _ROWS_AT_ONCE):
        rows = slice(first, first + _ROWS_AT_ONCE)
        difference = original[rows].astype(np.int32) - decoded[rows].astype(np.int32)
        total += int(np.square(difference).sum(dtype=np.int64))
    return psnr_of_error_db(total / original.size)


def psnr_of_error_db(mean_squared_error: float) -> float:
    """PSNR at a mean squared error of samples 0 .. 255; infinity at none.

    >>> psnr_of_error_db(255.0**2)
    0.0
    """
    if mean_squared_error == 0.0:
        return math.inf
    return 10.0 * math.log10(PEAK**2 / mean_squared_error)


def check_shapes(original: np.ndarray, decoded: np.ndarray) -> None:
    """Refuse to compare pictures of different shapes.

    Raises:
        UsageError: the shapes differ.
    """
    if original.shape != decoded.shape:
        raise UsageError(
            f"compared pictures must have one shape, found {list(original.shape)} and {list(decoded.shape)}; "
            "crop or convert one of them"
        )
