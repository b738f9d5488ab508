"""A weights file may hold anything: it gives a model that codes, or one line of ``ModelError``."""

import contextlib
import json
import os
import re
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from nearest import nearest_symbols
from tiny_models import INTERLACED, TINY, tiny_frozen
from trimix.codec import Codec
from trimix.errors import ModelError
from trimix.frozen.storage import checksum_of, load_frozen, save_frozen
from trimix.images import Picture

GOLDEN = Path(__file__).parent.parent / "golden" / "gllmm-tiny-0.safetensors"


def contents():
    """Metadata and tensors of the golden model."""
    with safe_open(GOLDEN, framework="np") as file:
        return dict(file.metadata()), {name: file.get_tensor(name).copy() for name in file.keys()}  # noqa: SIM118


def write(path, metadata, tensors):
    """A weights file whose checksum is right."""
    digest = checksum_of(metadata["program"], tensors)
    save_file(tensors, path, metadata | {"checksum": digest.hex()})
    return path


def assert_refused(path, message=None):
    with pytest.raises(ModelError, match=message) as caught:
        load_frozen(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def changed(value, index, number):
    value = value.copy()
    value.reshape(-1)[index] = number
    return value


def test_the_golden_model_is_taken(tmp_path):
    """Otherwise the refusals below prove nothing."""
    assert load_frozen(write(tmp_path / "a.safetensors", *contents())).identity == load_frozen(GOLDEN).identity


NAMES = sorted(contents()[1])


CHANGES = {
    "missing": lambda value: None,
    "float": lambda value: value.astype(np.float64 if value.dtype.kind == "f" else np.float32),
    "integer": lambda value: value.astype(np.int16 if value.dtype != np.int16 else np.int64),
    "longer": lambda value: np.concatenate([value, value[:1]]),
    "shorter": lambda value: value[:-1].copy(),
    "deeper": lambda value: value[None],
    "empty": lambda value: value[:0].copy(),
    "scalar": lambda value: np.array(value.reshape(-1)[0]),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_every_tensor_must_be_there_with_its_type_and_shape(tmp_path, kind):
    metadata, tensors = contents()
    for name in NAMES[list(CHANGES).index(kind) :: len(CHANGES)]:  # a part each: it takes time
        if kind in ("longer", "shorter") and name.endswith("log_factors"):
            continue  # a table may have any number of rows
        value = CHANGES[kind](tensors[name])
        others = {other: tensor for other, tensor in tensors.items() if other != name}
        altered = others if value is None else others | {name: value}
        assert_refused(write(tmp_path / "a.safetensors", metadata, altered), re.escape(name.rpartition(".")[0]))


def test_a_tensor_too_many_is_refused(tmp_path):
    metadata, tensors = contents()
    path = write(tmp_path / "a.safetensors", metadata, tensors | {"head.9.weight\n": np.zeros(1, np.float32)})
    assert_refused(path, r"found 1 more: 'head.9.weight\\n'")


@pytest.mark.parametrize(
    ("name", "index", "number", "message"),
    [
        ("hyper_synthesis.0.input_limit", 0, 32766, "must cover the 32767"),
        ("hyper_synthesis.0.input_limit", -1, 197, "must cover the 198"),
        ("hyper_synthesis.1.input_limit", 0, 32766, "must cover the 32767"),
        ("context.input_limit", 0, 32766, "must cover the 32767"),
        ("head.0.input_limit", -1, 32766, "must cover the 32767"),
        ("head.1.input_limit", 0, -1, "must cover the 32767"),
        ("head.1.input_limit", 0, 2**24 + 1, "must stay within 2\\^24"),
        ("head.0.maximum", 0, 32768, "head.1.input_limit 0 must cover the 32768"),
        ("context.minimum", 0, -32768, "head.0.input_limit 16 must cover the 32768"),
        ("hyper_synthesis.1.maximum", 3, 32768, "hyper_synthesis.2.input_limit 0 must cover"),
        ("hyper_synthesis.2.maximum", 0, 2**24 + 1, "must stay within"),
        ("head.0.maximum", 0, -32768, "minimum must not exceed"),
        ("head.0.shift", 0, 0, "shift must be 1..62"),
        ("head.0.shift", 0, 63, "shift must be 1..62"),
        ("head.0.bias", 0, 2**53, "must stay < 2\\^53"),
        ("head.0.bias", 0, -(2**63), "must stay < 2\\^53"),
        ("head.0.bias", 0, 2**52, "may reach 2\\^63"),
        ("head.0.weight_shift", 0, 9, "must be 0..8, found 9"),
        ("head.0.weight_shift", 0, 255, "must be 0..8, found 255"),
        ("head.2.minimum", -1, -1, "scale indices .* found bounds -1..255"),
        ("head.2.maximum", -1, 256, "scale indices .* found bounds 0..256"),
        ("hyper_table.cdf", 0, 1, "must rise strictly"),
        ("hyper_table.cdf", 1, -5, "must rise strictly"),
        ("hyper_table.cdf", -1, 2**29, "must rise strictly"),
        ("hyper_table.lengths", 0, 0, "lengths >= 1"),
        ("hyper_table.lengths", 0, 2**31 - 1, "longest length"),
        ("hyper_table.offsets", 0, -(2**31), "direct values"),
        ("hyper_table.offsets", 0, 2**31 - 1, "direct values"),
        ("transforms.gain.log_factors", 0, float("nan"), "must be finite"),
        ("transforms.gain.log_factors", 0, 41.0, "must lie within 40, found 41"),
        ("transforms.inverse_gain.log_factors", 3, -41.0, "must lie within 40"),
        ("transforms.inverse_gain.log_factors", 3, float("inf"), "must be finite"),
        ("transforms.analysis.to_half.weight", 0, float("-inf"), "must be finite"),
        ("transforms.synthesis.linear.mean", 0, float("nan"), "must be finite"),
    ],
)
def test_a_number_out_of_range_is_refused(tmp_path, name, index, number, message):
    metadata, tensors = contents()
    tensors[name] = changed(tensors[name], index, number)
    assert_refused(write(tmp_path / "a.safetensors", metadata, tensors), message)


def test_the_hyper_synthesis_must_reach_the_resolution_of_the_latent(tmp_path):
    metadata, tensors = contents()
    last = "hyper_synthesis.2"
    # The same channels, twice as large: as many rows of the matrix, and every one consistent.
    for name in ("weight", "bias", "multiplier", "negative_multiplier", "shift", "minimum", "maximum"):
        tensors[f"{last}.{name}"] = tensors[f"{last}.{name}"].repeat(4, axis=0)
    program = json.loads(metadata["program"])
    program["hyper_synthesis"]["operations"][2]["upscale"] = 2
    metadata["program"] = json.dumps(program)
    path = write(tmp_path / "a.safetensors", metadata, tensors)
    assert_refused(path, "must enlarge 4 times, found the product of its factors 8")


def set_entry(program, path, value):
    *keys, last = path
    for key in keys:
        program = program[key]
    program[last] = value


LAST = -1


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("latent_channels",), 7, "analysis must make"),
        (("latent_channels",), 10**9, "up to 4096"),
        (("latent_channels",), True, "a whole number"),
        (("hyper_channels",), 5, "hyper_analysis must make"),
        (("halo",), -1, "halo of program must be"),
        (("pixels_at_once",), 2**40, "up to"),
        (("squared_error_lambdas",), [0.1], "two numbers above 0"),
        (("squared_error_lambdas",), [float("nan"), 0.2], "two numbers above 0"),
        (("squared_error_lambdas",), [0.1, float("inf")], "two numbers above 0"),
        (("steps",), "transforms.energies", "must have two rows|must have 8 columns"),
        (("energies",), "transforms.gain.log_factors", "energies must be"),
        (("energies",), "head.0.bias", "must be float16"),
        (("all_rates",), 1, "true or false"),
        (("lambdas",), [0.1, -1.0], "two numbers above 0"),
        (("distortion", "kind"), "beauty", "must be one of mse"),
        (("distortion", "luma_chroma_weights"), [1.0, 1.0], "three weights"),
        (("distortion", "luma_chroma_weights"), [0, 0, 0], "must not all be 0"),
        (("distortion", "squared_error_weight"), -1.0, "a number up to"),
        (("analysis",), [], "a list of 1..4096"),
        (("analysis",), {}, "a list, found"),
        (("analysis",), [{"operation": "affine"}] * 5000, "a list of 1..4096"),
        (("analysis", 0, "operation"), "loop", "must be one of convolution"),
        (("analysis", 0, "operation"), ["add"], "must be one of convolution"),
        (("analysis", 0, "stride"), 8, "analysis must make|must not be larger"),
        (("analysis", 0, "stride"), 0, "a stride above 0"),
        (("analysis", 0, "stride"), 2**40, "out of range"),
        (("analysis", 0, "stride"), 1.5, "out of range"),
        (("analysis", 0, "padding"), -1, "out of range"),
        (("analysis", 0, "weight"), None, "out of range"),
        (("analysis", 0, "weight"), "transforms.nothing", "must have transforms.nothing"),
        (("analysis", 0, "inputs"), [1], "of the values 0..0"),
        (("analysis", 0, "inputs"), [0, 0], "must take 1"),
        (("analysis", 0, "more\nlines"), 1, "must have inputs, weight"),
        (("analysis", 1, "factor"), float("inf"), "out of range"),
        (("analysis", LAST, "logarithms"), "transforms.analysis.linear.bias", "two rows"),
        (("hyper_analysis", LAST), {"operation": "quality_plane"}, "hyper_analysis must"),
        (("synthesis", LAST, "inputs"), [0, 1], "synthesis must make"),
        (("synthesis", LAST, "inputs"), [0, 3], "must not be larger"),
        (("hyper_synthesis", "sees_quality"), False, r"must be int8 \[16, 36\]"),
        (("hyper_synthesis", "has_medians"), True, "must have hyper_medians"),
        (("hyper_synthesis", "operations", 0, "operation"), "convolution", "must consist of integer_convolution"),
        (("hyper_synthesis", "operations", 0, "kernel"), 2, "an odd kernel up to 15"),
        (("hyper_synthesis", "operations", 0, "kernel"), 2**62 + 1, "an odd kernel up to 15"),
        (("hyper_synthesis", "operations", 0, "kernel"), 5, r"must be .* \[16, 125\]"),
        (("hyper_synthesis", "operations", 0, "upscale"), 0, "a factor 1..4, found 3 and 0"),
        (("hyper_synthesis", "operations", 0, "upscale"), 2**40, "a factor 1..4"),
        (("hyper_synthesis", "operations", 0, "upscale"), 1, r"must be .* \[24, 144\]"),
        (("hyper_synthesis", "operations", 0, "upscale"), 3, "a multiple of 9 outputs"),
        (("passes",), "spiral", "passes must be one of one_pass"),
        (("passes",), "one_pass", "the passes need 0 contexts, found 1"),
        (("passes",), "interlaced", "the passes need 4 contexts, found 1"),
        (("passes",), "wavefront", "must look at earlier passes"),
        (("contexts", 0, "taps", 0), [0, 0], "must look at earlier passes"),
        (("contexts", 0, "taps", 0), [0, 2**40], "within 8"),
        (("contexts", 0, "taps", 0), [0], "a row and a column"),
        (("contexts", 0, "taps"), [], "must have taps"),
        (("contexts", 0, "taps"), [[-1, 0]], r"must be int8 \[8, 8\]"),
        (("contexts",), [], r"must be int8 \[12, 16\]"),
        (("head",), ["head.0"], "must give 9 numbers for 8 channels"),
        (("head",), [1], "names of layers"),
        (("head",), ["head.0"] * 2, "head.0 must have 1..65536 outputs, found 0"),
        (("mixture", "components"), 2, "must give 18 numbers"),
        (("mixture", "components"), 10**15, "up to 4096"),
        (("mixture", "components"), 0, "found 3 families of 0 components"),
        (("mixture", "families"), [0, 1, 3], "must be among"),
        (("mixture", "families"), [0] * 10000, "each once"),
        (("mixture", "families"), [], "at least one family"),
        (("mixture", "scale_form"), "cube", "ScaleForm"),
        (("mixture", "scale_minimum"), 0, "a minimum in"),
        (("mixture", "around_mean"), True, "needs a single component"),
        (("mixture", "zero_mean"), True, "must give 6 numbers"),
        (("mixture", "more"), 1, "must have no 'more'"),
        (("more\nlines",), 1, "must have no"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_program_must_be_that_of_its_tensors(tmp_path, path, value, message):
    metadata, tensors = contents()
    program = json.loads(metadata["program"])
    set_entry(program, path, value)
    changed_program = metadata | {"program": json.dumps(program)}
    assert_refused(write(tmp_path / "a.safetensors", changed_program, tensors), message)


@pytest.mark.parametrize(
    "change",
    [
        {"format": "trimix-frozen-1"},
        {"identifier": "one"},
        {"name": "two\nlines"},
        {"name": ""},
        {"description": "[]"},
        {"description": '{"parameters": 5}'},
        {"description": '{"author": "\\ud800"}'},
        {"description": "[" * 100_000},
        {"configuration": "[" * 100_000},
        {"configuration": "{}}"},
        {"program": "[" * 100_000},
        {"program": "[]"},
        {"program": "{"},
    ],
    ids=lambda change: repr(change)[:40],
)
def test_metadata_of_another_kind_are_refused(tmp_path, change):
    metadata, tensors = contents()
    assert_refused(write(tmp_path / "a.safetensors", metadata | change, tensors))


@pytest.mark.parametrize(
    ("kind", "bits"),
    [
        ("BOOL", 8), ("U8", 8), ("I8", 8), ("F8_E4M3", 8), ("F8_E5M2", 8), ("F8_E8M0", 8), ("F4", 4), ("F6_E2M3", 6),
        ("U16", 16), ("BF16", 16), ("U32", 32), ("F32", 32), ("U64", 64), ("F64", 64), ("C64", 64), ("Z9", 64),
    ],
)  # fmt: skip
def test_types_that_no_model_has_are_refused(tmp_path, kind, bits):
    metadata, _ = contents()
    path = tmp_path / "a.safetensors"

    def write_head(digest: str) -> None:
        tensor = {"dtype": kind, "shape": [8], "data_offsets": [0, bits]}
        text = json.dumps({"__metadata__": metadata | {"checksum": digest}, "head.0.weight": tensor}).encode()
        path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(bits))

    write_head("0" * 16)
    with (
        contextlib.suppress(SafetensorError, TypeError, AttributeError, ValueError),
        safe_open(path, framework="np") as file,
    ):
        tensor = file.get_tensor("head.0.weight")
        write_head(checksum_of(metadata["program"], {"head.0.weight": tensor}).hex())
    assert_refused(path)


@pytest.mark.slow
def test_a_number_changed_at_random_is_refused_or_codes(tmp_path):
    metadata, tensors = contents()
    random = np.random.default_rng(3)
    picture = Picture(random.integers(0, 256, (20, 30, 3), dtype=np.uint8))
    taken = 0
    for trial in range(50):
        name = NAMES[trial % len(NAMES)]
        value = tensors[name]
        limits = np.finfo(value.dtype) if value.dtype.kind == "f" else np.iinfo(value.dtype)
        number = random.choice(np.array([limits.min, limits.max, 0, 1, 3], dtype=object))
        altered = tensors | {name: changed(value, int(random.integers(value.size)), number)}
        path = write(tmp_path / "a.safetensors", metadata, altered)
        try:
            model = load_frozen(path)
        except ModelError:
            continue
        taken += 1
        if trial % 9 == 0:
            codec = Codec(model)
            data = codec.encode(picture)
            assert codec.decode(data).pixels.shape == picture.pixels.shape
    assert 5 < taken < 45


def test_what_is_no_weights_file_is_one_line(tmp_path):
    assert_refused(tmp_path)
    for data in (b"", b"nothing", bytes(100), struct.pack("<Q", 2) + b"{}", struct.pack("<Q", 2**63) + b"{}"):
        (tmp_path / "a.safetensors").write_bytes(data)
        assert_refused(tmp_path / "a.safetensors")


def test_loading_draws_no_random_numbers():
    before = torch.random.get_rng_state()
    load_frozen(GOLDEN)
    assert torch.equal(torch.random.get_rng_state(), before)


RASTER = TINY.model_copy(update={"context": "raster"})


@pytest.mark.parametrize("config", [TINY, INTERLACED, RASTER], ids=lambda config: config.context)
def test_what_is_saved_codes_the_same(tmp_path, config):
    model = tiny_frozen(config)
    save_frozen(model, tmp_path / "a.safetensors")
    with safe_open(tmp_path / "a.safetensors", framework="np") as file:
        contexts = {name.rsplit(".", 1)[0] for name in file.keys() if name.startswith("context")}  # noqa: SIM118
    count = len(model.latent_model.contexts)
    assert contexts == ({"context"} if count == 1 else {f"context.{index}" for index in range(count)})
    codec, loaded = Codec(model), Codec(load_frozen(tmp_path / "a.safetensors"))
    picture = Picture(np.random.default_rng(0).integers(0, 256, (150, 200, 3), np.uint8))
    symbols = nearest_symbols(codec, picture, 60)
    # Transforms are stored in half precision: the same symbols, not the same picture, must give the same bytes.
    data = codec.pack(picture, symbols)
    assert loaded.pack(picture, symbols)[-400:] == data[-400:]
    assert np.array_equal(loaded.unpack(loaded.pack(picture, symbols)).latent, symbols.latent)


def test_a_loaded_model_does_not_follow_its_file(tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(GOLDEN.read_bytes())
    model = load_frozen(path)
    before = Codec(model).encode(Picture(np.zeros((20, 30, 3), np.uint8)))
    with path.open("r+b") as file:  # in place
        file.write(bytes(path.stat().st_size))
    assert Codec(model).encode(Picture(np.zeros((20, 30, 3), np.uint8))) == before


def test_saving_touches_no_other_file(tmp_path):
    (tmp_path / "a.tmp").write_bytes(b"precious")
    (tmp_path / "a.safetensors").write_bytes(b"old")
    save_frozen(tiny_frozen(), tmp_path / "a.safetensors")
    assert (tmp_path / "a.tmp").read_bytes() == b"precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.safetensors", "a.tmp"]
    load_frozen(tmp_path / "a.safetensors")


def test_a_model_that_cannot_be_saved_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    path.write_bytes(b"old")
    model = tiny_frozen()
    tensors = model.stored.tensors | {"more": np.zeros(1, np.float32)}
    with pytest.raises(ModelError, match="found 1 more: 'more'"):
        save_frozen(replace(model, stored=replace(model.stored, tensors=tensors)), path)
    unnamed = replace(tiny_frozen(), identity=replace(model.identity, name="Two Words"))
    with pytest.raises(ModelError, match="its name must be"):
        save_frozen(unnamed, path)

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ModelError, match="disk must have room"):
        save_frozen(tiny_frozen(), path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
