"""The container: round trips, damage, and agreement with docs/format.md."""

import contextlib
import doctest
import importlib
import re
import struct
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimix.bitstream import (
    HEADER_BYTES_MAXIMUM,
    MAGIC,
    METADATA_BYTES_MAXIMUM,
    SIDE_MAXIMUM,
    Container,
    Header,
    Metadata,
    describe,
    lossless_header,
    read_header,
)
from trimix.bitstream import container as container_module
from trimix.errors import (
    CodecError,
    CorruptedFileError,
    NotATrimixFileError,
    TruncatedFileError,
    UnsupportedVersionError,
    UsageError,
)

GOLDEN = bytes.fromhex(
    "d4544d58 01 0100 0001020304050607 01 01 01 08 0064 00 01020304"
    "02 01 01 7ba501e4 02 02 17eb3ad4 29190174 aa bbcc".replace(" ", "")
)
HEADER = Header(1, bytes(range(8)), width=768, height=512, channels=3, bit_depth=8, quality=25600, tile_layout=0)
FULL = Container(
    HEADER,
    side=b"side bytes",
    latent=bytes(range(50)),
    symbol_checksum=0xDEADBEEF,
    metadata=Metadata(icc_profile=b"profile" * 20, exif=b"II*\0\x08\0\0\0\0\0", xmp=b"<x:xmpmeta/>"),
)

METADATA_TYPES = {0x81: "icc_profile", 0x82: "exif", 0x83: "xmp", 0x84: "chunks", 0x85: "iptc", 0x86: "extended_xmp"}
headers = st.builds(
    Header,
    model_identifier=st.integers(1, 0xFFFF),
    weights_hash=st.binary(min_size=8, max_size=8),
    width=st.integers(1, SIDE_MAXIMUM),
    height=st.integers(1, SIDE_MAXIMUM),
    channels=st.integers(1, 4),
    bit_depth=st.sampled_from([8, 16]),
    quality=st.integers(512, 51200),
    tile_layout=st.just(0),
).flatmap(
    lambda one: st.sampled_from([one, replace(one, has_equal_colours=one.channels >= 3)]).flatmap(
        lambda one: st.sampled_from(
            [one, lossless_header(one.width, one.height, one.channels, one.bit_depth, one.has_equal_colours)]
        )
    )
)
metadata_bytes = st.one_of(
    st.binary(max_size=300), st.builds(lambda b, n: b * n, st.binary(max_size=8), st.integers(0, 99))
)
containers = st.builds(
    Container,
    header=headers,
    side=st.binary(max_size=300),
    latent=st.binary(max_size=300),
    symbol_checksum=st.integers(0, 2**32 - 1),
    alpha=st.binary(max_size=300),
    pixels=st.binary(max_size=300),
    metadata=st.builds(Metadata, **dict.fromkeys(METADATA_TYPES.values(), metadata_bytes)),
).map(
    lambda one: replace(
        one,
        **{} if one.header.has_alpha else {"alpha": b""},
        **{"side": b"", "latent": b""} if one.header.is_lossless else {"pixels": b""},
    )
)


def with_header_crc(before: bytes, sections: bytes = b"") -> bytes:
    return before + struct.pack("<I", zlib.crc32(before)) + sections


def fixed_fields(channels=3, bit_depth=8, tile_layout=0, width=b"\x10", height=b"\x10") -> bytes:
    return (
        b"\xd4TMX\x01"
        + struct.pack("<H8s", 1, bytes(8))
        + width
        + height
        + struct.pack("<BBHBI", channels, bit_depth, 512, tile_layout, 0)
    )


def file_with_sections(*sections: tuple[int, bytes]) -> bytes:
    table = bytes([len(sections)])
    for type_byte, data in sections:
        length = bytes([len(data)]) if len(data) < 128 else bytes([len(data) & 127 | 128, len(data) >> 7])
        table += bytes([type_byte]) + length + struct.pack("<I", zlib.crc32(data))
    return with_header_crc(fixed_fields() + table, b"".join(data for _, data in sections))


def parse_by_the_page(data: bytes) -> dict:
    """A second reader, written from docs/format.md alone."""
    magic, version, model, weights_hash = struct.unpack_from("<4sBH8s", data, 0)
    assert magic == b"\xd4TMX"
    position = 15

    def varint() -> int:
        nonlocal position
        value = shift = 0
        while True:
            byte = data[position]
            position += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    width, height = varint(), varint()
    channels, bit_depth, quality, layout, checksum, count = struct.unpack_from("<BBHBIB", data, position)
    position += 10
    table = []
    for _ in range(count):
        type_byte = data[position]
        position += 1
        length = varint()
        (crc,) = struct.unpack_from("<I", data, position)
        position += 4
        table.append((type_byte, length, crc))
    assert struct.unpack_from("<I", data, position)[0] == zlib.crc32(data[:position])
    position += 4
    sections = {}
    for type_byte, length, crc in table:
        stored = data[position : position + length]
        assert zlib.crc32(stored) == crc
        position += length
        if type_byte & 0x40:
            end, data_before = position, position
            position -= length
            raw_length = varint()
            stored = zlib.decompress(data[position:end])
            position = data_before
            assert len(stored) == raw_length
        assert type_byte & 0xBF not in sections
        sections[type_byte & 0xBF] = stored
    assert position == len(data)
    return {
        "version": version,
        "header": Header(
            model, weights_hash, width, height, channels & 7, bit_depth, quality, layout, bool(channels & 8)
        ),
        "checksum": checksum,
        "sections": sections,
    }


@given(containers)
def test_reading_gives_back_what_was_written(container):
    data = container.to_bytes()
    assert Container.from_bytes(data) == container
    assert read_header(data) == container.header


@given(containers)
def test_a_reader_written_from_the_page_agrees(container):
    parsed = parse_by_the_page(container.to_bytes())
    assert parsed["header"] == container.header
    assert parsed["checksum"] == container.symbol_checksum
    header = container.header
    has_news = header.channels in (2, 4) or header.bit_depth == 16 or header.has_equal_colours
    assert parsed["version"] == (3 if header.is_lossless else 2 if has_news else 1)
    wanted = {4: container.pixels} if header.is_lossless else {1: container.side, 2: container.latent}
    if header.channels in (2, 4):
        wanted[3] = container.alpha
    optional = {number: getattr(container.metadata, name) for number, name in METADATA_TYPES.items()}
    assert parsed["sections"] == wanted | {key: value for key, value in optional.items() if value}


def test_golden_bytes():
    container = Container(
        Header(1, bytes(range(8)), width=1, height=1, channels=1, bit_depth=8, quality=25600),
        side=b"\xaa",
        latent=b"\xbb\xcc",
        symbol_checksum=0x04030201,
    )
    assert container.to_bytes() == GOLDEN
    assert Container.from_bytes(GOLDEN) == container


def test_the_example_of_the_page_is_the_golden_file():
    page = (Path(__file__).parents[2] / "docs" / "format.md").read_text("utf-8")
    block = re.search(r"## Example.*?```\n(.*?)```", page, re.DOTALL)
    assert block is not None
    digits = "".join(re.match(r"((?:[0-9a-f]{2} +)+)", line + " ")[1] for line in block[1].splitlines())
    assert bytes.fromhex(digits.replace(" ", "")) == GOLDEN


@pytest.mark.parametrize("data", [GOLDEN, FULL.to_bytes()], ids=["golden", "full"])
def test_every_truncation_is_refused(data):
    for size in range(len(data)):
        with pytest.raises(TruncatedFileError):
            Container.from_bytes(data[:size])


def test_every_altered_byte_is_noticed():
    data = FULL.to_bytes()
    for position in range(len(data)):
        for difference in (*(1 << bit for bit in range(8)), 0xFF, 0x55):
            altered = bytearray(data)
            altered[position] ^= difference
            with pytest.raises(CodecError):
                Container.from_bytes(bytes(altered))


@given(st.binary(max_size=400), st.sampled_from([b"", b"\xd4TMX", b"\xd4TMX\x01", GOLDEN[:31]]))
def test_random_bytes_give_a_codec_error(data, beginning):
    with pytest.raises(CodecError) as caught:
        Container.from_bytes(beginning + data)
    assert "\n" not in str(caught.value)


@given(st.binary(max_size=400))
def test_random_fields_under_a_right_header_checksum_never_raise_another_error(table):
    with contextlib.suppress(CodecError):
        Container.from_bytes(with_header_crc(fixed_fields() + table))


@given(st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=200)), max_size=6))
def test_random_sections_under_right_checksums_never_raise_another_error(sections):
    with contextlib.suppress(CodecError):
        Container.from_bytes(file_with_sections(*sections))


def test_overhead_is_at_most_52_bytes():
    largest = Header(0xFFFF, b"\xff" * 8, width=2**14, height=2**14, channels=3, bit_depth=8, quality=51200)
    container = Container(largest, side=bytes(2**16), latent=bytes(2**21), symbol_checksum=2**32 - 1)
    description = describe(container.to_bytes())
    assert description.header_bytes <= 52
    assert description.file_bytes - description.payload_bytes == description.header_bytes
    assert len(Container(HEADER, b"", b"", 0).to_bytes()) == 45


def test_description_needs_the_beginning_only():
    data = FULL.to_bytes()
    description = describe(data)
    assert describe(data[: description.header_bytes]) == description
    assert description.format_version == 1
    assert description.header == FULL.header
    assert description.symbol_checksum == 0xDEADBEEF
    assert description.file_bytes == len(data)
    assert description.payload_bytes == len(FULL.side) + len(FULL.latent)
    assert [section.name for section in description.sections] == ["side", "latent", "icc_profile", "exif", "xmp"]
    assert [section.is_deflated for section in description.sections] == [False, False, True, False, False]
    assert description.metadata_bytes == sum(section.stored_bytes for section in description.sections[2:])
    with pytest.raises(TruncatedFileError):
        describe(data[: description.header_bytes - 1])


def test_the_longest_header_fits_the_stated_maximum():
    width = b"\x80\x80\x80\x80\x04"
    table = bytes([255]) + (b"\x81" + b"\xff\xff\xff\xff\x0f" + bytes(4)) * 255
    assert len(with_header_crc(fixed_fields(width=width, height=width) + table)) == HEADER_BYTES_MAXIMUM


@pytest.mark.parametrize(
    ("beginning", "words"),
    [
        (b"\x89PNG\r\n\x1a\n", "found 89 50 4e 47; name a .tmix file"),
        (b"\x89", "found 89; name a .tmix file"),
        ("\xd4TMX".encode() + bytes(40), "text mode"),
        (b"\xef\xbf\xbdTMX", "text mode"),
        (b"\x54TMX" + bytes(40), "text mode"),
    ],
)
def test_other_files_are_named_as_such(beginning, words):
    with pytest.raises(NotATrimixFileError, match="must begin with the bytes d4 54 4d 58") as caught:
        read_header(beginning)
    assert words in str(caught.value)


def test_magic_is_not_ascii():
    assert MAGIC[0] >= 0x80


@pytest.mark.parametrize("version", [0, 4, 255])
def test_unknown_versions_are_refused_whatever_follows(version):
    with pytest.raises(UnsupportedVersionError, match=f"versions 1 to 3, found {version}; install a newer"):
        Container.from_bytes(MAGIC + bytes([version]))


NO_SECTIONS = b"\x00"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (fixed_fields(channels=4), "need format version 2"),
        (fixed_fields(channels=11), "need format version 2"),
        (fixed_fields(bit_depth=16), "need format version 2"),
        (fixed_fields(tile_layout=1), "slices need format version 3"),
        (fixed_fields(tile_layout=2), "found 2 .reserved"),
    ],
)
def test_reserved_features_are_refused(fields, words):
    with pytest.raises(UnsupportedVersionError, match=words):
        read_header(with_header_crc(fields + NO_SECTIONS))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (fixed_fields(channels=0), "channels must"),
        (fixed_fields(channels=5), "channels must"),
        (fixed_fields(bit_depth=7), "bit depth must be 8 or 16, found 7"),
        (fixed_fields(width=b"\x00"), "width must lie in 1..2.30 pixels, found 0"),
        (fixed_fields(height=b"\x00"), "height must"),
        (fixed_fields(width=b"\x81\x80\x80\x80\x04"), "found 1073741825"),
        (fixed_fields(width=b"\xff\xff\xff\xff\x0f"), "found 4294967295"),
        (fixed_fields(width=b"\xff\xff\xff\xff\x1f"), "varint"),
        (fixed_fields(width=b"\xff\xff\xff\xff\xff\x01"), "varint"),
        (fixed_fields(width=b"\x81\x00"), "shortest"),
    ],
)
def test_impossible_fields_are_refused(fields, words):
    with pytest.raises(CorruptedFileError, match=words):
        read_header(with_header_crc(fields + NO_SECTIONS))


SIDE_AND_LATENT = ((0x01, b"s"), (0x02, b"l"))


def test_sections_in_another_order_and_unknown_ancillary_ones_are_read():
    data = file_with_sections((0x83, b"x"), (0xBF, b"of the future"), (0xFE, b"\xff"), (0x02, b"l"), (0x01, b"s"))
    container = Container.from_bytes(data)
    assert (container.side, container.latent, container.metadata.xmp) == (b"s", b"l", b"x")
    assert describe(data).sections[1].name == "unknown 0xbf"


def test_damage_in_an_unknown_section_is_noticed():
    data = file_with_sections(*SIDE_AND_LATENT, (0xBF, b"of the future"))
    with pytest.raises(CorruptedFileError, match="unknown 0xbf must have CRC-32"):
        Container.from_bytes(data[:-1] + b"?")


@pytest.mark.parametrize(
    ("sections", "error", "words"),
    [
        ([(0x03, b"alpha")], CorruptedFileError, "must not have a section alpha"),
        ([(0x05, b"new")], UnsupportedVersionError, "found unknown 0x05; install a newer"),
        ([(0x00, b"")], UnsupportedVersionError, "found unknown 0x00"),
        ([(0x01, b"again")], CorruptedFileError, "found side 2 times"),
        ([(0x83, b""), (0xC3, b"")], CorruptedFileError, "found xmp 2 times"),
        ([(0xBF, b""), (0xBF, b"")], CorruptedFileError, "found unknown 0xbf 2 times"),
        ([(0xC1, b"\x03not zlib")], CorruptedFileError, "icc_profile must be a zlib stream"),
        ([(0xC1, b"")], CorruptedFileError, "raw length of icc_profile"),
        ([(0xC1, b"\x02" + zlib.compress(b"abc"))], CorruptedFileError, "unpack to the declared 2 bytes"),
        ([(0xC1, b"\x04" + zlib.compress(b"abc"))], CorruptedFileError, "unpack to the declared 4 bytes"),
        ([(0xC1, b"\x03" + zlib.compress(b"abc")[:-1])], CorruptedFileError, "unpack to the declared"),
        ([(0xC1, b"\x03" + zlib.compress(b"abc") + b"?")], CorruptedFileError, "unpack to the declared"),
        ([(0xC1, b"\x81\x80\x80\x08" + zlib.compress(b""))], CorruptedFileError, "at most 16777216 bytes"),
    ],
)
def test_sections_against_the_rules(sections, error, words):
    with pytest.raises(error, match=words):
        Container.from_bytes(file_with_sections(*SIDE_AND_LATENT, *sections))


def test_a_deflated_payload_is_reserved():
    with pytest.raises(UnsupportedVersionError, match="side must be stored as it is"):
        Container.from_bytes(file_with_sections((0x41, b"\x01" + zlib.compress(b"s")), (0x02, b"l")))


@pytest.mark.parametrize(("kept", "missing"), [((0x01, b"s"), "latent"), ((0x02, b"l"), "side")])
def test_a_missing_payload_section_is_refused(kept, missing):
    with pytest.raises(CorruptedFileError, match=f"must have a section {missing}, found none"):
        Container.from_bytes(file_with_sections(kept))


def test_trailing_bytes_are_refused():
    with pytest.raises(CorruptedFileError, match=f"at byte {len(GOLDEN)}, found 2 more bytes"):
        Container.from_bytes(GOLDEN + b"\0\0")


def test_a_declared_length_is_not_believed():
    table = b"\x02" + b"\x01\xff\xff\xff\xff\x0f" + bytes(4) + b"\x02\x00" + bytes(4)
    with pytest.raises(TruncatedFileError, match="must have 4294967"):
        Container.from_bytes(with_header_crc(fixed_fields() + table, b"few bytes"))


def test_a_bomb_is_unpacked_no_further_than_it_declares(monkeypatch):
    produced = []

    class Watched:
        def __init__(self):
            self.inner = zlib.decompressobj()

        def decompress(self, data, maximum):
            raw = self.inner.decompress(data, maximum)
            produced.append(len(raw))
            return raw

        eof = property(lambda self: self.inner.eof)
        unused_data = property(lambda self: self.inner.unused_data)

    fake_zlib = type("zlib", (), {"crc32": zlib.crc32, "error": zlib.error, "decompressobj": staticmethod(Watched)})
    data = file_with_sections(*SIDE_AND_LATENT, (0xC1, b"\x05" + zlib.compress(bytes(10**6))))
    monkeypatch.setattr(container_module, "zlib", fake_zlib)
    with pytest.raises(CorruptedFileError, match="declared 5 bytes"):
        Container.from_bytes(data)
    assert produced == [6]


def test_the_cap_on_metadata_can_be_lowered():
    data = FULL.to_bytes()
    with pytest.raises(CorruptedFileError, match="at most 100 bytes, found 140 declared"):
        Container.from_bytes(data, maximum_metadata_bytes=100)
    stored_as_is = file_with_sections(*SIDE_AND_LATENT, (0x83, b"packet"))
    with pytest.raises(CorruptedFileError, match="at most 5 bytes, found 6"):
        Container.from_bytes(stored_as_is, maximum_metadata_bytes=5)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model_identifier": 65536}, "model identifier"),
        ({"weights_hash": b"short"}, "weights hash must have 8 bytes, found 5"),
        ({"width": 0}, "width"),
        ({"height": SIDE_MAXIMUM + 1}, "height"),
        ({"channels": 5}, "channels"),
        ({"channels": 1, "has_equal_colours": True}, "only RGB"),
        ({"bit_depth": 10}, "bit depth"),
        ({"quality": 51201}, "quality"),
        ({"quality": 511}, "quality"),
        ({"tile_layout": 2}, "tile layout"),
    ],
)
def test_a_header_that_cannot_be_written_is_refused(changes, words):
    with pytest.raises(UsageError, match=words):
        replace(FULL, header=replace(HEADER, **changes)).to_bytes()


def test_other_contents_that_cannot_be_written_are_refused():
    with pytest.raises(UsageError, match="symbol checksum"):
        replace(FULL, symbol_checksum=2**32).to_bytes()
    with pytest.raises(UsageError, match="exif may have at most 16777216 bytes"):
        replace(FULL, metadata=Metadata(exif=bytes(METADATA_BYTES_MAXIMUM + 1))).to_bytes()


def test_the_largest_metadata_fits():
    container = replace(FULL, metadata=Metadata(exif=bytes(METADATA_BYTES_MAXIMUM)))
    data = container.to_bytes()
    assert len(data) < 2**16
    assert Container.from_bytes(data) == container


def test_the_room_needs_the_standard_library_only():
    folder = Path(container_module.__file__).parent
    imported = {
        match[1].split(".")[0]
        for path in folder.glob("*.py")
        for match in re.finditer(r"^(?:from|import) (\S+)", path.read_text("utf-8"), re.MULTILINE)
    }
    assert imported == {"collections", "dataclasses", "enum", "trimix", "zlib"}


@pytest.mark.parametrize("name", ["fields", "header", "container"])
def test_examples_in_docstrings(name):
    assert doctest.testmod(importlib.import_module(f"trimix.bitstream.{name}")).failed == 0
