"""Files with more in them than one picture, and files that are none."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from trimix.bitstream import Metadata
from trimix.errors import PictureError, PictureTooLargeError
from trimix.images import picture_of_image, picture_of_samples, read_picture
from trimix.images.jpeg_xl import jpeg_xl_size

FRAMES = [Image.new("RGB", (16, 16), (50 + 80 * k, 0, 0)) for k in range(3)]


def saved(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF", "AVIF"])
def test_a_frame_is_taken_by_its_number_and_never_by_default(kind):
    data = saved(
        FRAMES[0], kind, save_all=True, append_images=FRAMES[1:], **({"lossless": True} if kind == "WEBP" else {})
    )
    words = "must hold one picture, found 3 frames or pages; choose one by its number, 0 to 2"
    with pytest.raises(PictureError, match=words):
        read_picture(data)
    with Image.open(io.BytesIO(data)) as image, pytest.raises(PictureError, match=words):
        picture_of_image(image)
    for frame in range(3):
        red = read_picture(data, frame=frame).samples[:, :, 0]
        assert np.abs(red.astype(int) - (50 + 80 * frame)).max() <= 8
        with Image.open(io.BytesIO(data)) as image:
            assert (picture_of_image(image, frame=frame).samples[:, :, 0] == red).all()
    for frame in (-1, 3):
        with pytest.raises(PictureError, match=f"must be one of 0 to 2, found {frame}"):
            read_picture(data, frame=frame)


def test_frame_0_of_one_picture_is_that_picture():
    data = saved(FRAMES[0], "PNG")
    assert read_picture(data, frame=0).samples[0, 0].tolist() == [50, 0, 0]
    with pytest.raises(PictureError, match="must be one of 0 to 0, found 1"):
        read_picture(data, frame=1)


def test_of_a_cameras_jpeg_the_first_picture_is_taken_and_the_rest_named():
    data = saved(FRAMES[2], "MPO", save_all=True, append_images=[FRAMES[0]])
    picture = read_picture(data)
    assert np.abs(picture.samples[:, :, 0].astype(int) - 210).max() <= 4
    assert picture.notes == ("another picture behind the first picture was left out",)
    with Image.open(io.BytesIO(data)) as image:
        assert picture_of_image(image).notes == picture.notes
    # The index speaks of a second picture that is no longer there.
    stale = data[: data.rindex(b"\xff\xd8")]
    assert (read_picture(stale).samples == picture.samples).all()
    assert read_picture(data, frame=1).samples[0, 0, 0] < 80


def test_a_gain_map_is_named():
    packet = b'<x:xmpmeta xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0"/>'
    data = saved(FRAMES[0], "JPEG", xmp=packet) + saved(FRAMES[1], "JPEG")
    assert read_picture(data).notes == ("a gain map behind the first picture was left out",)


def tiff_with_pages(*kinds: int) -> bytes:
    import tifffile

    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as file:
        for number, kind in enumerate(kinds):
            file.write(np.full((16, 16, 3), number, np.uint8), photometric="rgb", subfiletype=kind, metadata=None)
    return buffer.getvalue()


def test_smaller_copies_in_a_tiff_are_no_pages():
    picture = read_picture(tiff_with_pages(0, 1, 1))
    assert (picture.samples.max(), picture.notes) == (0, ("2 smaller copies or masks were left out",))
    with pytest.raises(PictureError, match="3 frames or pages"):
        read_picture(tiff_with_pages(0, 0, 1))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "found SVG; draw it"),
        (b"%PDF-1.7\n", "found PDF"),
        (struct.pack(">I", 24) + b"ftypheic" + bytes(20), "HEIC must be converted first"),
        (struct.pack(">I", 24) + b"ftypcrx " + bytes(20), "raw file must be developed"),
        (b"II*\0\x10\0\0\0CR\2\0" + bytes(20), "raw file must be developed"),
        (b"\xd4TMX\1" + bytes(40), "found a .tmix file; decompress it"),
    ],
)
def test_what_is_no_picture_is_refused_with_the_right_words(data, words):
    with pytest.raises(PictureError, match=words):
        read_picture(data)


@pytest.mark.parametrize(("kind", "suffix"), [("JPEG2000", "jp2"), ("QOI", "qoi"), ("TGA", "tga"), ("PCX", "pcx")])
def test_further_formats(kind, suffix, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (9, 11, 3), dtype=np.uint8)
    path = tmp_path / f"picture.{suffix.upper()}"
    path.write_bytes(saved(Image.fromarray(pixels), kind))
    assert (read_picture(path).pixels == pixels).all()


def test_jpeg_xl():
    import imagecodecs

    for samples in (
        np.random.default_rng(0).integers(0, 256, (9, 11, 4), np.uint8),
        np.random.default_rng(0).integers(1, 65536, (9, 11, 3), np.uint16),
    ):
        picture = read_picture(imagecodecs.jpegxl_encode(samples, lossless=True))
        visible = samples[:, :, 3] > 0 if samples.shape[2] == 4 else np.ones((9, 11), bool)
        assert (picture.samples[visible] == samples[visible]).all()
        assert picture.notes == ("the profile of JPEG XL is not read",)


def test_packed_metadata_of_jpeg_xl_are_announced_and_damaged_boxes_change_no_pixel():
    import imagecodecs

    data = imagecodecs.jpegxl_encode(np.zeros((9, 11, 3), np.uint8), lossless=True, usecontainer=True)
    for box in (b"\0\0\0\x0dbrobExif!", b"\0\0\0\1brob" + (17).to_bytes(8, "big") + b"!"):
        assert read_picture(data + box).notes[1:] == ("packed metadata of JPEG XL are not read",)
    for box in (b"\0\0\0\x0cExif\xff\xff\xff\xff", b"\0\0\0\0Exif", b"\0\0\xff\xffxml "):
        assert read_picture(data + box).metadata == Metadata()


@pytest.mark.parametrize("size", [(8, 8), (11, 9), (64, 48), (1000, 3), (700, 9000), (256, 256), (160, 90)])
def test_the_size_of_jpeg_xl_is_known_before_it_is_decoded(size):
    import imagecodecs

    data = imagecodecs.jpegxl_encode(np.zeros(size[::-1], np.uint8))
    assert jpeg_xl_size(data) == size
    with pytest.raises(PictureTooLargeError, match=f"found {size[0]} x {size[1]}"):
        read_picture(data, maximum_pixels=size[0] * size[1] - 1)


def test_the_size_of_unusual_tiffs_is_limited():
    import tifffile

    buffer = io.BytesIO()
    planes = np.zeros((2, 16, 16), np.uint16)
    tifffile.imwrite(buffer, planes, photometric="minisblack", planarconfig="separate", extrasamples=["unassalpha"])
    assert read_picture(buffer.getvalue()).samples.shape == (16, 16, 2)
    with pytest.raises(PictureTooLargeError, match="found 16 x 16"):
        read_picture(buffer.getvalue(), maximum_pixels=255)


def test_equal_colours_become_grey_and_come_back_as_rgb():
    grey = np.random.default_rng(0).integers(0, 256, (5, 6, 1), dtype=np.uint8)
    for samples in (grey.repeat(3, axis=2), grey.repeat(3, axis=2).astype(np.uint16) * 257):
        picture = picture_of_samples(samples)
        assert (picture.channels, picture.stands_for_rgb) == (1, True)
        assert (picture.samples == samples).all()
    assert not picture_of_samples(grey).stands_for_rgb
    palette = Image.fromarray(grey[:, :, 0]).convert("P")
    assert read_picture(saved(palette, "PNG")).channels == 1


def test_loaded_images_of_all_modes():
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (5, 6, 3), dtype=np.uint8))
    for mode, channels in (("1", 1), ("L", 1), ("LA", 1), ("P", 3), ("RGB", 3), ("RGBA", 3), ("YCbCr", 3), ("CMYK", 3)):
        assert picture_of_image(image.convert(mode)).channels == channels
    deep = Image.fromarray(np.full((5, 6), 777, np.uint16))
    assert picture_of_image(deep).samples.ravel()[0] == 777
    for mode in ("I", "F"):
        with pytest.raises(PictureError, match=f"samples must be whole numbers of up to 16 bits, found mode {mode}"):
            picture_of_image(image.convert("L").convert(mode))
