"""What a run shows on standard error: a moving bar on a terminal, now and then a line elsewhere."""

import math
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
from rich.text import Text

BAR_SECONDS = 0.3
"""Between numbers on a bar; reading them waits for the device."""
LINE_SECONDS = 30.0
"""Between lines where there is no terminal."""
_PACE_SECONDS = 60.0
"""Over which the pace is taken, at least."""


@dataclass(frozen=True)
class Reading:
    """What is shown of a step.

    Args:
        phase: its name.
        step: of the run.
        bits_per_pixel: of the batch.
        psnr_db: of the batch.
        loss: of the batch.
    """

    phase: str
    step: int
    bits_per_pixel: float
    psnr_db: float
    loss: float

    def __str__(self) -> str:
        """In one line."""
        return (
            f"{self.phase} step {self.step}  {self.bits_per_pixel:.3f} bpp  {self.psnr_db:.2f} dB  "
            f"loss {self.loss:.3f}"
        )


@dataclass(frozen=True)
class Left:
    """What is left of a run.

    Args:
        steps: of phases that are steps long.
        seconds: of phases that are minutes long.
        most_seconds: after which the run stops, whatever is left.
    """

    steps: int
    seconds: float = 0.0
    most_seconds: float = math.inf


class _NumbersAndBar(Progress):
    """The last step's numbers in a line of their own: on 80 columns they leave no room for a bar."""

    def get_renderables(self) -> Iterator[RenderableType]:
        for task in self.tasks:
            yield Text(task.description, no_wrap=True, overflow="ellipsis")
        yield from super().get_renderables()


def _duration(seconds: float) -> str:
    """As people read it: ``0:04:35``, or ``151 days``."""
    days = seconds / 86400
    return f"{days:.0f} days" if days >= 2 else str(timedelta(seconds=round(seconds)))


class Display:
    """Shows where a run stands.

    The bar is one of steps, or of time where the number of steps is not known.

    Args:
        done: steps done before.
        total: steps of the whole run; None where a phase is minutes long, or the time is limited.
        silent: show nothing (a process that is not the first).
    """

    def __init__(self, done: int, total: int | None, *, silent: bool = False) -> None:
        self._silent = silent
        self._done, self._total = done, total
        self._started = self._last = time.monotonic()
        self._seconds = BAR_SECONDS if sys.stderr.isatty() else LINE_SECONDS
        self._readings = deque([(self._started, done)])
        self._bar: Progress | None = None

    @contextmanager
    def showing(self) -> Iterator[None]:
        """Show the bar, at once, where there is a terminal."""
        if self._silent or not sys.stderr.isatty():
            yield
            return
        columns = (
            SpinnerColumn(),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[place]}"),
            TextColumn("{task.fields[pace]}"),
        )
        with _NumbersAndBar(*columns, console=Console(stderr=True), expand=True) as self._bar:
            place = "" if self._total is None else f"{self._done}/{self._total}"
            completed = 0 if self._total is None else self._done
            self._bar.add_task("the first step", total=self._total, completed=completed, place=place, pace="")
            try:
                yield
            finally:
                bar, self._bar = self._bar, None
                bar.refresh()

    def is_due(self) -> bool:
        """Whether it is time for a reading."""
        return not self._silent and (
            time.monotonic() - self._last >= self._seconds or self._last == self._started
        )

    def show(self, reading: Reading, done: int, left: Left | None = None) -> None:
        """Show a reading.

        Args:
            reading: of the last step.
            done: steps of the run that are done.
            left: of the run; by default the steps that are not done. It must be given where there is no total.
        """
        self._last = time.monotonic()
        if left is None:
            assert self._total is not None
            left = Left(self._total - done)
        per_second = self._steps_per_second(done)
        seconds = min(_seconds_left(left, per_second), left.most_seconds)
        pace = f"{per_second:.2f} steps/s  ETA {_duration(seconds) if seconds < math.inf else '?'}"
        if self._bar is None:
            print(f"{reading}  {pace}", file=sys.stderr, flush=True)
        elif self._total is not None:
            self._update_bar(reading, pace, f"{done}/{self._total}", done, self._total)
        else:
            spent = self._last - self._started
            whole = spent + seconds if seconds < math.inf else None
            self._update_bar(reading, pace, _duration(spent), spent, whole)

    def _update_bar(
        self, reading: Reading, pace: str, place: str, completed: float, total: float | None
    ) -> None:
        assert self._bar is not None
        self._bar.update(
            self._bar.task_ids[0],
            completed=completed,
            total=total,
            description=str(reading),
            place=place,
            pace=pace,
        )

    def tell(self, text: str) -> None:
        """Say something, above the bar where there is one."""
        if self._bar is not None:
            self._bar.console.print(Text(text))
        elif not self._silent:
            print(text, file=sys.stderr, flush=True)

    def _steps_per_second(self, done: int) -> float:
        """Of late."""
        while self._readings and self._readings[-1][1] > done:
            self._readings.pop()  # the run went back
        self._readings.append((self._last, done))
        while len(self._readings) > 2 and self._last - self._readings[1][0] > _PACE_SECONDS:
            self._readings.popleft()
        since, done_then = self._readings[0]
        return (done - done_then) / max(self._last - since, 1e-9)


def _seconds_left(left: Left, steps_per_second: float) -> float:
    if not left.steps:
        return left.seconds
    return left.seconds + left.steps / steps_per_second if steps_per_second else math.inf
