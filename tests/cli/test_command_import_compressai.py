import json
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import Command
from PIL import Image
from safetensors.torch import load_file

from trimix.cli import freezing
from trimix.freezing.model_file import noise_crops

RECORDED = Path(__file__).parents[1] / "integrations" / "recorded"


def state_of(architecture: str) -> dict[str, torch.Tensor]:
    tensors = load_file(RECORDED / f"{architecture}.safetensors")
    return {
        name.removeprefix("state."): tensor.clone()  # what is loaded shares memory
        for name, tensor in tensors.items()
        if name.startswith("state.")
    }


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny checkpoint in the current folder, and small crops for calibration."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(freezing, "CROP_SIDE", 64)
    monkeypatch.setattr(freezing, "CROP_COUNT", 2)
    torch.save({"state_dict": state_of("mbt2018")}, "Best of all.pth.tar")
    return Path("Best of all.pth.tar")


def test_the_model_file_compresses_and_decompresses(trimix: Command, checkpoint: Path, picture: Path) -> None:
    outcome = trimix(
        "import-compressai", checkpoint, "-o", "mine.safetensors", "--lambda", "0.0483",
        "--description", "author=A. B.",
    )  # fmt: skip
    assert (outcome.code, outcome.output) == (0, b"")
    card = json.loads(trimix("models", "mine.safetensors", "--json").text)
    assert card["name"] == "mbt2018-best-of-all"
    assert card["configuration"]["rate_distortion_lambda"] == 0.0483
    facts = card["description"]
    assert facts["architecture"] == "mbt2018, N = 4, M = 6"
    assert facts["author"] == "A. B."
    assert facts["calibration"] == "2 crops of noise"
    for expected in (
        f"Best of all.pth.tar: mbt2018, N = 4, M = 6, {card['parameters']} parameters",
        f"hash {card['model_hash']}, {card['bytes']} bytes, freezing loss {facts['freezing loss']} (2 crops of noise)",
        "next: trimix compress photo.png --model mine.safetensors",
    ):
        assert expected in outcome.error
    assert trimix("compress", picture, "--model", "mine.safetensors", "-o", "a.tmix").code == 0
    assert trimix("decompress", "a.tmix", "-o", "a.png", "--model", "mine.safetensors").code == 0
    with Image.open("a.png") as decoded, Image.open(picture) as original:
        assert decoded.size == original.size


@pytest.mark.parametrize("architecture", ["bmshj2018-hyperprior", "mbt2018-mean", "cheng2020-anchor", "cheng2020-attn"])
def test_every_architecture_compresses(trimix: Command, checkpoint: Path, picture: Path, architecture: str) -> None:
    torch.save(state_of(architecture), f"{architecture}-4.pth.tar")
    outcome = trimix("import-compressai", f"{architecture}-4.pth.tar", "-o", "mine.safetensors")
    assert outcome.code == 0, outcome
    assert f"mine.safetensors: {architecture}-4, hash " in outcome.error
    assert trimix("compress", picture, "--model", "mine.safetensors", "-o", "a.tmix").code == 0
    assert trimix("decompress", "a.tmix", "-o", "a.png", "--model", "mine.safetensors").code == 0


def test_pictures_calibrate(trimix: Command, checkpoint: Path) -> None:
    Path("pictures").mkdir()
    for index in range(2):
        pixels = np.random.default_rng(index).integers(0, 256, (64, 70, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(f"pictures/{index}.png")
    outcome = trimix("import-compressai", checkpoint, "-o", "a.safetensors", "--name", "a-1", "--calibrate", "pictures")
    assert outcome.code == 0
    assert "a.safetensors: a-1, hash " in outcome.error
    assert "(2 crops)" in outcome.error
    assert "noise" not in outcome.error


def test_mistakes_are_one_line_and_leave_nothing(trimix: Command, checkpoint: Path) -> None:
    Path("no.pth").write_bytes(b"no checkpoint")
    torch.save({"a": torch.zeros(3)}, "other.pth")
    Path("old.safetensors").write_bytes(b"precious")
    before = set(Path().iterdir())
    for source, changes, code, expected in (
        (checkpoint, {"--name": "Mine 1"}, 2, "--name must be at most 100 small letters"),
        (checkpoint, {"--lambda": "0"}, 2, "--lambda must be above 0, found 0"),
        (checkpoint, {"--lambda": "nan"}, 2, "--lambda must be above 0, found nan"),
        (checkpoint, {"--description": "author"}, 2, "--description must be KEY=VALUE, found 'author'"),
        (checkpoint, {"--calibrate": "nowhere"}, 2, "nowhere: must be a folder, tar or picture"),
        (checkpoint, {"-o": "new.bin"}, 2, "must end in .safetensors"),
        (checkpoint, {"-o": "old.safetensors"}, 6, "already exists; replace it, or choose another name (--force)"),
        ("none.pth", {}, 5, "none.pth: no such file"),
        ("no.pth", {}, 5, "no.pth: must be a checkpoint that holds tensors"),
        ("other.pth", {}, 5, "other.pth: g_a.0.weight is missing"),
    ):
        options = [part for pair in ({"-o": "new.safetensors"} | changes).items() for part in pair]
        outcome = trimix("import-compressai", source, *options)
        assert outcome.code == code, outcome
        assert expected in outcome.line
    outcome = trimix("import-compressai", "-", "-o", "new.safetensors", standard_input=b"PK")
    assert outcome.code == 2
    assert "standard input: a checkpoint must be a file, found a pipe; save it first" in outcome.line
    assert set(Path().iterdir()) == before
    assert Path("old.safetensors").read_bytes() == b"precious"


def test_noise_for_calibration_is_always_the_same_and_uses_the_whole_range() -> None:
    crops = noise_crops(16, 256)
    assert crops.shape == (16, 3, 256, 256)
    assert torch.equal(crops, noise_crops(16, 256))
    assert (crops.amin(), crops.amax()) == (0, 1)
    contrasts = crops.std(dim=(1, 2, 3))
    assert (contrasts.diff() > 0).float().mean() > 0.8
    assert contrasts[0] < 0.1 < 0.3 < contrasts[-1]
