"""Samples as they are: the form of alpha planes in a file, and of whole pictures that are drawn.

A WebP file in lossless form, or where WebP cannot hold them a PNG file of one grey channel, planes below one another.
"""

import io

import numpy as np
from PIL import Image

from trimix.errors import CorruptedFileError
from trimix.images.limits import without_pillow_limits
from trimix.images.picture import Picture
from trimix.shapes import UInt

_WEBP_SIDE_MAXIMUM = 16383
_EQUAL_SHARE = 0.3
"""Pixels equal to the one on their left, or above: photographs of Kodak have 0.05 to 0.2, drawings mostly from 0.6."""
_EQUAL_SHARE_OF_DEAR = 0.15
"""Pixel art that was scaled has fewer, and takes many bits."""
_DEAR_BITS_PER_PIXEL = 1.0
_ROWS_AT_ONCE = 256
"""So that large pictures take little memory."""


def is_drawn(picture: Picture, bits_per_pixel: float) -> bool:
    """Whether a picture looks drawn, text or pixel art, rather than photographed.

    Args:
        bits_per_pixel: what a codec for photographs took.

    >>> is_drawn(Picture(np.zeros((64, 64, 3), np.uint8)), 0.1)
    True
    """
    pixels = picture.pixels
    pairs = ((pixels[:, 1:], pixels[:, :-1]), (pixels[1:], pixels[:-1]))
    share = max(_equal_share(one, other) for one, other in pairs)
    return share >= (_EQUAL_SHARE_OF_DEAR if bits_per_pixel > _DEAR_BITS_PER_PIXEL else _EQUAL_SHARE)


def _equal_share(one: UInt[np.ndarray, "H W C"], other: UInt[np.ndarray, "H W C"]) -> float:
    rows = range(0, len(one), _ROWS_AT_ONCE)
    equal = sum(int((one[i : i + _ROWS_AT_ONCE] == other[i : i + _ROWS_AT_ONCE]).all(axis=2).sum()) for i in rows)
    return equal / max(1, one.shape[0] * one.shape[1])


def encode_samples(samples: UInt[np.ndarray, "H W C"]) -> bytes:
    """Samples of 8 or 16 bits, one channel or three, as a picture file that gives them back exactly.

    >>> samples = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    >>> bool((decode_samples(encode_samples(samples), 2, 3, 3, 8) == samples).all())
    True
    """
    buffer = io.BytesIO()
    height, width, channels = samples.shape
    if samples.dtype == np.uint8 and max(height, width) <= _WEBP_SIDE_MAXIMUM:
        image = Image.fromarray(samples[:, :, 0] if channels == 1 else samples).convert("RGB")
        image.save(buffer, "WEBP", lossless=True, quality=80, method=4)
    else:
        planes = np.moveaxis(samples, 2, 0).reshape(channels * height, width)
        Image.fromarray(planes).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def decode_samples(
    data: bytes, height: int, width: int, channels: int, bit_depth: int, name: str = "pixels"
) -> UInt[np.ndarray, "H W C"]:
    """What `encode_samples` was given; CorruptedFileError, which tells their name, if the bytes are none such."""
    kinds = {"WEBP": ("RGB", (width, height)), "PNG": ("L", (width, channels * height))}
    if bit_depth == 16:
        kinds = {"PNG": ("I;16", (width, channels * height))}
    try:
        if webp_size(data) not in (None, (width, height)):
            raise ValueError("another size")
        with without_pillow_limits():
            image = Image.open(io.BytesIO(data), formats=("PNG", "WEBP"))
        if (image.mode, image.size) != kinds.get(image.format or ""):
            raise ValueError(f"{image.format} {image.mode} {image.width}x{image.height}")
        found = np.asarray(image)
    except Exception as error:  # Pillow meets damage with OSError, SyntaxError, ValueError and more
        raise CorruptedFileError(
            f"{name} must be lossless, {width}x{height} samples of {bit_depth} bits in {channels} "
            f"channel{'s' if channels > 1 else ''}, found none ({error}); write the file again"
        ) from error
    if found.ndim == 2:
        return np.ascontiguousarray(np.moveaxis(found.reshape(channels, height, width), 0, 2))
    return np.ascontiguousarray(found[:, :, :channels])


def webp_size(data: bytes) -> tuple[int, int] | None:
    """Width and height that a WebP file claims, known before Pillow allocates them; None for another file."""
    if len(data) < 30 or data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        return None
    match data[12:16]:
        case b"VP8X":
            return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
        case b"VP8L":
            bits = int.from_bytes(data[21:25], "little")
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8 ":
            width, height = (int.from_bytes(data[at : at + 2], "little") for at in (26, 28))
            return width & 0x3FFF, height & 0x3FFF
        case _:
            return None
