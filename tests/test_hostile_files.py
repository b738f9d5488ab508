"""Files of others, and of processes that were killed: refused in one line, or read, and never waited for."""

import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from trimix.bitstream import Container, Metadata, join_slices, split_slices
from trimix.codec import Codec
from trimix.errors import ConfigurationError, CorruptedFileError, ModelError, OutputError, TrainingError
from trimix.frozen.catalogue import entries, read_entry
from trimix.frozen.storage import load_frozen
from trimix.images import Picture, atomic_files, read_picture, write_picture
from trimix.images.atomic_files import write_atomically
from trimix.images.writing import encode_picture
from trimix.integrations.compressai_import import model_from_state_dict, read_checkpoint
from trimix.training.checkpoint import load_checkpoint
from trimix.training.config import load_training_config

GOLDEN = Path(__file__).parent / "golden"


def grey(samples=1):
    return np.random.default_rng(0).integers(0, 256, (12, 9, samples), dtype=np.uint8)


# What the range coder has written ends where it ends.


@pytest.mark.parametrize("name", ["rgb-100x75-q50", "sliced-600x20-q60", "rgb-1x1-q1"])
@pytest.mark.parametrize("section", ["side", "latent"])
@pytest.mark.parametrize("more", [b"\0", b"hidden"])
def test_symbols_with_bytes_behind_them_are_refused(name, section, more):
    codec = Codec.load(GOLDEN / "gllmm-tiny-0.safetensors")
    container = Container.from_bytes((GOLDEN / f"{name}.tmix").read_bytes())
    changed = getattr(container, section) + more
    if container.header.tile_layout and section == "latent":
        first, second = split_slices(container.latent, 2)
        changed = join_slices([replace(first, stream=first.stream + more), second])
    with pytest.raises(CorruptedFileError):
        codec.decode(replace(container, **{section: changed}).to_bytes())


# Checkpoints.


def test_a_flipped_byte_of_a_checkpoint_is_found_or_changes_nothing(tmp_path):
    path = tmp_path / "last.ckpt"
    weights = torch.arange(8.0)
    torch.save({"average": {"a": weights}, "configuration": "{}"}, path)
    whole = path.read_bytes()
    refused = 0
    weights_at = whole.index(weights.numpy().tobytes())
    for at in (*range(0, len(whole), 7), *range(weights_at, weights_at + weights.nbytes)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        try:
            found = load_checkpoint(path)
        except TrainingError as error:
            assert "\n" not in str(error)
            refused += 1
        else:
            assert found["configuration"] == "{}"
            assert torch.equal(found["average"]["a"], weights)
    assert refused >= weights.nbytes


@pytest.mark.parametrize(
    "tensor",
    [torch.ones(3).to_sparse(), torch.zeros(3, dtype=torch.complex64), torch.zeros(1).expand(30_000, 30_000)],
    ids=["sparse", "complex", "3.4 GB in 4 bytes"],
)
def test_an_import_takes_plain_tensors_only(tmp_path, tensor):
    torch.save({"g_a.0.weight": tensor, "h_a.0.weight": torch.zeros(2)}, tmp_path / "a.pth")
    with pytest.raises(ModelError, match=r"^[^\n]*(plain tensor|holds tensors)[^\n]*$"):
        read_checkpoint(tmp_path / "a.pth")


@pytest.mark.parametrize("key", [1, (1, 2), None, b"a", "a\nb", "x" * 10_000])
def test_an_import_names_odd_keys_in_one_line(tmp_path, key):
    torch.save({key: torch.zeros(2)}, tmp_path / "a.pth")
    with pytest.raises(ModelError) as caught:
        model_from_state_dict(read_checkpoint(tmp_path / "a.pth"))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


# Text.


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 5000 + "]" * 5000,
        ".".join("a" * 5000) + " = 1",
        "model." + ".".join("a" * 5000) + " = 1",
        'base = "a\\u0000b"',
        'start_from = "a\\u0000b"',
        '[data]\ntraining = ["a\\u0000b"]',
        '[data]\ntraining = ["a"]\nvalidation = ["a\\u0000b"]',
    ],
)
def test_odd_recipes_are_refused_in_one_line(tmp_path, text):
    path = tmp_path / "a.toml"
    whole = "" if "[data]" in text else "[data]\ntraining = ['a']\n"
    whole += "[model]\nkind = 'hyperprior'\n[[phases]]\nname = 'all'\nsteps = 1\n"
    path.write_text(f"{text}\n{whole}", encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        load_training_config(path)
    assert len(str(caught.value).splitlines()) == 1


# Model files.


def test_a_pipe_among_the_models_is_passed_over(tmp_path, monkeypatch):
    monkeypatch.setenv("TRIMIX_MODELS", str(tmp_path))
    os.mkfifo(tmp_path / "a.safetensors")
    assert all(entry.path.parent != tmp_path for entry in entries())
    for read in (read_entry, load_frozen):
        with pytest.raises(ModelError, match="regular file"):
            read(tmp_path / "a.safetensors")


def test_a_model_file_is_not_mapped(tmp_path, monkeypatch):
    """A mapped file that another process shortens ends this one with SIGBUS."""
    path = tmp_path / "a.safetensors"
    path.write_bytes((GOLDEN / "gllmm-tiny-0.safetensors").read_bytes())
    model = load_frozen(path)
    mapped = Path("/proc/self/maps")
    assert not mapped.exists() or str(path) not in mapped.read_text()
    os.truncate(path, 10)
    assert all(float(np.abs(tensor).max()) >= 0 for tensor in model.stored.tensors.values())


# Pictures.


def with_wrong_checksum(data):
    at = data.index(b"IDAT")
    length = int.from_bytes(data[at - 4 : at], "big")
    return data[: at + 4 + length] + b"\0\0\0\0" + data[at + 8 + length :]


def test_a_png_whose_pixels_have_a_wrong_checksum_is_announced():
    data, _ = encode_picture(Picture(grey(3)), "png")
    assert read_picture(data).notes == ()
    assert any("checksum" in note for note in read_picture(with_wrong_checksum(data)).notes)


def test_a_pgm_takes_grey_only(tmp_path):
    with pytest.raises(OutputError, match="grey"):
        write_picture(Picture(grey(3)), tmp_path / "a.pgm")
    assert not (tmp_path / "a.pgm").exists()
    write_picture(Picture(grey()), tmp_path / "a.pgm")
    assert (read_picture(tmp_path / "a.pgm").pixels == grey()).all()


@pytest.mark.parametrize("kind", ["icc_profile", "exif", "xmp", "iptc"])
def test_metadata_of_15_megabytes_come_back_from_png(kind):
    noise = np.random.default_rng(0).bytes(15_000_000)
    data = {
        "icc_profile": noise,
        "exif": b"MM\0*\0\0\0\x08\0\0\0\0\0\0" + noise,
        "iptc": b"8BIM" + noise,
        "xmp": b"<x>" + noise.hex().encode()[:15_000_000] + b"</x>",
    }[kind]
    written, _ = encode_picture(Picture(grey(3), metadata=Metadata(**{kind: data})), "png")
    assert getattr(read_picture(written).metadata, kind) == data


# Part files.


def test_part_files_of_killed_processes_are_removed_when_a_day_old(tmp_path):
    old, new = (tmp_path / f".trimix-{name}.part" for name in ("0" * 16, "1" * 16))
    for path, hours in ((old, 25), (new, 23)):
        path.write_bytes(b"cut")
        os.utime(path, (time.time() - 3600 * hours,) * 2)
    atomic_files._remove_old_parts.cache_clear()
    write_atomically(tmp_path / "a", b"whole", overwrite=False)
    assert not old.exists()
    assert new.exists()
