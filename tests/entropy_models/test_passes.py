from dataclasses import replace

import numpy as np
import pytest

from tiny_models import INTERLACED, TINY, tiny_frozen
from trimix.coding import Family, RangeDecoder, RangeEncoder
from trimix.entropy_models import passes as module
from trimix.entropy_models.fixed_point import RequantizedActivation, freeze_layer
from trimix.entropy_models.integer_mixture import IntegerContext, IntegerMixtureModel
from trimix.entropy_models.layout import MixtureLayout, ScaleForm
from trimix.entropy_models.passes import (
    VALUE_LIMIT,
    BitCounter,
    KnownSymbols,
    Rounding,
    SymbolReader,
    SymbolWriter,
    run_schedule,
)
from trimix.entropy_models.schedule import Pass, checkerboard, interlaced, one_pass, wavefront
from trimix.layers.offsets import raster_offsets


@pytest.fixture(scope="module")
def model():
    return tiny_frozen()


@pytest.fixture(scope="module", params=[one_pass, checkerboard, interlaced, wavefront])
def scheduled(request):
    """A model and a schedule for which its contexts are known in time."""
    schedule = request.param
    model = tiny_frozen(INTERLACED if schedule is interlaced else TINY)
    if schedule is not model.schedule:
        model.latent_model.contexts = tuple(
            replace(context, offsets=((-1, 0),) * len(context.offsets)) for context in model.latent_model.contexts
        )
    return model, schedule


def some_latents(model, seed, height=8, width=12):
    random = np.random.default_rng(seed)
    z = random.integers(-3, 4, (4, height // 4, width // 4), dtype=np.int16)
    side = model.side_features(z, 25600)
    latents = random.normal(scale=3, size=(height, width, 8)).round().astype(np.int32)
    return side, latents


def encoded(model, side, latents, schedule, **options):
    encoder = RangeEncoder()
    source, sink = KnownSymbols(latents), SymbolWriter(encoder)
    run_schedule(model.latent_model, side, schedule(*side.shape[:2]), source, sink, **options)
    return encoder.finish()


def test_decoding_gives_back_what_was_encoded(scheduled):
    model, schedule = scheduled
    side, latents = some_latents(model, 1)
    data = encoded(model, side, latents, schedule)
    source = SymbolReader(RangeDecoder(data))
    decoded = run_schedule(model.latent_model, side, schedule(*side.shape[:2]), source).symbols
    assert np.array_equal(decoded, latents)


def test_merged_and_single_passes_write_the_same_bytes(scheduled, monkeypatch):
    model, schedule = scheduled
    side, latents = some_latents(model, 2)
    reference = encoded(model, side, latents, schedule, merged=False)
    assert encoded(model, side, latents, schedule) == reference
    monkeypatch.setattr(module, "POSITIONS_AT_ONCE", 7)
    assert encoded(model, side, latents, schedule) == reference
    assert encoded(model, side, latents, schedule, merged=False) == reference


def integer_layer(generator, inputs, outputs, limit, reach):
    """A random layer whose results use much of what they may."""
    weight = generator.normal(size=(outputs, inputs))
    steps = np.linalg.norm(weight, axis=1) * limit / reach
    bounds = np.full(outputs, reach)
    output = RequantizedActivation(steps, -bounds, bounds, negative_slope=0.5)
    return freeze_layer(weight, np.zeros(outputs), np.ones(inputs), np.full(inputs, limit), output)


def causal_model(around_mean):
    """Four channels, a raster context, one Gaussian."""
    generator = np.random.default_rng(3)
    offsets = raster_offsets(5)
    context = integer_layer(generator, 4 * len(offsets), 6, VALUE_LIMIT if around_mean else 2**15 - 1, 2000)
    head = integer_layer(generator, 5 + 6, 12 if not around_mean else 8, 2000, 1000)
    layout = MixtureLayout(
        (Family.GAUSSIAN,), scale_form=ScaleForm.BOUNDED, around_mean=around_mean, has_lone_logit=not around_mean
    )
    return IntegerMixtureModel((IntegerContext(context, offsets),), (head,), layout, latent_channels=4)


@pytest.mark.parametrize("around_mean", [False, True])
def test_a_wavefront_decodes_what_it_encoded_with_values_around_means(around_mean):
    model = causal_model(around_mean)
    height, width = 7, 9
    side = np.random.default_rng(4).integers(-2000, 2000, (height, width, 5))
    y = np.random.default_rng(5).normal(scale=40, size=(height, width, 4)).astype(np.float32)
    encoder = RangeEncoder()
    chosen = run_schedule(model, side, wavefront(height, width), Rounding(y, 2**15 - 1), SymbolWriter(encoder))
    data = encoder.finish()
    decoded = run_schedule(model, side, wavefront(height, width), SymbolReader(RangeDecoder(data)))
    assert np.array_equal(decoded.symbols, chosen.symbols)
    assert np.array_equal(decoded.values, chosen.values)
    assert np.abs(decoded.values / model.value_steps - y).max() <= 0.5 + 1e-5
    known = decoded.symbols.astype(np.int32)
    for merged in (False, True):
        again = RangeEncoder()
        source, sink = KnownSymbols(known), SymbolWriter(again)
        found = run_schedule(model, side, wavefront(height, width), source, sink, merged=merged)
        assert again.finish() == data
        assert np.array_equal(found.values, decoded.values)
    raster = [Pass(np.array([r]), np.array([c]), 0) for r in range(height) for c in range(width)]
    one_by_one = run_schedule(model, side, raster, Rounding(y, 2**15 - 1))
    assert np.array_equal(one_by_one.values, decoded.values)


def counted(model, side, latents):
    counter = BitCounter(latents.shape)
    passes = checkerboard(*latents.shape[:2])
    run_schedule(model.latent_model, side, passes, KnownSymbols(latents), counter)
    return counter.bits


def test_counted_bits_are_the_files_bits(model):
    side, latents = some_latents(model, 4, 16, 24)
    bits = counted(model, side, latents).sum()
    assert abs(8 * len(encoded(model, side, latents, checkerboard)) - bits) <= 0.001 * bits + 64


def test_the_first_pass_does_not_look_at_latents(model):
    side, latents = some_latents(model, 5)
    other = latents.copy()
    other[0, 1] += 5  # second pass
    counts = [counted(model, side, values) for values in (latents, other)]
    even = np.indices((8, 12)).sum(axis=0) % 2 == 0
    assert np.array_equal(counts[0][even], counts[1][even])
    assert not np.array_equal(counts[0][~even], counts[1][~even])


def test_latents_are_rounded_to_the_nearest_symbol(model):
    side, _ = some_latents(model, 6)
    y = np.random.default_rng(0).normal(scale=2, size=(8, 12, 8)).astype(np.float32)
    for values, expected in ((y, np.rint(y)), (np.full_like(y, 1e6), 2**15 - 1)):
        source = Rounding(values, 2**15 - 1)
        found = run_schedule(model.latent_model, side, checkerboard(8, 12), source)
        assert (found.symbols == expected).all()
