"""Damping only grows, up to an end, and by what was found."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimix.search.damping import Damping

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
