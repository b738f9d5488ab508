"""Phases of minutes, and time limits, by a clock that the steps of a run move."""

import pytest
import torch
from small_runs import contents, small_run

from trimix.errors import ConfigurationError
from trimix.training import loop, time_limit
from trimix.training.checkpoint import restore
from trimix.training.config import PhaseConfig, TrainingConfig, load_training_config
from trimix.training.loop import Trainer
from trimix.training.schedules import learning_rate
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


def trainer_of(config, folder, clock, limit=None, first_step_seconds=SECONDS_A_STEP, save_seconds=0.0):
    """A run whose steps and checkpoints take their time by the clock, and the rates of its steps."""
    trainer = Trainer(config, folder, "cpu", time_limit=limit)
    plain_step, plain_save = trainer.step.backward, trainer._write_checkpoint
    rates = []

    def backward(*arguments):
        clock.now += SECONDS_A_STEP if rates else first_step_seconds
        rates.append(trainer.optimizer.param_groups[0]["lr"])
        return plain_step(*arguments)

    def write():
        clock.now += save_seconds
        plain_save()

    trainer.step.backward, trainer._write_checkpoint = backward, write
    return trainer, rates


def minutes_run(pictures, minutes, **phase):
    values = {"batch_size": 1, "patch_size": 64, "learning_rate": 1e-3} | phase
    run = small_run(pictures)
    return run.model_copy(update={"phases": (PhaseConfig(name="timed", minutes=minutes, **values),)})


@pytest.mark.parametrize("schedule", ["linear", "cosine", "constant"])
def test_a_schedule_by_time_is_the_one_by_steps_at_equal_shares(schedule):
    common = {"name": "x", "learning_rate": 1.0, "learning_rate_final": 0.2, "schedule": schedule}
    by_time, by_steps = PhaseConfig(minutes=2, **common), PhaseConfig(steps=120, **common)
    for second in range(121):
        assert learning_rate(by_time, 7, float(second)) == pytest.approx(learning_rate(by_steps, second))
    assert learning_rate(by_time, 7, 500.0) == pytest.approx(learning_rate(by_steps, 120))


def test_warm_up_is_counted_in_steps():
    phase = PhaseConfig(name="x", minutes=2, learning_rate=1.0, schedule="linear", warm_up_steps=4)
    assert [learning_rate(phase, step, 60.0) for step in range(5)] == pytest.approx([0.25, 0.5, 0.75, 1, 0.5])


def test_a_phase_of_minutes_ends_by_the_clock_and_its_first_step_does_not_count(
    picture_folder, tmp_path, clock
):
    config = minutes_run(picture_folder, 1, schedule="linear")
    trainer, rates = trainer_of(config, tmp_path, clock, first_step_seconds=1000.0)
    trainer.run()
    assert trainer.is_complete
    # Six steps of ten seconds after the first; the rate of each is that of the share before it.
    expected = [1.0, 1.0, *(1 - SECONDS_A_STEP * done / 60 for done in range(1, 6))]
    assert rates == pytest.approx([1e-3 * share for share in expected])
    assert trainer.progress.step == 7
    assert contents(tmp_path)["progress"]["phase_seconds"] == 0.0


def test_a_run_goes_on_in_time(picture_folder, tmp_path, clock):
    config = minutes_run(picture_folder, 1, schedule="linear")
    stopped, _ = trainer_of(config, tmp_path, clock)
    plain = stopped._between_steps

    def between():
        stopped._stop.made = stopped.progress.step == 4
        plain()

    stopped._between_steps = between
    with pytest.raises(KeyboardInterrupt):
        stopped.run()
    assert contents(tmp_path)["progress"]["phase_seconds"] == 30.0
    clock.now += 1e6  # between two calls no time is spent
    resumed, rates = trainer_of(config, tmp_path, clock)
    resumed.run()
    assert resumed.progress.step == 4 + 1 + 3
    assert rates == pytest.approx([5e-4, 5e-4, 1e-3 * 2 / 6, 1e-3 / 6])


def test_phases_of_steps_and_of_minutes_follow_one_another(picture_folder, tmp_path, clock):
    timed = minutes_run(picture_folder, 0.5).phases[0]
    config = small_run(picture_folder, steps=2)
    config = config.model_copy(update={"phases": (*config.phases, timed, timed)})
    trainer, rates = trainer_of(config, tmp_path, clock)
    trainer.run()
    assert len(rates) == 2 + 3 + 3


def test_a_checkpoint_without_time_is_of_an_earlier_version_and_readable(picture_folder, tmp_path):
    trainer = Trainer(small_run(picture_folder, steps=1), tmp_path, "cpu")
    trainer.run()
    before = contents(tmp_path)
    del before["progress"]["phase_seconds"]
    torch.save(before, tmp_path / "last.ckpt")
    again = Trainer(small_run(picture_folder, steps=2), tmp_path, "cpu")
    progress = restore(tmp_path / "last.ckpt", again.model, again.average, again.optimizer)
    assert (progress.step, progress.phase_seconds) == (1, 0.0)


@pytest.mark.parametrize(
    ("length", "message"),
    [
        ("", "found neither; give one of them"),
        ("steps = 3\nminutes = 1.5", "found steps = 3 and minutes = 1.5; give one of them"),
    ],
)
def test_a_phase_has_steps_or_minutes(tmp_path, length, message):
    path = tmp_path / "run.toml"
    path.write_text(f'[data]\ntraining = ["x"]\n[[phases]]\nname = "a"\n{length}\n')
    expected = rf"run\.toml: phases\.0: either steps or minutes must be given, {message}"
    with pytest.raises(ConfigurationError, match=expected) as caught:
        load_training_config(path)
    assert "\n" not in str(caught.value)


def test_a_configuration_with_minutes_survives_a_checkpoint(picture_folder):
    config = minutes_run(picture_folder, 2.5)
    assert TrainingConfig.model_validate_json(config.model_dump_json()) == config


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
    config = small_run(picture_folder, steps=30, validated=True, run={"validation_steps": 3})
    trainer, _ = trainer_of(config, tmp_path, clock, TimeLimit(ends_at=1000.0))
    average = trainer.average.module
    plain = average.forward

    def slow(*arguments, **named):
        clock.now += 1000.0
        return plain(*arguments, **named)

    average.forward = slow
    trainer.run()
    assert contents(tmp_path)["progress"]["step"] == 3
