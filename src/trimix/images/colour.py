"""Luma, and grey pictures in a network of three channels."""

import numpy as np

from trimix.shapes import Float

BT601_LUMA_WEIGHTS = (0.299, 0.587, 0.114)
"""Weights of R, G, B in the luma of ITU-R BT.601: the one PSNR-Y of JPEG-like codecs is measured on."""


def replicate_grey(image: Float[np.ndarray, "1 H W"]) -> Float[np.ndarray, "3 H W"]:
    """The grey picture as three equal channels: so the RGB network codes it."""
    return image.repeat(3, axis=0)


def collapse_to_grey(image: Float[np.ndarray, "3 H W"]) -> Float[np.ndarray, "1 H W"]:
    """The mean of the three channels: so a decoder gets grey pictures back.

    The mean and not luma: the three channels are three estimates of one value by a network trained with
    equal weights; of independent errors the mean leaves the least (variance 1/3, BT.601 luma 0.45).
    """
    return image.mean(axis=0, keepdims=True)
