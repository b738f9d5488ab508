"""Alpha: found in every kind of picture, and nothing of what it hides comes through."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from trimix.errors import PictureError
from trimix.images import Picture, picture_of_image, picture_of_samples, read_picture, write_picture
from trimix.images.alpha import fill_hidden

COLOUR = np.random.default_rng(1).integers(0, 256, (6, 9, 3), dtype=np.uint8)


def saved(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@settings(deadline=None)
@given(st.integers(1, 30), st.integers(1, 30), st.integers(0), st.sampled_from([np.uint8, np.uint16]))
def test_the_hidden_is_a_continuation_of_the_visible(height, width, seed, kind):
    generator = np.random.default_rng(seed)
    peak = np.iinfo(kind).max
    pixels = generator.integers(0, peak + 1, (height, width, 3), kind)
    alpha = generator.integers(0, peak + 1, (height, width), kind) * generator.integers(0, 2, (height, width), kind)
    filled = fill_hidden(pixels, alpha)
    visible = alpha > 0
    assert (filled[visible] == pixels[visible]).all()
    if visible.any():
        for channel in range(3):
            seen = pixels[visible][:, channel]
            assert seen.min() <= filled[:, :, channel].min() <= filled[:, :, channel].max() <= seen.max()
    other = np.where(visible[:, :, None], pixels, generator.integers(0, peak + 1, pixels.shape, kind))
    assert (fill_hidden(other, alpha) == filled).all()


def test_alpha_is_read_from_every_kind():
    image, grey = Image.fromarray(COLOUR), Image.fromarray(COLOUR[:, :, 0])
    alpha = np.arange(54, dtype=np.uint8).reshape(6, 9) * 4
    with_alpha = image.copy()
    with_alpha.putalpha(Image.fromarray(alpha))
    for kind, options in (("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True, "exact": True})):
        picture = read_picture(saved(with_alpha, kind, **options))
        assert (picture.alpha == alpha).all()
        assert (picture.pixels[alpha > 0] == COLOUR[alpha > 0]).all()
    grey_alpha = Image.merge("LA", (grey, Image.fromarray(alpha)))
    assert read_picture(saved(grey_alpha, "PNG")).samples.shape == (6, 9, 2)
    key = tuple(int(level) for level in COLOUR[2, 3])
    assert read_picture(saved(image, "PNG", transparency=key)).alpha.ravel().argmin() == 2 * 9 + 3
    assert (read_picture(saved(grey, "PNG", transparency=int(COLOUR[2, 3, 0]))).alpha[2, 3]) == 0
    palette = image.quantize(8)
    for kind in ("PNG", "GIF"):
        found = read_picture(saved(palette, kind, transparency=3)).alpha
        assert ((found == 0) == (np.asarray(palette) == 3)).all()
    several = read_picture(saved(palette, "PNG", transparency=bytes([255, 0, 127])))
    assert set(several.alpha.ravel().tolist()) <= {255, 0, 127}
    assert (picture_of_image(with_alpha).alpha == alpha).all()


def test_opaque_alpha_is_none():
    opaque = np.concatenate([COLOUR, np.full((6, 9, 1), 255, np.uint8)], axis=2)
    assert picture_of_samples(opaque).alpha is None
    assert (read_picture(saved(Image.fromarray(opaque), "PNG")).pixels == COLOUR).all()


def test_a_background_takes_the_place_of_transparency():
    samples = np.zeros((1, 3, 4), np.uint8)
    samples[0, :, 3] = [0, 51, 255]
    flat = picture_of_samples(samples, background=(255, 0, 100))
    assert flat.alpha is None
    assert flat.samples.tolist() == [[[255, 0, 100], [204, 0, 80], [0, 0, 0]]]
    grey = picture_of_samples(samples, background=(255, 255, 255))
    assert (grey.channels, grey.stands_for_rgb) == (1, True)
    assert grey.pixels.ravel().tolist() == [255, 204, 0]
    deep = picture_of_samples(samples.astype(np.uint16) * 257, background=(255, 0, 100))
    assert deep.samples.tolist() == [[[65535, 0, 25700], [52428, 0, 20560], [0, 0, 0]]]


def test_the_hidden_decides_nothing_about_grey():
    samples = np.random.default_rng(0).integers(0, 256, (4, 5, 4), dtype=np.uint8)
    samples[:, :3, 1] = samples[:, :3, 2] = samples[:, :3, 0]
    samples[:, :3, 3], samples[:, 3:, 3] = 200, 0
    picture = picture_of_samples(samples)
    assert (picture.channels, picture.stands_for_rgb, picture.samples.shape) == (1, True, (4, 5, 4))


@pytest.mark.parametrize("kind", ["png", "tiff", "webp"])
@pytest.mark.parametrize("channels", [2, 4])
def test_alpha_is_written(kind, channels):
    samples = np.random.default_rng(0).integers(1, 256, (5, 7, channels), dtype=np.uint8)
    buffer = io.BytesIO()
    assert write_picture(picture_of_samples(samples), buffer, format=kind) == ()
    read = read_picture(buffer.getvalue())
    assert (read.alpha == samples[:, :, -1]).all()
    assert (read.pixels == samples[:, :, :-1]).all()


@pytest.mark.parametrize("kind", ["jpg", "bmp", "ppm"])
def test_where_there_is_no_alpha_it_is_put_on_white_and_said(kind):
    picture = Picture(np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.uint8))
    buffer = io.BytesIO()
    (note,) = write_picture(picture, buffer, format=kind)
    assert "cannot hold alpha: the picture was put on white" in note
    assert read_picture(buffer.getvalue()).pixels.min() == 255
    buffer = io.BytesIO()
    assert write_picture(picture, buffer, format=kind, background=(0, 0, 0)) == ()
    assert read_picture(buffer.getvalue()).pixels.max() == 0


def test_alpha_like_its_pixels():
    with pytest.raises(PictureError, match=r"alpha must be uint8 \[2, 3\] like its pixels"):
        Picture(np.zeros((2, 3, 1), np.uint8), np.zeros((2, 3), np.uint16))
