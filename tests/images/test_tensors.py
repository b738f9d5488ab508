"""Pixels to padded planes and back; grey."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimix.images import collapse_to_grey, pad_to_multiple, replicate_grey, shares_in_picture, to_pixels, to_planes


def pixels_of(seed, height, width, channels):
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


sizes = st.integers(1, 70)


@given(st.integers(0), sizes, sizes, st.sampled_from([1, 64]))
def test_pixels_come_back_through_padding(seed, height, width, multiple):
    pixels = pixels_of(seed, height, width, 3)
    padded = pad_to_multiple(pixels, multiple)
    assert padded.shape[0] % multiple == padded.shape[1] % multiple == 0
    assert padded.shape[0] - height < multiple
    assert padded.shape[1] - width < multiple
    assert (to_pixels(to_planes(padded))[:height, :width] == pixels).all()


@given(sizes, sizes, st.integers(1, 20))
def test_shares_of_all_blocks_are_the_whole_picture(height, width, block):
    rows, columns = -(-height // block) + 1, -(-width // block)
    shares = shares_in_picture(height, width, block, rows, columns)
    assert shares.shape == (rows, columns)
    assert shares.sum() * block**2 == pytest.approx(height * width, rel=1e-5)
    is_inside = np.outer((np.arange(rows) + 1) * block <= height, (np.arange(columns) + 1) * block <= width)
    assert ((shares == 1) == is_inside).all()
    assert not shares[-1].any()


@given(sizes, sizes, st.integers(1, 20))
def test_a_picture_of_whole_blocks_has_no_shares(rows, columns, block):
    assert shares_in_picture(rows * block, columns * block, block, rows, columns) is None


@given(st.integers(0), sizes, sizes)
def test_padding_repeats_the_edge(seed, height, width):
    pixels = pixels_of(seed, height, width, 3)
    padded = pad_to_multiple(pixels, 64)
    rows = np.minimum(np.arange(padded.shape[0]), height - 1)
    columns = np.minimum(np.arange(padded.shape[1]), width - 1)
    assert (padded == pixels[rows][:, columns]).all()


def test_one_pixel_fills_a_whole_step():
    padded = pad_to_multiple(np.full((1, 1, 3), 255, np.uint8), 64)
    assert padded.shape == (64, 64, 3)
    assert (padded == 255).all()


def test_nothing_is_copied_where_nothing_is_missing():
    pixels = np.zeros((64, 128, 3), np.uint8)
    assert pad_to_multiple(pixels, 64) is pixels


@given(st.integers(0), st.integers(1, 9), st.integers(1, 9))
def test_grey_comes_back_through_three_channels(seed, height, width):
    pixels = pixels_of(seed, height, width, 1)
    image = to_planes(pixels)
    assert image.shape == (3, height, width)
    assert (to_pixels(collapse_to_grey(image)) == pixels).all()
    assert np.array_equal(replicate_grey(image[:1]), image)


def test_planes_are_float32_in_the_unit_interval_and_own_their_memory():
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    pixels.setflags(write=False)
    image = to_planes(pixels)
    assert image.dtype == np.float32
    assert (image.min(), image.max()) == (0, 1)
    assert image.flags.c_contiguous
    image[:] = 0
    assert pixels.max() == 255


def test_views_of_pixels_are_taken():
    pixels = pixels_of(1, 6, 4, 3)
    assert (to_pixels(to_planes(pixels[::-1, ::2])) == pixels[::-1, ::2]).all()


@pytest.mark.parametrize(
    ("value", "level"),
    [
        (float("nan"), 0),
        (float("inf"), 255),
        (float("-inf"), 0),
        (-0.1, 0),
        (1.1, 255),
        (0.5, 128),
        (126.5 / 255, 126),
        (127.4 / 255, 127),
        (127.6 / 255, 128),
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_values_are_clamped_and_rounded_half_to_even(value, level, channels):
    pixels = to_pixels(np.full((channels, 1, 1), value, np.float32))
    assert pixels.dtype == np.uint8
    assert pixels.tolist() == [[[level] * channels]]


def test_the_collapse_is_the_mean():
    image = np.array([0.0, 0.3, 0.9]).reshape(3, 1, 1)
    assert collapse_to_grey(image).item() == pytest.approx(0.4)
