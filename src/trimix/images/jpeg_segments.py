"""What JPEG keeps in segments of its own: IPTC, XMP longer than a segment, and pictures behind the first."""

import hashlib
import re
import struct

from PIL import JpegImagePlugin

_PHOTOSHOP = b"Photoshop 3.0\0"
_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_EXTENSION = b"http://ns.adobe.com/xmp/extension/\0"
_EXTENSION_PART_BYTES = 65000
_SEGMENT_BYTES_MAXIMUM = 65533
XMP_BYTES_MAXIMUM = _SEGMENT_BYTES_MAXIMUM - len(_XMP)
"""Longest packet that one segment holds."""
_IDENTIFIER_BYTES = 32
_NAMED_ATTRIBUTE = re.compile(rb"""xmpNote:HasExtendedXMP\s*=\s*["']([0-9A-Fa-f]{32})["']""")
_NAMED_ELEMENT = re.compile(rb"<xmpNote:HasExtendedXMP>\s*([0-9A-Fa-f]{32})\s*</xmpNote:HasExtendedXMP>")
_MAIN_PACKET = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:xmpNote="http://ns.adobe.com/xmp/note/" '
    b'xmpNote:HasExtendedXMP="%b"/></rdf:RDF></x:xmpmeta>'
)
_IPTC_RESOURCE = 0x0404


def iptc_of(image: JpegImagePlugin.JpegImageFile) -> bytes:
    """Photoshop's image resources, whole; empty for none."""
    parts = [data for name, data in image.applist if name == "APP13" and data.startswith(_PHOTOSHOP)]
    return b"".join(part.removeprefix(_PHOTOSHOP) for part in parts)


def iptc_segments(resources: bytes) -> bytes:
    """Segments of a JPEG file that hold Photoshop's image resources."""
    step = _SEGMENT_BYTES_MAXIMUM - len(_PHOTOSHOP)
    parts = (resources[start : start + step] for start in range(0, len(resources), step))
    return b"".join(_segment(0xED, _PHOTOSHOP + part) for part in parts)


def wrapped_iptc(records: bytes) -> bytes:
    """Photoshop's image resources with nothing but records of IPTC, as TIFF has them bare."""
    return b"8BIM" + struct.pack(">HHI", _IPTC_RESOURCE, 0, len(records)) + records + bytes(len(records) % 2)


def extended_xmp_of(image: JpegImagePlugin.JpegImageFile, packet: bytes) -> tuple[bytes, bool]:
    """The part of the XMP that did not fit into its segment, the main packet: 32 bytes of identifier, then the part.

    Empty for none; and whether one is missing or damaged.
    """
    parts: dict[bytes, dict[int, bytes]] = {}
    lengths: dict[bytes, int] = {}
    header = len(_EXTENSION) + _IDENTIFIER_BYTES + 8
    for name, data in image.applist:
        if name == "APP1" and data.startswith(_EXTENSION) and len(data) >= header:
            identifier = data[len(_EXTENSION) : header - 8]
            lengths[identifier], offset = struct.unpack_from(">II", data, header - 8)
            parts.setdefault(identifier, {})[offset] = data[header:]
    named = _named_extension(packet)
    identifier = named or next(iter(parts), b"")
    if not identifier:
        return b"", False
    offsets = sorted(parts.get(identifier, {}))
    extension = b"".join(parts[identifier][offset] for offset in offsets)
    if not extension or len(extension) != lengths[identifier]:
        return b"", True
    return identifier + extension, False


def merged_xmp(packet: bytes, extended: bytes) -> bytes | None:
    """One packet of the main one and that of `extended_xmp_of`, for files that have room for it.

    None where the two are not of the form in which they can be put together.
    """
    # Found without a pattern: a hostile file must not take time that grows with the square of its length.
    opening = extended.find(b"<rdf:RDF", _IDENTIFIER_BYTES)
    start, stop = extended.find(b">", opening) + 1, extended.rfind(b"</rdf:RDF>")
    end = packet.rfind(b"</rdf:RDF>")
    if opening < 0 or not 0 < start <= stop or end < 0:
        return None
    merged = packet[:end] + extended[start:stop] + packet[end:]
    return _NAMED_ELEMENT.sub(b"", _NAMED_ATTRIBUTE.sub(b"", merged))


def xmp_segments(packet: bytes, extended: bytes) -> tuple[bytes, bytes]:
    """The packet of JPEG's main segment, and the segments that hold the rest; empty for none.

    Args:
        packet: of any length.
        extended: of `extended_xmp_of`; empty for none.
    """
    if len(packet) > XMP_BYTES_MAXIMUM:
        merged = merged_xmp(packet, extended) if extended else packet
        extended = hashlib.md5(packet, usedforsecurity=False).hexdigest().upper().encode() + (merged or packet)
        packet = _MAIN_PACKET % extended[:_IDENTIFIER_BYTES]
    identifier, extension = extended[:_IDENTIFIER_BYTES], extended[_IDENTIFIER_BYTES:]
    segments = [
        _segment(
            0xE1,
            _EXTENSION
            + identifier
            + struct.pack(">II", len(extension), start)
            + extension[start : start + _EXTENSION_PART_BYTES],
        )
        for start in range(0, len(extension), _EXTENSION_PART_BYTES)
    ]
    return packet, b"".join(segments)


def _named_extension(packet: bytes) -> bytes:
    found = _NAMED_ATTRIBUTE.search(packet) or _NAMED_ELEMENT.search(packet)
    return found[1] if found else b""


def further_pictures(image: JpegImagePlugin.JpegImageFile) -> str | None:
    """What a camera has put behind the first picture, in words; None for nothing."""
    xmp = image.info.get("xmp") or b""
    if b"hdrgm:" in xmp or any(b"urn:iso:std:iso:ts:21496" in data[:40] for _, data in image.applist):
        return "a gain map"
    if b"GCamera:MicroVideo" in xmp or b"GCamera:MotionPhoto" in xmp:
        return "a video"
    if b"MPF\0" in (data[:4] for name, data in image.applist if name == "APP2"):
        count = getattr(image, "n_frames", 1) - 1
        return f"{count} more pictures" if count > 1 else "another picture"
    return None


def _segment(marker: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data
