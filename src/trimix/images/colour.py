"""Luma, and grey pictures in a network of three channels."""

from trimix.shapes import Float, Tensor

BT601_LUMA_WEIGHTS = (0.299, 0.587, 0.114)
"""Weights of R, G, B in the luma of ITU-R BT.601: the one PSNR-Y of JPEG-like codecs is measured on."""


def replicate_grey(image: Float[Tensor, "N 1 H W"]) -> Float[Tensor, "N 3 H W"]:
    """The grey pictures as three equal channels: so the RGB network codes them."""
    return image.repeat(1, 3, 1, 1)


def collapse_to_grey(image: Float[Tensor, "N 3 H W"]) -> Float[Tensor, "N 1 H W"]:
    """The mean of the three channels: so a decoder gets grey pictures back.

    The mean and not luma: the three channels are three estimates of one value by a network trained with
    equal weights; of independent errors the mean leaves the least (variance 1/3, BT.601 luma 0.45).
    """
    return image.mean(dim=1, keepdim=True)
