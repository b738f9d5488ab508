"""The search never loses, keeps what it has, and decoders read what it found."""

import numpy as np
import pytest
import torch
from searched import MODELS, cost, some_picture, tiny_codec

from trimix.errors import UsageError
from trimix.search.effort import DEFAULT_EFFORT, MAXIMUM, MINIMUM, effort_of
from trimix.search.searching import search


@pytest.mark.parametrize("name", MODELS)
def test_it_is_never_worse_than_its_start(name):
    codec = tiny_codec(name)
    picture = some_picture(60, 64)
    costs = [cost(codec, picture, search(codec, picture, 60, effort).symbols) for effort in (2, 3, 6)]
    assert costs[1] <= costs[0] + 0.5
    assert costs[2] < costs[0]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("size", "channels"), [((17, 33), 3), ((17, 33), 1), ((1, 70), 3)])
def test_decoders_read_what_it_found(name, size, channels):
    codec = tiny_codec(name)
    picture = some_picture(*size, channels)
    found = search(codec, picture, 40, 5)
    assert (found.moves, found.ended) == (4, None)
    data = codec.pack(picture, found.symbols)
    read = codec.unpack(data)
    assert torch.equal(read.latent, found.symbols.latent)
    assert torch.equal(read.hyper_latent, found.symbols.hyper_latent)
    assert codec.decode(data).pixels.shape == (*size, channels)
    assert np.array_equal(codec.decode(data).pixels, codec.reconstruct(found.symbols, *size, channels))


@pytest.mark.parametrize("name", ["gllmm-lite", "autoregressive"])
def test_the_same_picture_gives_the_same_symbols(name):
    codec, picture = tiny_codec(name), some_picture(70, 100)
    first, second = (search(codec, picture, 50, 6).symbols for _ in range(2))
    assert first.checksum() == second.checksum()


@pytest.mark.parametrize("name", ["gllmm-lite", "autoregressive"])
def test_what_it_says_is_true(name):
    codec, picture = tiny_codec(name), some_picture(70, 100)
    standings = []
    found = search(codec, picture, 60, 6, on_standing=standings.append)
    assert [standing.move for standing in standings] == list(range(1, 9))
    assert {standing.moves for standing in standings} == {8}
    # The last standing is of the best before the last step was judged.
    before = search(codec, picture, 60, 6, on_standing=_interrupting(8)).symbols
    pixels = 70 * 100
    assert standings[-1].bits_per_pixel == pytest.approx(codec.count(before).total / pixels, rel=1e-6)
    decoded = codec.reconstruct(before, 70, 100).astype(float)
    psnr_db = 10 * np.log10(255**2 / np.square(decoded - picture.pixels).mean())
    assert standings[-1].psnr_db == pytest.approx(psnr_db, abs=0.05)
    assert cost(codec, picture, found.symbols) <= cost(codec, picture, before) + 0.5


def test_a_time_limit_of_nothing_gives_the_start():
    codec, picture = tiny_codec("gllmm-lite"), some_picture(70, 100)
    found = search(codec, picture, 50, 9, time_limit_seconds=0.0)
    assert (found.moves, found.ended) == (0, "time")
    assert found.symbols.checksum() == codec.quantize(picture, 50).checksum()


def _interrupting(step):
    def stop(standing):
        if standing.move == step:
            raise KeyboardInterrupt

    return stop


@pytest.mark.parametrize("name", ["gllmm-lite", "hyperprior"])
def test_an_interrupt_gives_the_best_so_far(name):
    codec, picture = tiny_codec(name), some_picture(70, 100)
    found = search(codec, picture, 50, 7, on_standing=_interrupting(3))
    assert (found.moves, found.ended) == (3, "interrupt")
    start = cost(codec, picture, codec.quantize(picture, 50))
    assert cost(codec, picture, found.symbols) <= start + 0.5
    first = search(codec, picture, 50, 7, on_standing=_interrupting(1))
    assert first.symbols.checksum() == codec.quantize(picture, 50).checksum()


def test_an_interrupt_while_it_begins_gives_the_start(monkeypatch):
    codec, picture = tiny_codec("gllmm-lite"), some_picture(70, 100)

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("trimix.search.searching.DifferentiablePath", interrupted)
    found = search(codec, picture, 50, 7)
    assert (found.moves, found.ended) == (0, "interrupt")
    assert found.symbols.checksum() == codec.quantize(picture, 50).checksum()


@pytest.mark.parametrize("effort", [MINIMUM - 1, MAXIMUM + 1])
def test_an_effort_out_of_range_is_refused(effort):
    with pytest.raises(UsageError, match=r"from 1 .* to 9"):
        search(tiny_codec("gllmm-lite"), some_picture(16, 16), 50, effort)


def test_efforts_grow():
    efforts = [effort_of(level) for level in range(MINIMUM, MAXIMUM + 1)]
    assert [effort.level for effort in efforts] == list(range(1, 10))
    assert [effort.chosen for effort in efforts] == [False] + [True] * 8
    steps = [len(effort.moves) for effort in efforts]
    assert steps == sorted(steps)
    assert not effort_of(DEFAULT_EFFORT).moves
    assert all(0 < move.share <= 1 and move.curvature >= 1 for effort in efforts for move in effort.moves)
