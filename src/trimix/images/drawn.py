"""Pictures that a codec for photographs is the wrong tool for: drawings, text, pixel art, scans of one bit."""

from io import BytesIO

from PIL import Image

from trimix.images.picture import Picture

_EQUAL_SHARE = 0.3
"""Pixels equal to the one on their left: photographs of Kodak have 0.05 to 0.2, drawings mostly from 0.6."""
_EQUAL_SHARE_OF_DEAR = 0.15
"""Pixel art that was scaled has fewer, and takes many bits."""
_DEAR_BITS_PER_PIXEL = 1.0
_SIDE_MAXIMUM = 16383


def lossless_bytes_if_drawn(picture: Picture, file_bytes: int) -> int | None:
    """Size of a lossless WebP of the pixels, or None for what is no drawing or does not fit into WebP.

    `file_bytes` is what trimix took for it.

    >>> lossless_bytes_if_drawn(Picture(np.zeros((64, 64, 3), np.uint8)), 200) < 100
    True
    """
    if picture.bit_depth > 8 or max(picture.width, picture.height) > _SIDE_MAXIMUM:
        return None
    samples = picture.samples
    equal = (samples[:, 1:] == samples[:, :-1]).all(axis=2)
    is_dear = 8 * file_bytes > _DEAR_BITS_PER_PIXEL * picture.width * picture.height
    if equal.size == 0 or float(equal.mean()) < (_EQUAL_SHARE_OF_DEAR if is_dear else _EQUAL_SHARE):
        return None
    image = Image.fromarray(samples[:, :, 0] if samples.shape[2] == 1 else samples)
    buffer = BytesIO()
    image.convert("RGBA" if picture.alpha is not None else "RGB").save(
        buffer, "WEBP", lossless=True, quality=50, method=2
    )
    return buffer.tell()
