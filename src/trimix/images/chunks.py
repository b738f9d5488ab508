"""Colour, resolution and text in the words of PNG: the form in which they travel, whatever file they come from.

A `Metadata.chunks` is a row of: type (4 bytes), varint length, contents, as the PNG specification has them. Kept are

    cICP mDCV cLLI sRGB gAMA cHRM     colours, where no ICC profile says more
    pHYs                              resolution
    tEXt zTXt iTXt                    text; a comment of JPEG or GIF has the keyword "Comment"
"""

import struct
import zlib
from collections.abc import Iterable
from io import BufferedReader, BytesIO
from typing import NamedTuple

from trimix.bitstream import METADATA_BYTES_MAXIMUM, FieldReader, FieldWriter
from trimix.errors import CodecError

COLOUR_TYPES = (b"cICP", b"mDCV", b"cLLI", b"sRGB", b"gAMA", b"cHRM")
TEXT_TYPES = (b"tEXt", b"zTXt", b"iTXt")
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
XMP_KEYWORD = b"XML:com.adobe.xmp"
_IPTC_KEYWORDS = (b"Raw profile type 8bim", b"Raw profile type iptc")
_KEPT_TYPES = (*COLOUR_TYPES, b"pHYs", *TEXT_TYPES)
_COMMENT = b"Comment"
_METRES_AN_INCH = 0.0254

ByteStream = BufferedReader | BytesIO
"""A file that can be read again from its beginning."""


class Chunk(NamedTuple):
    """A chunk of PNG: its type and its contents."""

    type: bytes
    data: bytes


class Resolution(NamedTuple):
    """Pixels to the inch; only their ratio means something where there is no unit."""

    x: float
    y: float
    has_unit: bool


def read_png_chunks(stream: ByteStream) -> list[Chunk]:
    """All chunks of a PNG file, from its beginning, but its end; the pixels' without contents; damage ends them."""
    stream.seek(len(PNG_SIGNATURE))
    chunks: list[Chunk] = []
    while len(head := stream.read(8)) == 8 and head[4:] != b"IEND":
        length, kind = struct.unpack(">I4s", head)
        is_pixels = kind in (b"IDAT", b"fdAT")
        data = stream.read(0 if is_pixels else length)
        if len(data) < length and not is_pixels:
            break
        chunks.append(Chunk(kind, data))
        stream.seek(4 + (length if is_pixels else 0), 1)
    return chunks


def has_wrong_pixel_checksum(stream: ByteStream) -> bool:
    """Whether a chunk of a PNG file's pixels has another CRC-32 than it must, which Pillow does not look at."""
    stream.seek(len(PNG_SIGNATURE))
    while len(head := stream.read(8)) == 8 and head[4:] != b"IEND":
        length = int.from_bytes(head[:4], "big")
        if head[4:] != b"IDAT":
            stream.seek(length + 4, 1)
        elif zlib.crc32(stream.read(length), zlib.crc32(b"IDAT")) != int.from_bytes(stream.read(4), "big"):
            return True
    return False


def kept_chunks(chunks: Iterable[Chunk], *, has_profile: bool) -> list[Chunk]:
    """Those that travel: no XMP, which has a place of its own, and no colours that a profile or sRGB overrules."""
    chunks = [
        one
        for one in chunks
        if one.type in _KEPT_TYPES and not (one.type == b"iTXt" and one.data.startswith(XMP_KEYWORD))
    ]
    types = {one.type for one in chunks}
    if has_profile:
        overruled: set[bytes] = {b"sRGB", b"gAMA", b"cHRM"}
    else:
        overruled = {b"gAMA", b"cHRM"} if b"sRGB" in types else set()
    return [one for one in chunks if one.type not in overruled]


def pack_chunks(chunks: Iterable[Chunk]) -> bytes:
    """A `Metadata.chunks`.

    >>> unpack_chunks(pack_chunks([Chunk(b"gAMA", bytes(4))]))
    [Chunk(type=b'gAMA', data=b'\\x00\\x00\\x00\\x00')]
    """
    writer = FieldWriter()
    for one in chunks:
        writer.raw(one.type)
        writer.varint(len(one.data), name="chunk length")
        writer.raw(one.data)
    return writer.to_bytes()


def unpack_chunks(packed: bytes) -> list[Chunk]:
    """The chunks of a `Metadata.chunks`; those that are malformed or of another type are left out."""
    reader, chunks = FieldReader(packed), []
    try:
        while reader.remaining:
            kind = reader.raw(4, name="chunk type")
            chunks.append(Chunk(kind, reader.raw(reader.varint(name="chunk length"), name="chunk")))
    except CodecError:
        pass
    return [one for one in chunks if one.type in _KEPT_TYPES]


def png_chunk(chunk: Chunk) -> bytes:
    """The bytes of a chunk in a PNG file."""
    body = chunk.type + chunk.data
    return struct.pack(">I", len(chunk.data)) + body + struct.pack(">I", zlib.crc32(body))


def resolution_chunk(x: float, y: float, *, has_unit: bool = True) -> Chunk:
    """The resolution as PNG has it, in pixels to the inch; without a unit only their ratio means something."""
    factor = 1 / _METRES_AN_INCH if has_unit else 1
    across, down = (min(max(round(value * factor), 1), 2**31 - 1) for value in (x, y))
    return Chunk(b"pHYs", struct.pack(">IIB", across, down, has_unit))


def resolution_of(chunks: Iterable[Chunk]) -> Resolution | None:
    """The resolution that the chunks give.

    >>> resolution_of([resolution_chunk(300, 300)])
    Resolution(x=300.0, y=300.0, has_unit=True)
    """
    for one in chunks:
        if one.type == b"pHYs" and len(one.data) == 9:
            across, down, unit = struct.unpack(">IIB", one.data)
            factor = _METRES_AN_INCH if unit == 1 else 1
            # PNG counts in whole pixels to the metre: 300 to the inch come as 299.9994.
            return Resolution(round(across * factor, 2), round(down * factor, 2), unit == 1)
    return None


def comment_chunk(comment: bytes) -> Chunk:
    """A comment of JPEG or GIF, in UTF-8 or else in Latin-1, as text of PNG."""
    comment = comment.replace(b"\0", b"")
    try:
        is_utf_8 = bool(comment.decode("utf-8")) and not comment.isascii()
    except UnicodeDecodeError:
        is_utf_8 = False
    return Chunk(b"iTXt", _COMMENT + bytes(5) + comment) if is_utf_8 else Chunk(b"tEXt", _COMMENT + b"\0" + comment)


def comment_of(chunks: Iterable[Chunk]) -> bytes:
    """The comment that JPEG can hold; empty for none."""
    for one in chunks:
        for beginning in (_COMMENT + b"\0",) if one.type == b"tEXt" else (_COMMENT + bytes(5),):
            if one.type != b"zTXt" and one.data.startswith(beginning):
                return one.data.removeprefix(beginning)
    return b""


def iptc_chunk(resources: bytes) -> Chunk:
    """Photoshop's image resources as text of PNG, in the hexadecimal digits that ImageMagick and ExifTool know."""
    text = resources.hex()
    lines = "\n".join(text[at : at + 72] for at in range(0, len(text), 72))
    profile = f"\n8bim\n{len(resources):8d}\n{lines}\n".encode()
    return Chunk(b"zTXt", _IPTC_KEYWORDS[0] + b"\0\0" + zlib.compress(profile))


def without_iptc(chunks: Iterable[Chunk]) -> tuple[bytes, list[Chunk]]:
    """Photoshop's image resources, empty where there are none, and the other chunks.

    >>> without_iptc([iptc_chunk(b"8BIM some"), resolution_chunk(1, 1, has_unit=False)])[0]
    b'8BIM some'
    """
    resources, others = b"", []
    for one in chunks:
        if not resources and (found := _iptc_of(one)):
            resources = found
        else:
            others.append(one)
    return resources, others


def _iptc_of(chunk: Chunk) -> bytes:
    keyword, _, text = chunk.data.partition(b"\0")
    if keyword not in _IPTC_KEYWORDS or chunk.type not in (b"tEXt", b"zTXt"):
        return b""
    try:
        if chunk.type == b"zTXt":
            text = zlib.decompressobj().decompress(text[1:], 3 * METADATA_BYTES_MAXIMUM)
        _, _, length, digits = text.split(b"\n", 3)
        resources = bytes.fromhex(digits.decode("ascii"))
        return resources if len(resources) == int(length) and resources.startswith(b"8BIM") else b""
    except (ValueError, zlib.error):
        return b""


def keywords_of(chunks: Iterable[Chunk]) -> list[str]:
    """The keywords of the text."""
    return [one.data.split(b"\0", 1)[0].decode("latin-1") for one in chunks if one.type in TEXT_TYPES]
