"""What ``trimix compress`` shows while it searches."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from trimix.cli.interrupts import raise_if_interrupted
from trimix.progress import ProgressDisplay, showing_progress

if TYPE_CHECKING:
    from trimix.encoder.search import SearchProgress
    from trimix.encoder.targets import Target, Trial


class SearchDisplay:
    """Steps of the search and encodings on the way to a target.

    Args:
        target: what the trials are for, if anything.
        display: a bar, or lines, the first one after a while.
    """

    def __init__(self, target: "Target | None", display: ProgressDisplay) -> None:
        self._target = target
        self._display = display
        self._trials = 0

    def step(self, progress: "SearchProgress") -> None:
        """Show a step of the search; Ctrl-C that a library has swallowed ends it here.

        Raises:
            KeyboardInterrupt: there was one.
        """
        raise_if_interrupted()
        reached = f"{progress.bits_per_pixel:.4f} bpp, {progress.distortion}"
        step, steps = progress.step, progress.steps
        self._display.show(f"step {step} of {steps}: {reached}", step, steps)

    def tried(self, trial: "Trial") -> None:
        """Show an encoding on the way to a target."""
        self._trials += 1
        measured = "" if self._target is None else self._target.text(trial.measured)
        self._display.show(f"trial {self._trials}: quality {trial.quality:.2f} gives {measured}")


@contextmanager
def searching(target: "Target | None") -> Iterator[SearchDisplay]:
    """A bar if standard error is a terminal, else now and then a line."""
    with showing_progress("searching", transient=True) as display:
        yield SearchDisplay(target, display)
