"""What ``trimix compress`` shows while it searches: a bar with what is reached so far, or now and then a line."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from trimix.cli.interrupts import raise_if_interrupted
from trimix.progress import LINE_SECONDS

if TYPE_CHECKING:
    from trimix.encoder.search import SearchProgress
    from trimix.encoder.targets import Target, Trial


class SearchDisplay:
    """Lines, the first one after a while.

    Args:
        target: what the trials are for, if anything.
    """

    def __init__(self, target: "Target | None") -> None:
        self._target = target
        self._trials = 0
        self._last = time.monotonic()

    def step(self, progress: "SearchProgress") -> None:
        """Show a step of the search; Ctrl-C that a library has swallowed ends it here.

        Raises:
            KeyboardInterrupt: there was one.
        """
        raise_if_interrupted()
        self._show_step(progress)

    def tried(self, trial: "Trial") -> None:
        """Show an encoding on the way to a target."""
        self._trials += 1
        self._show_trial(trial)

    def _show_step(self, progress: "SearchProgress") -> None:
        self._line(f"step {progress.step} of {progress.steps}: {_reached(progress)}")

    def _show_trial(self, trial: "Trial") -> None:
        self._line(self._trial_text(trial))

    def _trial_text(self, trial: "Trial") -> str:
        measured = "" if self._target is None else self._target.text(trial.measured)
        return f"trial {self._trials}: quality {trial.quality:.2f} gives {measured}"

    def _line(self, text: str) -> None:
        now = time.monotonic()
        if now - self._last >= LINE_SECONDS:
            self._last = now
            print(text, file=sys.stderr, flush=True)


class _Bar(SearchDisplay):
    """A bar in one line of the terminal."""

    def __init__(self, target: "Target | None", progress: Any, task: Any) -> None:
        super().__init__(target)
        self._progress = progress
        self._task = task

    def _show_step(self, progress: "SearchProgress") -> None:
        self._progress.update(
            self._task,
            completed=progress.step,
            total=progress.steps,
            steps=f"step {progress.step} of {progress.steps}",
            status=_reached(progress),
        )

    def _show_trial(self, trial: "Trial") -> None:
        self._progress.update(self._task, status=self._trial_text(trial))


@contextmanager
def searching(target: "Target | None") -> Iterator[SearchDisplay]:
    """A bar if standard error is a terminal, else now and then a line."""
    if not sys.stderr.isatty():
        yield SearchDisplay(target)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
    from rich.table import Column

    columns = (
        TextColumn("{task.fields[steps]}", markup=False),
        BarColumn(bar_width=20, table_column=Column(min_width=10)),
        TimeElapsedColumn(table_column=Column(min_width=7)),
        # The only one that is cut where the terminal is narrow.
        TextColumn("{task.fields[status]}", markup=False, table_column=Column(no_wrap=True)),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True, refresh_per_second=4) as progress:
        task = progress.add_task("", total=None, steps="searching", status="")
        yield _Bar(target, progress, task)


def _reached(progress: "SearchProgress") -> str:
    return f"{progress.bits_per_pixel:.4f} bpp, {progress.distortion}"
