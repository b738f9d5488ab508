"""A call ends soon after its time is over, says how far it came, and leaves nothing behind."""

import itertools
from pathlib import Path

import numpy as np
import pytest

import trimix
from trimix.codec import Codec
from trimix.errors import TimeOverError, UsageError
from trimix.lossless_codec import decode_lossless, encode_lossless
from trimix.threads import in_threads
from trimix.time_budget import check_time, limited_time

GOLDEN = Path(__file__).parent / "golden"
MODEL = GOLDEN / "gllmm-tiny-0.safetensors"


@pytest.fixture
def second_a_look(monkeypatch):
    """A clock that goes on by a second whenever it is read; its list gets every reading."""
    readings = []
    count = itertools.count()

    def read():
        readings.append(float(next(count)))
        return readings[-1]

    monkeypatch.setattr("trimix.time_budget.time.monotonic", read)
    return readings


def photo(side=40):
    return np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", ["rgb-100x75-q50", "sliced-600x20-q60"])
@pytest.mark.parametrize("threads", ["1", "2"])
def test_a_decoding_ends_at_the_next_look_after_its_time(name, threads, second_a_look, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    codec, data = Codec.load(MODEL), (GOLDEN / f"{name}.tmix").read_bytes()
    with limited_time(10**6):
        whole = codec.decode(data)
    needed = len(second_a_look)
    assert needed >= 5  # tiles, and passes of every slice
    for limit in (0.5, needed / 2):
        second_a_look.clear()
        with pytest.raises(TimeOverError, match=rf"at most {limit:g} s"):
            codec.decode(data, maximum_seconds=limit)
        assert len(second_a_look) <= limit + 2 + int(threads)
    assert (codec.decode(data).pixels == whole.pixels).all()


def test_the_message_says_what_is_spent_what_is_left_and_what_to_do(second_a_look):
    told = []
    with pytest.raises(TimeOverError) as caught, limited_time(6.5, told.append):
        for done in range(20):
            check_time("the pixels", done, 20)
    assert str(caught.value) == (
        "the time must be at most 6.5 s, found 7.0 s spent at 30 % of the pixels, about 16 s from the end of it; "
        "raise the limit if you trust the file"
    )
    assert told == [f"{5 * done} % of the pixels" for done in range(7)]


def test_the_nearer_of_two_limits_holds(second_a_look):
    for outer, inner in ((3.5, 100), (100, 3.5), (None, 3.5), (3.5, None)):
        with pytest.raises(TimeOverError, match=r"at most 3\.5 s"), limited_time(outer), limited_time(inner):
            for _ in range(6):
                check_time()
    with limited_time(None):
        check_time()
    check_time()


def test_it_holds_in_threads_and_not_beyond_the_call():
    def work(_):
        check_time()
        return 1

    with pytest.raises(TimeOverError), limited_time(1e-9):
        list(in_threads(2, work, range(4)))
    assert sum(in_threads(2, work, range(4))) == 4


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_a_limit_is_positive(seconds):
    with pytest.raises(UsageError), limited_time(seconds):
        pass


def test_functions_take_a_limit(monkeypatch):
    monkeypatch.setenv("TRIMIX_MODELS", str(GOLDEN))
    data = trimix.compress(photo(), model=MODEL, maximum_seconds=600)
    trimix.decompress(data, maximum_seconds=600)
    drawn = encode_lossless(trimix.Picture(photo()))
    for call in (
        lambda: trimix.decompress(data, maximum_seconds=1e-9),
        lambda: trimix.decompress_to_picture(drawn, maximum_seconds=1e-9),
        lambda: trimix.compress(photo(), model=MODEL, maximum_seconds=1e-9),
        lambda: trimix.compress(photo(), model=MODEL, effort=3, maximum_seconds=1e-9),
        lambda: trimix.compress(photo(), lossless=True, maximum_seconds=1e-9),
    ):
        with pytest.raises(TimeOverError):
            call()
    with pytest.raises(UsageError, match="more than 0"):
        trimix.decompress(data, maximum_seconds=0)
    with limited_time(None):
        assert (decode_lossless(drawn).pixels == photo()).all()


def test_a_search_that_runs_out_of_time_gives_no_file(second_a_look):
    codec, picture = Codec.load(MODEL), trimix.Picture(photo())
    with limited_time(10**6):
        codec.encode(picture, 50, 2)
    needed = len(second_a_look)
    with pytest.raises(TimeOverError), limited_time(needed + 2.5):
        codec.encode(picture, 50, 9)
