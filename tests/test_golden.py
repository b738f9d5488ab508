"""Files written once decode for ever, with the model that is kept beside them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from trimix.bitstream import Container, describe
from trimix.codec import Codec
from trimix.images import read_picture
from trimix.lossless_codec import decode_lossless

GOLDEN = Path(__file__).parent / "golden"
FILES = sorted(GOLDEN.glob("[!l]*.tmix"))
LOSSLESS = sorted(GOLDEN.glob("lossless-*.tmix"))


@pytest.fixture(scope="module")
def codec():
    return Codec.load(GOLDEN / "gllmm-tiny-0.safetensors")


def test_the_golden_files_are_here_and_small():
    assert len(FILES) >= 8
    assert len(LOSSLESS) >= 3
    assert (GOLDEN / "gllmm-tiny-0.safetensors").stat().st_size <= 200_000


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_golden_file_decodes_to_its_symbols_and_pixels(codec, path):
    data = path.read_bytes()
    decoded = codec.decode(data)  # checks the symbols against their checksum
    expected = read_picture(path.with_suffix(".png"))
    assert (decoded.samples.shape, decoded.bit_depth) == (expected.samples.shape, expected.bit_depth)
    # Floats decide pixels: one step of difference, or what is one step with 8 bits, is allowed between machines.
    visible = 1 if decoded.alpha is None else decoded.alpha[:, :, None] > 0
    error = np.abs(decoded.samples.astype(int) - expected.samples) * visible
    assert error.max() <= (1 if decoded.bit_depth == 8 else 257)
    if decoded.alpha is not None:
        assert (decoded.alpha == expected.alpha).all()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_symbols_of_a_golden_file_give_the_same_bytes_again(codec, path):
    data = path.read_bytes()
    again = codec.pack(codec.decode(data), codec.unpack(data))
    if describe(data).header.has_alpha:  # another release of the library may code it in another way
        first, second = (replace(Container.from_bytes(one), alpha=b"") for one in (data, again))
        assert first == second
    else:
        assert again == data


@pytest.mark.parametrize("path", LOSSLESS, ids=lambda path: path.stem)
def test_a_golden_file_without_a_model_decodes_exactly(path):
    decoded, expected = decode_lossless(path.read_bytes()), read_picture(path.with_suffix(".png"))
    assert decoded.bit_depth == expected.bit_depth
    visible = 1 if decoded.alpha is None else decoded.alpha[:, :, None] > 0
    assert (decoded.samples * visible == expected.samples * visible).all()
