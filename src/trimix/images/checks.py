"""Checks of picture files: what would lose something without a word is refused.

Pillow reduces some of them silently (16 bits in RGB, samples beyond RGB), so the file itself is asked.
Each check raises `PictureError` with one line: what must hold, what was found, what to do.
"""

import re
import struct

from PIL import Image, TiffImagePlugin

from trimix.errors import PictureError, PictureTooLargeError

HEAD_BYTES = 65536
"""Bytes of a file's beginning that the checks look at."""

_ALPHA_MODES = ("RGBA", "LA", "PA", "RGBa", "La")
_HANDLED_MODES = ("1", "L", "P", "RGB", "YCbCr")
_BITS_PER_SAMPLE, _SAMPLES_PER_PIXEL = 258, 277
_PORTABLE_ANYMAP = re.compile(rb"P[2356](?:(?:\s|#[^\n]*\n)+(\d{1,9})){3}\s")


def check_size(name: str, width: int, height: int, maximum_pixels: int) -> None:
    """Refuse a picture with more than `maximum_pixels` pixels.

    Raises:
        PictureTooLargeError: it has more.
    """
    if width * height > maximum_pixels:
        raise PictureTooLargeError(
            f"{name}: a picture may have at most {maximum_pixels} pixels, found {width} x {height} = "
            f"{width * height}; raise the limit if you trust the file"
        )


def check_webp_size(name: str, head: bytes, maximum_pixels: int) -> None:
    """Check the size of a WebP file before Pillow opens it, because opening already allocates its pixels.

    Raises:
        PictureTooLargeError: it has more pixels.
    """
    if len(head) < 30 or head[:4] != b"RIFF" or head[8:12] != b"WEBP":
        return
    kind = head[12:16]
    if kind == b"VP8X":
        width = int.from_bytes(head[24:27], "little") + 1
        height = int.from_bytes(head[27:30], "little") + 1
    elif kind == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif kind == b"VP8 ":
        width, height = (size & 0x3FFF for size in struct.unpack_from("<HH", head, 26))
    else:
        return
    check_size(name, width, height, maximum_pixels)


def check_kind(name: str, image: Image.Image, head: bytes) -> None:
    """Refuse several frames, an alpha channel, more than 8 bits, and colours that are neither grey nor RGB.

    Args:
        name: of the file, for the message.
        image: opened, not yet decoded.
        head: the first `HEAD_BYTES` bytes of the file.

    Raises:
        PictureError: one of these.
    """
    if getattr(image, "is_animated", False):
        raise PictureError(
            f"{name}: a file must hold one picture, found several frames or pages; "
            "extract one, e.g. with `magick 'IN[0]' OUT`"
        )
    bits = _bits_per_sample(image, head)
    if bits > 8 or image.mode.startswith(("I", "F")):
        found = f"{bits} bits" if bits > 8 else f"mode {image.mode}"
        raise PictureError(
            f"{name}: samples must have 8 bits, found {found}; "
            "reduce them, e.g. with `magick IN -depth 8 OUT`"
        )
    if image.mode in _ALPHA_MODES or _has_transparency(image):
        raise PictureError(
            f"{name}: an alpha channel is not supported yet, found transparency (mode {image.mode}); "
            "flatten it, e.g. with `magick IN -background white -alpha remove -alpha off OUT`"
        )
    extra = _extra_samples(image)
    if image.mode not in _HANDLED_MODES or extra:
        found = f"mode {image.mode}" + (f" with {extra} more samples" if extra else "")
        raise PictureError(
            f"{name}: colours must be grey or RGB, found {found}; "
            "convert them, e.g. with `magick IN -colorspace sRGB OUT`"
        )


def _has_transparency(image: Image.Image) -> bool:
    """Whether the palette or a key colour (GIF, tRNS of PNG) is transparent."""
    palette = image.palette if image.mode == "P" else None
    return "transparency" in image.info or (palette is not None and palette.mode == "RGBA")


def _extra_samples(image: Image.Image) -> int:
    """Samples of a TIFF beyond its colours that have no stated meaning; Pillow drops them."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return 0
    colours = {"1": 1, "L": 1, "P": 1}.get(image.mode, 3)
    return max(0, int(image.tag_v2.get(_SAMPLES_PER_PIXEL, 1)) - colours)


def _bits_per_sample(image: Image.Image, head: bytes) -> int:
    """Bits of the widest sample in the file, not in Pillow's pixels; 8 where nothing more is known."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return max(image.tag_v2.get(_BITS_PER_SAMPLE, (1,)))
    match image.format:
        case "PNG":
            # Signature, then the header chunk: length, name, width, height, bit depth.
            return head[24]
        case "PPM":
            found = _PORTABLE_ANYMAP.match(head)
            return int(found[1]).bit_length() if found else 8
        case "AVIF":
            return max(
                (_av1_bits(found[1][0]) for found in re.finditer(rb"av1C\x81.(.)", head, re.DOTALL)),
                default=8,
            )
        case _:
            return 8


def _av1_bits(flags: int) -> int:
    """Third byte of the AV1 configuration box: seq_tier, high_bitdepth, twelve_bit, ..."""
    if not flags & 0x40:
        return 8
    return 12 if flags & 0x20 else 10
