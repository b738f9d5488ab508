"""Hyper-latents that are looked for cost fewer bits, theirs and those of the latents they describe."""

import numpy as np
import pytest
import torch
from searched import MODELS, some_picture, tiny_codec, values_of

from trimix.search.differentiable_path import DifferentiablePath
from trimix.search.hyper_latents import HyperLatentSearch

HEIGHT, WIDTH = 130, 200


def setting(name, spoilt=0.3):
    """Codec, search, latents' values, and hyper-latents that are not those of h_a everywhere."""
    codec = tiny_codec(name)
    symbols = codec.quantize(some_picture(HEIGHT, WIDTH), 60)
    path = DifferentiablePath(codec.model)
    search = HyperLatentSearch(codec.model, path, symbols.quality_integer, np.random.default_rng(1))
    generator = torch.Generator().manual_seed(1)
    shape = symbols.hyper_latent.shape
    moved = torch.randint(-2, 3, shape, generator=generator) * (
        torch.rand(shape, generator=generator) < spoilt
    )
    return codec, search, symbols, (symbols.hyper_latent + moved).to(torch.int16)


def total_bits(codec, search, symbols, hyper_latent):
    """Of the latents, by the path in floats, and of the hyper-latents."""
    path = DifferentiablePath(codec.model)
    values = values_of(codec, symbols)
    context = path.context_features(values[None], path.looking_planes(*values.shape[1:]))
    bits, _ = path.hyper_gradient(values, context, hyper_latent.float(), symbols.quality_integer)
    return float(bits.double().sum()) + search.bits(hyper_latent)


@pytest.mark.parametrize("name", MODELS)
def test_bits_get_fewer(name):
    codec, search, symbols, spoilt = setting(name)
    found = search.improved(values_of(codec, symbols), spoilt, 30)
    assert (found.shape, found.dtype) == (spoilt.shape, torch.int16)
    before, after = (total_bits(codec, search, symbols, one) for one in (spoilt, found))
    original = total_bits(codec, search, symbols, symbols.hyper_latent)
    assert after < before
    # More than half of what was spoilt is found again, or something as good.
    assert before - after > 0.5 * (before - original)


@pytest.mark.parametrize("name", MODELS)
def test_bits_of_hyper_latents_are_the_coders(name):
    codec, search, symbols, _ = setting(name)
    assert search.bits(symbols.hyper_latent) == pytest.approx(codec.count(symbols).hyper_latent_bits)


def test_no_steps_change_nothing():
    codec, search, symbols, spoilt = setting("gllmm-lite")
    assert torch.equal(search.improved(values_of(codec, symbols), spoilt, 0), spoilt)


def test_one_step_changes_a_position_by_one_at_most():
    codec, search, symbols, spoilt = setting("gllmm-lite")
    change = (search.improved(values_of(codec, symbols), spoilt, 1) - spoilt).abs()
    assert change.any()
    assert int(change.sum(dim=0).max()) == 1


def test_the_numbers_stay_within_what_a_file_holds():
    codec, search, symbols, _ = setting("autoregressive")
    limit = codec.model.hyper_latent_limit
    edge = torch.full_like(symbols.hyper_latent, limit)
    found = search.improved(values_of(codec, symbols), edge, 4)
    assert int(found.abs().max()) <= limit
