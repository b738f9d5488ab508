"""Averaged weights of a run as one file, and tools/train_on.py, which goes on from them."""

import importlib.util
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, save

from tiny_models import TINY
from trimix.errors import TrainingError
from trimix.training.checkpoint import AVERAGED_WEIGHTS, Progress, averaged_weights, checkpoint_of_averaged
from trimix.training.config import TrainingConfig
from trimix.training.loop import WARM_UP_STEPS, Trainer


def tool(name="train_on"):
    path = Path(__file__).parents[2] / "tools" / f"{name}.py"
    specification = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def configuration(pictures, steps=2):
    phase = {"name": "all", "steps": steps, "batch_size": 2, "patch_size": 64, "learning_rate": 1e-3}
    data = {"training": [pictures], "validation": [pictures]}
    return TrainingConfig.model_validate({"model": TINY, "data": data, "phases": [phase]})


def trained(pictures, folder, steps=2):
    trainer = Trainer(configuration(pictures, steps), folder, "cpu")
    trainer.run()
    return trainer


def file_of(trainer):
    return averaged_weights(trainer.average.module, trainer.progress, trainer.config)


@pytest.mark.slow
def test_a_run_goes_on_from_them(picture_folder, tmp_path):
    before = trained(picture_folder, tmp_path / "before")
    entries = checkpoint_of_averaged(file_of(before), "file")
    (tmp_path / "after").mkdir()
    torch.save(entries, tmp_path / "after" / "last.ckpt")
    after = Trainer(configuration(picture_folder, 5), tmp_path / "after", "cpu")
    assert (after.progress.step, after.progress.pixels) == (2, before.progress.pixels)
    assert after.progress.optimizer_steps == 0
    for name, value in before.average.module.state_dict().items():
        half = value.half().float() if value.is_floating_point() else value
        assert torch.equal(after.model.state_dict()[name], half)
        assert torch.equal(after.average.module.state_dict()[name], half)


@pytest.mark.slow
def test_a_new_optimiser_is_warmed_up_and_an_old_one_is_not(picture_folder, tmp_path):
    before = trained(picture_folder, tmp_path / "before")
    torch.save(checkpoint_of_averaged(file_of(before), "file"), tmp_path / "new.ckpt")
    rates = {}
    for name, checkpoint in (("old", tmp_path / "before" / "last.ckpt"), ("new", tmp_path / "new.ckpt")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "last.ckpt").write_bytes(checkpoint.read_bytes())
        trainer = Trainer(configuration(picture_folder, 4), folder, "cpu")
        trainer.progress.phase = 0
        trainer.progress.phase_step = 2
        trainer.run()
        rates[name] = trainer.optimizer.param_groups[0]["lr"]
    assert rates["old"] == pytest.approx(1e-3)
    assert rates["new"] == pytest.approx(1e-3 * 2 / WARM_UP_STEPS)  # of the second step


@pytest.mark.slow
def test_they_take_half_of_the_bytes_of_the_weights(picture_folder, tmp_path):
    trainer = trained(picture_folder, tmp_path)
    weights = sum(value.numel() for value in trainer.average.module.state_dict().values())
    assert 2 * weights < len(file_of(trainer)) < 2 * weights + 30_000


def test_in_bytes_they_take_half_of_that_and_are_nearly_the_same():
    torch.manual_seed(1)
    model = torch.nn.Sequential(torch.nn.Conv2d(64, 32, 3), torch.nn.Conv2d(32, 8, 1))
    config = configuration(Path("pictures"))
    halves, data = (averaged_weights(model, Progress(), config, in_bytes=one) for one in (False, True))
    assert len(data) < len(halves) - 0.9 * model[0].weight.numel()
    found = checkpoint_of_averaged(data, "file")["average"]
    assert found.keys() == model.state_dict().keys()
    for name, value in model.state_dict().items():
        limit = value.abs().max() / 127 if name == "0.weight" else 1e-3
        assert (found[name] - value).abs().max() <= limit
    assert torch.equal(found["1.weight"], model[1].weight.half().float())  # too small to be worth it


def test_what_float16_cannot_hold_stays_as_it_is():
    model = torch.nn.Linear(1, 1)
    with torch.no_grad():
        model.weight.fill_(1e6)
    progress = Progress()
    config = configuration(Path("pictures"))
    assert checkpoint_of_averaged(averaged_weights(model, progress, config), "f")["average"]["weight"] == 1e6


def test_a_flipped_byte_is_found_and_files_without_a_checksum_are_read():
    model = torch.nn.Linear(3, 2)
    data = averaged_weights(model, Progress(), configuration(Path("pictures")))
    flips = [data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :] for at in range(len(data) - 16, len(data))]
    flips.append(data.replace(rb"\"step\": 0", rb"\"step\": 1"))
    for damaged in flips:
        assert damaged != data
        with pytest.raises(TrainingError, match="checksum"):
            checkpoint_of_averaged(damaged, "file")
    tensors, header = load(data), json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    about = json.loads(header["__metadata__"][AVERAGED_WEIGHTS])
    del about["checksum"]
    old = save(tensors, {AVERAGED_WEIGHTS: json.dumps(about)})
    assert torch.equal(checkpoint_of_averaged(old, "file")["average"]["bias"], model.bias.detach().half().float())


@pytest.mark.parametrize("data", [b"", b"nothing", b"\xff" * 100, json.dumps({}).encode()])
def test_another_file_is_refused(data):
    with pytest.raises(TrainingError, match="that: must hold the averaged weights of a run"):
        checkpoint_of_averaged(data, "that")


def write_recipe(path, model=TINY):
    lines = [
        f"{key} = {json.dumps(value)}" for key, value in model.model_dump(mode="json").items() if value is not None
    ]
    path.write_text(
        "validation_minutes = 1000\n[model]\n" + "\n".join(lines) + '\n[data]\ntraining = ["elsewhere"]\n[[phases]]\n'
        'name = "all"\nsteps = 1000000\nbatch_size = 2\npatch_size = 64\nlearning_rate = 1e-3\n'
    )
    return path


@pytest.mark.slow
def test_the_tool_trains_for_its_time_and_goes_on_in_another_place(picture_folder, tmp_path, monkeypatch):
    train_on = tool()
    monkeypatch.setattr(train_on.os, "nice", lambda _: 0)  # the next tests are not to be slow
    recipe, weights = write_recipe(tmp_path / "run.toml"), tmp_path / "weights.safetensors"
    threads = torch.get_num_threads()

    def go_on(runs):
        common = ["--minutes", "0.3", "--validation-minutes", "0.02", "--weights", str(weights)]
        pictures = ["--data", str(picture_folder), "--validation", str(picture_folder)]
        assert train_on.main([str(recipe), *common, *pictures, "--runs", str(runs)]) == 0
        rows = [json.loads(line) for line in (runs / "run" / "log.jsonl").read_text().splitlines()]
        (validation,) = [row for row in rows if row["kind"] == "validation"]
        assert validation["core_hours"] > 0
        return validation["step"]

    try:
        first = go_on(tmp_path / "here")
        assert first > 0
        assert checkpoint_of_averaged(weights.read_bytes(), "")["progress"]["step"] == first
        assert go_on(tmp_path / "there") > first
    finally:
        torch.set_num_threads(threads)


@pytest.mark.slow
def test_a_piece_for_another_machine_starts_from_them(picture_folder, tmp_path):
    pieces = tool("training_piece")
    before = trained(picture_folder, tmp_path / "run")
    path = tmp_path / "weights.safetensors"
    path.write_bytes(averaged_weights(before.average.module, before.progress, before.config, in_bytes=True))
    start = pieces.start_weights(path, before.config)
    assert start["progress"]["step"] == 2
    assert start["average"].keys() == before.average.module.state_dict().keys()


@pytest.mark.slow
def test_the_tool_refuses_weights_of_another_model(picture_folder, tmp_path, capsys, monkeypatch):
    train_on = tool()
    monkeypatch.setattr(train_on.os, "nice", lambda _: 0)
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(file_of(trained(picture_folder, tmp_path / "run", 1)))
    recipe = write_recipe(tmp_path / "run.toml", TINY.model_copy(update={"latent_channels": 9}))
    arguments = [str(recipe), "--minutes", "6", "--weights", str(weights), "--data", str(picture_folder)]
    assert train_on.main([*arguments, "--runs", str(tmp_path / "runs")]) != 0
    assert "must be of the recipe's [model], found another" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
