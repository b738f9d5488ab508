"""Trials towards a target: few, near, and honest about what is out of reach."""

import itertools
import math
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimix.bitstream import QUALITY_STEPS
from trimix.encoder.targets import (
    HIGHEST,
    LOWEST,
    TRIALS,
    Target,
    TargetKind,
    best,
    first_guess,
    is_out_of_reach,
    one_target,
    seek,
    slope_near,
)
from trimix.errors import UsageError

PIXELS = 768 * 512


def smooth_curve(low, high, bend, wave):
    """A growing function of the quality, from ``low`` to ``high``; its slope changes by a factor of up to 10 or so."""

    def value(quality_integer):
        share = (quality_integer - LOWEST) / (HIGHEST - LOWEST)
        bent = share if abs(bend) < 1e-6 else math.expm1(bend * share) / math.expm1(bend)
        return low + (high - low) * (bent + wave * math.sin(2 * math.pi * bent) / (2 * math.pi))

    return value


shapes = {"bend": st.floats(-1.5, 1.5), "wave": st.floats(-0.6, 0.6)}


@settings(max_examples=150)
@given(
    lowest=st.floats(0.01, 0.2),
    octaves=st.floats(2.5, 7),
    share=st.floats(0, 1),
    metadata=st.sampled_from([0, 60, 20_000]),
    **shapes,
)
def test_a_size_is_met_in_few_trials(lowest, octaves, share, metadata, bend, wave):
    logarithm = smooth_curve(math.log(lowest), math.log(lowest) + octaves * math.log(2), bend, wave)

    def size(quality_integer):
        return round(metadata + math.exp(logarithm(quality_integer)) * PIXELS / 8)

    target = Target(TargetKind.BYTES, size(round(LOWEST + share * (HIGHEST - LOWEST))))
    trials = seek(size, target, first_guess(target, PIXELS))
    assert len(trials) <= TRIALS
    assert len({trial.quality_integer for trial in trials}) == len(trials)
    assert abs(best(trials, target).measured / target.value - 1) <= 0.02
    assert not is_out_of_reach(trials, target)


def test_bent_curves_are_met_in_six_trials_and_three_and_a_half_in_the_mean():
    counts = []
    for bend, wave, part in itertools.product((-1.5, -1, -0.5, 0, 0.5, 1, 1.5), (-0.6, -0.3, 0, 0.3, 0.6), range(12)):
        logarithm = smooth_curve(math.log(4000), math.log(128_000), bend, wave)
        wanted = round(LOWEST + (0.03 + 0.94 * part / 11) * (HIGHEST - LOWEST))
        target = Target(TargetKind.BYTES, math.exp(logarithm(wanted)))
        trials = seek(lambda quality, curve=logarithm: math.exp(curve(quality)), target, first_guess(target, PIXELS))
        counts.append(len(trials))
    assert max(counts) <= 6
    assert statistics.fmean(counts) < 3.5


@settings(max_examples=150)
@given(lowest=st.floats(20, 30), span=st.floats(8, 25), share=st.floats(0, 1), **shapes)
def test_a_psnr_is_met_in_few_trials(lowest, span, share, bend, wave):
    psnr_db = smooth_curve(lowest, lowest + span, bend, wave)
    target = Target(TargetKind.PSNR_DB, psnr_db(round(LOWEST + share * (HIGHEST - LOWEST))))
    trials = seek(psnr_db, target, first_guess(target, PIXELS))
    assert len(trials) <= TRIALS
    assert abs(best(trials, target).measured - target.value) <= 0.1


@settings(max_examples=100)
@given(lowest=st.floats(-30, 30), highest=st.floats(70, 90), share=st.floats(0, 1), **shapes)
def test_a_score_is_met_in_few_trials(lowest, highest, share, bend, wave):
    points = smooth_curve(lowest, highest, bend, wave)
    wanted = points(round(LOWEST + share * (HIGHEST - LOWEST)))
    target = Target(TargetKind.SSIMULACRA2, max(wanted, 1.0))
    trials = seek(points, target, first_guess(target, PIXELS))
    assert len(trials) <= TRIALS
    assert abs(best(trials, target).measured - target.value) <= 0.5


def test_a_score_is_at_most_100():
    with pytest.raises(UsageError, match="at most 100, found 101"):
        Target(TargetKind.SSIMULACRA2, 101)


@settings(max_examples=100)
@given(share=st.floats(0.02, 0.98), seed=st.integers(0, 2**20), **shapes)
def test_a_little_roughness_does_no_harm(share, seed, bend, wave):
    logarithm = smooth_curve(math.log(4000), math.log(120_000), bend, wave)

    def size(quality_integer):
        noise = ((quality_integer * 2654435761 + seed) % 2**32) / 2**32 - 0.5
        return math.exp(logarithm(quality_integer) + 0.006 * noise)

    target = Target(TargetKind.BYTES, size(round(LOWEST + share * (HIGHEST - LOWEST))))
    trials = seek(size, target, first_guess(target, PIXELS))
    assert len(trials) <= TRIALS
    assert target.is_met(best(trials, target).measured)


@given(factor=st.floats(1.05, 30), is_above=st.booleans(), **shapes)
def test_out_of_reach_is_noticed_and_both_ends_are_known(factor, is_above, bend, wave):
    logarithm = smooth_curve(math.log(4000), math.log(120_000), bend, wave)

    def size(quality_integer):
        return math.exp(logarithm(quality_integer))

    target = Target(TargetKind.BYTES, 120_000 * factor if is_above else 4000 / factor)
    trials = seek(size, target, first_guess(target, PIXELS))
    assert len(trials) <= TRIALS
    assert is_out_of_reach(trials, target)
    assert {LOWEST, HIGHEST} <= {trial.quality_integer for trial in trials}


@given(share=st.floats(0, 1))
def test_the_ends_of_the_scale_are_within_reach(share):
    logarithm = smooth_curve(math.log(4000), math.log(120_000), 0.3, 0.0)
    for end in (LOWEST, HIGHEST):
        value = math.exp(logarithm(end))
        target = Target(TargetKind.BYTES, value * (1 + 0.019 * (2 * share - 1)))
        trials = seek(lambda quality: math.exp(logarithm(quality)), target, first_guess(target, PIXELS))
        assert target.is_met(best(trials, target).measured)


def test_a_size_is_rather_not_exceeded():
    logarithm = smooth_curve(math.log(4000), math.log(120_000), 0.4, 0.1)
    for size in range(5000, 100_000, 7000):
        target = Target(TargetKind.BYTES, size)
        trials = seek(lambda quality: math.exp(logarithm(quality)), target, first_guess(target, PIXELS))
        assert 0.995 <= best(trials, target).measured / size <= 1


def test_a_flat_curve_ends():
    for value in (300.0, 1000.0, 3000.0):
        trials = seek(lambda quality, value=value: value, Target(TargetKind.BYTES, 1000), 20 * QUALITY_STEPS)
        assert len(trials) <= TRIALS


@given(value=st.floats(0.01, 5), pixels=st.integers(1, 10**8), kind=st.sampled_from(TargetKind))
def test_the_first_guess_is_a_quality(value, pixels, kind):
    assert LOWEST <= first_guess(Target(kind, value), pixels) <= HIGHEST


def test_the_slope_is_that_of_the_nearest_trials():
    curve = smooth_curve(20, 45, 0.5, 0)
    target = Target(TargetKind.PSNR_DB, 33)
    trials = seek(curve, target, 50 * QUALITY_STEPS)
    at = best(trials, target).quality_integer
    step = (curve(at + QUALITY_STEPS) - curve(at - QUALITY_STEPS)) / 2
    assert slope_near(trials, target, at) == pytest.approx(step, rel=0.05)
    assert slope_near(trials[:1], target, at) == target.aim.typical_slope


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_targets_are_positive_and_finite(value):
    with pytest.raises(UsageError, match="positive and finite"):
        one_target(psnr_db=value)


def test_one_target_only():
    assert one_target() is None
    with pytest.raises(UsageError, match=r"one target, found 0\.5 bpp and 34 dB"):
        one_target(bits_per_pixel=0.5, psnr_db=34)
