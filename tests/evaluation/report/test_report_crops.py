"""Crops lie where there is something to be seen."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from trimix.evaluation.report.crops import most_interesting_region


@given(
    some.integers(1, 90), some.integers(1, 90), some.integers(1, 120), some.integers(1, 120), some.sampled_from([1, 3])
)
def test_a_region_lies_in_the_picture_and_has_the_size_asked_for(height, width, wanted_width, wanted_height, channels):
    pixels = np.random.default_rng(height).integers(0, 256, (height, width, channels), dtype=np.uint8)
    region = most_interesting_region(pixels, wanted_width, wanted_height)
    assert (region.width, region.height) == (min(wanted_width, width), min(wanted_height, height))
    assert region.cut(pixels).shape == (region.height, region.width, channels)


def test_a_picture_that_is_small_is_taken_whole():
    region = most_interesting_region(np.zeros((30, 40, 3), np.uint8), 100, 100)
    assert (region.left, region.top, region.width, region.height) == (0, 0, 40, 30)


@pytest.mark.parametrize(("row", "column"), [(40, 60), (250, 330), (150, 200)])
def test_the_only_detail_is_found(row, column):
    pixels = np.full((400, 500, 3), 120, np.uint8)
    pixels[row : row + 60, column : column + 60] = np.random.default_rng(0).integers(0, 256, (60, 60, 3))
    region = most_interesting_region(pixels, 160, 120)
    assert region.left <= column
    assert column + 60 <= region.left + region.width
    assert region.top <= row
    assert row + 60 <= region.top + region.height


def test_skin_is_looked_at_before_the_same_texture_in_another_colour():
    texture = np.random.default_rng(0).integers(-25, 26, (80, 80, 1))
    pixels = np.full((300, 500, 3), 120, np.uint8)
    pixels[110:190, 60:140] = np.array([120, 170, 130]) + texture
    pixels[110:190, 360:440] = np.array([190, 140, 115]) + texture
    region = most_interesting_region(pixels, 160, 120)
    assert region.left + region.width // 2 > 250
