"""The `.tmix` file: its header, its sections, and nothing about what they mean (`docs/format.md`)."""

from trimix.bitstream.container import (
    HEADER_BYTES_MAXIMUM,
    METADATA_BYTES_MAXIMUM,
    NO_METADATA,
    Container,
    Description,
    Metadata,
    Section,
    SectionType,
    describe,
    read_header,
)
from trimix.bitstream.fields import FieldReader, FieldWriter
from trimix.bitstream.header import (
    FORMAT_VERSION,
    MAGIC,
    MAXIMUM_PIXELS,
    MAXIMUM_SIDE,
    QUALITY_STEPS,
    SIDE_MAXIMUM,
    Header,
    check_header,
    check_sides,
    check_size,
    lossless_header,
)
from trimix.bitstream.slices import SliceStream, join_slices, split_slices

__all__ = [
    "FORMAT_VERSION",
    "HEADER_BYTES_MAXIMUM",
    "MAGIC",
    "MAXIMUM_PIXELS",
    "MAXIMUM_SIDE",
    "METADATA_BYTES_MAXIMUM",
    "NO_METADATA",
    "QUALITY_STEPS",
    "SIDE_MAXIMUM",
    "Container",
    "Description",
    "FieldReader",
    "FieldWriter",
    "Header",
    "Metadata",
    "Section",
    "SectionType",
    "SliceStream",
    "check_header",
    "check_sides",
    "check_size",
    "describe",
    "join_slices",
    "lossless_header",
    "read_header",
    "split_slices",
]
