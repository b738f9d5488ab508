"""What is chosen costs no more than any other candidate."""

import numpy as np
import pytest

from tiny_models import tiny_frozen
from trimix.coding import RangeEncoder
from trimix.encoder.choosing import Choosing
from trimix.entropy_models.passes import BitCounter, KnownSymbols, SymbolWriter, run_schedule
from trimix.entropy_models.schedule import checkerboard

LIMIT = 2**15 - 1
SHAPE = (8, 12, 8)
FIRST_PASS = np.indices(SHAPE[:2]).sum(axis=0) % 2 == 0


@pytest.fixture(scope="module")
def model():
    return tiny_frozen()


@pytest.fixture(scope="module")
def side(model):
    z = np.random.default_rng(6).integers(-3, 4, (4, 2, 3), dtype=np.int16)
    return model.side_features(z, 25600)


def some_values(seed, scale=2.0):
    return np.random.default_rng(seed).normal(scale=scale, size=SHAPE).astype(np.float32)


def chosen(model, side, values, quadratic, linear=0.0, shares=None, sink=None):
    linear = np.broadcast_to(np.float32(linear), values.shape)
    source = Choosing(values, linear, np.asarray(quadratic, np.float32), LIMIT, shares)
    passes = checkerboard(*SHAPE[:2])
    return run_schedule(model.latent_model, side, passes, source, sink).symbols, source.bits


def bits_of(model, side, symbols):
    counter = BitCounter(SHAPE)
    source = KnownSymbols(symbols.astype(np.int32))
    run_schedule(model.latent_model, side, checkerboard(*SHAPE[:2]), source, counter)
    return counter.bits


def test_where_errors_are_dear_latents_are_rounded(model, side):
    values = some_values(0)
    assert np.array_equal(chosen(model, side, values, 1e12)[0], np.rint(values))
    assert np.array_equal(chosen(model, side, np.full_like(values, 1e6), 1.0)[0], np.full(SHAPE, LIMIT))


@pytest.mark.parametrize("quadratic", [0.0, 0.5, 3.0])
@pytest.mark.parametrize("slope", [0.0, 2.0])
def test_choices_of_the_first_pass_cost_no_more_than_any_other(model, side, quadratic, slope):
    values, linear = some_values(1), slope * some_values(2)
    symbols, _ = chosen(model, side, values, quadratic, linear)

    def cost(symbols):
        distance = symbols - values
        bits = bits_of(model, side, symbols)
        return (bits + linear * distance + quadratic * np.square(distance))[FIRST_PASS]

    least = cost(symbols)
    for step in (-1, 0, 1):
        assert (least <= cost(np.rint(values) + step) + 1e-3).all()
    assert np.abs(symbols - np.rint(values)).max() == 1


def test_its_bits_and_what_it_writes_are_those_of_its_symbols(model, side):
    encoder, again = RangeEncoder(), RangeEncoder()
    symbols, bits = chosen(model, side, some_values(3), 0.5, sink=SymbolWriter(encoder))
    assert bits == pytest.approx(bits_of(model, side, symbols).sum())
    source = KnownSymbols(symbols.astype(np.int32))
    run_schedule(model.latent_model, side, checkerboard(*SHAPE[:2]), source, SymbolWriter(again))
    assert encoder.finish() == again.finish()


def test_what_lies_outside_the_picture_is_as_cheap_as_it_can_be(model, side):
    """With errors beyond price inside: there latents are rounded; outside nothing expected or near is cheaper."""
    values = some_values(7, scale=6)
    shares = np.ones(SHAPE[:2], np.float32)
    shares[5:], shares[:, 10:] = 0, 0
    shares[4] *= 0.25
    outside = shares == 0
    symbols, bits = chosen(model, side, values, np.full(8, 1e12), shares=shares)
    assert bits == pytest.approx(bits_of(model, side, symbols).sum())
    assert np.array_equal(symbols[~outside], np.rint(values)[~outside])
    first = outside & FIRST_PASS
    least = bits_of(model, side, symbols)[first]
    for other in (np.floor(values), np.ceil(values)):
        assert (least <= bits_of(model, side, other)[first] + 1e-9).all()
    assert least.sum() < 0.5 * bits_of(model, side, np.rint(values))[first].sum()
    assert np.abs(symbols - values)[outside].max() > 2


def test_an_error_is_worth_as_much_as_lies_in_the_picture(model, side):
    values, quarter = some_values(8), np.full(SHAPE[:2], 0.25, np.float32)
    found = chosen(model, side, values, np.full(8, 4.0), shares=quarter)[0]
    assert np.array_equal(found, chosen(model, side, values, np.ones(8))[0])
    assert not np.array_equal(found, chosen(model, side, values, np.full(8, 4.0))[0])


def test_costs_that_are_no_numbers_leave_the_nearest_symbols(model, side):
    values = some_values(9)
    symbols, bits = chosen(model, side, values, np.ones(8), linear=np.nan)
    assert np.array_equal(symbols, np.rint(values))
    assert bits == pytest.approx(bits_of(model, side, symbols).sum())
