"""The section `latent` of a file in slices: an index, then the stream of each slice."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from trimix.bitstream.fields import FieldReader, FieldWriter
from trimix.errors import CorruptedFileError


@dataclass(frozen=True, slots=True)
class SliceStream:
    """A slice of the latents.

    Attributes:
        stream: range-coded symbols.
        symbol_checksum: CRC-32 over its symbols, 0 .. 2^32 - 1.
    """

    stream: bytes = field(repr=False)
    symbol_checksum: int


def join_slices(slices: Sequence[SliceStream]) -> bytes:
    """The section: length and checksum of every slice, CRC-32 of these, streams.

    >>> split_slices(join_slices([SliceStream(b"abc", 7), SliceStream(b"", 8)]), 2)[0].stream
    b'abc'
    """
    writer = FieldWriter()
    for one in slices:
        writer.varint(len(one.stream), name="length of a slice")
        writer.unsigned(one.symbol_checksum, size=4, name="symbol checksum of a slice")
    writer.unsigned(zlib.crc32(writer.to_bytes()), size=4, name="CRC-32 of the index")
    for one in slices:
        writer.raw(one.stream)
    return writer.to_bytes()


def split_slices(data: bytes, count: int) -> list[SliceStream]:
    """The slices of a section; CorruptedFileError where its index does not fit it.

    Args:
        count: of slices, which follows from the size of the picture.
    """
    reader = FieldReader(data)
    table = [
        (reader.varint(name="length of a slice"), reader.unsigned(size=4, name="symbol checksum of a slice"))
        for _ in range(count)
    ]
    computed = zlib.crc32(reader.before_position())
    if (stored := reader.unsigned(size=4, name="CRC-32 of the index")) != computed:
        raise CorruptedFileError(
            f"the index of slices must have CRC-32 {stored:08x}, found {computed:08x}; "
            "the file is damaged: fetch it again"
        )
    if (wanted := sum(length for length, _ in table)) != reader.remaining:
        raise CorruptedFileError(
            f"the slices must fill their section, {wanted} bytes, found {reader.remaining}; write the file again"
        )
    return [SliceStream(reader.raw(length, name="a slice"), checksum) for length, checksum in table]
