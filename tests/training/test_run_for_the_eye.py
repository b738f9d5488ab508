"""A run for the eye on photographs and drawn pictures: it resumes bit for bit, and its validation tells the score."""

import json

import pytest
import torch
from small_runs import contents, same_checkpoint, small_run, stop_after, write_pictures

from trimix.distortion.ssimulacra2 import ssimulacra2_and_slope
from trimix.training import drawn_pictures
from trimix.training.loop import Trainer
from trimix.training.validation import validate


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setattr(drawn_pictures, "_PICTURES", 7)
    monkeypatch.setattr(drawn_pictures, "_font_files", lambda: ())
    pictures = write_pictures(tmp_path)

    def run(steps, **shares):
        config = small_run(
            pictures,
            steps=steps,
            validated=True,
            run={"objective": {"distortion": "ssimulacra2"}},
            batch_size=2,
            patch_size=192,
        )
        return config.model_copy(update={"data": config.data.model_copy(update=shares)})

    return run


def test_a_run_with_drawn_and_grey_pictures_goes_on_bit_for_bit(run, tmp_path):
    shares = {"drawn_share": 0.5, "grey_share": 0.5}
    Trainer(run(3, **shares), tmp_path / "whole", "cpu").run()
    stopped = Trainer(run(3, **shares), tmp_path / "parts", "cpu")
    stop_after(stopped, 1)
    with pytest.raises(KeyboardInterrupt):
        stopped.run()
    Trainer(run(3, **shares), tmp_path / "parts", "cpu").run()
    assert same_checkpoint(*(contents(tmp_path / name) for name in ("whole", "parts")))
    Trainer(run(3), tmp_path / "plain", "cpu").run()
    assert not same_checkpoint(*(contents(tmp_path / name) for name in ("whole", "plain")))


def test_validation_tells_the_score_of_whole_pictures(run, tmp_path):
    trainer = Trainer(run(1), tmp_path / "run", "cpu")
    trainer.run()
    rows = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    (row,) = [row for row in rows if row["kind"] == "validation"]
    model = trainer.average.module
    with torch.no_grad():
        output = model(trainer.crops, torch.tensor([100.0]), rounding="round")
    score = ssimulacra2_and_slope(trainer.crops, output.reconstruction)[0]
    assert row["ssimulacra2"] == pytest.approx(score.tolist(), abs=1e-3)
    (found,) = validate(model, trainer.crops, objective=trainer.config.objective, linear_only=False)
    assert f"{float(score):.2f} points" in found.summary
    (found,) = validate(model, trainer.crops, linear_only=False)
    assert found.ssimulacra2 is None
    assert "points" not in found.summary
