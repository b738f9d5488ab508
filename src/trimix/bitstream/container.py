"""The `.tmix` file as a whole: header, section table, sections. `docs/format.md` is its specification.

    header, section table, CRC-32 of both | side | latent (or pixels) | alpha | ICC profile | EXIF | XMP | chunks | IPTC

A section's type byte says how a reader treats it:

    bit 7 (0x80)   ancillary: a reader that does not know the section may skip it; otherwise it must refuse
    bit 6 (0x40)   deflated: varint with the raw length, then a zlib stream
    bits 0..5      which section; at most one of each in a file
"""

import zlib
from dataclasses import dataclass, field
from enum import IntEnum

from trimix.bitstream.fields import FieldReader, FieldWriter
from trimix.bitstream.header import Header, check_fields, read_header_fields, read_magic_and_version, write_header
from trimix.errors import CorruptedFileError, TruncatedFileError, UnsupportedVersionError, UsageError

METADATA_BYTES_MAXIMUM = 16 * 2**20
"""Largest raw size of one metadata section, in bytes: what a reader may be made to allocate."""

# magic, version, header, symbol checksum, section count, 255 table entries, CRC-32
HEADER_BYTES_MAXIMUM = 4 + 1 + 25 + 4 + 1 + 255 * 10 + 4
"""No header with its section table is longer: so many first bytes suffice for `describe`."""

_ANCILLARY = 0x80
_DEFLATED = 0x40


class SectionType(IntEnum):
    """The sections, by type byte without the deflate bit."""

    SIDE = 0x01
    LATENT = 0x02
    ALPHA = 0x03
    PIXELS = 0x04
    ICC_PROFILE = 0x81
    EXIF = 0x82
    XMP = 0x83
    CHUNKS = 0x84
    IPTC = 0x85
    EXTENDED_XMP = 0x86

    @property
    def is_metadata(self) -> bool:
        """Whether a picture can be shown without it."""
        return bool(self & _ANCILLARY)


_KNOWN_TYPES = frozenset(int(section_type) for section_type in SectionType)


@dataclass(frozen=True, slots=True)
class Metadata:
    """What travels with a picture; each empty for none.

    Attributes:
        icc_profile: ICC profile of the pixels.
        exif: EXIF block from its TIFF header on (without `Exif\\0\\0`).
        xmp: XMP packet.
        chunks: colour, resolution and text in the form of PNG's chunks; see `trimix.images.chunks`.
        iptc: Photoshop's image resources (`8BIM`), which hold IPTC.
        extended_xmp: identifier (32 bytes) and contents of the part of XMP that JPEG keeps apart.
    """

    icc_profile: bytes = field(default=b"", repr=False)
    exif: bytes = field(default=b"", repr=False)
    xmp: bytes = field(default=b"", repr=False)
    chunks: bytes = field(default=b"", repr=False)
    iptc: bytes = field(default=b"", repr=False)
    extended_xmp: bytes = field(default=b"", repr=False)

    def sections(self) -> list[tuple[SectionType, bytes]]:
        """Those that are not empty, in the order of the file."""
        pairs = [(kind, getattr(self, kind.name.lower())) for kind in SectionType if kind.is_metadata]
        return [(kind, data) for kind, data in pairs if data]


NO_METADATA = Metadata()


@dataclass(frozen=True, slots=True)
class Section:
    """One line of the section table.

    Attributes:
        type_byte: as in the file, with the ancillary and the deflate bit.
    """

    type_byte: int
    stored_bytes: int
    crc: int

    @property
    def name(self) -> str:
        """`side`, `latent`, `icc_profile` and the rest in the same way, or `unknown 0x..`."""
        kind = self.type_byte & ~_DEFLATED
        return SectionType(kind).name.lower() if kind in _KNOWN_TYPES else f"unknown 0x{self.type_byte:02x}"

    @property
    def is_deflated(self) -> bool:
        """Whether the section is stored as a zlib stream."""
        return bool(self.type_byte & _DEFLATED)


@dataclass(frozen=True, slots=True)
class Description:
    """What a file says about itself, known without reading its sections.

    Attributes:
        header: the picture's size, model and quality.
        symbol_checksum: CRC-32 over the decoded symbols.
        header_bytes: bytes before the first section.
    """

    format_version: int
    header: Header
    symbol_checksum: int
    sections: tuple[Section, ...]
    header_bytes: int

    @property
    def file_bytes(self) -> int:
        """Bytes the whole file must have."""
        return self.header_bytes + sum(section.stored_bytes for section in self.sections)

    @property
    def payload_bytes(self) -> int:
        """Bytes of what becomes pixels: side and latent, or pixels; alpha."""
        return sum(section.stored_bytes for section in self.sections if not section.type_byte & _ANCILLARY)

    @property
    def metadata_bytes(self) -> int:
        """Bytes of all other sections."""
        return self.file_bytes - self.header_bytes - self.payload_bytes


@dataclass(frozen=True, slots=True)
class Container:
    """The contents of one `.tmix` file.

    Attributes:
        side: range-coded hyper-latents.
        latent: range-coded latents.
        symbol_checksum: CRC-32 over the decoded symbols, or over the samples without a model, 0 .. 2^32 - 1.
        alpha: alpha plane, a picture file; empty where the header says there is none.
        pixels: the samples themselves, a picture file, in place of side and latent where there is no model.

    >>> header = Header(1, bytes(8), width=768, height=512, channels=3, bit_depth=8, quality=25600)
    >>> data = Container(header, side=b"side", latent=b"latent", symbol_checksum=0).to_bytes()
    >>> Container.from_bytes(data).header.width
    768
    """

    header: Header
    side: bytes = field(repr=False)
    latent: bytes = field(repr=False)
    symbol_checksum: int
    alpha: bytes = field(default=b"", repr=False)
    pixels: bytes = field(default=b"", repr=False)
    metadata: Metadata = NO_METADATA

    def to_bytes(self) -> bytes:
        """The file. Raises UsageError: a header field or a section that the format cannot hold."""
        stored = [
            *((kind, getattr(self, kind.name.lower())) for kind in _needed(self.header)),
            *(_stored_metadata(section_type, data) for section_type, data in self.metadata.sections()),
        ]
        writer = FieldWriter()
        write_header(writer, self.header)
        writer.unsigned(self.symbol_checksum, size=4, name="symbol checksum")
        writer.unsigned(len(stored), size=1, name="section count")
        for type_byte, data in stored:
            writer.unsigned(type_byte, size=1, name="section type")
            writer.varint(len(data), name="section length")
            writer.unsigned(zlib.crc32(data), size=4, name="section CRC-32")
        writer.unsigned(zlib.crc32(writer.to_bytes()), size=4, name="header CRC-32")
        for _, data in stored:
            writer.raw(data)
        return writer.to_bytes()

    @classmethod
    def from_bytes(
        cls, data: bytes, *, maximum_metadata_bytes: int = METADATA_BYTES_MAXIMUM, keep_going: bool = False
    ) -> "Container":
        """Read a file; time and memory are bounded by its size and by `maximum_metadata_bytes`.

        Args:
            data: the whole file, and nothing after it.
            keep_going: do not look at the CRC-32 of latents in slices, which have checksums of their own.
            maximum_metadata_bytes: largest raw size of one metadata section, in bytes.

        Raises:
            NotATrimixFileError: other first bytes.
            UnsupportedVersionError: a version or a feature that this reader does not know.
            TruncatedFileError: the file ends before its contents do.
            CorruptedFileError: a wrong checksum, an impossible field, or bytes after the last section.
        """
        reader = FieldReader(data)
        description = _read_description(reader)
        if len(data) > description.file_bytes:
            raise CorruptedFileError(
                f"the file must end after its last section at byte {description.file_bytes}, "
                f"found {len(data) - description.file_bytes} more bytes; remove them or fetch the file again"
            )
        if len(data) < description.file_bytes:
            raise TruncatedFileError(
                f"the file must have {description.file_bytes} bytes, found {len(data)}; "
                "it was cut short: fetch it again"
            )
        contents: dict[int, bytes] = {}
        for section in description.sections:
            stored = reader.raw(section.stored_bytes, name=f"section {section.name}")
            is_checked = not (keep_going and description.header.tile_layout and section.type_byte == SectionType.LATENT)
            if is_checked and (computed := zlib.crc32(stored)) != section.crc:
                raise CorruptedFileError(
                    f"section {section.name} must have CRC-32 {section.crc:08x}, found {computed:08x}; "
                    "the file is damaged: fetch it again"
                )
            kind = section.type_byte & ~_DEFLATED
            if kind in _KNOWN_TYPES:
                contents[kind] = _raw_contents(section, stored, maximum_metadata_bytes)
        return cls(
            header=description.header,
            side=contents.get(SectionType.SIDE, b""),
            latent=contents.get(SectionType.LATENT, b""),
            symbol_checksum=description.symbol_checksum,
            alpha=contents.get(SectionType.ALPHA, b""),
            pixels=contents.get(SectionType.PIXELS, b""),
            metadata=Metadata(
                **{kind.name.lower(): contents[kind] for kind in SectionType if kind.is_metadata and kind in contents}
            ),
        )


def describe(data: bytes) -> Description:
    """What a file says about itself; its sections are neither read nor checked.

    Args:
        data: the file, or at least its first `HEADER_BYTES_MAXIMUM` bytes. Compare `file_bytes` of the result
            with the true size to find a truncated file.

    Raises:
        CodecError: not a header that this reader knows; the subclass says why.
    """
    return _read_description(FieldReader(data))


def read_header(data: bytes) -> Header:
    """The header of a file; see `describe`."""
    return describe(data).header


def _read_description(reader: FieldReader) -> Description:
    format_version = read_magic_and_version(reader)
    header = read_header_fields(reader)
    symbol_checksum = reader.unsigned(size=4, name="symbol checksum")
    count = reader.unsigned(size=1, name="section count")
    sections = tuple(
        Section(
            type_byte=reader.unsigned(size=1, name=f"type of section {index}"),
            stored_bytes=reader.varint(name=f"length of section {index}"),
            crc=reader.unsigned(size=4, name=f"CRC-32 of section {index}"),
        )
        for index in range(count)
    )
    computed = zlib.crc32(reader.before_position())
    stored = reader.unsigned(size=4, name="header CRC-32")
    # Nothing of the header is judged before this: damage must not look like a feature of a newer version.
    if stored != computed:
        raise CorruptedFileError(
            f"the header must have CRC-32 {stored:08x}, found {computed:08x}; the file is damaged: fetch it again"
        )
    check_fields(header, format_version)
    _check_sections(sections, _needed(header))
    return Description(format_version, header, symbol_checksum, sections, header_bytes=reader.position)


def _needed(header: Header) -> tuple[SectionType, ...]:
    """The critical sections of a file, in their order."""
    picture = (SectionType.PIXELS,) if header.is_lossless else (SectionType.SIDE, SectionType.LATENT)
    return (*picture, SectionType.ALPHA) if header.has_alpha else picture


def _check_sections(sections: tuple[Section, ...], needed: tuple[SectionType, ...]) -> None:
    kinds = [section.type_byte & ~_DEFLATED for section in sections]
    for section, kind in zip(sections, kinds, strict=True):
        if kinds.count(kind) > 1:
            raise CorruptedFileError(
                f"a section must stand once in a file, found {section.name} {kinds.count(kind)} times; "
                "the program that wrote the file is faulty: write it again"
            )
        if section.type_byte & _ANCILLARY:
            continue
        if kind not in _KNOWN_TYPES:
            raise UnsupportedVersionError(
                f"every critical section must be known to the reader, found {section.name}; install a newer trimix"
            )
        if section.is_deflated:
            raise UnsupportedVersionError(
                f"section {section.name} must be stored as it is, found it deflated (reserved); install a newer trimix"
            )
    for kind in SectionType:
        if not kind.is_metadata and (kind in kinds) != (kind in needed):
            must, found = ("must", "none") if kind in needed else ("must not", "one")
            raise CorruptedFileError(
                f"a file of this header {must} have a section {kind.name.lower()}, found {found}; "
                "the program that wrote the file is faulty: write it again"
            )


def _stored_metadata(section_type: SectionType, data: bytes) -> tuple[int, bytes]:
    if len(data) > METADATA_BYTES_MAXIMUM:
        raise UsageError(
            f"{section_type.name.lower()} may have at most {METADATA_BYTES_MAXIMUM} bytes, "
            f"found {len(data)}; remove it from the picture"
        )
    writer = FieldWriter()
    writer.varint(len(data), name="raw length")
    writer.raw(zlib.compress(data, 9))
    deflated = writer.to_bytes()
    return (section_type | _DEFLATED, deflated) if len(deflated) < len(data) else (section_type, data)


def _raw_contents(section: Section, stored: bytes, maximum_bytes: int) -> bytes:
    """Undo the deflation of a section; no more than its declared, bounded length is ever produced."""
    if not section.type_byte & _ANCILLARY:
        return stored
    declared, reader = len(stored), FieldReader(stored)
    if section.is_deflated:
        try:
            declared = reader.varint(name=f"raw length of {section.name}")
        except TruncatedFileError as error:
            # The section is whole (its CRC-32 is right): its writer cut it short, not the transfer.
            raise CorruptedFileError(str(error)) from None
    if declared > maximum_bytes:
        raise CorruptedFileError(
            f"{section.name} may have at most {maximum_bytes} bytes, found {declared} declared; "
            "write the file again without it"
        )
    if not section.is_deflated:
        return stored
    decompressor = zlib.decompressobj()
    try:
        # One byte more than declared is enough to notice a stream that is too long.
        raw = decompressor.decompress(reader.raw(reader.remaining, name=section.name), declared + 1)
    except zlib.error as error:
        raise CorruptedFileError(
            f"{section.name} must be a zlib stream, found that it is not ({error}); write the file again"
        ) from None
    if len(raw) != declared or not decompressor.eof or decompressor.unused_data:
        raise CorruptedFileError(
            f"{section.name} must unpack to the declared {declared} bytes, found another length; write the file again"
        )
    return raw
