"""Runs with the regularizer, through the trainer."""

import json
import math
from dataclasses import replace

import pytest
import torch
from small_runs import contents, same, same_checkpoint, small_run

from trimix.errors import TrainingError
from trimix.training import loop
from trimix.training.checkpoint import average_of, load_checkpoint
from trimix.training.config import RegularizerConfig
from trimix.training.loop import Trainer


def configuration(pictures, steps=2, **regularizer):
    return small_run(pictures, steps=steps, run={"regularizer": RegularizerConfig(features=4, **regularizer)})


def test_without_weight_the_codec_is_that_of_a_plain_run_bit_for_bit(picture_folder, tmp_path):
    Trainer(small_run(picture_folder, steps=20), tmp_path / "plain", "cpu").run()
    Trainer(configuration(picture_folder, 20, alpha=0.0), tmp_path / "zero", "cpu").run()
    plain, zero = contents(tmp_path / "plain"), contents(tmp_path / "zero")
    assert all(same(plain[name], zero[name]) for name in ("model", "average", "optimizer"))


def test_it_goes_on_bit_for_bit(picture_folder, tmp_path):
    Trainer(configuration(picture_folder, 4, rho=0.1), tmp_path / "whole", "cpu").run()
    Trainer(configuration(picture_folder, 2, rho=0.1), tmp_path / "parts", "cpu").run()
    resumed = Trainer(configuration(picture_folder, 4, rho=0.1), tmp_path / "parts", "cpu")
    resumed.progress.phase, resumed.progress.phase_step = 0, 2
    resumed.run()
    whole, parts = contents(tmp_path / "whole"), contents(tmp_path / "parts")
    assert same_checkpoint(*(one | {"configuration": ""} for one in (whole, parts)))


def test_what_is_exported_holds_nothing_of_q(picture_folder, tmp_path):
    trainer = Trainer(configuration(picture_folder, alpha=0.1), tmp_path, "cpu")
    trainer.run()
    path = tmp_path / "last.ckpt"
    average_of(path, load_checkpoint(path), trainer.model)  # fits name by name
    plain = Trainer(small_run(picture_folder), tmp_path / "plain", "cpu")
    assert contents(tmp_path)["average"].keys() == plain.model.state_dict().keys()


def test_rho_and_entropy_are_logged(picture_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "LOG_EVERY_STEPS", 1)
    Trainer(configuration(picture_folder, rho=0.25), tmp_path, "cpu").run()
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert len(rows) == 2
    assert all(row["gradient_ratio"] == pytest.approx(0.25, rel=1e-3) for row in rows)
    assert all(row["source_entropy_bits_per_pixel"] > 0 for row in rows)


def test_a_pull_stronger_than_the_distortion_stops_the_run_and_saves_it(picture_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "LOG_EVERY_STEPS", 1)
    with pytest.raises(TrainingError, match=r"rho, .* must stay below 1, found .*lower alpha"):
        Trainer(configuration(picture_folder, alpha=1e6), tmp_path, "cpu").run()
    assert torch.isfinite(next(iter(contents(tmp_path)["model"].values()))).all()


def test_half_of_the_pull_is_warned_of_once(picture_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(loop, "LOG_EVERY_STEPS", 1)
    Trainer(configuration(picture_folder, 3, rho=0.6), tmp_path, "cpu").run()
    assert capsys.readouterr().err.count("rho, the gradient of the source entropy") == 1


def test_a_step_that_is_not_finite_does_not_hide_a_strong_pull(picture_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "LOG_EVERY_STEPS", 4)
    trainer = Trainer(configuration(picture_folder, 4, alpha=1e6), tmp_path, "cpu")
    plain = trainer.step.backward

    def once_infinite(model, batch, phase, share):
        report = plain(model, batch, phase, math.inf if trainer.progress.step == 1 else share)
        if trainer.progress.step == 1:
            report = replace(report, gradient_ratio=torch.tensor(math.nan))
        return report

    trainer.step.backward = once_infinite
    with pytest.raises(TrainingError, match="must stay below 1"):
        trainer.run()


def test_the_end_of_a_phase_is_logged_and_reviewed(picture_folder, tmp_path):
    with pytest.raises(TrainingError, match="must stay below 1"):
        Trainer(configuration(picture_folder, 3, alpha=1e6), tmp_path, "cpu").run()
    (row,) = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert row["steps"] == row["step"] == 3
    assert row["applied_alpha"] == 1e6
