"""The orientation of a picture: read it, apply it, and set it to upright in EXIF and XMP; and its position, erased.

Everything else in an EXIF block keeps its place, so the offsets that cameras hide in their maker notes stay right.
"""

import re
import struct
from collections.abc import Iterator

import numpy as np

from trimix.shapes import UInt

UPRIGHT = 1
ORIENTATION_TAG = 0x0112
_POSITION_TAG = 0x8825
_LONG = 4
_BYTES_OF_KIND = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
_SHORT = 3
_XMP_ORIENTATION = re.compile(rb'(tiff:Orientation\s*(?:=\s*["\']|>\s*))[2-8](?=\s*["\'<])')
_XMP_POSITION = re.compile(
    rb"""\s?\bexif:(GPS\w+)\s*=\s*("[^"]*"|'[^']*')|<exif:(GPS\w+)\b[^>]*/>|<exif:(GPS\w+)\b.{0,2000}?</exif:\4\s*>""",
    re.DOTALL,
)


def read_orientation(exif: bytes) -> int:
    """The orientation that an EXIF block from its TIFF header on gives, 1 .. 8; 1 (upright) where it gives none."""
    found = _find_orientation(exif)
    return found[1] if found else UPRIGHT


def reset_orientation(exif: bytes) -> bytes:
    """The same block with orientation 1, upright; one without an orientation as it is."""
    found = _find_orientation(exif)
    if found is None:
        return exif
    offset, _, order = found
    return exif[:offset] + struct.pack(order + "H", UPRIGHT) + exif[offset + 2 :]


def reset_xmp_orientation(xmp: bytes) -> bytes:
    """The same XMP packet with `tiff:Orientation` 1, if it has one."""
    return _XMP_ORIENTATION.sub(rb"\g<1>1", xmp)


def erase_position(exif: bytes) -> bytes:
    """The block without the directory of where the picture was taken; without one, or damaged, as it is."""
    block = bytearray(exif)
    for start, tag, kind, count, order in _entries(exif):
        if tag != _POSITION_TAG or kind != _LONG or count != 1:
            continue
        (directory,) = struct.unpack_from(order + "I", exif, start + 8)
        for inner, _, inner_kind, inner_count, _ in _entries(exif, directory):
            size = _BYTES_OF_KIND.get(inner_kind, 0) * inner_count
            (offset,) = struct.unpack_from(order + "I", exif, inner + 8)
            if size > 4:
                block[offset : min(offset + size, len(block))] = bytes(max(0, min(size, len(block) - offset)))
            block[inner : inner + 12] = bytes(12)
        if directory + 2 <= len(block):
            block[directory : directory + 2] = bytes(2)
        # The entries behind it, and the offset of the next directory, move up.
        (first,) = struct.unpack_from(order + "I", exif, 4)
        (entries,) = struct.unpack_from(order + "H", exif, first)
        end = first + 2 + 12 * entries + 4
        block[start:end] = block[start + 12 : end] + bytes(12)
        block[first : first + 2] = struct.pack(order + "H", entries - 1)
        break
    return bytes(block)


def erase_xmp_position(xmp: bytes) -> bytes:
    """The same XMP packet without `exif:GPS...`, written as attributes or as elements."""
    return _XMP_POSITION.sub(b"", xmp)


def apply_orientation(pixels: UInt[np.ndarray, "H W C"], orientation: int) -> UInt[np.ndarray, "Hu Wu C"]:
    """The picture as it is meant to be seen, by an orientation 1 .. 8; 5 .. 8 swap height and width."""
    # All eight are a swap of the axes, a flip of the rows and a flip of the columns, each done or not.
    turned = pixels.swapaxes(0, 1) if orientation >= 5 else pixels
    if orientation in (3, 4, 7, 8):
        turned = turned[::-1]
    if orientation in (2, 3, 6, 7):
        turned = turned[:, ::-1]
    return np.ascontiguousarray(turned)


def _find_orientation(exif: bytes) -> tuple[int, int, str] | None:
    """Offset of the value, the value, and the byte order as `struct` names it."""
    for start, tag, kind, count, order in _entries(exif):
        if tag == ORIENTATION_TAG:
            (value,) = struct.unpack_from(order + "H", exif, start + 8)
            valid = kind == _SHORT and count == 1 and 1 <= value <= 8
            return (start + 8, value, order) if valid else None
    return None


def _entries(exif: bytes, directory: int | None = None) -> Iterator[tuple[int, int, int, int, str]]:
    """Offset, tag, kind and count of the entries of a directory, the first one by default, and the byte order."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None or len(exif) < 8:
        return
    first: int = struct.unpack_from(order + "I", exif, 4)[0] if directory is None else directory
    if first + 2 > len(exif):
        return
    (entries,) = struct.unpack_from(order + "H", exif, first)
    for start in range(first + 2, min(first + 2 + 12 * entries, len(exif) - 11), 12):
        tag, kind, count = struct.unpack_from(order + "HHI", exif, start)
        yield start, tag, kind, count, order
