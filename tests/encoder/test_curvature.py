"""The curvature along a move is measured; damping only grows, up to an end, and by what was found."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimix.encoder.curvature import Damping, curvature_along

any_number = st.one_of(st.floats(allow_nan=True, allow_infinity=True), st.floats(0, 20))


@given(st.lists(any_number, max_size=8))
def test_it_never_falls_and_stays_within_bounds(found):
    damping = Damping()
    for measured in found:
        before = damping.factor
        is_as_foreseen = damping.learn(measured)
        assert 1 <= before <= damping.factor <= 16
        assert is_as_foreseen == (measured <= 1.3 * before)
        assert (damping.factor > before) == (not is_as_foreseen and before < 16)


@given(st.floats(1.31, 10))
def test_it_goes_beyond_what_was_found(measured):
    damping = Damping()
    assert not damping.learn(measured)
    assert damping.factor == pytest.approx(1.5 * measured)
    assert damping.learn(1.9 * measured)


@pytest.mark.parametrize("measured", [math.nan, math.inf, 1e6])
def test_what_is_out_of_hand_damps_most(measured):
    damping = Damping()
    assert not damping.learn(measured)
    assert damping.factor == 16


def test_a_distortion_of_known_curvature_is_measured_whatever_lies_beyond_the_border():
    gradient, moved = np.random.default_rng(4).normal(size=(2, 5, 6, 7)).astype(np.float32)
    weights = np.array([0.5, 1.0, 2.0, 4.0, 8.0], np.float32)
    shares = np.ones((6, 7), np.float32)
    shares[4], shares[5:], shares[:, 6] = 0.25, 0, 0
    counts = shares
    gradient *= counts > 0
    slope = (gradient * moved).sum()
    foreseen = (weights[:, None, None] * counts * np.square(moved)).sum()
    change = float(slope + 3 * foreseen)
    assert curvature_along(change, gradient, moved, weights, shares) == pytest.approx(3, rel=1e-5)
    beyond = np.where(counts > 0, moved, moved + 100)
    assert curvature_along(change, gradient, beyond, weights, shares) == pytest.approx(3, rel=1e-5)
    assert curvature_along(change, gradient, beyond, weights, np.zeros_like(shares)) == 1
