"""The map of the bits: every bit of the symbols, at its place."""

import numpy as np
import pytest
from report_examples import photograph, tiny_codec

from trimix.evaluation.drawing import heat_colours, ramp
from trimix.evaluation.report.bit_map import BitMap, map_bits
from trimix.evaluation.report.equal_size import EqualSize, common_scale
from trimix.latent_codec import Symbols


@pytest.fixture(scope="module")
def codec():
    return tiny_codec()


@pytest.mark.parametrize(("height", "width"), [(128, 192), (100, 70)])
def test_the_map_adds_up_to_the_file(codec, height, width):
    data = codec.encode(photograph(height, width), 60, 1)
    symbols = codec.unpack(data)
    found = map_bits(codec, symbols, len(data), width, height)
    assert found.bits.shape == (-(-height // 64) * 4, -(-width // 64) * 4)
    assert found.bits.sum() == pytest.approx(codec.latents.count(symbols).total)
    assert found.bits.sum() == pytest.approx(found.latent_bits + found.hyper_latent_bits)
    # What remains is the container: some dozens of bytes, never less than nothing.
    assert 0 < found.remaining_bits < 8 * 100
    assert 8 * len(data) == pytest.approx(found.bits.sum() + found.remaining_bits)
    assert (found.padding_bits > 0) == ((height, width) == (100, 70))
    assert found.bits_per_pixel.sum() * 16**2 == pytest.approx(found.bits.sum())


def test_bits_lie_where_the_symbols_are(codec):
    shape = codec.unpack(codec.encode(photograph(128, 128), 60, 1)).latent.shape
    zeros = Symbols(np.zeros(shape, np.int16), np.zeros((4, 2, 2), np.int16), 60 * 512)
    surprise = np.zeros(shape, np.int16)
    surprise[0, 6, 1] = 90
    one = Symbols(surprise, zeros.hyper_latent, zeros.quality_integer)
    difference = map_bits(codec, one, 1, 128, 128).bits - map_bits(codec, zeros, 1, 128, 128).bits
    assert np.unravel_index(difference.argmax(), difference.shape) == (6, 1)


def test_hyper_latents_are_spread_over_their_latents(codec):
    data = codec.encode(photograph(128, 128), 60, 1)
    symbols = codec.unpack(data)
    share = map_bits(codec, symbols, len(data), 128, 128).bits - codec.latents.count(symbols).latent_bits.sum(axis=2)
    for row in (0, 4):
        for column in (0, 4):
            block = share[row : row + 4, column : column + 4]
            assert np.ptp(block) < 1e-9
            assert block.min() > 0


def test_one_scale_for_all_maps():
    maps = [BitMap(np.full((4, 4), bits), 16 * bits, 0.0, 100, 64, 64) for bits in (0.0, 512.0)]
    compared = [EqualSize("a.png", photograph(64, 64), (), one) for one in maps]
    highest = common_scale(compared)
    assert highest == pytest.approx(2.0)
    assert heat_colours(maps[0].bits_per_pixel, highest, "inferno").max() < 10
    assert heat_colours(maps[1].bits_per_pixel, highest, "inferno").min() > 100
    assert common_scale(compared[:1]) > 0
    assert ramp("inferno", 5)[0] == "#000004"
    assert len(ramp("inferno", 5)) == 5
