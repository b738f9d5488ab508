"""What a step trains beside the model, and what it has to say."""

import json
import math
from dataclasses import replace

import pytest
import torch
from small_runs import contents, same, same_checkpoint, small_run, stop_after
from torch import nn

from trimix.errors import TrainingError
from trimix.training import loop
from trimix.training.loop import Trainer
from trimix.training.steps import AuxiliaryModel, PlainStep

PEAK = 1e-2


class StepBeside(PlainStep):
    """R + lambda D, and a auxiliary that learns how loud a picture is."""

    def __init__(self, config, fused):
        super().__init__(config.objective)
        with torch.random.fork_rng():
            torch.manual_seed(5)
            module = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Conv2d(2, 1, 3))
        optimizer = torch.optim.Adam(module.parameters(), lr=0.0, fused=fused)
        self.auxiliary = AuxiliaryModel(module, optimizer, learning_rate=PEAK, clip_norm=0.5)
        self.broken = {}  # factor of the gradients of "model" and "auxiliary", by step of the run
        self.step = 0
        self.reviews = []

    def backward(self, model, batch, phase, share=1.0):
        factors = self.broken.get(self.step, {})
        report = super().backward(model, batch, phase, share * factors.get("model", 1.0))
        loud = (self.auxiliary.module(batch.x).mean() - batch.x.mean()).square() * 1e3
        (loud * share * factors.get("auxiliary", 1.0)).backward()
        self.step += 1
        return replace(report, source_entropy_bits_per_pixel=loud.detach(), gradient_ratio=torch.tensor(0.25))

    def review(self, mean):
        self.reviews.append(float(mean.gradient_ratio))
        return "rho is high" if len(self.reviews) < 3 else None


@pytest.fixture(params=[True, False], ids=["fused", "not fused"])
def beside(request, monkeypatch):
    monkeypatch.setattr(loop, "build_step", lambda config, model: StepBeside(config, request.param))


@pytest.mark.usefixtures("beside")
def test_it_is_resumed_bit_for_bit_and_follows_the_schedule(picture_folder, tmp_path):
    phase = {"schedule": "cosine", "warm_up_steps": 2, "learning_rate_final": 1e-4}
    config = small_run(picture_folder, steps=4, **phase)
    Trainer(config, tmp_path / "whole", "cpu").run()
    stopped = Trainer(config, tmp_path / "parts", "cpu")
    stop_after(stopped, 1)
    with pytest.raises(KeyboardInterrupt):
        stopped.run()
    resumed = Trainer(config, tmp_path / "parts", "cpu")
    assert resumed.progress.step == 2
    resumed.run()
    one, other = contents(tmp_path / "whole"), contents(tmp_path / "parts")
    assert same_checkpoint(one, other)
    (group,) = one["companion_optimizer"]["param_groups"]
    assert group["lr"] / PEAK == pytest.approx(one["optimizer"]["param_groups"][0]["lr"] / 1e-3)
    assert group["lr"] < PEAK


@pytest.mark.usefixtures("beside")
def test_its_gradients_are_clipped_by_its_own_norm(picture_folder, tmp_path):
    trainer = Trainer(small_run(picture_folder, steps=1), tmp_path, "cpu")
    trainer.run()
    norm = torch.stack([p.grad.norm() for p in trainer.step.auxiliary.module.parameters()]).norm()
    assert float(norm) == pytest.approx(0.5, rel=1e-4)


@pytest.mark.usefixtures("beside")
@pytest.mark.parametrize("whose", ["model", "auxiliary"])
@pytest.mark.parametrize("factor", [math.inf, math.nan])
def test_a_step_that_is_not_finite_changes_nothing(picture_folder, tmp_path, monkeypatch, capsys, whose, factor):
    monkeypatch.setattr(loop, "LOG_EVERY_STEPS", 4)
    trainer = Trainer(small_run(picture_folder, steps=4), tmp_path, "cpu")
    trainer.step.broken = {step: {whose: factor} for step in (1, 2)}
    seen = []
    between = trainer._between_steps

    def recorded():
        parts = (trainer.model, trainer.average.module, trainer.step.auxiliary.module)
        parts += (trainer.optimizer, trainer.step.auxiliary.optimizer)
        states = [part.state_dict() for part in parts]
        seen.append([{k: v.clone() for k, v in state.items()} for state in states[:3]])
        seen[-1] += [
            {i: {k: v.clone() for k, v in s.items()} for i, s in state["state"].items()} for state in states[3:]
        ]
        between()

    trainer._between_steps = recorded
    trainer.run()
    assert same(seen[1], seen[2])
    assert same(seen[2], seen[3])
    assert not any(same(*pair) for pair in zip(seen[0][:3], seen[1][:3], strict=True))
    assert not any(same(*pair) for pair in zip(seen[3], contents_of(trainer), strict=False))
    (row,) = (json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines())
    assert row["skipped_steps"] == 2
    assert capsys.readouterr().err.count("not finite") == 1


def contents_of(trainer):
    return [part.state_dict() for part in (trainer.model, trainer.average.module, trainer.step.auxiliary.module)]


@pytest.mark.parametrize("has", ["checkpoint", "run"])
def test_a_checkpoint_without_what_the_run_has_is_refused(picture_folder, tmp_path, monkeypatch, has):
    def build_beside(config, model):
        return StepBeside(config, True)

    plain = loop.build_step
    first, second = (build_beside, plain) if has == "checkpoint" else (plain, build_beside)
    config = small_run(picture_folder, steps=1)
    monkeypatch.setattr(loop, "build_step", first)
    Trainer(config, tmp_path, "cpu").run()
    monkeypatch.setattr(loop, "build_step", second)
    with pytest.raises(TrainingError, match=rf"found that the {has} does and .*\[regularizer\]"):
        Trainer(config, tmp_path, "cpu")


@pytest.mark.usefixtures("beside")
def test_reports_are_logged_and_reviewed_and_a_warning_is_told_once(picture_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(loop, "LOG_EVERY_STEPS", 1)
    trainer = Trainer(small_run(picture_folder, steps=4), tmp_path, "cpu")
    trainer.run()
    assert trainer.step.reviews == [0.25] * 4
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [row["gradient_ratio"] for row in rows] == [0.25] * 4
    assert all(row["source_entropy_bits_per_pixel"] >= 0 for row in rows)
    assert capsys.readouterr().err.count("rho is high\n") == 1


@pytest.mark.usefixtures("beside")
def test_a_review_stops_the_run_and_what_was_done_is_saved(picture_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "LOG_EVERY_STEPS", 2)
    trainer = Trainer(small_run(picture_folder, steps=4), tmp_path, "cpu")

    def refuse(mean):
        raise TrainingError("rho is too high")

    trainer.step.review = refuse
    with pytest.raises(TrainingError, match="rho is too high"):
        trainer.run()
    assert contents(tmp_path)["progress"]["step"] == trainer.saved_step == 2
