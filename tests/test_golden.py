"""Files and models of every release are read for ever, each file with the model that is kept beside it."""

import json
import re
import subprocess
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from trimix.bitstream import Container, describe, read_header
from trimix.bitstream.header import FORMAT_VERSION
from trimix.codec import Codec
from trimix.errors import UnknownModelError
from trimix.frozen.catalogue import IDENTIFIERS, earlier_models, find_model_by_hash
from trimix.images import read_picture
from trimix.lossless_codec import decode_lossless

GOLDEN = Path(__file__).parent / "golden"
ROOT = GOLDEN.parent.parent
LOSSLESS = sorted(GOLDEN.glob("lossless-*.tmix"))
FILES = sorted({*GOLDEN.glob("*.tmix")} - {*LOSSLESS})


@pytest.fixture(autouse=True)
def _golden_models(monkeypatch):
    monkeypatch.setenv("TRIMIX_MODELS", str(GOLDEN))


def test_every_format_version_architecture_and_kind_of_picture_has_a_golden_file():
    assert all(path.stat().st_size <= 200_000 for path in GOLDEN.iterdir())
    found = [describe(path.read_bytes()) for path in (*FILES, *LOSSLESS)]
    assert {path.read_bytes()[4] for path in (*FILES, *LOSSLESS)} == set(range(1, FORMAT_VERSION + 1))
    headers = [one.header for one in found]
    assert {one.model_identifier for one in headers} == {0, *IDENTIFIERS.values()}
    assert {(one.channels, one.bit_depth, one.is_lossless) for one in headers} >= {
        (1, 8, False), (2, 8, False), (3, 8, False), (4, 16, False), (3, 8, True), (4, 16, True)
    }  # fmt: skip
    assert {one.tile_layout for one in headers} == {one.has_equal_colours for one in headers} == {0, 1}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_golden_file_decodes_to_its_symbols_and_pixels(path):
    data = path.read_bytes()
    codec = Codec.for_file(data)
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
def test_the_symbols_of_a_golden_file_give_the_same_bytes_again(path):
    data = path.read_bytes()
    codec = Codec.for_file(data)
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


def test_earlier_weights_are_those_of_the_history():
    """Of a clone that has the history; a source archive and a shallow clone have none."""

    def git(*arguments):
        return subprocess.run(["git", "-C", ROOT, *arguments], capture_output=True, check=True).stdout

    try:
        if not (ROOT / ".git").exists() or git("rev-parse", "--is-shallow-repository").strip() == b"true":
            pytest.skip("no history")
        log = git("log", "--format=", "--name-only", "--", "src/trimix/weights/*.safetensors").decode()
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no history")
    gone = {path for path in log.split() if not (ROOT / path).exists()}
    assert {one.path for one in earlier_models()} == gone
    for one in earlier_models():
        size = int(git("cat-file", "-s", f"{one.commit}:{one.path}"))
        head = git("show", f"{one.commit}:{one.path}")[: 2**16].decode("latin-1")
        assert size == one.bytes
        for fact in (one.name, one.hash, one.format):
            assert json.dumps(fact) in head


@pytest.mark.parametrize("earlier", earlier_models(), ids=lambda one: one.name)
def test_a_file_of_earlier_weights_is_told_where_these_are(earlier):
    with pytest.raises(UnknownModelError, match=re.escape(f"needs the model {earlier.name} ")) as caught:
        find_model_by_hash(bytes.fromhex(earlier.hash))
    assert earlier.command in str(caught.value)
    assert earlier.commit[:10] in earlier.command
    assert set(asdict(earlier)) == {"name", "hash", "format", "bytes", "sha256", "commit", "path"}


def test_the_reader_of_golden_headers_names_its_model():
    for path in FILES:
        assert find_model_by_hash(read_header(path.read_bytes()).weights_hash).path.parent == GOLDEN
