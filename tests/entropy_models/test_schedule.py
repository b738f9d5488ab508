import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimix.entropy_models.schedule import INTERLACED_LEVELS, checkerboard, interlaced, one_pass, wavefront
from trimix.layers.offsets import checkerboard_offsets, raster_offsets

SIZES = st.tuples(st.integers(1, 12), st.integers(1, 12))


@pytest.mark.slow
@pytest.mark.parametrize("schedule", [one_pass, checkerboard, interlaced, wavefront])
@given(size=SIZES)
def test_every_position_is_coded_once(schedule, size):
    coded = [(r, c) for p in schedule(*size) for r, c in zip(p.rows.tolist(), p.columns.tolist(), strict=True)]
    assert sorted(coded) == [(r, c) for r in range(size[0]) for c in range(size[1])]


@pytest.mark.parametrize(
    ("schedule", "offsets"),
    [
        (checkerboard, [checkerboard_offsets(5)]),
        (interlaced, [level.offsets for level in INTERLACED_LEVELS]),
        (lambda h, w: wavefront(h, w, 5), [raster_offsets(5)]),
        (lambda h, w: wavefront(h, w, 3), [raster_offsets(3)]),
    ],
)
@given(size=SIZES)
def test_every_context_lies_in_earlier_passes(schedule, offsets, size):
    done = set()
    for one in schedule(*size):
        positions = list(zip(one.rows.tolist(), one.columns.tolist(), strict=True))
        for row, column in positions if one.context is not None else []:
            for down, right in offsets[one.context]:
                neighbour = (row + down, column + right)
                inside = 0 <= neighbour[0] < size[0] and 0 <= neighbour[1] < size[1]
                assert not inside or neighbour in done
        done.update(positions)


def test_an_interlaced_latent_has_these_levels():
    found = np.full((5, 6), -2)
    for one in interlaced(5, 6):
        found[one.rows, one.columns] = -1 if one.context is None else one.context
    assert found.tolist() == [
        [-1, 3, 1, 3, -1, 3],
        [3, 2, 3, 2, 3, 2],
        [1, 3, 0, 3, 1, 3],
        [3, 2, 3, 2, 3, 2],
        [-1, 3, 1, 3, -1, 3],
    ]


def test_all_earlier_neighbours_at_its_distance_are_looked_at_by_a_level():
    """A level's taps are the nearest earlier positions: all that are as near as the farthest of them."""
    size = (24, 24)
    earlier = set()
    for one in interlaced(*size):
        positions = list(zip(one.rows.tolist(), one.columns.tolist(), strict=True))
        if one.context is not None:
            taps = set(INTERLACED_LEVELS[one.context].offsets)
            row, column = next((r, c) for r, c in positions if 8 <= r < 16 and 8 <= c < 16)
            reach = max(r * r + c * c for r, c in taps)
            near = {(r - row, c - column) for r, c in earlier}
            assert taps == {(r, c) for r, c in near if r * r + c * c <= reach}
        earlier.update(positions)


@given(size=st.tuples(st.integers(1, 12), st.integers(3, 12)))
def test_the_wavefront_has_the_passes_of_its_formula(size):
    assert len(wavefront(*size)) == size[1] + 3 * (size[0] - 1)


@given(size=SIZES)
def test_positions_of_a_pass_stand_in_raster_order(size):
    for schedule in (one_pass, checkerboard, interlaced, wavefront):
        for one in schedule(*size):
            positions = list(zip(one.rows.tolist(), one.columns.tolist(), strict=True))
            assert positions == sorted(positions)
