import json
import sys

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
        expected = [
            (row["step"], pytest.approx(row[name], rel=1e-6)) for row in rows if row["kind"] == "training"
        ]
        assert shown[f"training/{name}"] == expected
    (validation,) = [row for row in rows if row["kind"] == "validation"]
    assert shown["validation/psnr_db"] == [(2, pytest.approx(validation["psnr_db"][0], rel=1e-6))]
    assert shown["validation/objective"] == [(2, pytest.approx(validation["objective"], rel=1e-6))]


def test_what_came_after_the_checkpoint_is_forgotten(tmp_path):
    log = RunLog(tmp_path, tensorboard=True)
    for step in (1, 2, 3):
        log.write("training", step, loss=float(step))
    log.write("validation", 3, quality=[5.0, 95.0], psnr_db=[30.0, 40.0])
    log.close()
    log = RunLog(tmp_path, tensorboard=True, step=1)
    log.write("training", 2, loss=20.0)
    log.close()
    assert scalars(tmp_path)["training/loss"] == [(1, 1.0), (2, 20.0)]


def test_qualities_are_told_apart(tmp_path):
    log = RunLog(tmp_path, tensorboard=True)
    log.write("validation", 3, quality=[5.0, 95.0], psnr_db=[30.0, 40.0], phase="all")
    log.close()
    assert scalars(tmp_path) == {
        "validation/psnr_db_at_quality_5": [(3, 30.0)],
        "validation/psnr_db_at_quality_95": [(3, 40.0)],
    }


def test_missing_tensorboard_is_told(tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard.writer", raising=False)
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(TrainingError, match=r"tensorboard = true needs .*pip install 'trimix\[train\]'"):
        RunLog(tmp_path, tensorboard=True)
    assert RunLog(tmp_path).path.name == "log.jsonl"
