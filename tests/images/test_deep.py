"""More than 8 bits: every bit is read and written."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from trimix.errors import PictureError
from trimix.images import deep, picture_of_samples, read_picture, write_picture
from trimix.images.chunks import PNG_SIGNATURE, Chunk, png_chunk

GENERATOR = np.random.default_rng(0)


def samples_of(channels: int) -> np.ndarray:
    return GENERATOR.integers(1, 65536, (5, 7, channels), np.uint16)


def png_of(samples: np.ndarray, *chunks: Chunk) -> bytes:
    """By the specification, without any filter."""
    height, width, channels = samples.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    header = struct.pack(">IIBBBBB", width, height, 16, (0, 4, 2, 6)[channels - 1], 0, 0, 0)
    parts = [Chunk(b"IHDR", header), *chunks, Chunk(b"IDAT", zlib.compress(rows)), Chunk(b"IEND", b"")]
    return PNG_SIGNATURE + b"".join(map(png_chunk, parts))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_png_of_16_bits_is_read_exactly(channels):
    samples = samples_of(channels)
    read = read_picture(png_of(samples))
    assert read.samples.dtype == np.uint16
    assert (read.samples == samples).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_the_key_colour_of_16_bits(channels):
    samples = samples_of(channels)
    key = Chunk(b"tRNS", samples[2, 3].astype(">u2").tobytes())
    assert (read_picture(png_of(samples, key)).alpha == 0).sum() == 1


@pytest.mark.parametrize("kind", ["png", "tiff"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_16_bits_are_written_exactly(kind, channels):
    samples = samples_of(channels)
    buffer = io.BytesIO()
    assert write_picture(picture_of_samples(samples), buffer, format=kind) == ()
    read = read_picture(buffer.getvalue())
    assert (read.samples == samples).all()
    if channels > 1:
        return
    with Image.open(io.BytesIO(buffer.getvalue())) as image:  # another reader
        assert (np.asarray(image) == samples[:, :, 0]).all()


@pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_tiff_of_others(compression, planar):
    import tifffile

    samples, buffer = samples_of(3), io.BytesIO()
    planes = np.moveaxis(samples, 2, 0) if planar == "separate" else samples
    tifffile.imwrite(buffer, planes, photometric="rgb", planarconfig=planar, compression=compression, byteorder=">")
    assert (read_picture(buffer.getvalue()).samples == samples).all()


def test_grey_tiff_where_white_is_0():
    import tifffile

    samples, buffer = samples_of(1)[:, :, 0], io.BytesIO()
    tifffile.imwrite(buffer, samples, photometric="miniswhite")
    assert (read_picture(buffer.getvalue()).samples[:, :, 0] == 65535 - samples).all()


def test_alpha_that_multiplies_is_taken_out():
    import tifffile

    samples = np.array([[[6553, 0, 3276, 6553], [0, 0, 0, 0]]], np.uint16)
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, samples, photometric="rgb", extrasamples=["assocalpha"])
    read = read_picture(buffer.getvalue()).samples
    assert np.abs(read[0, 0].astype(int) - [65535, 0, 32763, 6553]).max() <= 5


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_tiff_of_16_bits(orientation):
    import tifffile

    samples, buffer = samples_of(3), io.BytesIO()
    tifffile.imwrite(buffer, samples, photometric="rgb", extratags=[(274, 3, 1, orientation, True)])
    turned = np.rot90(samples, {3: 2, 6: 3, 8: 1}.get(orientation, 0))
    read = read_picture(buffer.getvalue()).samples
    assert read.shape[:2] == (samples.shape[:2] if orientation < 5 else samples.shape[1::-1])
    if orientation in (1, 3, 6, 8):
        assert (read == turned).all()


def test_other_numbers_are_refused():
    import tifffile

    for samples in (np.zeros((4, 4), np.float32), np.zeros((4, 4, 3), np.float32), np.zeros((4, 4), np.uint32)):
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, samples, photometric="rgb" if samples.ndim == 3 else "minisblack")
        with pytest.raises(PictureError, match="samples must be whole numbers of up to 16 bits"):
            read_picture(buffer.getvalue())


@pytest.mark.parametrize("bits", [10, 12])
def test_avif_of_more_than_8_bits(bits):
    import imagecodecs

    ramp = np.linspace(0, 2**bits - 1, 64 * 64).astype(np.uint16).reshape(64, 64)
    samples = np.stack([ramp, ramp.T, ramp[::-1]], axis=2)
    data = imagecodecs.avif_encode(samples, level=100, bitspersample=bits)
    read = read_picture(data)
    assert read.bit_depth == 16
    error = read.samples.astype(float) / 65535 - samples / (2**bits - 1)
    assert np.abs(error).max() < 0.01
    assert len(np.unique(read.samples)) > 700


def test_anymaps_of_more_than_8_bits():
    assert read_picture(b"P5 2 1 65535\n\1\2\3\4").samples.ravel().tolist() == [258, 772]
    read = read_picture(b"P6\n# a comment\n1 1\n1023\n" + struct.pack(">3H", 0, 512, 1023))
    assert read.samples.ravel().tolist() == [0, 32800, 65535]
    with pytest.raises(PictureError, match="must be binary"):
        read_picture(b"P3 1 1 256 1 2 3 ")
    samples, buffer = samples_of(3), io.BytesIO()
    write_picture(picture_of_samples(samples), buffer, format="ppm")
    assert (read_picture(buffer.getvalue()).samples == samples).all()


@pytest.mark.parametrize("kind", ["jpg", "webp", "bmp"])
def test_where_there_are_only_8_bits_it_is_said(kind):
    (note,) = write_picture(picture_of_samples(samples_of(3)), io.BytesIO(), format=kind)
    assert "cannot hold 16 bits: reduced to 8" in note


def test_8_bits_are_the_nearest():
    levels = np.arange(65536, dtype=np.uint16).reshape(256, 256, 1)
    wanted = np.rint(levels / 257).astype(np.uint8)
    assert (picture_of_samples(levels).in_8_bits().pixels == wanted).all()


def test_a_missing_package_is_named(monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(deep, "import_module", missing)
    with pytest.raises(PictureError, match=r"imagecodecs, found it missing; pip install 'trimix\[formats\]'"):
        read_picture(png_of(samples_of(3)))
    assert read_picture(png_of(samples_of(1))).bit_depth == 16
