"""Drawn pictures are functions of seed and index, of the kinds that they say, with greys that are grey."""

import numpy as np
import pytest

from trimix.training import drawn_pictures as module
from trimix.training.drawn_pictures import KINDS, draw_picture, drawn_pictures

SIDE = 96
SEEDS = range(12)


@pytest.fixture(autouse=True)
def no_fonts_of_the_machine(monkeypatch):
    monkeypatch.setattr(module, "_font_files", lambda: ())


def pictures_of(kind):
    return [draw_picture(seed, index=kind, side=SIDE) for seed in SEEDS]


@pytest.mark.parametrize("kind", range(len(KINDS)))
def test_a_picture_is_a_function_of_seed_index_and_side(kind):
    for seed, picture in zip(SEEDS, pictures_of(kind), strict=True):
        assert picture.dtype == np.uint8
        assert picture.shape == (SIDE, SIDE, 3)
        assert np.array_equal(picture, draw_picture(seed, kind, SIDE))
    assert len({picture.tobytes() for picture in pictures_of(kind)}) > 10
    assert not np.array_equal(draw_picture(1, kind, SIDE), draw_picture(1, kind + len(KINDS), SIDE))


def test_a_third_is_grey_and_grey_means_equal_channels():
    grey = coloured = 0
    for index in range(210):
        picture = draw_picture(3, index, 48)
        if np.array_equal(picture[..., 0], picture[..., 1]) and np.array_equal(picture[..., 1], picture[..., 2]):
            grey += 1
        else:
            coloured += 1
    # Some are drawn in greys by themselves.
    assert 70 <= grey <= 130
    assert coloured >= 80


def test_ramps_are_smooth_and_flat_colours_are_flat():
    for picture in pictures_of(0):
        steps = np.abs(np.diff(picture.astype(int), axis=1))
        assert steps.max() <= 16
    for kind in (1, 6):
        colours = [len(np.unique(picture.reshape(-1, 3), axis=0)) for picture in pictures_of(kind)]
        assert np.median(colours) < 100


def test_pixel_art_is_made_of_few_colours_in_squares():
    enlarged = 0
    for picture in pictures_of(6):
        assert len(np.unique(picture.reshape(-1, 3), axis=0)) <= 16
        enlarged += any(
            np.array_equal(picture, picture[::size, ::size].repeat(size, 0).repeat(size, 1)[:SIDE, :SIDE])
            for size in range(2, 7)
        )
    assert enlarged >= len(SEEDS) / 2


@pytest.mark.parametrize("kind", [2, 3, 4, 5])
def test_text_lines_charts_and_interfaces_have_edges_that_photographs_lack(kind):
    for picture in pictures_of(kind):
        luma = picture.astype(int).sum(axis=2)
        assert np.abs(np.diff(luma, axis=1)).max() > 100 or np.abs(np.diff(luma, axis=0)).max() > 100
        # Most of it is flat.
        assert (np.diff(luma, axis=1) == 0).mean() > 0.3


def test_fonts_of_the_machine_are_used_and_unreadable_ones_left_out(monkeypatch, tmp_path):
    damaged = tmp_path / "damaged.ttf"
    damaged.write_bytes(b"no font")
    without = draw_picture(2, 2, SIDE)
    monkeypatch.setattr(module, "_font_files", lambda: (damaged,))
    found = [draw_picture(seed, 2, SIDE) for seed in SEEDS]
    assert all(picture.shape == without.shape for picture in found)


def test_those_of_a_run_are_of_all_kinds_and_larger_than_a_patch(monkeypatch):
    monkeypatch.setattr(module, "_PICTURES", 14)
    found = drawn_pictures(7, 64)
    assert len(found) == 14
    assert all(min(picture.shape[:2]) > 64 for picture in found)
    assert np.array_equal(found[9], draw_picture(7, 9, found[9].shape[0]))
