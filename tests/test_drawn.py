"""The drawn set is the same from the same seed, and its numbers are those of damage that is known."""

import json
from pathlib import Path

import numpy as np
import pytest

RESULTS = Path(__file__).parents[1] / "results"


@pytest.fixture(autouse=True)
def benchmarks(monkeypatch):
    """Where benchmarks are imported from."""
    monkeypatch.syspath_prepend(str(RESULTS.parent / "benchmarks"))


@pytest.fixture
def drawn():
    from drawn_pictures import drawn_pictures

    return {one.name: one for one in drawn_pictures(1)}


def test_a_seed_draws_the_same_pictures_and_another_seed_others(drawn):
    from drawn_pictures import drawn_pictures

    for one in drawn_pictures(1):
        assert one.pixels.shape == (384, 512, 3)
        assert (one.pixels == drawn[one.name].pixels).all()
    others = [one.name for one in drawn_pictures(2) if (one.pixels != drawn[one.name].pixels).any()]
    assert set(drawn) - set(others) == {"grey ramp"}


def test_pictures_are_what_they_are_called(drawn):
    def is_neutral(name):
        return np.ptp(drawn[name].pixels.astype(int), axis=2) == 0

    for name in ("grey ramp", "slow grey ramp", "radial grey ramp", "line art"):
        assert is_neutral(name).all()
    for name in ("flat colours", "discs", "text", "interface", "night"):
        assert 0.3 < is_neutral(name).mean() < 1
    assert set(np.unique(drawn["grey ramp"].pixels)) == set(range(256))
    assert drawn["night"].pixels.mean() < 20
    for one in drawn.values():
        if one.ramp is None:
            continue
        for axis in (0, 1):
            steps = np.abs(np.diff(one.pixels.astype(int), axis=axis)).max(axis=2)
            assert (np.moveaxis(steps, axis, 0)[:, :] <= 1)[
                np.moveaxis(one.ramp, axis, 0)[1:] & np.moveaxis(one.ramp, axis, 0)[:-1]
            ].all()


def test_a_perfect_copy_is_undamaged(drawn):
    import drawn as benchmark

    for one in drawn.values():
        found = benchmark.damage(one, one.pixels.copy(), 100, 100, model="m", quality=1.0, codec="c")
        assert found.mean_squared_error == 0
        assert found.cast in (None, benchmark.Cast(0, 0, 0))
        assert found.bands == (None if one.ramp is None else benchmark.Bands(0, 0))
        assert found.speckle is None or set(vars(found.speckle).values()) <= {0.0, None}


def test_a_known_cast_is_found_on_neutral_pixels_only():
    from drawn import Cast, cast

    original = np.full((100, 20, 3), 120, np.uint8)
    original[:, 10:] = (200, 30, 60)
    decoded = original.copy()
    decoded[:, 10:] = 0
    decoded[:50, :10] += np.array([3, 0, 1], np.uint8)
    decoded[0, 0] = (130, 120, 115)
    # 499 pixels of 3, one of 15, 500 of 0; the 99.9th percentile lies between the two largest.
    assert cast(original, decoded) == Cast(pytest.approx((499 * 3 + 15) / 1000), pytest.approx(3.012), 15)
    assert cast(original[:, 10:], decoded[:, 10:]) is None


def test_a_known_band_is_found_where_it_is():
    from drawn import Bands, bands

    original = np.linspace(50, 81, 64).round().astype(np.uint8)[None, :, None].repeat(40, 0).repeat(3, 2)
    ramp = np.ones((40, 64), bool)
    at_blocks = original.copy()
    at_blocks[:, 32:] += 4
    assert bands(original, at_blocks, ramp) == Bands(4, 0)
    rows = original.copy()
    rows[16:, :, 2] -= 5
    assert bands(original, rows, ramp) == Bands(5, 0)
    elsewhere = at_blocks.copy()
    elsewhere[:, 41:] += 7
    assert bands(original, elsewhere, ramp) == Bands(4, 7)
    # A flat copy lacks the ramp's own step of 1.
    assert bands(original, np.full_like(original, 60), ramp) == Bands(1, 1)
    ramp[:, 24:44] = False
    assert bands(original, elsewhere, ramp) == Bands(0, 0)


def test_known_speckle_is_found_away_from_edges_and_near_them():
    from drawn import Speckle, speckle

    original = np.full((80, 120, 3), 255, np.uint8)
    original[:, 60:] = 0
    decoded = original.copy()
    # Flat within 16 pixels: columns 0 .. 43 and 76 .. 119; within 1: all but 59 and 60.
    decoded[10, 20, 0] -= 8
    decoded[10, 50, 1] -= 30
    decoded[:, 59:61] = 128
    away, near = 80 * 88 * 3, 80 * (58 - 43 - 1 + 1 + 15) * 3
    found = speckle(original, decoded)
    assert found == Speckle(pytest.approx(8 / away**0.5), 8, pytest.approx(30 / near**0.5), 30)
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    assert speckle(noise, noise) == Speckle(None, None, None, None)


def test_rows_are_means_of_means_and_the_largest_of_the_largest():
    from drawn import Bands, Cast, Outcome, Record, Speckle, table

    common = {"model": "model", "quality": 46.0, "codec": "model", "is_above_size": False}
    grounds = (Speckle(3, 7, 1, 2), Speckle(4, 5, None, None))
    outcomes = [
        Outcome(**common, picture="a", file_bytes=1000, mean_squared_error=1.0, cast=Cast(1, 2, 9), bands=Bands(3, 4)),
        Outcome(**common, picture="b", file_bytes=500, mean_squared_error=3.0, cast=Cast(2, 5, 6), speckle=grounds[0]),
        Outcome(**common, picture="c", file_bytes=500, mean_squared_error=2.0, speckle=grounds[1]),
        Outcome("model", 46.0, "AVIF", "a", 2000, True, 4.0),
    ]  # fmt: skip
    record = Record(1, 2, "libavif", outcomes)
    row, other = table(record).splitlines()[-2:]
    assert row == "| model | 2000 | 0 | 45.12 | 1.50 | 5 | 9 | 3 | 4 | 3.54 | 7 | 1.00 | 2 |"
    assert other == f"| AVIF | 2000 | 1 | 42.11 |{' – |' * 9}"
    assert "| b | 500 | 0 |" in table(record, each=True)


def test_avif_is_measured_at_equal_size(tmp_path, monkeypatch):
    from argparse import Namespace

    import drawn as benchmark

    one = benchmark.drawn_pictures(1)[7]  # text
    encoded = Namespace(data=bytes(12_000), is_lossless=False)
    monkeypatch.setattr(benchmark, "encode_best", lambda *_: encoded)
    codec = Namespace(
        model=Namespace(identity=Namespace(name="tiny")),
        decode=lambda data: Namespace(pixels=one.pixels, samples=one.pixels),
    )
    monkeypatch.setattr(benchmark.Codec, "load", lambda name: codec)
    monkeypatch.setattr(benchmark, "drawn_pictures", lambda seed: [one])
    output = tmp_path / "drawn.json"
    assert benchmark.main(["--model", "tiny", "--qualities", "46", "--output", str(output)]) == 0
    ours, *avif = benchmark.Record.read(output).outcomes
    assert (ours.codec, ours.file_bytes, ours.mean_squared_error) == ("tiny", 12_000, 0.0)
    assert [other.codec for other in avif] == ["AVIF, tune=iq", "AVIF, tune=psnr"]
    assert all(10_000 < other.file_bytes <= 12_000 and other.mean_squared_error > 100 for other in avif)
    assert [json.loads(output.read_text())[name] for name in ("seed", "effort")] == [1, 2]
    encoded.data = bytes(10)
    ours, *avif = benchmark.measure(codec, one, 46.0, 2)
    assert (ours.file_bytes, ours.is_above_size) == (10, False)
    assert all(other.is_above_size and 1000 < other.file_bytes < 10_000 for other in avif)
