import numpy as np
import pytest
from coding_examples import TOTAL, exact_interval, random_parameters, random_table
from hypothesis import given, settings
from hypothesis import strategies as st

from family_laws import SCIPY
from trimix.coding import FactorizedTable, Family, MixtureParameters, scale_of_index

INTEGERS = st.integers(0, 2**32 - 1)
EVERY_SYMBOL = np.arange(-2049, 2049, dtype=np.int32)


def repeated(parameters, row, count):
    return parameters.rows(np.full(count, row))


def extreme_parameters():
    """One component with means and scales at their ends, for every family."""
    for family in Family:
        for mean in (-(2**31), -(2**21), -1, 0, 31, 32, 2**21, 2**31 - 1):
            for scale_index in (0, 100, 255):
                yield MixtureParameters(
                    np.array([family], np.uint8),
                    np.array([[2**16]], np.int32),
                    np.array([[mean]], np.int32),
                    np.array([[scale_index]], np.uint8),
                )


@settings(max_examples=15, deadline=None, derandomize=True)
@given(seed=INTEGERS, components=st.integers(1, 9), spread=st.sampled_from([0.1, 10.0, 3000.0]))
def test_all_4098_frequencies_are_positive_and_sum_to_the_total(seed, components, spread):
    generator = np.random.default_rng(seed)
    parameters = random_parameters(generator, 1, components, (0, 255), spread)
    frequencies = repeated(parameters, 0, 4098).frequencies(EVERY_SYMBOL)
    assert frequencies.min() >= 1 and frequencies.sum() == TOTAL


def test_all_frequencies_are_positive_at_the_extremes():
    for parameters in extreme_parameters():
        frequencies = repeated(parameters, 0, 4098).frequencies(EVERY_SYMBOL)
        assert frequencies.min() >= 1 and frequencies.sum() == TOTAL


@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=INTEGERS, components=st.integers(1, 9), spread=st.sampled_from([0.1, 10.0, 40000.0]))
def test_the_compiled_cdf_equals_the_page_in_exact_integers(seed, components, spread):
    generator = np.random.default_rng(seed)
    parameters = random_parameters(generator, 60, components, (0, 255), spread)
    near = parameters.means[:, 0] // 64 + generator.integers(-9, 10, 60)
    symbols = np.clip(np.where(np.arange(60) % 2, near, generator.integers(-32767, 32768, 60)), -32767, 32767)
    symbols = symbols.astype(np.int32)
    expected = [exact_interval(parameters, row, value) for row, value in enumerate(symbols.tolist())]
    assert parameters.frequencies(symbols).tolist() == [upper - lower for lower, upper in expected]


def test_extremes_equal_the_page_in_exact_integers():
    values = np.array([-32767, -2049, -2048, -1, 0, 1, 2047, 2048, 32767], np.int32)
    for parameters in extreme_parameters():
        expected = [exact_interval(parameters, 0, value) for value in values.tolist()]
        found = repeated(parameters, 0, len(values)).frequencies(values)
        assert found.tolist() == [upper - lower for lower, upper in expected]


def test_probabilities_agree_with_the_mixture_in_floating_point():
    # Interpolation in steps of 1/32 errs by at most (1/32)^2 / 8 * max |F''|, 1.2e-4 * 0.5 (Laplacian).
    generator = np.random.default_rng(2)
    parameters = random_parameters(generator, 3000, 6, (16, 200), 20.0)
    symbols = np.rint(generator.normal(0.0, 20.0, 3000)).astype(np.int32)
    laws = [SCIPY[Family(family)] for family in parameters.families]
    scales = scale_of_index[parameters.scale_indices]
    probabilities = np.zeros(3000)
    for k, law in enumerate(laws):
        edges = (np.stack([symbols - 0.5, symbols + 0.5]) - parameters.means[:, k] / 64) / scales[:, k]
        probabilities += parameters.weights[:, k] / 2**16 * np.diff(law.cdf(edges), axis=0)[0]
    assert np.abs(parameters.frequencies(symbols) / TOTAL - probabilities).max() < 1.3e-4
    likely = probabilities > 1e-4
    bits, ideal = parameters.information_bits(symbols)[likely], -np.log2(probabilities[likely])
    assert abs(bits.sum() / ideal.sum() - 1) < 1e-3 and np.abs(bits - ideal).max() < 0.1


def test_payload_bits_of_escapes_are_counted():
    parameters = repeated(random_parameters(np.random.default_rng(3), 1, 2), 0, 6)
    symbols = np.array([2048, 2048 + 255, 2048 + 256, 32767, -2049, -32767], np.int32)
    payload = parameters.information_bits(symbols) - (30 - np.log2(parameters.frequencies(symbols)))
    assert payload.round(9).tolist() == [9, 9, 11, 21, 9, 21]


def test_rows_are_views_for_slices_and_copies_for_indices():
    parameters = random_parameters(np.random.default_rng(4), 10, 3)
    part = parameters.rows(slice(2, 5))
    assert len(part) == 3 and np.shares_memory(part.means, parameters.means)
    chosen = parameters.rows(np.array([9, 0]))
    assert (chosen.weights == parameters.weights[[9, 0]]).all()
    assert parameters.rows(slice(0, 10, 3)).means.flags.c_contiguous
    assert len(parameters.rows(slice(0, 0))) == 0


@pytest.mark.parametrize(
    "change",
    [
        {"families": np.array([0, len(Family)], np.uint8)},
        {"families": np.array([], np.uint8)},
        {"weights": np.array([[2**15, 2**15 - 1]], np.int32)},
        {"weights": np.array([[2**16 + 1, -1]], np.int32)},
        {"weights": np.array([[2**15, 2**15]], np.int64)},
        {"means": np.zeros((1, 3), np.int32)},
        {"means": np.zeros((2, 2), np.int32)},
        {"means": np.zeros((1, 4), np.int32)[:, ::2]},
        {"scale_indices": np.zeros((1, 2), np.int16)},
    ],
)
def test_wrong_parameters_are_refused(change):
    right = {
        "families": np.array([0, 1], np.uint8),
        "weights": np.array([[2**15, 2**15]], np.int32),
        "means": np.zeros((1, 2), np.int32),
        "scale_indices": np.zeros((1, 2), np.uint8),
    }
    MixtureParameters(**right)
    if "means" in change and change["means"].strides[-1] > 4:  # one row of two, strided: not contiguous
        right["weights"] = np.full((2, 2), 2**15, np.int32)
        right["scale_indices"] = np.zeros((2, 2), np.uint8)
        change = {"means": np.zeros((2, 4), np.int32)[:, ::2]}
    with pytest.raises((ValueError, TypeError)):  # TypeError: by the type checker of the tests
        MixtureParameters(**{**right, **change})


def test_a_factorized_table_has_the_given_probabilities():
    table = FactorizedTable.from_probabilities(
        [[0.2, 0.8], [0.0, 1.0, 1.0, 0.0]], offsets=[0, -3], tail_masses=[[0.0, 0.0], [1.0, 1.0]]
    )
    assert table.lengths.tolist() == [2, 4] and (table.cdf[:, -1] == TOTAL).all()
    frequencies = np.diff(table.cdf.astype(np.int64))
    assert frequencies[0, :4].tolist()[0] == 1 and frequencies[0, 4:].tolist() == [0, 0]
    np.testing.assert_allclose(frequencies[0, 1:3] / TOTAL, [0.2, 0.8], atol=1e-8)
    np.testing.assert_allclose(frequencies[1] / TOTAL, [0.25, 0, 0.25, 0.25, 0, 0.25], atol=1e-8)
    assert frequencies[1].min() >= 1
    bits = table.information_bits(np.array([-1, 1, -4, 1], np.int32), np.array([0, 0, 1, 1], np.int32))
    np.testing.assert_allclose(bits, [31.0, -np.log2(0.8), 3.0, 3.0], atol=1e-6)


def test_wrong_factorized_tables_are_refused():
    table = random_table(np.random.default_rng(5))
    flat = table.cdf.copy()
    flat[0, 1] = 0
    for wrong in (
        lambda: FactorizedTable(flat, table.lengths, table.offsets),
        lambda: FactorizedTable(table.cdf[:, 1:], table.lengths, table.offsets),
        lambda: FactorizedTable(table.cdf, table.lengths, table.offsets + np.int32(2**15)),
        lambda: FactorizedTable(table.cdf, table.lengths[1:], table.offsets),
        lambda: FactorizedTable.from_probabilities([[np.nan]], [0], [[0.0, 0.0]]),
        lambda: FactorizedTable.from_probabilities([[0.0]], [0], [[0.0, 0.0]]),
        lambda: FactorizedTable.from_probabilities([[1.0]], [0], [[0.0, 0.0]] * 2),
        lambda: table.information_bits(np.zeros(1, np.int32), np.full(1, 5, np.int32)),
    ):
        with pytest.raises(ValueError):
            wrong()
