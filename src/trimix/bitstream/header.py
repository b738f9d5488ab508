"""What a `.tmix` file says about its picture before the compressed payload."""

from dataclasses import dataclass

from trimix.bitstream.fields import FieldReader, FieldWriter
from trimix.errors import (
    CorruptedFileError,
    NotATrimixFileError,
    PictureTooLargeError,
    UnknownModelError,
    UnsupportedVersionError,
    UsageError,
)

# The first byte is no ASCII letter, so no text file begins like this, and a text-mode copy shows.
MAGIC = b"\xd4TMX"
FORMAT_VERSION = 3
"""The newest that is read. What an older version can hold is written as that, so that older readers read it."""

SIDE_MAXIMUM = 2**30
"""Largest width and largest height, in pixels."""
MAXIMUM_PIXELS = 2**28
"""Of a picture that is decoded, unless a caller allows more."""
MAXIMUM_SIDE = 2**16
"""Of a picture that is coded."""
QUALITY_STEPS = 512
"""Steps of the `quality` field per unit of quality."""
WEIGHTS_HASH_SIZE = 8
_NO_MODEL = 0
"""Identifier of no architecture: the file holds the samples themselves."""

_EQUAL_COLOURS = 8
"""Bit of the field `channels`."""
# What a transfer in text mode makes of the first byte: Latin-1 to UTF-8, invalid UTF-8, seven bits.
_MANGLED_MAGICS = (b"\xc3\x94TMX", b"\xef\xbf\xbdTMX", b"TTMX", b"?TMX")


@dataclass(frozen=True, slots=True)
class Header:
    """The fixed facts of one compressed picture.

    Attributes:
        model_identifier: frozen number of the architecture, 1 .. 65535; 0 for samples kept as they are.
        weights_hash: the first 8 bytes of the weights' SHA-256; zeros without a model.
        width: pixels, 1 .. 2^30.
        height: pixels, 1 .. 2^30.
        channels: 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha.
        bit_depth: bits per sample: 8 or 16.
        quality: quality in steps of 1/512, 0 .. 65535: quality 100 is 51200.
        tile_layout: 0: latents are coded in one; 1: in slices of 32 x 32 (others are reserved).
        has_equal_colours: R, G and B are equal everywhere: coded as grey, decoded to RGB.
    """

    model_identifier: int
    weights_hash: bytes
    width: int
    height: int
    channels: int
    bit_depth: int
    quality: int
    tile_layout: int = 0
    has_equal_colours: bool = False

    @property
    def has_alpha(self) -> bool:
        """Whether there is an alpha plane, in a section of its own."""
        return self.channels in (2, 4)

    @property
    def colour_channels(self) -> int:
        """Channels that the network decodes: 1 or 3."""
        return 1 if self.has_equal_colours or self.channels <= 2 else 3

    @property
    def is_lossless(self) -> bool:
        """Whether the file holds the samples themselves, which no model decodes."""
        return self.model_identifier == _NO_MODEL

    @property
    def format_version(self) -> int:
        """The lowest that can hold the picture."""
        if self.is_lossless or self.tile_layout:
            return 3
        return 2 if self.has_alpha or self.bit_depth > 8 or self.has_equal_colours else 1


def lossless_header(width: int, height: int, channels: int, bit_depth: int, has_equal_colours: bool) -> Header:
    """The header of a file that holds the samples themselves."""
    return Header(
        model_identifier=_NO_MODEL,
        weights_hash=bytes(WEIGHTS_HASH_SIZE),
        width=width,
        height=height,
        channels=channels,
        bit_depth=bit_depth,
        quality=100 * QUALITY_STEPS,
        has_equal_colours=has_equal_colours,
    )


def read_magic_and_version(reader: FieldReader) -> int:
    """The format version, after the magic bytes.

    Raises:
        NotATrimixFileError: other first bytes; the message says which.
        UnsupportedVersionError: a version this reader does not know.
        TruncatedFileError: the file ends before the version does.
    """
    # Look at the longest beginning there is: a text file of 3 bytes is not a truncated .tmix file.
    beginning = reader.raw(min(len(MAGIC), reader.remaining), name="magic bytes")
    if not MAGIC.startswith(beginning):
        hint = "name a .tmix file"
        if any(beginning == mangled[: len(beginning)] for mangled in _MANGLED_MAGICS):
            hint = "the file looks mangled by a transfer in text mode: transfer it again in binary mode"
        raise NotATrimixFileError(
            f"a trimix file must begin with the bytes {MAGIC.hex(' ')}, found {beginning.hex(' ')}; {hint}"
        )
    reader.raw(len(MAGIC) - len(beginning), name="rest of the magic bytes")
    version = reader.unsigned(size=1, name="format version")
    if not 1 <= version <= FORMAT_VERSION:
        raise UnsupportedVersionError(
            f"this reader knows the format versions 1 to {FORMAT_VERSION}, found {version}; install a newer trimix"
        )
    return version


def write_header(writer: FieldWriter, header: Header) -> None:
    """Append the magic bytes, the version and the fields; UsageError for one that the format does not allow."""
    if problem := _reserved(header, FORMAT_VERSION) or _impossible(header):
        raise UsageError(f"{problem}; give a header that this format version can hold")
    writer.raw(MAGIC)
    writer.unsigned(header.format_version, size=1, name="format version")
    writer.unsigned(header.model_identifier, size=2, name="model identifier")
    writer.raw(header.weights_hash)
    writer.varint(header.width, name="width")
    writer.varint(header.height, name="height")
    writer.unsigned(header.channels | _EQUAL_COLOURS * header.has_equal_colours, size=1, name="channels")
    writer.unsigned(header.bit_depth, size=1, name="bit depth")
    writer.unsigned(header.quality, size=2, name="quality")
    writer.unsigned(header.tile_layout, size=1, name="tile layout")


def read_header_fields(reader: FieldReader) -> Header:
    """The fields of a header, not yet believed: see `check_fields`. Raises as `FieldReader` does."""
    return Header(
        model_identifier=reader.unsigned(size=2, name="model identifier"),
        weights_hash=reader.raw(WEIGHTS_HASH_SIZE, name="weights hash"),
        width=reader.varint(name="width"),
        height=reader.varint(name="height"),
        channels=(channels := reader.unsigned(size=1, name="channels")) & ~_EQUAL_COLOURS,
        has_equal_colours=bool(channels & _EQUAL_COLOURS),
        bit_depth=reader.unsigned(size=1, name="bit depth"),
        quality=reader.unsigned(size=2, name="quality"),
        tile_layout=reader.unsigned(size=1, name="tile layout"),
    )


def check_fields(header: Header, version: int) -> None:
    """Refuse a header that was read whole but cannot be used.

    Call it after the header's CRC-32 was found right, so that damage is not taken for a newer feature.

    Raises:
        CorruptedFileError: a value that no writer may write.
        UnsupportedVersionError: a value reserved for a later version.
    """
    if problem := _reserved(header, version):
        raise UnsupportedVersionError(f"{problem}; install a newer trimix")
    if problem := _impossible(header):
        raise CorruptedFileError(f"{problem}; the program that wrote the file is faulty: write it again")


def _reserved(header: Header, version: int) -> str | None:
    if header.tile_layout > 1:
        return f"tile layout must be 0 (one tile) or 1 (slices), found {header.tile_layout} (reserved)"
    if version < header.format_version:
        what = "alpha, 16 bits and equal colours need"
        if header.format_version == 3:
            what = "a picture without a model needs" if header.is_lossless else "slices need"
        return f"{what} format version {header.format_version}, found it in a file of version {version}"
    return None


def _impossible(header: Header) -> str | None:
    if not 0 <= header.model_identifier <= 0xFFFF:
        return f"model identifier must lie in 0..65535, found {header.model_identifier}"
    if len(header.weights_hash) != WEIGHTS_HASH_SIZE:
        return f"weights hash must have {WEIGHTS_HASH_SIZE} bytes, found {len(header.weights_hash)}"
    if header.is_lossless and (any(header.weights_hash) or header.quality != 100 * QUALITY_STEPS):
        return "a file without a model must have the weights hash 0 and the quality 100"
    if header.is_lossless and header.tile_layout:
        return "a file without a model must have the tile layout 0"
    if not 1 <= header.width <= SIDE_MAXIMUM:
        return f"width must lie in 1..2^30 pixels, found {header.width}"
    if not 1 <= header.height <= SIDE_MAXIMUM:
        return f"height must lie in 1..2^30 pixels, found {header.height}"
    if not 1 <= header.channels <= 4:
        return f"channels must be 1 (grey), 2 (with alpha), 3 (RGB) or 4 (with alpha), found {header.channels}"
    if header.has_equal_colours and header.channels < 3:
        return f"only RGB can have equal colours, found {header.channels} channels"
    if header.bit_depth not in (8, 16):
        return f"bit depth must be 8 or 16, found {header.bit_depth}"
    if not QUALITY_STEPS <= header.quality <= 100 * QUALITY_STEPS:
        return f"quality must lie in {QUALITY_STEPS}..{100 * QUALITY_STEPS} steps, found {header.quality}"
    return None


def check_sides(width: int, height: int) -> None:
    """Refuse a picture with a side that is too long; raises PictureTooLargeError."""
    # Strips bound the memory of tall pictures, not of wide ones; and a picture one pixel high is padded to 64.
    if max(width, height) > MAXIMUM_SIDE:
        raise PictureTooLargeError(
            f"a side must have at most {MAXIMUM_SIDE} pixels, found {width}x{height}; cut the picture"
        )


def check_size(header: Header, maximum_pixels: int) -> None:
    """Refuse a file whose header claims more pixels, before anything else of it is read: PictureTooLargeError."""
    if header.width * header.height > maximum_pixels:
        raise PictureTooLargeError(
            f"the picture must have at most {maximum_pixels} pixels, the file claims "
            f"{header.width}x{header.height}; raise the limit if you trust the file"
        )
    check_sides(header.width, header.height)


def refuse_lossless(header: Header) -> None:
    """Refuse a file that no model decodes: UnknownModelError."""
    if header.is_lossless:
        raise UnknownModelError("a file without loss has no model; take trimix.decompress, which reads all files")


def check_header(header: Header, model: str, model_identifier: int, weights_hash: bytes, maximum_pixels: int) -> None:
    """Refuse a file before anything else of it is read.

    Raises:
        PictureTooLargeError: the header claims more.
        UnknownModelError: it names another model, or none.
        CorruptedFileError: it names the model, and another architecture.
    """
    check_size(header, maximum_pixels)
    refuse_lossless(header)
    if header.weights_hash != weights_hash:
        raise UnknownModelError(
            f"the file needs the model with hash {header.weights_hash.hex()}, this codec has {model} "
            f"({weights_hash.hex()})"
        )
    if header.model_identifier != model_identifier:
        raise CorruptedFileError(
            f"a file of the model {model} must name the architecture {model_identifier}, found "
            f"{header.model_identifier}: the file is damaged, get it again"
        )
