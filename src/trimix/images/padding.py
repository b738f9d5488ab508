"""From pixels to padded planes and back.

pixels [H W C] of 8 or 16 bits -> pad_to_multiple -> to_planes -> network -> to_pixels -> pixels, cropped
"""

import numpy as np

from trimix.shapes import Float, UInt


def replicate_grey(image: Float[np.ndarray, "1 H W"]) -> Float[np.ndarray, "3 H W"]:
    """The grey picture as three equal channels: so the RGB network codes it."""
    return image.repeat(3, axis=0)


def collapse_to_grey(image: Float[np.ndarray, "3 H W"]) -> Float[np.ndarray, "1 H W"]:
    """The mean of the three channels: so a decoder gets grey pictures back.

    The mean and not luma: the three channels are three estimates of one value by a network trained with
    equal weights; of independent errors the mean leaves the least (variance 1/3, BT.601 luma 0.45).
    """
    return image.mean(axis=0, keepdims=True)


def to_planes(pixels: UInt[np.ndarray, "H W C"]) -> Float[np.ndarray, "3 H W"]:
    """Pixels, grey (replicated) or RGB, as the network takes them: float32 in [0, 1], its own memory.

    >>> to_planes(np.full((1, 2, 1), 255, np.uint8)).shape
    (3, 1, 2)
    """
    planes = np.array(pixels.transpose(2, 0, 1), dtype=np.float32, order="C")
    planes /= np.float32(np.iinfo(pixels.dtype).max)
    return replicate_grey(planes) if len(planes) == 1 else planes


def pad_to_multiple(pixels: UInt[np.ndarray, "H W C"], multiple: int) -> UInt[np.ndarray, "Hp Wp C"]:
    """Repeat the last row and column until height and width are multiples of `multiple`; itself where none are missing.

    >>> pad_to_multiple(np.zeros((1, 65, 3), np.uint8), 64).shape
    (64, 128, 3)
    """
    rows, columns = (size + -size % multiple for size in pixels.shape[:2])
    return pad_to(pixels, rows, columns)


def pad_to(pixels: UInt[np.ndarray, "H W C"], rows: int, columns: int) -> UInt[np.ndarray, "Hp Wp C"]:
    """Repeat the last row and column until there are so many; itself where none are missing.

    >>> pad_to(np.array([[[3], [7]]], np.uint8), 1, 4).ravel().tolist()
    [3, 7, 7, 7]
    """
    missing = rows - pixels.shape[0], columns - pixels.shape[1]
    if missing == (0, 0):
        return pixels
    return np.pad(pixels, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="edge")


def reduced(samples: UInt[np.ndarray, "H W C"], factor: int) -> UInt[np.ndarray, "h w C"]:
    """Means over squares of ``factor`` pixels a side, rounded; the last ones continue the picture as padding does.

    >>> reduced(np.array([[[0], [4], [9]]], np.uint8), 2).ravel().tolist()
    [2, 9]
    """
    if factor == 1:
        return samples
    padded = pad_to_multiple(samples, factor)
    height, width, channels = padded.shape
    squares = padded.reshape(height // factor, factor, width // factor, factor, channels)
    return ((squares.sum((1, 3), dtype=np.uint32) + factor**2 // 2) // factor**2).astype(samples.dtype)


def shares_in_picture(
    height: int, width: int, block: int, rows: int, columns: int, reach: int = 0
) -> Float[np.ndarray, "h w"] | None:
    """Of every block of pixels of a padded picture, the part that is no padding; None where nothing is padded.

    With a reach, a side of a block counts by the part of it or, where that is more, of it and the pixels around.

    Args:
        height: of the picture, before padding.
        width: of it.
        block: side of a block, in pixels.
        rows: blocks from top to bottom, padding included.
        columns: blocks from left to right.
        reach: how many pixels around a block are its own, too.

    >>> shares_in_picture(20, 8, 16, 2, 2).tolist()
    [[0.5, 0.0], [0.125, 0.0]]
    >>> shares_in_picture(20, 8, 16, 2, 2, reach=8).tolist()
    [[0.5, 0.0], [0.1875, 0.0]]
    """
    if (height, width) == (rows * block, columns * block):
        return None

    def of_side(size: int, count: int) -> np.ndarray:
        left = size - block * np.arange(count)
        return np.clip(np.maximum(left / block, (left + reach) / (block + 2 * reach)), 0, 1)

    return np.outer(of_side(height, rows), of_side(width, columns)).astype(np.float32)


def to_pixels(image: Float[np.ndarray, "C H W"], bit_depth: int = 8) -> UInt[np.ndarray, "H W C"]:
    """Pixels of 8 or 16 bits of a network's output; exact inverse of `to_planes` for three channels.

    Values outside [0, 1] are clamped, NaN becomes 0, then value * (2^bits - 1) is rounded, halves to even.

    >>> to_pixels(np.array([-1.0, 0.5, np.nan], np.float32).reshape(3, 1, 1)).ravel().tolist()
    [0, 128, 0]
    """
    levels = np.nan_to_num(image, nan=0.0).clip(0.0, 1.0)
    levels *= np.float32(2**bit_depth - 1)
    kind = np.uint8 if bit_depth == 8 else np.uint16
    return np.ascontiguousarray(np.rint(levels, out=levels).astype(kind).transpose(1, 2, 0))
