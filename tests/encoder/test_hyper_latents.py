"""Hyper-latents that are looked for cost fewer bits, theirs and those of the latents they describe."""

import numpy as np
import pytest
import torch
from searched import MODELS, some_picture, tiny_codec

from nearest import nearest_symbols
from trimix.encoder import hyper_latents
from trimix.encoder.differentiable_path import DifferentiablePath
from trimix.encoder.hyper_latents import HyperLatentSearch

HEIGHT, WIDTH = 130, 200


def setting(name, spoilt=0.3):
    """Codec, search, latents' values, and hyper-latents that are not those of h_a everywhere."""
    codec = tiny_codec(name)
    symbols = nearest_symbols(codec, some_picture(HEIGHT, WIDTH), 60)
    path = DifferentiablePath(codec.model)
    search = HyperLatentSearch(codec.model, path, symbols.quality_integer, np.random.default_rng(1))
    random, shape = np.random.default_rng(1), symbols.hyper_latent.shape
    moved = random.integers(-2, 3, shape) * (random.random(shape) < spoilt)
    return codec, search, symbols, (symbols.hyper_latent + moved).astype(np.int16)


def total_bits(codec, search, symbols, hyper_latent):
    """Of the latents, by the path in floats, and of the hyper-latents."""
    path = DifferentiablePath(codec.model)
    values = torch.from_numpy(codec.latents.dequantize(symbols))
    context = path.context_features(values[None], path.looking_planes(*values.shape[1:]))
    bits, _ = path.hyper_gradient(values, context, torch.from_numpy(hyper_latent).float(), symbols.quality_integer)
    return float(bits.double().sum()) + search.bits(hyper_latent)


@pytest.mark.parametrize("name", MODELS)
def test_bits_get_fewer(name):
    codec, search, symbols, spoilt = setting(name)
    found = search.improved(codec.latents.dequantize(symbols), spoilt, 30)
    assert (found.shape, found.dtype) == (spoilt.shape, np.int16)
    before, after = (total_bits(codec, search, symbols, one) for one in (spoilt, found))
    original = total_bits(codec, search, symbols, symbols.hyper_latent)
    assert after < before
    # More than half of what was spoilt is found again, or something as good.
    assert before - after > 0.5 * (before - original)


@pytest.mark.parametrize("name", MODELS)
def test_bits_of_hyper_latents_are_the_coders(name):
    codec, search, symbols, _ = setting(name)
    assert search.bits(symbols.hyper_latent) == pytest.approx(codec.latents.count(symbols).hyper_latent_bits)


def test_what_is_taken_back_is_known_as_before_and_what_stays_is_known_anew(monkeypatch):
    codec, search, symbols, spoilt = setting("gllmm-lite")
    proposed, measured = [], []
    propose, measure = search._proposal, search._latent_bits

    def proposal(*known):
        proposed.append((known, propose(*known)))
        return proposed[-1][1]

    def latent_bits(values, context, of, **options):
        measured.append(measure(values, context, of, **options))
        return measured[-1]

    search.improved(codec.latents.dequantize(symbols), spoilt, 1)  # the curvature is measured once
    monkeypatch.setattr(search, "_proposal", proposal)
    monkeypatch.setattr(search, "_latent_bits", latent_bits)
    search.improved(codec.latents.dequantize(symbols), spoilt, 6)
    refused = kept = 0
    following = zip(proposed, proposed[1:], measured[1:], strict=False)
    for ((before, own_before, gradient_before), change), ((after, own, gradient), _), (_, new_gradient) in following:
        changed = change.any(axis=0)
        is_back, stays = (
            (one == before + sign * change).all(axis=0) & changed for one, sign in ((after, 0), (after, 1))
        )
        assert (is_back | stays == changed).all()
        for is_there, known in ((is_back, gradient_before), (stays, new_gradient)):
            assert np.array_equal(gradient[:, is_there], known[:, is_there])
        assert np.array_equal(own[:, is_back], own_before[:, is_back])
        assert np.array_equal(own, search._table_bits(after))
        refused, kept = refused + is_back.sum(), kept + stays.sum()
    assert refused > 0
    assert kept > 0


def test_no_steps_change_nothing():
    codec, search, symbols, spoilt = setting("gllmm-lite")
    assert np.array_equal(search.improved(codec.latents.dequantize(symbols), spoilt, 0), spoilt)


def test_one_step_changes_a_position_by_one_at_most():
    codec, search, symbols, spoilt = setting("gllmm-lite")
    change = np.abs(search.improved(codec.latents.dequantize(symbols), spoilt, 1) - spoilt)
    assert change.any()
    assert int(change.sum(axis=0).max()) == 1


def test_the_numbers_stay_within_what_a_file_holds():
    codec, search, symbols, _ = setting("autoregressive")
    limit = codec.model.hyper_latent_limit
    edge = np.full_like(symbols.hyper_latent, limit)
    found = search.improved(codec.latents.dequantize(symbols), edge, 4)
    assert int(np.abs(found).max()) <= limit


@pytest.mark.parametrize("name", MODELS)
def test_a_band_tells_the_curvature_of_its_positions(name, monkeypatch):
    """Beside the band nothing is moved: only there the curvature is that of all positions moved at once."""
    codec, search, symbols, _ = setting(name)
    values = torch.from_numpy(codec.latents.dequantize(symbols))
    path = DifferentiablePath(codec.model)
    context = path.context_features(values[None], path.looking_planes(*values.shape[1:]))
    z = symbols.hyper_latent.astype(np.int32)
    monkeypatch.setattr(hyper_latents, "_PROBED_POSITIONS", z.shape[2])
    row = (z.shape[1] - 1) // 2

    def gradient_at(moved):
        tensor = torch.from_numpy(moved).float()
        return path.hyper_gradient(values, context, tensor, symbols.quality_integer)[1].double().numpy()

    before = gradient_at(z.astype(np.float64))
    found = search._curvatures(values, context, z, before)
    signs = np.random.default_rng(1).integers(0, 2, z[:, row : row + 1].shape) * 2.0 - 1
    moved = z.astype(np.float64)
    moved[:, row : row + 1] += 0.5 * signs
    halves = ((gradient_at(moved) - before)[:, row : row + 1] * signs).mean(axis=(1, 2))
    floor = np.clip(halves, 0, None).mean() / 20
    assert found == pytest.approx(np.maximum(halves, floor), rel=1e-2, abs=1e-4)
