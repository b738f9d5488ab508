import json
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import Command
from PIL import Image
from torch.optim.swa_utils import AveragedModel

from tiny_models import TINY, calibration_pictures, tiny_model
from trimix.cli import freezing
from trimix.freezing.freeze import freeze, measure_freezing_loss
from trimix.frozen.model import ModelIdentity
from trimix.training.checkpoint import Progress, RunState
from trimix.training.config import TrainingConfig
from trimix.training.optimizers import build_optimizer


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoint, and calibration pictures, in the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(freezing, "CROP_SIDE", 64)
    Path("pictures").mkdir()
    for index in range(3):
        pixels = np.random.default_rng(index).integers(0, 256, (64 + 10 * index, 70, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(f"pictures/{index}.png")
    Path("small").mkdir()
    Image.new("RGB", (63, 64)).save("small/0.png")
    model = tiny_model()
    average = AveragedModel(model)
    with torch.no_grad():
        model.gain.log_factors.add_(1)  # the averaged weights are to be taken, not these
    config = TrainingConfig.model_validate(
        {"model": TINY, "data": {"training": ["pictures"]}, "phases": [{"name": "all", "steps": 7}]}
    )
    optimizer = build_optimizer(model, config.optimizer)
    state = RunState(model, average, optimizer, progress=Progress(step=7))
    state.save(Path("last.ckpt"), config.model_dump_json())
    return Path("last.ckpt")


def test_the_model_file_works(trimix: Command, checkpoint: Path, picture: Path) -> None:
    Path("card.json").write_text('{"training data": "noise", "year": 2020}')
    outcome = trimix(
        "freeze", checkpoint, "-o", "mine-1.safetensors", "--name", "mine-1", "--calibrate", "pictures",
        "--calibrate", "pictures/0.png", "--description", "author=A. B.", "--card", "card.json",
    )  # fmt: skip
    assert (outcome.code, outcome.output) == (0, b"")
    assert outcome.error.startswith("mine-1.safetensors: mine-1, hash ")
    assert "(4 crops)" in outcome.error
    card = json.loads(trimix("models", "mine-1.safetensors", "--json").text)
    facts = card["description"]
    assert facts["training data"] == "noise"
    assert facts["year"] == "2020"
    assert facts["author"] == "A. B."
    assert facts["steps of the last run"] == "7"
    assert facts["freezing loss"].endswith(" %")
    assert card["parameters"] == str(sum(parameter.numel() for parameter in tiny_model().parameters()))
    assert f"hash {card['model_hash']}, {card['bytes']} bytes" in outcome.error
    assert trimix("compress", picture, "--model", "mine-1.safetensors").code == 0
    assert trimix("decompress", picture.with_suffix(".tmix"), "-o", "o.png", "--model", "mine-1.safetensors").code == 0


def test_mistakes_are_one_line_and_leave_nothing(trimix: Command, checkpoint: Path) -> None:
    Path("list.json").write_text("[]")
    Path("bad.json").write_text("{")
    Path("no.ckpt").write_bytes(b"no checkpoint")
    torch.save({"model": {}}, "other.ckpt")
    Path("old.safetensors").write_bytes(b"precious")
    before = set(Path().iterdir())
    usual = {"-o": "new.safetensors", "--name": "mine-1", "--calibrate": "pictures"}
    for source, changes, code, expected in (
        (checkpoint, {"--name": "Mine 1"}, 2, "--name must be at most 100 small letters"),
        (checkpoint, {"--name": "a" * 101}, 2, "--name must be at most 100 small letters"),
        (checkpoint, {"-o": "new.bin"}, 2, "must end in .safetensors"),
        (checkpoint, {"-o": "old.safetensors"}, 6, "already exists; replace it, or choose another name (--force)"),
        (checkpoint, {"-o": "none/new.safetensors"}, 6, "there is no folder"),
        (checkpoint, {"--description": "author"}, 2, "--description must be KEY=VALUE, found 'author'"),
        (checkpoint, {"--card": "none.json"}, 2, "none.json: cannot be read"),
        (checkpoint, {"--card": "list.json"}, 2, "must be a JSON object, found list"),
        (checkpoint, {"--card": "bad.json"}, 2, "bad.json: must be JSON"),
        (checkpoint, {"--calibrate": "nowhere"}, 2, "nowhere: must be a folder, tar or picture"),
        (checkpoint, {"--calibrate": "small"}, 2, "at least 64x64 pixels, found none in small"),
        ("none.ckpt", {}, 7, "none.ckpt: no such file"),
        ("no.ckpt", {}, 7, "no.ckpt: is not a checkpoint"),
        ("other.ckpt", {}, 7, "other.ckpt: is not a whole checkpoint"),
    ):
        options = [part for pair in (usual | changes).items() for part in pair]
        outcome = trimix("freeze", source, *options)
        assert outcome.code == code, outcome
        assert expected in outcome.line
    assert set(Path().iterdir()) == before
    assert Path("old.safetensors").read_bytes() == b"precious"


def test_a_large_loss_warns(trimix: Command, checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(freezing, "LOSS_MAXIMUM_PERCENT", -100.0)
    outcome = trimix("freeze", checkpoint, "-o", "a.safetensors", "--name", "a", "--calibrate", "pictures")
    assert outcome.code == 0
    assert "trimix: warning: the freezing loss should be at most" in outcome.error


def test_freezing_loss_of_a_tiny_model_is_small() -> None:
    model, pictures = tiny_model(), calibration_pictures()
    frozen = freeze(model, ModelIdentity("tiny", 1, b"", {}), pictures)
    loss = measure_freezing_loss(model, frozen, pictures)
    assert loss.float_bits > 100
    assert abs(loss.percent) < 1
