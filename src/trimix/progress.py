"""How far a long computation is, on standard error: a bar on a terminal, elsewhere a line now and then."""

import math
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from typing import Any

BAR_SECONDS = 0.3
"""Between updates of a bar; what it shows may cost something to read."""
LINE_SECONDS = 30.0
"""Between lines where there is no terminal."""
SILENT_SECONDS = 1.0
"""What takes less is not announced by `working`."""
_PACE_SECONDS = 60.0
"""Over which the pace is taken, at least."""


def harmless(text: str) -> str:
    """The text without characters that could steer a terminal: they may stand in names of files and in descriptions.

    >>> harmless("two  blanks\\x1b[2J\\u202e")
    'two  blanks?[2J?'
    """
    return "".join(letter if letter.isprintable() else "?" for letter in text)


class ProgressDisplay:
    """Shows where something stands; made by `showing_progress`, see there. Without a bar of rich it prints lines."""

    def __init__(self, bar: Any = None, *, silent: bool = False, at_once: bool = False) -> None:
        self._bar = bar
        self._silent = silent
        self._last = -math.inf if at_once else time.monotonic()
        self._seen: deque[tuple[float, float]] = deque()

    def is_due(self) -> bool:
        """Whether it is time for `show`."""
        seconds = LINE_SECONDS if self._bar is None else BAR_SECONDS
        return not self._silent and time.monotonic() - self._last >= seconds

    def show(
        self,
        text: str,
        done: float = 0,
        total: float | None = None,
        *,
        unit: str = "",
        most_seconds: float | None = None,
        always: bool = False,
    ) -> None:
        """Update the bar, or print a line where one is due.

        Args:
            text: what was reached last.
            done: of the total.
            total: None where it is not known.
            unit: of what is counted; with one, lines tell pace and time left, too.
            most_seconds: after which it ends, whatever is left.
            always: print the line, due or not.
        """
        if self._silent or (self._bar is None and not always and not self.is_due()):
            return
        text = harmless(text)
        self._last = time.monotonic()
        pace = self._pace(done, total, unit, most_seconds)
        if self._bar is None:
            print(f"{text}  {pace}" if unit else text, file=sys.stderr, flush=True)
            return
        (task,) = self._bar.task_ids
        self._bar.update(task, description=text, completed=done, total=total, place=_place(done, total), pace=pace)

    def say(self, text: str) -> None:
        """Say something in one line, above the bar where there is one."""
        text = harmless(text)
        if self._bar is not None:
            self._bar.console.print(text, highlight=False, markup=False, soft_wrap=True)
        elif not self._silent:
            print(text, file=sys.stderr, flush=True)

    def _pace(self, done: float, total: float | None, unit: str, most_seconds: float | None) -> str:
        """How fast it went of late, and how long it takes like this."""
        if total is None:
            return ""
        while self._seen and self._seen[-1][1] > done:
            self._seen.pop()  # it went back
        self._seen.append((self._last, done))
        while len(self._seen) > 2 and self._last - self._seen[1][0] > _PACE_SECONDS:
            self._seen.popleft()
        since, done_then = self._seen[0]
        per_second = (done - done_then) / max(self._last - since, 1e-9)
        seconds = math.inf if most_seconds is None else most_seconds
        if per_second > 0 or done >= total:
            seconds = min(seconds, (total - done) / max(per_second, 1e-9))
        left = f"ETA {_duration(seconds) if seconds < math.inf else '?'}"
        return f"{per_second:.2f} {unit}/s  {left}" if unit else left


@contextmanager
def showing_progress(
    text: str = "",
    done: float = 0,
    total: float | None = None,
    *,
    silent: bool = False,
    at_once: bool = False,
    transient: bool = False,
) -> Iterator[ProgressDisplay]:
    """A bar if standard error is a terminal, else now and then a line.

    Args:
        text: shown before anything is reached.
        done: of the total, before.
        total: None where it is not known.
        silent: show nothing.
        at_once: the first line comes at once.
        transient: the bar vanishes at the end.
    """
    with nullcontext() if silent or not sys.stderr.isatty() else _bar(transient=transient) as bar:
        if bar is not None:
            bar.add_task(text, total=total, completed=done, place=_place(done, total), pace="")
        progress = ProgressDisplay(bar, silent=silent, at_once=at_once or bar is not None)
        progress._seen.append((time.monotonic(), done))
        try:
            yield progress
        finally:
            progress._bar = None


@contextmanager
def working(text: str) -> Iterator[Callable[[str], None]]:
    """Show what is being done, "encoding photo.png" say, once it lasts and if standard error is a terminal.

    Yields:
        Takes how far it has come, in words.
    """
    told: list[str] = []
    if not sys.stderr.isatty():
        yield told.append
        return
    done = threading.Event()

    def show() -> None:
        if done.wait(SILENT_SECONDS):
            return
        from rich.console import Console
        from rich.text import Text

        with Console(stderr=True).status(Text(harmless(text))) as status:
            while not done.wait(BAR_SECONDS):
                status.update(Text(harmless(": ".join((text, *told[-1:])))))

    thread = threading.Thread(target=show, daemon=True)
    thread.start()
    try:
        yield told.append
    finally:
        done.set()
        thread.join()


def _bar(*, transient: bool) -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
    from rich.text import Text

    class TextAndBar(Progress):
        """What was reached in a line of its own: on 80 columns it leaves no room for a bar."""

        def get_renderables(self) -> Iterator[Any]:
            for task in self.tasks:
                yield Text(task.description, no_wrap=True, overflow="ellipsis")
            yield from super().get_renderables()

    return TextAndBar(
        SpinnerColumn(),
        BarColumn(bar_width=None),
        TextColumn("{task.fields[place]}"),
        TextColumn("{task.fields[pace]}"),
        console=Console(stderr=True),
        expand=True,
        transient=transient,
        # Drawn seldom: the processor belongs to the work.
        refresh_per_second=2,
    )


def _place(done: float, total: float | None) -> str:
    return "" if total is None else f"{done:.0f}/{total:.0f}"


def _duration(seconds: float) -> str:
    """As people read it: ``0:04:35``, or ``151 days``."""
    days = seconds / 86400
    return f"{days:.0f} days" if days >= 2 else str(timedelta(seconds=round(seconds)))
