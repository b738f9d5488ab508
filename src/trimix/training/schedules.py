"""Learning rates over the steps of a run.

::

    constant  ,------------      linear  ,.               cosine  ,-.
             /                          /  `-.                   /   `.
            / warm-up                  /      `- final          /      `-- final
"""

import math

from trimix.training.config import PhaseConfig


def learning_rate(phase: PhaseConfig, step: int) -> float:
    """Learning rate of a phase at a step: warm-up, then constant, linear or cosine to the final one.

    A formula of the step, so that a run that goes on needs no memory of it.

    Args:
        phase: says which.
        step: of the phase, from 0.

    >>> phase = PhaseConfig(name="all", steps=8, learning_rate=1e-3, schedule="linear", warm_up_steps=4)
    >>> [round(learning_rate(phase, step), 6) for step in (0, 3, 4, 6, 8)]
    [0.00025, 0.001, 0.001, 0.0005, 0.0]
    """
    if step < phase.warm_up_steps:
        return phase.learning_rate * (step + 1) / phase.warm_up_steps
    done = (step - phase.warm_up_steps) / max(1, phase.steps - phase.warm_up_steps)
    falling = phase.learning_rate - phase.learning_rate_final
    if phase.schedule == "linear":
        return phase.learning_rate - falling * done
    if phase.schedule == "cosine":
        return phase.learning_rate_final + falling * 0.5 * (1 + math.cos(math.pi * done))
    return phase.learning_rate
