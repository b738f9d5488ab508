"""Picture files: what is read as what, what is refused and how, what is written."""

import doctest
import importlib
import io
import os
import struct
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageCms, ImageOps, PngImagePlugin, TiffImagePlugin

from trimix.bitstream import Metadata
from trimix.errors import OutputError, PictureError, PictureTooLargeError, UsageError
from trimix.images import OUTPUT_FORMATS, Picture, Strip, output_format, read_picture, write_picture
from trimix.images.exif import apply_orientation, read_orientation, reset_orientation, reset_xmp_orientation
from trimix.images.picture import picture_of_samples

ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><d tiff:Orientation="6"/></x:xmpmeta>'
COLOUR = np.random.default_rng(1).integers(0, 256, (6, 9, 3), dtype=np.uint8)
GREY = COLOUR[:, :, :1]


def exif_block(orientation: int | None = None) -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "Maker"
    if orientation is not None:
        exif[ExifTags.Base.Orientation] = orientation
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = b"comment"
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] = "N"
    return exif.tobytes()


def saved(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def image_of(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)


def png(width, height, bit_depth, colour_type, rows: bytes, extra: bytes = b"") -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, bit_depth, colour_type, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + extra
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def tiff(bits: tuple[int, ...], photometric: int, data: bytes, extra_samples: int | None = None) -> bytes:
    """A 1 x 1 little-endian TIFF, tag by tag."""
    entries = [
        (256, 3, (1,)),
        (257, 3, (1,)),
        (258, 3, bits),
        (259, 3, (1,)),
        (262, 3, (photometric,)),
        (273, 4, (0,)),
        (277, 3, (len(bits),)),
        (278, 3, (1,)),
        (279, 4, (len(data),)),
    ]
    if extra_samples is not None:
        entries.append((338, 3, (extra_samples,)))
    tail_offset = 8 + 2 + 12 * len(entries) + 4
    tail = struct.pack(f"<{len(bits)}H", *bits).ljust(8, b"\0")
    body = struct.pack("<H", len(entries))
    for tag, kind, values in entries:
        if tag == 273:
            value = struct.pack("<I", tail_offset + 8)
        elif len(values) > 2:
            value = struct.pack("<I", tail_offset)
        else:
            value = struct.pack(f"<{len(values)}{'H' if kind == 3 else 'I'}", *values).ljust(4, b"\0")
        body += struct.pack("<HHI", tag, kind, len(values)) + value
    return b"II*\0" + struct.pack("<I", 8) + body + bytes(4) + tail + data


def refusal(data, **options) -> str:
    with pytest.raises(PictureError) as caught:
        read_picture(data, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Reading


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "PPM"])
@pytest.mark.parametrize("pixels", [COLOUR, GREY], ids=["colour", "grey"])
def test_lossless_formats_are_read_exactly(pixels, kind):
    picture = read_picture(saved(image_of(pixels), kind))
    assert (picture.pixels == pixels).all()
    assert (picture.height, picture.width, picture.channels) == pixels.shape


@pytest.mark.parametrize(("kind", "options"), [("WEBP", {"lossless": True}), ("JPEG", {}), ("AVIF", {})])
def test_other_formats_are_read_as_pillow_reads_them(kind, options):
    data = saved(image_of(COLOUR), kind, **options)
    assert (read_picture(data).pixels == np.asarray(Image.open(io.BytesIO(data)))).all()


def test_a_grey_jpeg_stays_grey():
    assert read_picture(saved(image_of(GREY), "JPEG")).channels == 1


def test_sources_of_all_kinds(tmp_path):
    data = saved(image_of(COLOUR), "PNG")
    path = tmp_path / "picture.png"
    path.write_bytes(data)

    class Pipe(io.BytesIO):
        def seekable(self):
            return False

        def seek(self, *_):
            raise io.UnsupportedOperation("seek")

    stream = io.BytesIO(b"before" + data)
    stream.seek(6)
    for source in (path, data, io.BytesIO(data), Pipe(data), stream):
        assert (read_picture(source).pixels == COLOUR).all()


@pytest.mark.parametrize("kind", ["PNG", "GIF", "TIFF", "BMP"])
def test_a_palette_becomes_rgb(kind):
    image = image_of(COLOUR).quantize(8)
    picture = read_picture(saved(image, kind))
    assert (picture.pixels == np.asarray(image.convert("RGB"))).all()


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "PPM"])
def test_two_levels_become_grey(kind):
    levels = (GREY[:, :, 0] > 127).astype(np.uint8) * 255
    picture = read_picture(saved(Image.fromarray(levels).convert("1"), kind))
    assert (picture.pixels[:, :, 0] == levels).all()


@pytest.mark.parametrize(
    ("depth", "row", "levels"), [(2, b"\x1b", [0, 85, 170, 255]), (4, b"\x0f\x80", [0, 255, 136, 0])]
)
def test_few_levels_of_grey_are_spread(depth, row, levels):
    assert read_picture(png(4, 1, depth, 0, b"\0" + row)).pixels.ravel().tolist() == levels


def test_ycbcr_tiff_becomes_rgb():
    image = image_of(COLOUR).convert("YCbCr")
    picture = read_picture(saved(image, "TIFF"))
    assert (picture.pixels == np.asarray(image.convert("RGB"))).all()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "AVIF"])
def test_orientation_is_applied_and_reset(kind, orientation):
    data = saved(image_of(COLOUR), kind, exif=exif_block(orientation), **({"lossless": True} if kind == "WEBP" else {}))
    with Image.open(io.BytesIO(data)) as image:
        upright = ImageOps.exif_transpose(image)
    picture = read_picture(data)
    assert (picture.pixels == np.asarray(upright)).all()
    assert read_orientation(picture.metadata.exif) == 1
    kept = Image.Exif()
    kept.load(picture.metadata.exif)
    assert kept[ExifTags.Base.Make] == "Maker"
    assert kept.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] == b"comment"
    assert kept.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] == "N"


def test_only_the_orientation_changes_in_a_kept_exif_block():
    block = exif_block(6)[6:]
    kept = read_picture(saved(image_of(COLOUR), "JPEG", exif=exif_block(6), xmp=XMP))
    assert kept.metadata.exif == reset_orientation(block)
    assert [i for i in range(len(block)) if block[i] != kept.metadata.exif[i]] != []
    assert sum(a != b for a, b in zip(block, kept.metadata.exif, strict=True)) == 1
    assert kept.metadata.xmp == XMP.replace(b'"6"', b'"1"')


def test_xmp_is_left_alone_where_nothing_was_turned():
    assert read_picture(saved(image_of(COLOUR), "JPEG", xmp=XMP)).metadata.xmp == XMP


@pytest.mark.parametrize(
    "text", [b'tiff:Orientation="8"', b"tiff:Orientation='3'", b"<tiff:Orientation>8</tiff:Orientation>"]
)
def test_every_spelling_of_the_orientation_in_xmp(text):
    assert reset_xmp_orientation(text) == text.replace(b"8", b"1").replace(b"3", b"1")


@given(st.binary(max_size=60), st.sampled_from([b"", b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08"]))
def test_damaged_exif_is_read_without_an_error(data, beginning):
    block = beginning + data
    assert 1 <= read_orientation(block) <= 8
    assert len(reset_orientation(block)) == len(block)
    assert read_orientation(reset_orientation(block)) == 1


def test_a_big_endian_block():
    block = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x08\0\0\0\0\0\0"
    assert read_orientation(block) == 8
    assert reset_orientation(block) == block.replace(b"\0\x08\0\0\0\0\0\0", b"\0\x01\0\0\0\0\0\0")


def test_a_damaged_exif_block_does_not_hide_the_picture():
    data = saved(image_of(COLOUR), "PNG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert (read_picture(data).pixels == COLOUR).all()


@given(st.integers(1, 8), st.integers(1, 4), st.integers(1, 4))
def test_orientations_agree_with_pillow(orientation, height, width):
    pixels = np.arange(height * width, dtype=np.uint8).reshape(height, width, 1)
    image = image_of(pixels)
    image.getexif()[ExifTags.Base.Orientation] = orientation
    assert (apply_orientation(pixels, orientation)[:, :, 0] == np.asarray(ImageOps.exif_transpose(image))).all()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "AVIF"])
def test_icc_profile_and_xmp_are_kept(kind):
    packet = b"<x>text</x>"
    options = {"icc_profile": ICC, "xmp": packet}
    if kind == "PNG":
        options["pnginfo"] = PngImagePlugin.PngInfo()
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", options.pop("xmp").decode())
    if kind == "TIFF":
        options["tiffinfo"] = {700: options.pop("xmp")}
    picture = read_picture(saved(image_of(COLOUR), kind, **options))
    assert picture.metadata.icc_profile == ICC
    assert picture.metadata.xmp == packet


# Refusing


def test_8_bits_of_the_same_makers_are_read():
    assert read_picture(tiff((8, 8, 8), 2, b"\1\2\3")).pixels.tolist() == [[[1, 2, 3]]]
    assert read_picture(b"P6\n# a comment\n1 1\n255\n\1\2\3").pixels.tolist() == [[[1, 2, 3]]]


def test_unexplained_samples_are_refused():
    message = refusal(tiff((8, 8, 8, 8), 2, bytes(4), extra_samples=0))
    assert "colours must be grey, RGB, CMYK or Lab, found mode RGB with 1 more samples" in message


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF", "AVIF"])
def test_several_frames_are_refused(kind):
    frames = [Image.new("RGB", (8, 8), (50 * k, 0, 0)) for k in range(3)]
    message = refusal(saved(frames[0], kind, save_all=True, append_images=frames[1:]))
    assert "must hold one picture, found 3 frames or pages; choose one by its number, 0 to 2" in message


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "BMP", "PPM", "AVIF", "GIF"])
def test_the_size_is_limited(kind):
    data = saved(Image.new("L" if kind == "GIF" else "RGB", (10, 11)), kind)
    assert read_picture(data, maximum_pixels=110).width == 10
    with pytest.raises(PictureTooLargeError, match="at most 109 pixels, found 10 x 11 = 110; raise the limit"):
        read_picture(data, maximum_pixels=109)


@pytest.mark.parametrize("side", [2**15 - 1, 2**31 - 1])
def test_a_bomb_is_refused_before_it_is_decoded(side):
    with pytest.raises(PictureTooLargeError, match="raise the limit"):
        read_picture(png(side, side, 8, 2, b""))


def webp_headers():
    size = 16384
    beginning = b"RIFF" + struct.pack("<I", 100) + b"WEBP"
    extended = (size - 1).to_bytes(3, "little") * 2
    yield beginning + b"VP8X" + struct.pack("<I", 10) + bytes(4) + extended
    yield (beginning + b"VP8L" + struct.pack("<I", 50) + b"\x2f" + struct.pack("<I", (size - 1) << 14 | (size - 1)))
    yield (beginning + b"VP8 " + struct.pack("<I", 50) + b"\0\0\0\x9d\x01\x2a" + struct.pack("<HH", 16383, 16383))


@pytest.mark.parametrize("header", list(webp_headers()), ids=["extended", "lossless", "lossy"])
def test_a_webp_bomb_is_refused_before_it_is_opened(header):
    with pytest.raises(PictureTooLargeError):
        read_picture(header + bytes(100), maximum_pixels=2**27)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "PPM", "WEBP"])
def test_pillows_own_limit_does_not_leak(monkeypatch, kind):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4)
    data = saved(image_of(COLOUR), kind, **({"lossless": True} if kind == "WEBP" else {}))
    assert (read_picture(data).pixels == COLOUR).all()
    assert Image.MAX_IMAGE_PIXELS == 4


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "BMP", "PPM", "AVIF", "GIF"])
def test_every_truncation_is_refused_or_harmless(kind):
    image = Image.new("L", (12, 9), 7) if kind == "GIF" else image_of(COLOUR)
    data = saved(image, kind, **({"lossless": True} if kind == "WEBP" else {}))
    whole = read_picture(data).pixels
    step = max(1, len(data) // 150)
    for size in range(0, len(data), step):
        try:
            picture = read_picture(data[:size])
        except PictureError as error:
            assert "\n" not in str(error)
        else:
            assert (picture.pixels == whole).all(), size
    assert "damaged" in refusal(data[: len(data) // 2])


@settings(max_examples=200)
@given(st.data())
def test_altered_files_give_a_picture_or_a_picture_error(data):
    kind = data.draw(st.sampled_from(["PNG", "JPEG", "WEBP", "TIFF", "BMP", "PPM", "GIF"]))
    image = Image.new("L", (12, 9), 7) if kind == "GIF" else image_of(COLOUR)
    contents = bytearray(saved(image, kind))
    for _ in range(data.draw(st.integers(1, 4))):
        contents[data.draw(st.integers(0, len(contents) - 1))] = data.draw(st.integers(0, 255))
    try:
        read_picture(bytes(contents), maximum_pixels=2**16)
    except PictureError as error:
        assert "\n" not in str(error)


@given(st.binary(max_size=200))
def test_random_bytes_are_refused(data):
    assert refusal(data)


def test_missing_and_unreadable_files(tmp_path, monkeypatch):
    assert "found no such file" in refusal(tmp_path / "none.png")
    assert "found a directory" in refusal(tmp_path)
    (tmp_path / "empty.png").touch()
    assert "found it empty" in refusal(tmp_path / "empty.png")
    (tmp_path / "text.png").write_text("no picture")
    message = refusal(tmp_path / "text.png")
    assert message.startswith(str(tmp_path / "text.png"))
    assert "must be one of PNG, JPEG" in message
    assert "cannot be opened" in refusal(tmp_path / "text.png" / "below")

    def forbidden(*_):
        raise PermissionError

    monkeypatch.setattr(type(tmp_path), "open", forbidden)
    assert "reading must be permitted" in refusal(tmp_path / "text.png")


def test_vector_formats_are_not_opened():
    assert "found PDF or PostScript" in refusal(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    for beginning in (b"", b'<?xml version="1.0"?>\n<!-- drawn -->\n<!DOCTYPE svg>'):
        assert "found SVG" in refusal(beginning + b'<svg xmlns="http://www.w3.org/2000/svg"></svg>')


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((2, 2), np.uint8),
        np.zeros((2, 2, 4), np.uint8),
        np.zeros((0, 2, 3), np.uint8),
        np.zeros((2, 2, 3), np.int16),
    ],
)
def test_a_picture_holds_8_or_16_bits_of_one_or_three_channels(pixels):
    with pytest.raises(PictureError, match=r"pixels must be uint8 or uint16 \[height, width, 1 or 3\]"):
        Picture(pixels)


# Writing


@pytest.mark.parametrize("kind", ["png", "tiff", "bmp", "ppm", "webp"])
@pytest.mark.parametrize("pixels", [COLOUR, GREY], ids=["colour", "grey"])
def test_lossless_outputs_come_back(tmp_path, kind, pixels):
    path = tmp_path / f"picture.{kind}"
    write_picture(Picture(pixels), path)
    assert (read_picture(path).pixels == pixels).all()
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("pixels", [COLOUR, GREY], ids=["colour", "grey"])
def test_jpeg_comes_back_nearly(pixels):
    smooth = np.repeat(np.repeat(pixels, 8, axis=0), 8, axis=1)
    buffer = io.BytesIO()
    write_picture(Picture(smooth), buffer, format="JPG")
    read = read_picture(buffer.getvalue())
    assert read.channels == pixels.shape[2]
    assert np.abs(read.pixels.astype(int) - smooth).mean() < 4


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
def test_metadata_are_written_byte_for_byte(kind):
    picture = Picture(COLOUR, metadata=Metadata(icc_profile=ICC, exif=exif_block(1)[6:], xmp=b"<x>\xff\xc3\xa4</x>"))
    buffer = io.BytesIO()
    write_picture(picture, buffer, format=kind)
    read = read_picture(buffer.getvalue())
    assert read.metadata == picture.metadata


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "tiff"])
@pytest.mark.parametrize("parts", [("exif",), ("xmp",), ("icc_profile",), ("exif", "xmp", "icc_profile"), ()])
def test_metadata_survive(kind, parts):
    everything = {"icc_profile": ICC, "exif": exif_block(1)[6:], "xmp": b"<x>text</x>"}
    buffer = io.BytesIO()
    write_picture(Picture(GREY, metadata=Metadata(**{part: everything[part] for part in parts})), buffer, format=kind)
    read = read_picture(buffer.getvalue())
    for part in ("icc_profile", "exif", "xmp"):
        assert bool(getattr(read.metadata, part)) == (part in parts)
    if "exif" in parts:
        kept = Image.Exif()
        kept.load(read.metadata.exif)
        assert kept[ExifTags.Base.Make] == "Maker"
        assert kept.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] == b"comment"


def test_storage_tags_of_a_tiff_stay_out_of_exif():
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[ExifTags.Base.Artist] = "Artist"
    picture = read_picture(saved(image_of(COLOUR), "TIFF", tiffinfo=tags))
    kept = Image.Exif()
    kept.load(picture.metadata.exif)
    assert dict(kept) == {ExifTags.Base.Artist: "Artist"}


def test_formats_that_hold_no_metadata_hold_the_pixels(tmp_path):
    picture = Picture(COLOUR, metadata=Metadata(icc_profile=ICC, exif=exif_block(1)[6:], xmp=XMP))
    for name in ("a.bmp", "a.ppm"):
        write_picture(picture, tmp_path / name)
        assert (read_picture(tmp_path / name).pixels == COLOUR).all()


def test_the_format_follows_the_argument_then_the_extension(tmp_path):
    write_picture(Picture(COLOUR), tmp_path / "a.png", format="BMP")
    assert (tmp_path / "a.png").read_bytes()[:2] == b"BM"
    for extension, kind in OUTPUT_FORMATS.items():
        assert output_format(tmp_path / f"a.{extension.upper()}") == kind


def test_formats_that_are_not_written(tmp_path):
    with pytest.raises(UsageError, match=r"one of png, .*, found \.gif"):
        write_picture(Picture(COLOUR), tmp_path / "a.gif")
    with pytest.raises(UsageError, match="found none; change it"):
        output_format(tmp_path / "a")
    with pytest.raises(UsageError, match="found gif"):
        write_picture(Picture(COLOUR), tmp_path / "a.png", format="gif")
    with pytest.raises(UsageError, match="format of a stream must be given"):
        write_picture(Picture(COLOUR), io.BytesIO())
    assert list(tmp_path.iterdir()) == []


def test_what_a_format_cannot_hold_is_refused(tmp_path):
    wide = Picture(np.zeros((1, 20000, 1), np.uint8))
    with pytest.raises(OutputError, match="must fit into WEBP, found they do not") as caught:
        write_picture(wide, tmp_path / "a.webp")
    assert "\n" not in str(caught.value)
    with pytest.raises(OutputError, match="must fit into JPEG"):
        write_picture(Picture(COLOUR, metadata=Metadata(exif=bytes(70000))), tmp_path / "a.jpg")
    assert list(tmp_path.iterdir()) == []


def test_a_stream_that_cannot_be_written():
    class Full(io.BytesIO):
        def write(self, _):
            raise OSError(28, os.strerror(28))

    with pytest.raises(OutputError, match="cannot be written"):
        write_picture(Picture(COLOUR), Full(), format="png")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(
    st.sampled_from(["png", "tiff", "bmp", "ppm"]),
    st.integers(1, 9),
    st.integers(1, 9),
    st.sampled_from([1, 3]),
    st.integers(0),
)
def test_any_picture_comes_back(kind, height, width, channels, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)
    buffer = io.BytesIO()
    write_picture(Picture(pixels), buffer, format=kind)
    read = read_picture(buffer.getvalue())
    assert read.pixels.shape == pixels.shape
    assert (read.pixels == pixels).all()


@pytest.mark.parametrize(
    "name",
    [
        "alpha",
        "atomic_files",
        "chunks",
        "deep",
        "exif",
        "matrix_profile",
        "padding",
        "picture",
        "psnr",
        "reading",
        "stripping",
        "writing",
    ],
)
def test_examples_in_docstrings(name):
    assert doctest.testmod(importlib.import_module(f"trimix.images.{name}")).failed == 0


def test_jpeg_xl_holds_all_samples_and_avif_alpha_and_metadata(tmp_path):
    pytest.importorskip("imagecodecs")
    random = np.random.default_rng(4)
    for channels in (1, 2, 3, 4):
        for kind in (np.uint8, np.uint16):
            samples = random.integers(0, np.iinfo(kind).max, (20, 30, channels), kind, endpoint=True)
            picture = picture_of_samples(samples)
            assert write_picture(picture, tmp_path / "a.jxl") == ()
            assert (read_picture(tmp_path / "a.jxl").samples == picture.samples).all()
    metadata = Metadata(icc_profile=ICC, exif=exif_block(1)[6:], xmp=XMP, iptc=b"iptc")
    assert write_picture(Picture(COLOUR, metadata=metadata), tmp_path / "b.jxl") == (
        "JPEG XL cannot hold ICC profile, IPTC: left out",
    )
    kept = read_picture(tmp_path / "b.jxl")
    assert (kept.metadata.exif, kept.metadata.xmp) == (metadata.exif, XMP.replace(b'"6"', b'"1"'))
    assert (kept.pixels == COLOUR).all()
    smooth = np.linspace(0, 255, 40 * 50 * 4).astype(np.uint8).reshape(40, 50, 4)
    picture = picture_of_samples(smooth, metadata)
    assert write_picture(picture, tmp_path / "a.avif") == ("AVIF cannot hold IPTC: left out",)
    read = read_picture(tmp_path / "a.avif")
    assert (read.metadata.icc_profile, read.metadata.xmp) == (ICC, XMP)
    assert read.metadata.exif
    assert np.abs(read.samples.astype(int) - picture.samples).max() < 12


def test_metadata_that_are_too_long_to_be_kept_can_be_left_out(tmp_path):
    image = Image.fromarray(COLOUR)
    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", "x" * (2**24 + 1))
    image.save(tmp_path / "a.png", pnginfo=text)
    with pytest.raises(PictureError, match=r"a\.png: xmp may have at most .* strip it"):
        read_picture(tmp_path / "a.png")
    assert (read_picture(tmp_path / "a.png", strip=Strip.ALL).pixels == COLOUR).all()
