"""Checks of picture files: what would lose something without a word is refused.

Pillow reduces some of them silently (16 bits in RGB, samples beyond RGB), so the file itself is asked.
Each check raises `PictureError` with one line: what must hold, what was found, what to do.
"""

import re

from PIL import Image, TiffImagePlugin

from trimix.bitstream import MAGIC
from trimix.errors import PictureError, PictureTooLargeError, SeveralFramesError
from trimix.images.deep import PORTABLE_ANYMAP

HEAD_BYTES = 65536
"""Bytes of a file's beginning that the checks look at."""

_HANDLED_MODES = ("1", "L", "P", "RGB", "YCbCr", "LA", "La", "PA", "RGBA", "RGBa", "CMYK", "LAB")
_BITS_PER_SAMPLE, _SAMPLES_PER_PIXEL = 258, 277
_SUBFILE_TYPE, _SUBDIRECTORIES, _DNG_VERSION = 254, 330, 50706
_REDUCED_OR_MASK = 5
"""Bits of the subfile type: a smaller copy, or a mask."""

_CAMERA_RAW = "a camera's raw file must be developed first, found one; export it as TIFF or PNG"
# Of files that are no pictures of pixels, or that nothing here reads: their beginnings, and what to say.
_OTHER_KINDS = (
    (
        rb"%PDF-|%!PS",
        "a picture must be made of pixels, found PDF or PostScript; draw it first, e.g. with `pdftoppm -png`",
    ),
    (
        rb"....ftyp(heic|heix|hevc|heim|heis|hevm|mif1.{4,40}heic)",
        "HEIC must be converted first; e.g. with `heif-convert IN OUT.png`",
    ),
    (rb"....ftypcrx |FUJIFILMCCD-RAW|II\x2a\0....CR\x02", _CAMERA_RAW),
    (re.escape(MAGIC), "a picture must not be compressed by trimix already, found a .tmix file; decompress it"),
)


def check_head(name: str, head: bytes) -> None:
    """Refuse by its beginning what no reader of pixels reads (PictureError: the file is empty or of such a kind)."""
    if not head:
        raise PictureError(f"{name}: a picture file must have contents, found it empty; fetch it again")
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<") and b"<svg" in head:
        raise PictureError(
            f"{name}: a picture must be made of pixels, found SVG; draw it, e.g. with `resvg IN OUT.png`"
        )
    for beginning, words in _OTHER_KINDS:
        if re.match(beginning, head, re.DOTALL):
            raise PictureError(f"{name}: {words}")


def check_size(name: str, width: int, height: int, maximum_pixels: int) -> None:
    """Refuse a picture with more than `maximum_pixels` pixels (PictureTooLargeError: it has more)."""
    if width * height > maximum_pixels:
        raise PictureTooLargeError(
            f"{name}: a picture may have at most {maximum_pixels} pixels, found {width} x {height} = "
            f"{width * height}; raise the limit if you trust the file"
        )


def choose_frame(name: str, image: Image.Image, frame: int | None) -> list[str]:
    """Go to a frame or page, from 0; without a choice there must be only one. What is left out, in words: a new list.

    A camera's JPEG counts as one picture, whatever stands behind it, and so does a page with smaller copies.

    Raises:
        PictureError: several frames and no choice, or no such frame.
    """
    count = int(getattr(image, "n_frames", 1))
    if frame is not None:
        if not 0 <= frame < count:
            raise PictureError(f"{name}: a frame must be one of 0 to {count - 1}, found {frame}; choose another")
        if frame or count > 1:
            image.seek(frame)
        return []
    if count == 1 or image.format == "MPO":
        return []
    if isinstance(image, TiffImagePlugin.TiffImageFile) and _has_one_full_page(image, count):
        return [f"{count - 1} smaller copies or masks were left out"]
    raise SeveralFramesError(
        f"{name}: a file must hold one picture, found {count} frames or pages; "
        f"choose one by its number, 0 to {count - 1}"
    )


def _has_one_full_page(image: TiffImagePlugin.TiffImageFile, count: int) -> bool:
    try:
        for page in range(count):
            image.seek(page)
            if bool(int(image.tag_v2.get(_SUBFILE_TYPE, 0)) & _REDUCED_OR_MASK) != (page > 0):
                return False
        return True
    finally:
        image.seek(0)


def check_kind(name: str, image: Image.Image, bits: int) -> None:
    """Refuse more than 16 bits, see `bits_per_sample`, and samples that nobody has explained, with a PictureError."""
    if isinstance(image, TiffImagePlugin.TiffImageFile) and (
        _DNG_VERSION in image.tag_v2
        or (_SUBDIRECTORIES in image.tag_v2 and int(image.tag_v2.get(_SUBFILE_TYPE, 0)) & 1)
    ):
        raise PictureError(f"{name}: {_CAMERA_RAW}")
    is_16_bit_grey = image.mode.startswith("I;16")
    if bits > 16 or (image.mode.startswith(("I", "F")) and not (is_16_bit_grey or image.format == "PPM")):
        found = f"{bits} bits" if bits > 16 else f"mode {image.mode}"
        raise PictureError(
            f"{name}: samples must be whole numbers of up to 16 bits, found {found}; "
            "reduce them, e.g. with `magick IN -depth 16 OUT`"
        )
    extra = _extra_samples(image)
    if (image.mode not in _HANDLED_MODES and bits <= 8) or extra:
        found = f"mode {image.mode}" + (f" with {extra} more samples" if extra else "")
        raise PictureError(
            f"{name}: colours must be grey, RGB, CMYK or Lab, found {found}; "
            "convert them, e.g. with `magick IN -colorspace sRGB OUT`"
        )


def _extra_samples(image: Image.Image) -> int:
    """Samples of a TIFF beyond its colours that have no stated meaning; Pillow drops them."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return 0
    explained = {"1": 1, "L": 1, "P": 1, "LA": 2, "PA": 2, "RGBA": 4, "RGBa": 4, "CMYK": 4}.get(image.mode, 3)
    if image.mode.startswith("I;16"):
        explained = 1
    return max(0, int(image.tag_v2.get(_SAMPLES_PER_PIXEL, 1)) - explained)


def bits_per_sample(image: Image.Image, head: bytes) -> int:
    """Bits of the widest sample in the file, not in Pillow's pixels; 8 where nothing more is known.

    Args:
        image: opened, not yet decoded.
        head: the first `HEAD_BYTES` bytes of the file; empty where there is only the image.
    """
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return max(image.tag_v2.get(_BITS_PER_SAMPLE, (1,)))
    if not head:
        return 16 if image.mode.startswith("I;16") else 8
    match image.format:
        case "PNG":
            # Signature, then the header chunk: length, name, width, height, bit depth.
            return head[24]
        case "PPM":
            found = PORTABLE_ANYMAP.match(head)
            return int(found[1]).bit_length() if found else 8
        case "AVIF":
            return max((_av1_bits(found[1][0]) for found in re.finditer(rb"av1C\x81.(.)", head, re.DOTALL)), default=8)
        case "JPEG2000":
            # The codestream's size marker: 36 bytes of sizes, then one byte for every channel, a bit short.
            found = re.search(rb"\xff\x4f\xff\x51.{36}(.)", head, re.DOTALL)
            return (found[1][0] & 0x7F) + 1 if found else 8
        case _:
            return 8


def _av1_bits(flags: int) -> int:
    """Third byte of the AV1 configuration box: seq_tier, high_bitdepth, twelve_bit, ..."""
    if not flags & 0x40:
        return 8
    return 12 if flags & 0x20 else 10
