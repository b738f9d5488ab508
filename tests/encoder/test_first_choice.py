"""One walk finds better symbols than the nearest where the model knows what an error costs, and writes them."""

import math

import numpy as np
import pytest
import torch
from searched import (
    FITTED,
    FOR_MS_SSIM,
    LITE,
    WITH_LINEAR_PATH,
    WITHOUT_LINEAR_PATH,
    cost,
    smooth_picture,
    some_picture,
    tiny_codec,
)

from nearest import nearest_symbols
from trimix.codec import Codec
from trimix.encoder import first_choice as module
from trimix.encoder.first_choice import first_choice
from trimix.encoder.picture_distortion import shares_that_matter
from trimix.images import Picture


def first(codec, picture, effort=2, *, writes=False):
    return first_choice(codec.latents, picture, 60, chosen=effort > 1, writes=writes)


@pytest.mark.parametrize("name", WITH_LINEAR_PATH)
@pytest.mark.parametrize("size", [(100, 150), (64, 64), (17, 70)])
@pytest.mark.parametrize("channels", [1, 3])
def test_chosen_symbols_cost_less_than_the_nearest(name, size, channels):
    codec, picture = tiny_codec(name), some_picture(*size, channels)
    nearest, chosen = (first(codec, picture, effort).symbols for effort in (1, 2))
    assert nearest.checksum() == nearest_symbols(codec, picture, 60).checksum()
    # The random networks beside this model's linear path may bend so much that no walk is trusted.
    fell_back = name not in LITE and chosen.checksum() == nearest.checksum()
    assert fell_back or cost(codec, picture, chosen) < cost(codec, picture, nearest)


@pytest.mark.parametrize("name", WITHOUT_LINEAR_PATH)
def test_models_that_do_not_know_what_an_error_costs_take_the_nearest(name):
    codec, picture = tiny_codec(name), some_picture(60, 70)
    assert first(codec, picture).symbols.checksum() == nearest_symbols(codec, picture, 60).checksum()


@pytest.mark.parametrize(("name", "effort"), [("gllmm-lite", 1), (FOR_MS_SSIM, 1), ("hyperprior", 1)])
def test_no_gradient_is_taken_where_nothing_asks_for_it(monkeypatch, name, effort):
    monkeypatch.setattr(module.PictureDistortion, "slope", None)
    assert first(tiny_codec(name), some_picture(60, 70), effort).symbols.latent.any()
    with pytest.raises(TypeError):
        first(tiny_codec("gllmm-lite"), some_picture(60, 70))


@pytest.mark.parametrize("name", [*WITH_LINEAR_PATH, FOR_MS_SSIM, "autoregressive"])
@pytest.mark.parametrize("effort", [1, 2])
def test_the_bits_and_the_bytes_are_those_of_the_symbols(name, effort):
    codec, picture = tiny_codec(name), some_picture(65, 70)
    counted, written = (first(codec, picture, effort, writes=writes) for writes in (False, True))
    assert counted.symbols.checksum() == written.symbols.checksum()
    assert counted.writers is None
    data = codec.pack(picture, written.symbols, written.writers)
    assert data == codec.pack(picture, counted.symbols)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_gradients_are_its_own_affair(mode):
    codec, picture = tiny_codec("gllmm-lite"), some_picture(40, 50)
    with mode():
        found = first(codec, picture).symbols
    assert found.checksum() == first(codec, picture).symbols.checksum()


def in_turn(monkeypatch, curvatures):
    """Give what the walks find."""
    found = iter(curvatures)
    monkeypatch.setattr(module, "curvature_along", lambda *_: next(found))
    return found


def test_an_error_that_grows_more_than_foreseen_damps_the_next_walk(monkeypatch):
    codec, picture = tiny_codec(FITTED), smooth_picture(70, 100)
    in_turn(monkeypatch, [1.0])
    once = first(codec, picture)
    assert once.damping.factor == 1.0
    in_turn(monkeypatch, [3.0, 5.0])
    twice = first(codec, picture)
    assert twice.damping.factor == pytest.approx(1.5 * 3.0)
    nearest = nearest_symbols(codec, picture, 60).latent
    moved = [(start.symbols.latent != nearest).sum() for start in (once, twice)]
    assert 0 < moved[1] < moved[0]


@pytest.mark.parametrize("grows", [True, False])
def test_an_error_that_nobody_foresees_leaves_the_nearest(monkeypatch, grows):
    codec, picture = tiny_codec("gllmm-lite"), some_picture(64, 128)
    left = in_turn(monkeypatch, [3.0, 30.0, 300.0, 1.0] if grows else [math.nan, math.nan, math.nan, 1.0])
    start = first(codec, picture, writes=True)
    assert next(left) == 1.0
    assert start.symbols.checksum() == nearest_symbols(codec, picture, 60).checksum()
    assert start.damping.factor == 16
    assert codec.pack(picture, start.symbols, start.writers) == codec.encode(picture, 60, 1)


def test_an_error_that_nobody_foresees_leaves_what_pads_as_cheap_as_it_can_be(monkeypatch):
    codec, picture = tiny_codec("gllmm-lite"), some_picture(65, 65)
    in_turn(monkeypatch, [math.nan] * 3)
    start, nearest = first(codec, picture), nearest_symbols(codec, picture, 60)
    has_moved = (start.symbols.latent != nearest.latent).any(axis=0)
    assert np.array_equal(has_moved & (shares_that_matter(65, 65, 8, 8) == 0), has_moved)
    bits = [codec.latents.count(one).latent_bits.sum() for one in (start.symbols, nearest)]
    assert bits[0] < bits[1]


@pytest.mark.parametrize("quality", [30, 90])
def test_the_released_model_damps_itself_where_pixels_are_noise(quality):
    """Each channel of each pixel black or white: in one undamped walk the squared errors add up."""
    codec = Codec.load("gllmm-lite")
    noise = np.random.default_rng(0).choice(np.array([0, 255], np.uint8), (64, 64, 3))
    nearest, chosen = (
        first_choice(codec.latents, Picture(noise), quality, chosen=chosen, writes=False) for chosen in (False, True)
    )
    assert chosen.damping.factor > 2
    assert cost(codec, Picture(noise), chosen.symbols) < cost(codec, Picture(noise), nearest.symbols)


def test_it_does_not_damp_itself_where_pictures_are_smooth():
    codec, picture = Codec.load("gllmm-lite"), smooth_picture(128, 128)
    assert first_choice(codec.latents, picture, 50, chosen=True, writes=False).damping.factor == 1
