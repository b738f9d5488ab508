"""What travels with a picture: it comes back where the format can hold it, and is named where it cannot."""

import hashlib
import io
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageCms, PngImagePlugin

from trimix.bitstream import METADATA_BYTES_MAXIMUM, Metadata
from trimix.errors import PictureError
from trimix.images import Picture, Strip, picture_of_image, read_picture, stripped, write_picture
from trimix.images.chunks import Chunk, pack_chunks, png_chunk, unpack_chunks, without_iptc
from trimix.images.exif import erase_position, erase_xmp_position
from trimix.images.matrix_profile import profile_of_chunks

PIXELS = np.random.default_rng(0).integers(0, 256, (8, 9, 3), np.uint8)
IMAGE = Image.fromarray(PIXELS)
LONG = b"<rdf:Description><x>" + b"abc " * 20000 + b"</x></rdf:Description>"
RDF = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="r">%b</rdf:RDF></x:xmpmeta>'


def saved(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def written(picture: Picture, kind: str) -> tuple[Picture, tuple[str, ...]]:
    buffer = io.BytesIO()
    notes = write_picture(picture, buffer, format=kind)
    return read_picture(buffer.getvalue()), notes


def png_with(*chunks: Chunk) -> bytes:
    data = saved(IMAGE, "PNG")
    return data[:33] + b"".join(map(png_chunk, chunks)) + data[33:]


def exif_with_position() -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "Maker"
    exif[ExifTags.Base.Software] = "a program"
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = b"comment"
    position = exif.get_ifd(ExifTags.IFD.GPSInfo)
    position[ExifTags.GPS.GPSLatitudeRef] = "N"
    position[ExifTags.GPS.GPSLatitude] = (48.0, 51.0, 29.6)
    return exif.tobytes()[6:]


# Colour


CHUNKS = (
    Chunk(b"cICP", bytes([9, 16, 0, 1])),
    Chunk(b"gAMA", (100000).to_bytes(4, "big")),
    Chunk(b"pHYs", struct.pack(">IIB", 3, 2, 0)),
    Chunk(b"tEXt", b"parameters\0a cat, Steps: 20"),
    Chunk(b"iTXt", b"Description\0\0\0de\0\0" + "schön".encode()),
)


def test_chunks_of_png_come_back_as_they_are():
    picture = read_picture(png_with(*CHUNKS))
    assert unpack_chunks(picture.metadata.chunks) == list(CHUNKS)
    again, notes = written(picture, "png")
    assert (again.metadata, notes) == (picture.metadata, ())


def test_what_srgb_or_a_profile_overrules_is_left_out():
    gamma, srgb = Chunk(b"gAMA", (45455).to_bytes(4, "big")), Chunk(b"sRGB", b"\0")
    assert unpack_chunks(read_picture(png_with(gamma, srgb)).metadata.chunks) == [srgb]
    image = Image.open(io.BytesIO(png_with(gamma)))
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert read_picture(saved(image, "PNG", icc_profile=profile)).metadata.chunks == b""


def to_srgb(profile: bytes, colour: tuple[int, int, int]) -> np.ndarray:
    image = Image.new("RGB", (1, 1), colour)
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"))
    return np.asarray(converted)[0, 0].astype(int)


@pytest.mark.parametrize("colour", [(200, 100, 50), (128, 128, 128), (0, 255, 0), (3, 2, 1)])
def test_a_profile_of_srgb_by_numbers_is_srgb(colour):
    """The colour engine of Pillow is the judge."""
    profile = profile_of_chunks([Chunk(b"cICP", bytes([1, 13, 0, 1]))])
    assert np.abs(to_srgb(profile, colour) - colour).max() <= 1
    gamma = profile_of_chunks([Chunk(b"gAMA", (45455).to_bytes(4, "big"))])
    assert np.abs(to_srgb(gamma, colour) - colour).max() <= 6


def test_linear_light_is_lighter_and_display_p3_is_stronger():
    linear = profile_of_chunks([Chunk(b"gAMA", (100000).to_bytes(4, "big"))])
    assert np.abs(to_srgb(linear, (55, 55, 55)) - 128).max() <= 2
    p3 = profile_of_chunks([Chunk(b"cICP", bytes([12, 13, 0, 1]))])
    # From Display P3 to sRGB in linear light: the product of CSS Color 4's two matrices.
    matrix = np.array([[1.2249, -0.2249, 0], [-0.0421, 1.0421, 0], [-0.0196, -0.0786, 1.0983]])
    light = matrix @ ((np.array([100, 150, 120]) / 255 + 0.055) / 1.055) ** 2.4
    wanted = 255 * (1.055 * light ** (1 / 2.4) - 0.055)
    assert np.abs(to_srgb(p3, (100, 150, 120)) - wanted).max() <= 1.5


def test_colours_become_a_profile_where_there_are_no_chunks():
    picture = Picture(PIXELS, metadata=Metadata(chunks=pack_chunks([CHUNKS[1]])))
    for kind in ("jpg", "tiff", "webp"):
        read, notes = written(picture, kind)
        assert read.metadata.icc_profile == profile_of_chunks([CHUNKS[1]]), kind
        assert notes == ()


@pytest.mark.parametrize("transfer", [16, 18])
def test_colours_that_no_profile_says_are_named(transfer):
    chunk = Chunk(b"cICP", bytes([9, transfer, 0, 1]))
    assert profile_of_chunks([chunk]) == b""
    _, notes = written(Picture(PIXELS, metadata=Metadata(chunks=pack_chunks([chunk]))), "jpg")
    assert notes == ("JPEG cannot hold colours (cICP): left out",)


@given(st.binary(max_size=40).map(lambda data: Chunk(b"cHRM", data.ljust(32, b"\0"))), st.binary(max_size=4))
def test_any_numbers_give_a_profile_or_none(chromaticities, gamma):
    with np.errstate(all="ignore"):
        profile_of_chunks([chromaticities, Chunk(b"gAMA", gamma)])


def test_colours_of_avif_by_numbers_are_kept():
    data = saved(Image.new("RGB", (16, 16)), "AVIF")
    at = data.index(b"colrnclx") + 8
    assert read_picture(data).metadata.chunks == b""
    pq = data[:at] + struct.pack(">HH", 9, 16) + data[at + 4 :]
    assert unpack_chunks(read_picture(pq).metadata.chunks) == [CHUNKS[0]]


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_is_converted_and_said(kind):
    data = saved(IMAGE.convert("CMYK"), kind, **({"quality": 100} if kind == "JPEG" else {}))
    picture = read_picture(data)
    assert np.abs(picture.pixels.astype(int) - PIXELS).mean() < (60 if kind == "JPEG" else 1)
    assert picture.notes == ("CMYK without a profile was converted to sRGB: its colours are a guess",)


def test_lab_is_converted_by_its_definition():
    lab = ImageCms.profileToProfile(
        IMAGE, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    picture = read_picture(saved(lab, "TIFF"))
    assert np.abs(picture.pixels.astype(int) - PIXELS).mean() < 3
    assert picture.notes == ("Lab was converted to sRGB by its profile",)


# Resolution, text, IPTC, comments


@pytest.mark.parametrize("kind", ["png", "jpg", "tiff", "bmp"])
def test_the_resolution_is_kept(kind):
    picture = read_picture(saved(IMAGE, "JPEG", dpi=(300, 150)))
    buffer = io.BytesIO()
    assert write_picture(picture, buffer, format=kind) == ()
    with Image.open(io.BytesIO(buffer.getvalue())) as image:
        assert image.info["dpi"] == pytest.approx((300, 150), abs=0.02)


@pytest.mark.parametrize("comment", [b"hello", "schön".encode(), "schön".encode("latin-1")])
def test_a_comment_comes_back(comment):
    picture = read_picture(saved(IMAGE, "JPEG", comment=comment))
    for _ in range(2):
        buffer = io.BytesIO()
        assert write_picture(picture, buffer, format="jpg") == ()
        with Image.open(io.BytesIO(buffer.getvalue())) as image:
            assert image.info["comment"] == comment
        picture = read_picture(buffer.getvalue())
    with_text, _ = written(picture, "png")
    assert with_text.metadata.chunks == picture.metadata.chunks


def iptc_of(size: int) -> bytes:
    records = b"\x1c\x02t\0\x0bCopyright A" + b"\x1c\x02x" + struct.pack(">H", size) + bytes(size)
    return b"8BIM\x04\x04\0\0" + struct.pack(">I", len(records)) + records + bytes(len(records) % 2)


@pytest.mark.parametrize("resources", [iptc_of(9), iptc_of(30000) * 4], ids=["one segment", "several"])
def test_iptc_comes_back(resources):
    picture = Picture(PIXELS, metadata=Metadata(iptc=resources))
    for kind in ("jpg", "tiff", "png"):
        read, notes = written(picture, kind)
        assert (read.metadata.iptc, read.metadata.chunks, notes) == (resources, b"", ())
    data = io.BytesIO()
    assert write_picture(picture, data, format="png") == ()
    with Image.open(io.BytesIO(data.getvalue())) as image:
        assert bytes.fromhex("".join(image.text["Raw profile type 8bim"].split("\n")[3:])) == resources


@pytest.mark.parametrize(
    "text",
    [b"", b"\n8bim\n       4\n3842494d", b"\n8bim\n       5\n3842494d\n", b"\n8bim\nx\n3842494d\n", b"\n8bim\n4\nzz\n"],
)
def test_text_that_only_looks_like_iptc_stays_text(text):
    chunk = Chunk(b"tEXt", b"Raw profile type iptc\0" + text)
    found = without_iptc([chunk])
    is_right = text.endswith(b"       4\n3842494d")
    assert found == ((b"8BIM", []) if is_right else (b"", [chunk]))


@pytest.mark.parametrize("extension", [RDF % LONG, b"X" * 70000], ids=["well formed", "anything"])
def test_extended_xmp_is_kept_whole(extension):
    identifier = hashlib.md5(extension).hexdigest().upper().encode()
    main = RDF % (b'<rdf:Description xmpNote:HasExtendedXMP="' + identifier + b'" dc:format="a"/>')
    picture = Picture(PIXELS, metadata=Metadata(xmp=main, extended_xmp=identifier + extension))
    read, notes = written(picture, "jpg")
    assert (read.metadata, notes) == (picture.metadata, ())
    read, notes = written(picture, "png")
    if extension.startswith(b"X"):
        assert notes == ("PNG cannot hold the extended part of XMP: left out",)
    else:
        assert LONG in read.metadata.xmp
        assert b"HasExtendedXMP" not in read.metadata.xmp
        assert b'dc:format="a"' in read.metadata.xmp


def test_xmp_that_no_segment_holds_is_written_in_parts():
    packet = RDF % LONG
    read, notes = written(Picture(PIXELS, metadata=Metadata(xmp=packet)), "jpg")
    assert (read.metadata.extended_xmp[32:], notes) == (packet, ())
    assert read.notes == ()


def test_damaged_extended_xmp_is_named():
    packet = RDF % (b'<rdf:Description xmpNote:HasExtendedXMP="' + b"A" * 32 + b'"/>')
    picture = read_picture(saved(IMAGE, "JPEG", xmp=packet))
    assert picture.notes == ("the extended part of XMP is damaged and was left out",)


def test_the_path_and_pillows_image_keep_the_same():
    chunked = png_with(*CHUNKS)
    photo = saved(IMAGE, "JPEG", dpi=(300, 300), comment=b"hello", exif=exif_with_position(), xmp=RDF % b"")
    for data in (chunked, photo):
        with Image.open(io.BytesIO(data)) as image:
            picture = picture_of_image(image)
        assert picture.metadata == read_picture(data).metadata
        assert (picture.pixels == read_picture(data).pixels).all()


def test_what_somebody_changed_in_an_image_is_what_counts():
    with Image.open(io.BytesIO(saved(IMAGE, "JPEG", exif=exif_with_position()))) as image:
        image.getexif()[ExifTags.Base.Make] = "Another"
        image.info["icc_profile"] = b"profile"
        metadata = picture_of_image(image).metadata
    kept = Image.Exif()
    kept.load(metadata.exif)
    assert (kept[ExifTags.Base.Make], metadata.icc_profile) == ("Another", b"profile")


@pytest.mark.parametrize("kind", ["bmp", "ppm", "webp"])
def test_all_that_is_lost_is_in_one_line(kind):
    metadata = Metadata(iptc=iptc_of(3), chunks=pack_chunks(CHUNKS[3:]), xmp=b"<x/>")
    _, notes = written(Picture(PIXELS, metadata=metadata), kind)
    (note,) = notes
    assert "IPTC" in note
    assert "text (parameters, Description): left out" in note
    assert ("XMP" in note) == (kind != "webp")


def test_limits_hold_before_anything_is_coded():
    with pytest.raises(PictureError, match="exif may have at most 16777216 bytes, found 16777217; strip it"):
        Picture(PIXELS, metadata=Metadata(exif=bytes(METADATA_BYTES_MAXIMUM + 1)))
    information = PngImagePlugin.PngInfo()
    information.add(b"tEXt", b"key\0" + bytes(METADATA_BYTES_MAXIMUM))
    with pytest.raises(PictureError, match="the picture: chunks may have at most"):
        read_picture(saved(IMAGE, "PNG", pnginfo=information))


# Stripping


def test_strip_gps_takes_the_position_and_nothing_else():
    block = exif_with_position()
    erased = erase_position(block)
    assert len(erased) == len(block)
    kept = Image.Exif()
    kept.load(erased)
    assert kept[ExifTags.Base.Make] == "Maker"
    assert kept[ExifTags.Base.Software] == "a program"
    assert kept.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] == b"comment"
    assert dict(kept.get_ifd(ExifTags.IFD.GPSInfo)) == {}
    latitude = struct.pack("<II", 48, 1)
    assert (latitude in block or latitude[::-1] in block) or b"\0\0\0\x30\0\0\0\1" in block
    assert latitude not in erased
    assert b"\0\0\0\x30\0\0\0\1" not in erased


def test_strip_gps_of_xmp():
    packet = b"""<a exif:GPSLatitude="48,51N" exif:Flash='1'><exif:GPSLongitude>2,17E</exif:GPSLongitude></a>"""
    assert erase_xmp_position(packet) == b"<a exif:Flash='1'></a>"


@given(st.binary(max_size=80), st.sampled_from([b"", b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08\0\1\x88\x25\0\4\0\0\0\1"]))
def test_stripping_a_damaged_block_never_fails(data, beginning):
    assert len(erase_position(beginning + data)) == len(beginning + data)


def test_strip_all_keeps_the_colours():
    metadata = Metadata(b"profile", b"exif", b"xmp", pack_chunks(CHUNKS), b"iptc", b"extended")
    kept = stripped(metadata, Strip.ALL)
    assert kept == Metadata(b"profile", chunks=pack_chunks(CHUNKS[:2]))
    assert stripped(metadata, Strip.PROFILE) == Metadata()
    assert stripped(metadata, Strip.NOTHING) is metadata
