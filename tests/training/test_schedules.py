import math

import pytest
import torch
from small_runs import contents, same_checkpoint, small_run, stop_after

from trimix.errors import ConfigurationError
from trimix.training.config import PhaseConfig
from trimix.training.loop import Trainer
from trimix.training.schedules import Plateau, learning_rate


def test_schedules_start_warm_up_and_end_where_they_say():
    for schedule in ("linear", "cosine"):
        phase = PhaseConfig(
            name="x",
            steps=110,
            warm_up_steps=10,
            learning_rate=1.0,
            learning_rate_final=0.2,
            schedule=schedule,
        )
        rates = [learning_rate(phase, step) for step in range(111)]
        assert rates[0] == pytest.approx(0.1)
        assert rates[9] == rates[10] == pytest.approx(1.0)
        assert rates[60] == pytest.approx(0.6)
        assert rates[110] == pytest.approx(0.2)
        assert rates[10:] == sorted(rates[10:], reverse=True)


def test_a_constant_rate_stays():
    phase = PhaseConfig(name="x", steps=20, learning_rate=1e-3, warm_up_steps=4)
    assert {learning_rate(phase, step) for step in range(4, 20)} == {1e-3}


PLATEAU = PhaseConfig(
    name="x",
    steps=100,
    learning_rate=1e-3,
    learning_rate_final=1e-4,
    schedule="plateau",
    plateau_factor=0.5,
    plateau_patience=2,
)
OBJECTIVES = [3.0, 2.0, 2.5, math.nan, 2.5, 1.9, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, *[2.0] * 9]


def test_a_plateau_follows_torchs_scheduler_wherever_it_is_taken_up():
    reference = torch.optim.SGD([torch.zeros(())], lr=1e-3)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(reference, factor=0.5, patience=2, min_lr=1e-4)
    plateau = Plateau()
    rates = []
    for step, objective in enumerate(OBJECTIVES):
        again = Plateau()
        again.numbers |= plateau.numbers  # as by way of a checkpoint
        again.note(PLATEAU, step, objective)
        plateau = again
        scheduler.step(math.inf if math.isnan(objective) else objective)
        rates.append(learning_rate(PLATEAU, step) * plateau.proportion)
        assert rates[-1] == pytest.approx(reference.param_groups[0]["lr"])
    assert rates[3:5] == pytest.approx([1e-3, 5e-4])
    assert rates[-1] == pytest.approx(1e-4)
    plateau.begin()
    assert plateau.proportion == 1.0


def test_other_schedules_lower_nothing():
    plateau = Plateau()
    for step in range(30):
        plateau.note(PhaseConfig(name="x", steps=9), step, 1.0)
    assert (plateau.proportion, plateau.numbers["step"]) == (1.0, 29)


def test_a_run_remembers_its_plateau(picture_folder, tmp_path):
    phase = {"schedule": "plateau", "plateau_patience": 0, "learning_rate": 1e-9}  # it cannot get better
    config = small_run(
        picture_folder,
        steps=6,
        validated=True,
        run={"validation_steps": 1, "checkpoint_minutes": 1e-9},
        **phase,
    )
    Trainer(config, tmp_path / "whole", "cpu").run()
    stopped = Trainer(config, tmp_path / "parts", "cpu")
    stop_after(stopped, 3)
    with pytest.raises(KeyboardInterrupt):
        stopped.run()
    Trainer(config, tmp_path / "parts", "cpu").run()
    one, other = contents(tmp_path / "whole"), contents(tmp_path / "parts")
    assert same_checkpoint(one, other)
    assert one["plateau"]["step"] == 6
    # Validations after steps 1 to 6: the first sets the mark, each of the others misses it.
    assert one["plateau"]["proportion"] == 0.5**5
    assert one["optimizer"]["param_groups"][0]["lr"] == pytest.approx(1e-9 * 0.5**4)


def test_a_plateau_needs_validation(picture_folder, tmp_path):
    with pytest.raises(ConfigurationError, match="'plateau' must have validation pictures, found none"):
        Trainer(small_run(picture_folder, schedule="plateau"), tmp_path, "cpu")
