"""Files written once decode for ever, with the model that is kept beside them."""

from pathlib import Path

import numpy as np
import pytest

from trimix.codec import Codec
from trimix.images import read_picture

GOLDEN = Path(__file__).parent / "golden"
FILES = sorted(GOLDEN.glob("*.tmix"))


@pytest.fixture(scope="module")
def codec():
    return Codec.load(GOLDEN / "gllmm-tiny-0.safetensors")


def test_the_golden_files_are_here_and_small():
    assert len(FILES) >= 4
    assert (GOLDEN / "gllmm-tiny-0.safetensors").stat().st_size <= 200_000


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_golden_file_decodes_to_its_symbols_and_pixels(codec, path):
    data = path.read_bytes()
    decoded = codec.decode(data)  # checks the symbols against their checksum
    expected = read_picture(path.with_suffix(".png"))
    assert decoded.pixels.shape == expected.pixels.shape
    # Floats decide pixels: one step of difference is allowed between machines.
    assert np.abs(decoded.pixels.astype(int) - expected.pixels).max() <= 1


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_symbols_of_a_golden_file_give_the_same_bytes_again(codec, path):
    data = path.read_bytes()
    assert codec.pack(codec.decode(data), codec.unpack(data)) == data
