"""Laws of the statistics: what belongs together adds up, and what is drawn from a model fits it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inspection_examples import drawn_symbols

from family_laws import SCIPY
from trimix.coding import Family, MixtureParameters, scale_of_index
from trimix.evaluation.inspection.statistics import (
    StatisticsSum,
    histogram_borders,
    in_doubt,
    observed_masses,
    predicted_masses,
    probability_intervals,
    responsibilities,
    shares_of,
    standard_deviations,
    transform_of_totals,
    transform_totals,
    weights_of,
)


def mixtures(count=4000, families=tuple(Family), seed=0, indices=(30, 120)):
    random = np.random.default_rng(seed)
    components = len(families)
    weights = np.floor(random.dirichlet(np.ones(components), size=count) * 2**16).astype(np.int32)
    weights[:, 0] += 2**16 - weights.sum(axis=1, dtype=np.int32)
    return MixtureParameters(
        np.array(families, np.uint8),
        weights,
        np.rint(64 * random.normal(0.0, 2.0, (count, components))).astype(np.int32),
        random.integers(*indices, (count, components)).astype(np.uint8),
    )


def test_families_are_told_apart_and_components_where_there_is_one_family():
    assert shares_of(np.array([0, 1, 2], np.uint8)).names == ("Gaussian", "Laplacian", "logistic")
    nine = shares_of(np.repeat(np.array([0, 1, 2], np.uint8), 3))
    assert len(nine) == 3
    assert nine.sum(np.arange(9.0)[None]).tolist() == [[3.0, 12.0, 21.0]]
    assert shares_of(np.array([1, 1], np.uint8)).names == ("Laplacian 1", "Laplacian 2")
    alone = shares_of(np.array([2], np.uint8))
    assert alone.names == ("logistic",) and alone.are_families


def test_responsibilities_are_the_posterior_of_real_arithmetic():
    parameters = mixtures(300)
    symbols = drawn_symbols(np.random.default_rng(1), parameters)
    means, scales = parameters.means / 64, scale_of_index[parameters.scale_indices]
    joint = weights_of(parameters) * np.stack(
        [
            SCIPY[family].cdf(symbols + 0.5, means[:, k], scales[:, k])
            - SCIPY[family].cdf(symbols - 0.5, means[:, k], scales[:, k])
            for k, family in enumerate(parameters.families.tolist())
        ],
        axis=1,
    )
    found = responsibilities(parameters, symbols)
    assert found.sum(axis=1) == pytest.approx(np.ones(300))
    assert np.abs(found - joint / joint.sum(axis=1, keepdims=True)).max() < 2e-3


def test_responsibilities_of_drawn_symbols_are_the_weights_in_the_mean():
    parameters = mixtures(40_000)
    symbols = drawn_symbols(np.random.default_rng(2), parameters)
    difference = responsibilities(parameters, symbols) - weights_of(parameters)
    assert np.abs(difference.mean(axis=0)).max() < 4 * difference.std() / np.sqrt(40_000)


@pytest.mark.parametrize("value", [-30_000, -2049, -2048, 0, 2047, 2048, 30_000])
def test_responsibilities_sum_to_1_even_for_symbols_that_nobody_expects(value):
    parameters = mixtures(20)
    found = responsibilities(parameters, np.full(20, value, np.int32))
    assert np.isfinite(found).all()
    assert found.sum(axis=1) == pytest.approx(np.ones(20))


def test_standard_deviations_are_those_of_real_arithmetic():
    parameters = mixtures(50)
    means, scales = parameters.means / 64, scale_of_index[parameters.scale_indices]
    weights = weights_of(parameters)
    moments = [
        (SCIPY[family].var(scale=scales[:, k]), means[:, k]) for k, family in enumerate(parameters.families.tolist())
    ]
    mean = (weights * means).sum(axis=1)
    variance = sum(weights[:, k] * (v + (m - mean) ** 2) for k, (v, m) in enumerate(moments))
    assert standard_deviations(parameters) == pytest.approx(np.sqrt(variance))


def test_an_interval_is_as_wide_as_the_coder_s_probability():
    parameters = mixtures(200)
    symbols = drawn_symbols(np.random.default_rng(3), parameters)
    intervals = probability_intervals(parameters, symbols)
    assert np.diff(intervals, axis=1)[:, 0] == pytest.approx(parameters.frequencies(symbols) / 2**30)
    assert (intervals >= 0).all() and (intervals <= 1).all()


def probability_transform(intervals):
    return transform_of_totals(transform_totals(intervals), len(intervals))


@pytest.mark.parametrize("indices", [(0, 40), (30, 120), (100, 160)])
def test_symbols_drawn_from_their_own_mixtures_have_a_uniform_transform(indices):
    count = 20_000
    parameters = mixtures(count, seed=5, indices=indices)
    symbols = drawn_symbols(np.random.default_rng(6), parameters)
    found = probability_transform(probability_intervals(parameters, symbols))
    assert found.cumulative[0] == 0 and found.cumulative[-1] == pytest.approx(1)
    assert found.density.mean() == pytest.approx(1)
    # Kolmogorov's distance of that many uniform numbers lies below it but once in a thousand; spreading lessens it.
    assert found.deviation < 1.95 / np.sqrt(count)
    # So it is for those in doubt alone: they are chosen before the symbol is known.
    doubtful = in_doubt(parameters)
    some = probability_transform(probability_intervals(parameters, symbols)[doubtful])
    assert some.count == doubtful.sum() > 0
    assert some.deviation < 1.95 / np.sqrt(some.count)


def test_the_transform_shows_predictions_that_are_too_wide_or_too_narrow():
    parameters = mixtures(20_000, families=(Family.GAUSSIAN,), indices=(80, 81))
    symbols = drawn_symbols(np.random.default_rng(7), parameters)

    def transform(octaves):
        indices = (parameters.scale_indices.astype(int) + 16 * octaves).astype(np.uint8)
        other = MixtureParameters(parameters.families, parameters.weights, parameters.means, indices)
        return probability_transform(probability_intervals(other, symbols))

    wide, narrow = transform(1), transform(-1)
    assert wide.density[0] < 0.5 < 1.2 < wide.density[10]
    assert narrow.density[10] < 0.8 < 1.5 < narrow.density[0]
    assert min(wide.deviation, narrow.deviation) > 0.05


def test_a_latent_is_in_doubt_where_its_likeliest_value_is_no_matter_of_course():
    alone = mixtures(2, families=(Family.GAUSSIAN,))
    means = np.zeros((2, 1), np.int32)
    sure_and_not = np.array([[0], [64]], np.uint8)
    assert in_doubt(MixtureParameters(alone.families, alone.weights, means, sure_and_not)).tolist() == [False, True]


@settings(max_examples=50)
@given(st.lists(st.integers(-32_767, 32_767), min_size=1, max_size=40))
def test_borders_make_few_bins_of_one_width_and_every_symbol_is_counted(values):
    symbols = np.array(values, np.int32)
    borders = histogram_borders(symbols)
    assert 1 <= len(borders) - 1 <= 61
    assert len(set(np.diff(borders).tolist())) == 1
    masses = observed_masses(symbols, borders)
    assert masses.sum() == len(values)
    assert masses[0] == (symbols < borders[0]).sum()
    assert masses[-1] == (symbols >= borders[-1]).sum()


@pytest.mark.parametrize(
    "borders", [np.arange(-5, 7), np.arange(-30, 40, 4), np.array([-2048, 2048]), np.array([0, 1])]
)
def test_predicted_masses_sum_to_1_and_are_the_coder_s(borders):
    parameters = mixtures(30)
    shares = shares_of(parameters.families)
    found = predicted_masses(parameters, borders, shares)
    assert found.shape == (len(borders) + 1, 3)
    assert found.sum() == pytest.approx(30)
    assert found.min() >= 0
    inside = sum(
        parameters.frequencies(np.full(30, value, np.int32)).sum() / 2**30
        for value in range(max(borders[0], -300), min(borders[-1], 300))
    )
    assert found[1:-1].sum() == pytest.approx(inside, abs=1e-3)


def test_predicted_and_observed_agree_for_drawn_symbols():
    parameters = mixtures(20_000, indices=(50, 80))
    symbols = drawn_symbols(np.random.default_rng(8), parameters)
    borders = histogram_borders(symbols)
    predicted = predicted_masses(parameters, borders, shares_of(parameters.families)).sum(axis=1) / 20_000
    observed = observed_masses(symbols, borders) / 20_000
    assert np.abs(predicted - observed).sum() / 2 < 0.02


def test_any_grouping_of_positions_gives_the_same_statistics():
    parameters = mixtures(6 * 5 * 4)
    symbols = drawn_symbols(np.random.default_rng(9), parameters).reshape(6, 5, 4)
    rows, columns = (part.ravel() for part in np.mgrid[:6, :5])
    results = []
    for pieces in (1, 7):
        total = StatisticsSum(parameters.families, symbols, [2, 0])
        for piece in np.array_split(np.random.default_rng(pieces).permutation(30), pieces):
            latents = (4 * piece[:, None] + np.arange(4)).ravel()
            total.add(rows[piece], columns[piece], parameters.rows(latents))
        results.append(total.result())
    one, other = results
    for name in ("bits", "weight_bits", "responsibility_bits", "standard_deviation", "channel_bits"):
        assert getattr(one, name) == pytest.approx(getattr(other, name))
    assert one.transform.cumulative == pytest.approx(other.transform.cumulative)
    assert [histogram.channel for histogram in one.histograms] == [2, 0]
    for first, second in zip(one.histograms, other.histograms, strict=True):
        assert first.predicted == pytest.approx(second.predicted)
    bits = parameters.information_bits(symbols.ravel()).reshape(symbols.shape)
    assert one.bits == pytest.approx(bits.sum(axis=2))
    assert one.channel_bits == pytest.approx(bits.sum(axis=(0, 1)))
