"""The orientation of a picture: read it, apply it, and set it to upright in EXIF and XMP.

Only the two bytes of the value change: everything else in the block keeps its place, so the offsets that
cameras hide in their maker notes stay right.
"""

import re
import struct

import numpy as np

from trimix.shapes import UInt8

UPRIGHT = 1
_ORIENTATION_TAG = 0x0112
_SHORT = 3
_XMP_ORIENTATION = re.compile(rb'(tiff:Orientation\s*(?:=\s*["\']|>\s*))[2-8](?=\s*["\'<])')


def read_orientation(exif: bytes) -> int:
    """The orientation an EXIF block gives.

    Args:
        exif: the block from its TIFF header on; it may be damaged.

    Returns:
        1 .. 8 as in the EXIF standard; 1 (upright) where the block gives none.
    """
    found = _find_orientation(exif)
    return found[1] if found else UPRIGHT


def reset_orientation(exif: bytes) -> bytes:
    """The same block with orientation 1, upright.

    Args:
        exif: the block from its TIFF header on; one without an orientation is returned as it is.
    """
    found = _find_orientation(exif)
    if found is None:
        return exif
    offset, _, order = found
    return exif[:offset] + struct.pack(order + "H", UPRIGHT) + exif[offset + 2 :]


def reset_xmp_orientation(xmp: bytes) -> bytes:
    """The same XMP packet with `tiff:Orientation` 1, if it has one."""
    return _XMP_ORIENTATION.sub(rb"\g<1>1", xmp)


def apply_orientation(pixels: UInt8[np.ndarray, "H W C"], orientation: int) -> UInt8[np.ndarray, "Hu Wu C"]:
    """The picture as it is meant to be seen.

    Args:
        pixels: as they stand in the file.
        orientation: 1 .. 8 as in the EXIF standard; 5 .. 8 swap height and width.
    """
    # All eight are a swap of the axes, a flip of the rows and a flip of the columns, each done or not.
    turned = pixels.swapaxes(0, 1) if orientation >= 5 else pixels
    if orientation in (3, 4, 7, 8):
        turned = turned[::-1]
    if orientation in (2, 3, 6, 7):
        turned = turned[:, ::-1]
    return np.ascontiguousarray(turned)


def _find_orientation(exif: bytes) -> tuple[int, int, str] | None:
    """Offset of the value, the value, and the byte order as `struct` names it."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None or len(exif) < 8:
        return None
    (directory,) = struct.unpack_from(order + "I", exif, 4)
    if directory + 2 > len(exif):
        return None
    (entries,) = struct.unpack_from(order + "H", exif, directory)
    for start in range(directory + 2, min(directory + 2 + 12 * entries, len(exif) - 11), 12):
        tag, kind, count, value = struct.unpack_from(order + "HHIH", exif, start)
        if tag == _ORIENTATION_TAG:
            valid = kind == _SHORT and count == 1 and 1 <= value <= 8
            return (start + 8, value, order) if valid else None
    return None
