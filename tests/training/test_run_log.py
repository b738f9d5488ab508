import errno
import json
import sys
from pathlib import Path

import pytest
from small_runs import small_run

from trimix.errors import TrainingError
from trimix.training import loop
from trimix.training.loop import Trainer
from trimix.training.run_log import RunLog


def scalars(folder):
    """(step, value) by name, as TensorBoard reads them."""
    accumulation = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    accumulator = accumulation.EventAccumulator(str(folder / "tensorboard"))
    accumulator.Reload()
    names = accumulator.Tags()["scalars"]
    return {name: [(event.step, event.value) for event in accumulator.Scalars(name)] for name in names}


def test_tensorboard_shows_what_the_log_has(picture_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "LOG_EVERY_STEPS", 1)
    config = small_run(picture_folder, steps=2, validated=True, run={"tensorboard": True})
    Trainer(config, tmp_path, "cpu").run()
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    shown = scalars(tmp_path)
    for name in ("loss", "bits_per_pixel", "psnr_db", "learning_rate", "gradient_norm", "skipped_steps"):
        expected = [(row["step"], pytest.approx(row[name], rel=1e-6)) for row in rows if row["kind"] == "training"]
        assert shown[f"training/{name}"] == expected
    (validation,) = [row for row in rows if row["kind"] == "validation"]
    assert shown["validation/psnr_db"] == [(2, pytest.approx(validation["psnr_db"][0], rel=1e-6))]
    assert shown["validation/objective"] == [(2, pytest.approx(validation["objective"], rel=1e-6))]


def test_what_came_after_the_checkpoint_is_forgotten(tmp_path):
    log = RunLog(tmp_path, tensorboard=True)
    for step in (1, 2, 3):
        log.write("training", step, loss=float(step))
    log.write("validation", 3, quality=[5.0, 95.0], psnr_db=[30.0, 40.0])
    log = RunLog(tmp_path, tensorboard=True, step=1)
    log.write("training", 2, loss=20.0)
    assert scalars(tmp_path)["training/loss"] == [(1, 1.0), (2, 20.0)]


def test_qualities_are_told_apart(tmp_path):
    log = RunLog(tmp_path, tensorboard=True)
    log.write("validation", 3, quality=[5.0, 95.0], psnr_db=[30.0, 40.0], phase="all")
    assert scalars(tmp_path) == {
        "validation/psnr_db_at_quality_5": [(3, 30.0)],
        "validation/psnr_db_at_quality_95": [(3, 40.0)],
    }


def test_missing_tensorboard_is_told(tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(TrainingError, match=r"tensorboard = true needs .*pip install 'trimix\[train\]'"):
        RunLog(tmp_path, tensorboard=True)
    assert RunLog(tmp_path).path.name == "log.jsonl"


def test_rows_after_the_checkpoint_and_a_row_cut_in_half_are_dropped(tmp_path):
    log = RunLog(tmp_path)
    for step in (50, 100, 150):
        log.write("training", step, loss=1.0)
    log.write("validation", 100, quality=[5.0], psnr_db=[30.0])
    kept = [line for line in log.path.read_text().splitlines() if '"step": 150' not in line]
    with log.path.open("a") as file:
        file.write('{"kind": "training", "step": 5')
    log = RunLog(tmp_path, step=100)
    assert log.path.read_text().splitlines() == kept
    log.write("training", 150, loss=2.0)
    assert [json.loads(line)["step"] for line in log.path.read_text().splitlines()] == [50, 100, 100, 150]
    assert [path.name for path in tmp_path.iterdir()] == ["log.jsonl"]
    RunLog(tmp_path)
    assert log.path.read_text() == ""


def test_a_log_that_need_not_change_is_not_written(tmp_path):
    RunLog(tmp_path).write("training", 50, loss=1.0)
    before = (tmp_path / "log.jsonl").stat()
    RunLog(tmp_path, step=50)
    after = (tmp_path / "log.jsonl").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_full_disk_is_one_error(tmp_path, monkeypatch):
    log = RunLog(tmp_path)
    log.write("training", 1, loss=1.0)
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write("cut in half")
    true_open = Path.open

    def full(path, mode="r", *arguments, **options):
        if "log.jsonl" in str(path) and mode[0] in "aw":
            raise OSError(errno.ENOSPC, "No space left on device")
        return true_open(path, mode, *arguments, **options)

    monkeypatch.setattr(Path, "open", full)
    expected = r"log\.jsonl.*: the log cannot be written: No space left on device"
    with pytest.raises(TrainingError, match=expected):
        log.write("training", 2, loss=1.0)
    monkeypatch.setattr("os.fsync", lambda _: full("log.jsonl", "w"))
    with pytest.raises(TrainingError, match=r"log\.jsonl.*no space left"):
        RunLog(tmp_path, step=1)
    assert (tmp_path / "log.jsonl").read_text().startswith('{"kind": "training", "step": 1')


def test_a_full_disk_is_one_error_of_tensorboard_too(tmp_path, monkeypatch):
    pytest.importorskip("tensorboard")
    log = RunLog(tmp_path, tensorboard=True)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(log._scalars, "flush", full)
    with pytest.raises(TrainingError, match="tensorboard: the log cannot be written: No space left on device"):
        log.write("training", 2, loss=1.0)
