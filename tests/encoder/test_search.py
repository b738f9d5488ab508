"""The search never loses, keeps what it has, and decoders read what it found."""

import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from searched import FITTED, MODELS, cost, drawn_picture, smooth_picture, some_picture, tiny_codec

from nearest import nearest_symbols
from trimix.codec import Codec
from trimix.distortion import Distortion
from trimix.encoder import search as module
from trimix.encoder.curvature import Damping
from trimix.encoder.effort import DEFAULT_EFFORT, MAXIMUM, MINIMUM, search_steps
from trimix.encoder.first_choice import first_choice
from trimix.encoder.search import find_symbols
from trimix.errors import UsageError
from trimix.images import psnr_db, shares_in_picture


@pytest.mark.parametrize("name", MODELS)
def test_it_is_never_worse_than_its_start(name):
    codec = tiny_codec(name)
    picture = some_picture(60, 64)
    costs = [cost(codec, picture, find_symbols(codec.latents, picture, 60, effort).symbols) for effort in (2, 3, 6)]
    assert costs[1] <= costs[0] + 0.5
    assert costs[2] < costs[0]


@pytest.mark.parametrize("effort", [2, 4])
def test_what_only_pads_a_picture_costs_less_than_its_nearest_symbols(effort):
    codec, picture = tiny_codec("gllmm-lite"), some_picture(65, 65)
    is_padding = shares_in_picture(65, 65, 16, 8, 8) == 0

    def bits_of_padding(effort):
        symbols = find_symbols(codec.latents, picture, 60, effort).symbols
        return codec.latents.count(symbols).latent_bits[is_padding].sum()

    assert bits_of_padding(effort) < bits_of_padding(1)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("size", "channels"), [((17, 33), 3), ((17, 33), 1), ((1, 70), 3)])
def test_decoders_read_what_it_found(name, size, channels):
    codec = tiny_codec(name)
    picture = some_picture(*size, channels)
    found = find_symbols(codec.latents, picture, 40, 5)
    assert (found.steps, found.ended) == (4, None)
    data = codec.pack(picture, found.symbols)
    read = codec.unpack(data)
    assert np.array_equal(read.latent, found.symbols.latent)
    assert np.array_equal(read.hyper_latent, found.symbols.hyper_latent)
    assert codec.decode(data).pixels.shape == (*size, channels)
    assert np.array_equal(codec.decode(data).pixels, codec.latents.synthesize(found.symbols, *size, channels))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gllmm-lite", "autoregressive"])
def test_the_same_picture_gives_the_same_symbols(name):
    codec, picture = tiny_codec(name), some_picture(70, 100)
    first, second = (find_symbols(codec.latents, picture, 50, 6).symbols for _ in range(2))
    assert first.checksum() == second.checksum()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gllmm-lite", "autoregressive"])
def test_what_it_says_is_true(name):
    codec, picture = tiny_codec(name), some_picture(70, 100)
    progresses = []
    found = find_symbols(codec.latents, picture, 60, 6, on_step=progresses.append)
    assert [progress.step for progress in progresses] == list(range(1, 9))
    assert {progress.steps for progress in progresses} == {8}
    first = find_symbols(codec.latents, picture, 60, 6, on_step=_interrupting(1)).symbols
    for symbols, progress in ((first, progresses[0]), (found.symbols, progresses[-1])):
        bits_per_pixel = codec.latents.count(symbols).total / (70 * 100)
        assert progress.bits_per_pixel == pytest.approx(bits_per_pixel, rel=1e-6)
        decoded = codec.latents.synthesize(symbols, 70, 100)
        found_db = float(progress.distortion.removesuffix(" dB"))
        assert found_db == pytest.approx(psnr_db(picture.pixels, decoded), abs=0.05)
    assert cost(codec, picture, found.symbols) <= cost(codec, picture, first) + 0.5


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_hyper_latents_are_looked_for_too(name):
    codec, picture = tiny_codec(name), some_picture(100, 150)
    found = find_symbols(codec.latents, picture, 60, 6).symbols
    assert not np.array_equal(found.hyper_latent, nearest_symbols(codec, picture, 60).hyper_latent)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("name", MODELS)
def test_gradients_are_its_own_affair(name, mode):
    codec, picture = tiny_codec(name), some_picture(40, 50)
    with mode():
        found = find_symbols(codec.latents, picture, 60, 4).symbols
    assert found.checksum() == find_symbols(codec.latents, picture, 60, 4).symbols.checksum()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_that_may_not_be_written_are_read(channels):
    picture = some_picture(40, 50, channels)
    picture.pixels.setflags(write=False)
    assert find_symbols(tiny_codec("gllmm-lite").latents, picture, 60, 3).steps == 1


def test_a_time_limit_of_nothing_gives_the_start():
    codec, picture = tiny_codec("gllmm-lite"), some_picture(70, 100)
    found = find_symbols(codec.latents, picture, 50, 9, time_limit_seconds=0.0)
    assert (found.steps, found.ended) == (0, "time")
    assert found.symbols.checksum() == find_symbols(codec.latents, picture, 50, 2).symbols.checksum()


def test_a_time_limit_ends_between_steps(monkeypatch):
    codec, picture = tiny_codec("gllmm-lite"), some_picture(70, 100)
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])

    def a_second_later(progress):
        clock[0] += 1.0

    found = find_symbols(codec.latents, picture, 50, 9, time_limit_seconds=4.5, on_step=a_second_later)
    assert found.ended == "time"
    assert found.steps in (3, 4)
    assert (
        found.symbols.checksum()
        == find_symbols(codec.latents, picture, 50, 9, on_step=_interrupting(found.steps)).symbols.checksum()
    )


def _interrupting(step):
    def stop(progress):
        if progress.step == step:
            raise KeyboardInterrupt

    return stop


@pytest.mark.parametrize("name", ["gllmm-lite", "hyperprior"])
def test_an_interrupt_gives_the_best_so_far(name):
    codec, picture = tiny_codec(name), some_picture(70, 100)
    found = find_symbols(codec.latents, picture, 50, 7, on_step=_interrupting(3))
    assert (found.steps, found.ended) == (3, "interrupt")
    start = cost(codec, picture, find_symbols(codec.latents, picture, 50, 2).symbols)
    assert cost(codec, picture, found.symbols) <= start + 0.5


def test_an_interrupt_while_it_begins_gives_the_start(monkeypatch):
    codec, picture = tiny_codec("gllmm-lite"), some_picture(70, 100)

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("trimix.encoder.differentiable_path.DifferentiablePath", interrupted)
    found = find_symbols(codec.latents, picture, 50, 7)
    assert (found.steps, found.ended) == (0, "interrupt")
    assert found.symbols.checksum() == find_symbols(codec.latents, picture, 50, 2).symbols.checksum()


@pytest.mark.parametrize("effort", [MINIMUM - 1, MAXIMUM + 1])
def test_an_effort_out_of_range_is_refused(effort):
    with pytest.raises(UsageError, match=r"from 1 .* to 9"):
        find_symbols(tiny_codec("gllmm-lite").latents, some_picture(16, 16), 50, effort)


def test_efforts_grow():
    steps = [search_steps(effort) for effort in range(MINIMUM, MAXIMUM + 1)]
    assert steps == sorted(steps)
    assert search_steps(DEFAULT_EFFORT) == 0


def test_a_step_that_curves_the_error_too_much_damps_the_next_and_damping_is_forgotten(monkeypatch):
    codec, picture = tiny_codec(FITTED), smooth_picture(128, 128)
    assert first_choice(codec.latents, picture, 60, chosen=True, writes=False).damping.factor == 1
    found = iter([0.5, 4.0, 99.0])
    monkeypatch.setattr(module, "curvature_along", lambda *_: next(found, 0.5))
    seen = []

    class Source(module.Choosing):
        def __init__(self, values, linear, quadratic, *others):
            seen.append(float(quadratic.sum()))
            super().__init__(values, linear, quadratic, *others)

    monkeypatch.setattr(module, "Choosing", Source)
    find_symbols(codec.latents, picture, 60, 6)
    damping = [quadratic / seen[0] for quadratic in seen]
    assert damping == pytest.approx([1, 1, 6, 16, *(16 * 0.7**number for number in (1, 2, 3, 4))], rel=1e-4)


@pytest.mark.parametrize("kind", ["ms-ssim", "ssimulacra2", "weighted-mse"])
def test_efforts_help_by_what_the_weights_were_trained_for(kind):
    codec = Codec(replace(tiny_codec(FITTED).model, distortion=Distortion(kind)))
    picture = smooth_picture(170, 192)
    costs = [cost(codec, picture, find_symbols(codec.latents, picture, 60, effort).symbols) for effort in (1, 2, 3)]
    assert costs[2] <= costs[1] + 0.5
    assert costs[1] <= costs[0] + 0.5


@pytest.mark.parametrize("kind", ["mse", "ms-ssim", "ssimulacra2"])
def test_an_effort_begins_with_exactly_what_the_one_below_it_does(kind):
    """So none ends with more bits + lambda * distortion than the one below it."""
    codec = Codec(replace(tiny_codec(FITTED).model, distortion=Distortion(kind)))
    picture = smooth_picture(170, 192)

    def way(effort):
        steps = []
        find_symbols(codec.latents, picture, 60, effort, on_step=lambda one: steps.append(replace(one, steps=0)))
        return steps

    longest = way(6)
    assert len(longest) == search_steps(6)
    for effort in (3, 4, 5):
        assert way(effort) == longest[: search_steps(effort)]


@pytest.mark.parametrize("kind", ["ms-ssim", "ssimulacra2"])
def test_a_picture_too_small_for_the_objective_of_its_weights_is_not_searched_by_squared_errors(kind):
    codec = Codec(replace(tiny_codec(FITTED).model, distortion=Distortion(kind)))
    picture = smooth_picture(Distortion(kind).minimum_side - 1, 192)
    found = find_symbols(codec.latents, picture, 60, 5)
    assert (found.steps, found.ended) == (0, None)
    assert found.symbols.checksum() == find_symbols(codec.latents, picture, 60, 2).symbols.checksum()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "side"), [("gllmm-lite", 96), ("gllmm-lite-eye", 128), ("gllmm-lite-ms-ssim", 176)])
@pytest.mark.parametrize("quality", [20, 60])
def test_no_effort_of_the_released_weights_is_worse_than_the_one_below(name, side, quality):
    codec, picture = Codec.load(name), drawn_picture(side, seed=1)
    costs = [cost(codec, picture, find_symbols(codec.latents, picture, quality, one).symbols) for one in range(1, 6)]
    assert costs == sorted(costs, reverse=True)
    assert costs[-1] < costs[0]


@pytest.mark.slow
def test_the_released_search_beats_itself_without_its_parts(monkeypatch):
    codec, pictures = Codec.load("gllmm-lite"), [drawn_picture(96, seed) for seed in (1, 2)]

    def found():
        return sum(cost(codec, one, find_symbols(codec.latents, one, 60, 5).symbols) for one in pictures)

    whole = found()
    with monkeypatch.context() as without_relaxing:
        without_relaxing.setattr(Damping, "relax", lambda self: None)
        assert found() > 1.01 * whole
    with monkeypatch.context() as without_hyper_latents:
        for name in ("_FIRST_HYPER_STEPS", "_HYPER_STEPS"):
            without_hyper_latents.setattr(module, name, 0)
        assert found() > 1.01 * whole
    with monkeypatch.context() as always_free:  # of true squared errors every step goes downhill
        always_free.setattr(module, "_FREE_SHARE", 0.0)
        assert found() == whole


def test_efforts_help_the_released_weights_for_ms_ssim_by_ms_ssim():
    codec, picture = Codec.load("gllmm-lite-ms-ssim"), some_picture(176, 176)
    costs = [cost(codec, picture, find_symbols(codec.latents, picture, 60, effort).symbols) for effort in (1, 2, 4)]
    assert costs[2] < costs[1] < costs[0]
