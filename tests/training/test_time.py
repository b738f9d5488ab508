"""Time limits, by a clock that the steps of a run move."""

import json

import pytest
import torch
from small_runs import contents, small_run

from trimix.training import loop, time_limit
from trimix.training.checkpoint import load_checkpoint, run_of
from trimix.training.loop import Trainer
from trimix.training.time_limit import ENDING_SECONDS, TimeLimit

SECONDS_A_STEP = 10.0


class Clock:
    """The time, as loop and time limit see it."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now

    process_time = monotonic


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    for module in (loop, time_limit):
        monkeypatch.setattr(module, "time", clock)
    return clock


def trainer_of(config, folder, clock, limit=None, save_seconds=0.0):
    """A run whose steps and checkpoints take their time by the clock, and the rates of its steps."""
    trainer = Trainer(config, folder, "cpu", time_limit=limit)
    plain_step, plain_save = trainer.step.backward, trainer._write_checkpoint
    rates = []

    def backward(*arguments):
        clock.now += SECONDS_A_STEP
        rates.append(trainer.optimizer.param_groups[0]["lr"])
        return plain_step(*arguments)

    def write():
        clock.now += save_seconds
        plain_save()

    trainer.step.backward, trainer._write_checkpoint = backward, write
    return trainer, rates


def test_a_checkpoint_of_an_earlier_version_is_readable(picture_folder, tmp_path):
    Trainer(small_run(picture_folder, steps=1), tmp_path, "cpu").run()
    before = contents(tmp_path)
    before["progress"]["phase_seconds"] = 30.0
    configuration = json.loads(before["configuration"])
    configuration["validation_steps"] = None
    configuration["phases"][0] |= {"minutes": None, "plateau_factor": 0.5, "plateau_patience": 10}
    torch.save(before | {"configuration": json.dumps(configuration)}, tmp_path / "last.ckpt")
    again = Trainer(small_run(picture_folder, steps=2), tmp_path, "cpu")
    assert again.progress.step == 1
    path = tmp_path / "last.ckpt"
    assert run_of(path, load_checkpoint(path)).model == again.config.model


def test_a_run_with_a_time_limit_ends_in_time_and_goes_on_bit_for_bit(picture_folder, tmp_path, clock):
    config = small_run(picture_folder, steps=30)
    limit = TimeLimit(ends_at=100.0)
    trainer, rates = trainer_of(config, tmp_path / "parts", clock, limit, save_seconds=4.0)
    trainer.run()
    assert not trainer.is_complete
    # 4 for the save that is measured; 100 - 2 - 3 * 4 - 10 = 76 is when steps no longer begin.
    assert limit.reserve_seconds == ENDING_SECONDS + 3 * 4 + SECONDS_A_STEP
    assert len(rates) == trainer.saved_step == 8
    assert 100 - limit.reserve_seconds < clock.now <= 100
    Trainer(config, tmp_path / "parts", "cpu").run()
    Trainer(config, tmp_path / "whole", "cpu").run()
    one, other = contents(tmp_path / "parts"), contents(tmp_path / "whole")
    assert all(torch.equal(value, other["model"][name]) for name, value in one["model"].items())


def test_a_time_limit_that_is_long_enough_changes_nothing(picture_folder, tmp_path, clock):
    trainer, rates = trainer_of(small_run(picture_folder), tmp_path, clock, TimeLimit(1000.0))
    trainer.run()
    assert trainer.is_complete
    assert len(rates) == 2


def test_the_rate_falls_at_the_end_of_the_time(picture_folder, tmp_path, clock):
    limit = TimeLimit(ends_at=200.0, cool_down_seconds=50.0, final_rate=1e-4)
    trainer, rates = trainer_of(small_run(picture_folder, steps=1000), tmp_path, clock, limit)
    trainer.run()
    # Steps end at 200 - 2 - 10 = 188; the first that begins within 50 s of it begins at 140.
    falling = [1e-4 + 9e-4 * (188 - start) / 50 for start in range(140, 188, 10)]
    assert rates[-5:] == pytest.approx(falling)
    assert set(rates[:-5]) == {1e-3}
    assert len(rates) == 19


def test_a_time_limit_that_is_over_before_the_first_step_leaves_a_checkpoint(picture_folder, tmp_path, clock):
    trainer, rates = trainer_of(small_run(picture_folder), tmp_path, clock, TimeLimit(1.0))
    trainer.run()
    assert (rates, contents(tmp_path)["progress"]["step"]) == ([], 0)


def test_a_validation_is_cut_short_when_the_time_is_up(picture_folder, tmp_path, clock):
    config = small_run(picture_folder, steps=30, validated=True, run={"validation_minutes": 0.4})
    trainer, _ = trainer_of(config, tmp_path, clock, TimeLimit(ends_at=1000.0))
    average = trainer.average.module
    plain = average.forward

    def slow(*arguments, **named):
        clock.now += 1000.0
        return plain(*arguments, **named)

    average.forward = slow
    trainer.run()
    assert contents(tmp_path)["progress"]["step"] == 3
