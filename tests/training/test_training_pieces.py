"""tools/training_piece.py: what is packed here is trained elsewhere and joined here again."""

import gzip
import importlib.util
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch

from tiny_models import TINY
from trimix.architectures.building import build
from trimix.architectures.config import GllmmConfig
from trimix.training.checkpoint import average_of, load_checkpoint, run_of, steps_of
from trimix.training.config import load_training_config
from trimix.training.loop import Trainer

pytestmark = pytest.mark.xdist_group("training pieces")  # what two tests share is trained once

TOOL = Path(__file__).parents[2] / "tools" / "training_piece.py"
MODELS = {"whole": GllmmConfig(latent_channels=4, head_widths=(8, 8), all_rates=True), "lite": TINY}
PART_MEBIBYTES = 0.02


def load(path):
    specification = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


tool = load(TOOL)


def written(value):
    return json.dumps(list(value) if isinstance(value, tuple) else value)


def write_recipe(path, model):
    keys = {"kind": model.kind} | model.model_dump(exclude_defaults=True)
    lines = [f"{key} = {written(value)}" for key, value in keys.items()]
    path.write_text(
        "[model]\n"
        + "\n".join(lines)
        + '\n[data]\ntraining = ["elsewhere"]\n[[phases]]\nname = "all"\nsteps = 9\nbatch_size = 2\npatch_size = 64\n'
        "learning_rate = 1e-3\nlearning_rate_final = 1e-5\n"
    )
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory, picture_folder):
    """Recipes and a tar of pictures."""
    folder = tmp_path_factory.mktemp("pieces")
    for name, model in MODELS.items():
        write_recipe(folder / f"{name}.toml", model)
    write_recipe(folder / "broken.toml", MODELS["lite"])
    subprocess.run(["tar", "-cf", folder / "a.tar", "-C", picture_folder, "0.png"], check=True)
    return folder


def call(*arguments):
    return tool.main([str(argument) for argument in arguments])


def train(piece, output, *options):
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.run(
        [sys.executable, piece / "run.py", "--minutes", "2", "--output", output, "--device", "cpu", *options],
        cwd="/",
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def trained(place):
    """Two runs that were trained for three steps, and one that fails; outcome of the call."""
    piece, output = place / "piece", place / "out"
    recipes = [place / f"{name}.toml" for name in (*MODELS, "broken")]
    assert call("pack", *recipes, "-o", piece, "--data", place / "a.tar") == 0
    (piece / "recipes" / "broken.json").write_text("{")
    return train(piece, output, "--steps", "3", "--part-mebibytes", str(PART_MEBIBYTES))


def join(place, name, *options, output="out"):
    target = place / f"{name}.ckpt"
    target.unlink(missing_ok=True)
    return call("join", place / output, "-o", target, "--run", name, *options), target


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_joined_parts_are_the_weights_of_the_runs_checkpoint(trained, place, name):
    code, joined = join(place, name)
    assert code == 0, trained.stderr
    average = torch.load(place / "piece" / "runs" / name / "last.ckpt", weights_only=True)["average"]
    contents, model = load_checkpoint(joined), build(MODELS[name])  # as `trimix freeze` does
    assert steps_of(joined, contents) == 3
    assert run_of(joined, contents).model == MODELS[name]
    weights = average_of(joined, contents, model)
    model.load_state_dict(weights)
    for key, value in average.items():
        halved = value.half().float() if value.is_floating_point() else value
        assert torch.equal(weights[key], halved)


@pytest.mark.slow
def test_there_are_several_parts_none_larger_than_asked_for(trained, place):
    runs = json.loads((place / "out" / "manifest.json").read_text())["runs"]
    for name in MODELS:
        parts = runs[name]["weights"]["parts"]
        assert len(parts) > 1
        assert all(part["bytes"] <= PART_MEBIBYTES * 2**20 for part in parts)
        assert (runs[name]["steps"], runs[name]["pixels"]) == (3, 3 * 2 * 64 * 64)
    listed = {part["name"] for name in MODELS for part in runs[name]["weights"]["parts"]}
    assert {path.name for path in (place / "out").iterdir()} == listed | {"manifest.json", "logs.jsonl.gz"}
    lines = gzip.decompress((place / "out" / "logs.jsonl.gz").read_bytes()).splitlines()
    rows = [json.loads(line) for line in lines]
    assert {row["run"] for row in rows} <= set(MODELS)


@pytest.mark.slow
def test_a_run_that_fails_does_not_take_the_others_down_and_is_told(trained, place, capsys):
    assert trained.returncode == 1
    assert "broken: nothing; FAILED: json.decoder.JSONDecodeError" in trained.stderr
    code, target = join(place, "broken")
    assert code == 7
    assert "broken has brought no weights: json.decoder" in capsys.readouterr().err
    assert not target.exists()


@pytest.mark.slow
def test_a_second_call_goes_on_where_the_first_ended(trained, place, capsys, monkeypatch):
    monkeypatch.chdir(place / "piece")
    before = torch.load(place / "piece" / "runs" / "whole" / "last.ckpt", weights_only=True)
    # The process of the run alone, without the seconds that a new one takes to import torch.
    again = load(place / "piece" / "run.py")
    options = ["--minutes", "2", "--cool-down-minutes", "9", "--steps", "2", "--device", "cpu"]
    output = place / "second"
    output.mkdir()
    assert again.work(again.parse([*options, "--output", str(output), "--worker", "whole"])) == 0
    assert "going on after step 3" in capsys.readouterr().out
    after = torch.load(place / "piece" / "runs" / "whole" / "last.ckpt", weights_only=True)
    assert after["averaged"] == before["averaged"] + 2 == 5
    # The cool-down is longer than the piece: the rate has been falling all the time.
    assert 1e-5 < after["optimizer"]["param_groups"][0]["lr"] < 1e-3
    report = json.loads((place / "piece" / "runs" / "whole" / "report.json").read_text())
    assert (report["steps"], report["steps_of_this_call"]) == (5, 2)
    assert {path.name for path in output.iterdir()} >= {part["name"] for part in report["weights"]["parts"]}


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["missing", "changed"])
def test_a_missing_or_damaged_part_is_refused_in_one_line(trained, place, capsys, damage):
    part = next((place / "out").glob("lite-*.part-01"))
    whole = part.read_bytes()
    try:
        if damage == "missing":
            part.unlink()
        else:
            part.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        code, target = join(place, "lite")
    finally:
        part.write_bytes(whole)
    error = capsys.readouterr().err
    assert code == 7
    assert error.count("\n") == 1
    assert f"{part}: " in error
    assert not target.exists()


@pytest.mark.slow
def test_a_checkpoint_of_a_piece_starts_the_next(trained, place, tmp_path):
    _, joined = join(place, "whole")
    piece = tmp_path / "next"
    assert call("pack", place / "whole.toml", "-o", piece, "--data", place / "a.tar", "--start", joined) == 0
    start = piece / "start" / "whole.ckpt"
    assert torch.load(start, weights_only=True)["progress"]["step"] == 3
    pictures = piece / "pictures" / "a.tar"
    config = load_training_config(place / "whole.toml").model_copy(update={"start_from": start})
    config = config.model_copy(update={"data": config.data.model_copy(update={"training": (pictures,)})})
    trainer = Trainer(config, tmp_path / "run", "cpu")
    expected = torch.load(joined, weights_only=True)["average"]
    assert all(torch.equal(value, expected[key]) for key, value in trainer.model.state_dict().items())


@pytest.mark.slow
def test_the_start_of_another_model_is_refused(trained, place, tmp_path, capsys):
    _, joined = join(place, "whole")
    code = call("pack", place / "lite.toml", "-o", tmp_path / "p", "--data", place / "a.tar", "--start", joined)
    assert code == 2
    assert "must hold the weights of the recipe's model" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_as_many_tars_as_fit_are_packed_and_over_the_limit_nothing_is(place, tmp_path, capsys):
    (tmp_path / "large.tar").write_bytes(bytes(3 * 2**20))
    arguments = ("pack", place / "whole.toml", "-o", tmp_path / "piece", "--data", tmp_path / "large.tar")
    assert call(*arguments, "--data", place / "a.tar", "--limit-mebibytes", "3") == 0
    assert f"left out: {tmp_path}/large.tar (3.00 MiB)" in capsys.readouterr().out
    packed = json.loads((tmp_path / "piece" / "recipes" / "whole.json").read_text())
    assert packed["data"]["training"] == ["pictures/a.tar"]
    assert sum(path.stat().st_size for path in (tmp_path / "piece").rglob("*") if path.is_file()) < 3 * 2**20
    (tmp_path / "elsewhere").mkdir()
    for changed in (("-o", tmp_path / "elsewhere" / "other"), ()):
        assert call(*arguments, *changed, "--limit-mebibytes", "3") == 6
        assert capsys.readouterr().err.count("\n") == 1
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.slow
def test_nothing_of_a_picture_or_of_weights_is_in_the_packed_sources(trained, place):
    source = place / "piece" / "source" / "trimix"
    assert (source / "training" / "loop.py").exists()
    assert not [path for path in source.rglob("*") if path.suffix in {".safetensors", ".pyc", ".nbc", ".nbi"}]


def wheel(folder, name, *needs):
    information = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{name}.py", "")
        archive.writestr(
            f"{information}/METADATA",
            f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
            + "".join(f"Requires-Dist: {need}\n" for need in needs),
        )
        archive.writestr(f"{information}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{information}/RECORD", "")


def test_wheels_come_with_what_they_need_but_not_with_what_is_there(tmp_path, monkeypatch):
    (tmp_path / "index").mkdir()
    wheel(tmp_path / "index", "first", "second>=1", "torch>2", 'third; extra == "all"', 'third; python_version < "3"')
    wheel(tmp_path / "index", "second", "numpy", "first")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    tool.download_wheels(["first"], ["torch", "numpy"], "3.12", tmp_path / "wheels")
    assert {path.name.split("-")[0] for path in (tmp_path / "wheels").iterdir()} == {"first", "second"}
