"""JPEG XL: pixels by imagecodecs, EXIF and XMP in boxes of the container, which are read and written here."""

from collections.abc import Iterator

import numpy as np

from trimix.images.deep import module_for
from trimix.shapes import UInt

_SIGNATURE = b"\0\0\0\x0cJXL \r\n\x87\n"
_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))


def is_jpeg_xl(head: bytes) -> bool:
    """Whether a file is a JPEG XL, bare or in its container."""
    return head.startswith((b"\xff\x0a", _SIGNATURE))


def jpeg_xl_size(data: bytes) -> tuple[int, int] | None:
    """Width and height that the beginning of a JPEG XL claims (ISO/IEC 18181-1, size header); None for none."""
    start = 0
    if not data.startswith(b"\xff\x0a"):
        boxes = [at for at in (data.find(b"jxlc"), data.find(b"jxlp")) if at >= 0]
        start = data.find(b"\xff\x0a", min(boxes)) if boxes else -1
    bits = int.from_bytes(data[start + 2 : start + 12], "little")

    def take(count: int) -> int:
        nonlocal bits
        value, bits = bits & ((1 << count) - 1), bits >> count
        return value

    def side(is_small: int) -> int:
        return 8 * (take(5) + 1) if is_small else take((9, 13, 18, 30)[take(2)]) + 1

    if start < 0:
        return None
    is_small = take(1)
    height = side(is_small)
    if ratio := take(3):
        numerator, denominator = _RATIOS[ratio - 1]
        return height * numerator // denominator, height
    return side(is_small), height


def read_jpeg_xl(data: bytes) -> tuple[np.ndarray, bytes, bytes, bool]:
    """All samples of a JPEG XL, its EXIF and XMP, and whether it has packed metadata, which are not read."""
    boxes = dict(_boxes(data))
    exif = boxes.get(b"Exif", b"")
    start = 4 + int.from_bytes(exif[:4], "big")
    return (
        module_for("imagecodecs", "JPEG XL").jpegxl_decode(data),
        exif[start:],
        boxes.get(b"xml ", b""),
        b"brob" in boxes,
    )


def write_jpeg_xl(samples: UInt[np.ndarray, "H W C"], exif: bytes, xmp: bytes) -> bytes:
    """A JPEG XL without loss."""
    boxes = [(kind, data) for kind, data in ((b"Exif", exif and bytes(4) + exif), (b"xml ", xmp)) if data]
    samples = np.ascontiguousarray(samples[:, :, 0] if samples.shape[2] == 1 else samples)
    coder = module_for("imagecodecs", "JPEG XL")
    data = coder.jpegxl_encode(samples, lossless=True, usecontainer=bool(boxes))
    return data + b"".join((8 + len(one)).to_bytes(4, "big") + kind + one for kind, one in boxes)


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kinds and contents of the boxes of a container; none of a bare codestream."""
    at = 0 if data.startswith(_SIGNATURE) else len(data)
    while at + 8 <= len(data):
        size, start = int.from_bytes(data[at : at + 4], "big"), at + 8
        if size == 1:
            size, start = int.from_bytes(data[at + 8 : at + 16], "big"), at + 16
        end = at + size if size else len(data)
        yield data[at + 4 : at + 8], data[start:end]
        at = max(end, start)
