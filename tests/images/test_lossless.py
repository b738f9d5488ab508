"""Samples come back exactly from the form that files keep them in; and drawings are told from photographs."""

import io
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from trimix.errors import CorruptedFileError
from trimix.images import Picture, decode_samples, encode_samples, is_drawn


def saved(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def drawn_mask(seed: int) -> np.ndarray:
    """Discs, text and a soft edge, as masks of real pictures have them."""
    generator = np.random.default_rng(seed)
    width, height = (int(side) for side in generator.integers(1, 80, 2))
    image = Image.new("L", (width, height), int(generator.choice([0, 128, 255])))
    draw = ImageDraw.Draw(image)
    for _ in range(generator.integers(0, 5)):
        (left, right), (top, bottom) = (np.sort(generator.integers(-9, side + 9, 2)) for side in (width, height))
        draw.ellipse((int(left), int(top), int(right), int(bottom)), fill=int(generator.integers(0, 256)))
    draw.text((2, 2), "mask", fill=int(generator.integers(0, 256)))
    return np.asarray(image)


@pytest.mark.parametrize("first", range(0, 200, 50))
def test_200_drawn_masks_come_back_exactly(first):
    for seed in range(first, first + 50):
        mask = drawn_mask(seed)[:, :, None]
        assert (decode_samples(encode_samples(mask), *mask.shape, 8) == mask).all()
        deep = mask.astype(np.uint16) * 257 + np.uint16(seed)
        assert (decode_samples(encode_samples(deep), *mask.shape, 16) == deep).all()


@settings(deadline=None)
@given(st.integers(1, 20), st.integers(1, 20), st.sampled_from([1, 3]), st.sampled_from([8, 16]), st.integers(0))
def test_all_samples_come_back_exactly(height, width, channels, bit_depth, seed):
    kind = np.uint8 if bit_depth == 8 else np.uint16
    samples = np.random.default_rng(seed).integers(0, 2**bit_depth, (height, width, channels), kind)
    found = decode_samples(encode_samples(samples), height, width, channels, bit_depth)
    assert found.dtype == kind
    assert (found == samples).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_more_pixels_in_a_row_than_webp_holds(channels):
    samples = np.arange(20000 * channels, dtype=np.uint32).reshape(1, -1, channels).astype(np.uint8)
    assert (decode_samples(encode_samples(samples), 1, 20000, channels, 8) == samples).all()


@given(st.binary(max_size=100), st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"RIFF\x20\0\0\0WEBPVP8L"]))
def test_random_bytes_are_no_samples(data, beginning):
    with pytest.raises(CorruptedFileError, match="alpha must be lossless, 8x8 samples of 8 bits in 1 channel"):
        decode_samples(beginning + data, 8, 8, 1, 8, name="alpha")


def test_samples_of_another_kind_are_refused():
    for image in (Image.new("L", (8, 9)), Image.new("RGBA", (8, 8)), Image.new("RGB", (8, 8))):
        with pytest.raises(CorruptedFileError):
            decode_samples(saved(image, "PNG"), 8, 8, 1, 8)
    with pytest.raises(CorruptedFileError):
        decode_samples(encode_samples(np.zeros((8, 8, 1), np.uint8)), 8, 8, 1, 16)
    with pytest.raises(CorruptedFileError):
        decode_samples(saved(Image.new("L", (8, 8)), "PNG"), 8, 8, 3, 8)
    huge = b"RIFF" + struct.pack("<I", 50) + b"WEBPVP8L" + struct.pack("<I", 40) + b"\x2f" + b"\xff" * 40
    with pytest.raises(CorruptedFileError, match="another size"):
        decode_samples(huge, 8, 8, 1, 8)


def test_drawings_and_ramps_are_told_from_noise():
    drawing = np.full((64, 80, 3), 255, np.uint8)
    drawing[10:30, 20:60] = (200, 0, 0)
    ramp = np.tile(np.arange(64, dtype=np.uint8)[None, :, None], (64, 1, 3))
    for pixels in (drawing, ramp, ramp.transpose(1, 0, 2), np.zeros((5, 1, 3), np.uint8)):
        assert is_drawn(Picture(np.ascontiguousarray(pixels)), 0.5)
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    for pixels in (noise, np.zeros((1, 1, 3), np.uint8)):
        assert not is_drawn(Picture(pixels), 20.0)


def test_dear_pixel_art_needs_fewer_equal_pixels():
    pixels = np.random.default_rng(2).integers(0, 256, (60, 60, 1), np.uint8)
    pixels[:, ::5] = pixels[:, 1::5]  # a fifth of the pixels equals its neighbour
    assert not is_drawn(Picture(pixels), 0.2)
    assert is_drawn(Picture(pixels), 8.0)
