"""Learning rates over the steps, or the minutes, of a run.

::

    constant  ,------------      linear  ,.               cosine  ,-.            plateau  ,----.
             /                          /  `-.                   /   `.                  /     `-----.
            / warm-up                  /      `- final          /      `-- final        /             `----
"""

import math

import torch
from torch.optim.lr_scheduler import ReduceLROnPlateau

from trimix.training.config import PhaseConfig


def learning_rate(phase: PhaseConfig, step: int, seconds: float = 0.0) -> float:
    """Learning rate of a phase at a step: warm-up, then constant, linear or cosine to the final one.

    A formula of the step, or of the time, so that a run that goes on needs no memory of it. What a plateau adds is a
    ``Plateau``'s.

    Args:
        phase: says which; where it is minutes long, its share that is done is one of time.
        step: of the phase, from 0.
        seconds: spent in the phase; of no account in one that is steps long.

    >>> phase = PhaseConfig(name="all", steps=8, learning_rate=1e-3, schedule="linear", warm_up_steps=4)
    >>> [round(learning_rate(phase, step), 6) for step in (0, 3, 4, 6, 8)]
    [0.00025, 0.001, 0.001, 0.0005, 0.0]
    >>> phase = PhaseConfig(name="all", minutes=2, learning_rate=1e-3, schedule="linear")
    >>> [round(learning_rate(phase, 7, seconds), 6) for seconds in (0, 30, 120)]
    [0.001, 0.00075, 0.0]
    """
    if step < phase.warm_up_steps:
        return phase.learning_rate * (step + 1) / phase.warm_up_steps
    if phase.minutes is not None:
        done = min(1.0, seconds / (60 * phase.minutes))
    else:
        assert phase.steps is not None
        done = (step - phase.warm_up_steps) / max(1, phase.steps - phase.warm_up_steps)
    falling = phase.learning_rate - phase.learning_rate_final
    if phase.schedule == "linear":
        return phase.learning_rate - falling * done
    if phase.schedule == "cosine":
        return phase.learning_rate_final + falling * 0.5 * (1 + math.cos(math.pi * done))
    return phase.learning_rate


class Plateau:
    """Lowers the learning rate where the validation objective no longer falls (torch's ReduceLROnPlateau).

    Its numbers are the only memory that schedules have; a checkpoint keeps them.
    """

    def __init__(self) -> None:
        self.numbers = {"proportion": 1.0, "best": math.inf, "stalled": 0.0, "step": -1.0}
        """Proportion of the learning rate that is left; best objective; validations since; step of the last one."""

    @property
    def proportion(self) -> float:
        """Of the learning rate, what is left of it."""
        return self.numbers["proportion"]

    def begin(self) -> None:
        """Start a phase anew."""
        self.numbers |= {"proportion": 1.0, "best": math.inf, "stalled": 0.0}

    def note(self, phase: PhaseConfig, step: int, objective: float) -> None:
        """Take in a validation.

        Args:
            phase: that the run is in; where its schedule is no plateau, nothing is lowered.
            step: of the run.
            objective: R + lambda * D; one that is no number counts as no progress.
        """
        self.numbers["step"] = step
        if phase.schedule != "plateau":
            return
        # torch's schedulers move the rate of an optimiser. This one has nothing else: all groups of all optimisers
        # follow it in proportion.
        carrier = torch.optim.SGD([torch.zeros(())], lr=self.proportion)
        scheduler = ReduceLROnPlateau(
            carrier,
            factor=phase.plateau_factor,
            patience=phase.plateau_patience,
            min_lr=min(1.0, phase.learning_rate_final / phase.learning_rate),
            eps=0.0,
        )
        scheduler.best = self.numbers["best"]
        scheduler.num_bad_epochs = int(self.numbers["stalled"])
        scheduler.step(math.inf if math.isnan(objective) else objective)
        self.numbers |= {
            "proportion": carrier.param_groups[0]["lr"],
            "best": float(scheduler.best),
            "stalled": scheduler.num_bad_epochs,
        }
