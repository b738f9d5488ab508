"""How far the reading of pictures is."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LINE_SECONDS = 30.0
"""Between lines where there is no terminal."""


@contextmanager
def reading_pictures(*, silent: bool = False) -> Iterator[Callable[[int, int | None], None]]:
    """Give a function that takes how many pictures are read, and of how many: a moving bar, or now and then a line.

    Args:
        silent: show nothing.
    """
    if silent:
        yield lambda done, total: None
        return
    if not sys.stderr.isatty():
        yield _Lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("reading the pictures", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


class _Lines:
    def __init__(self) -> None:
        self._last = time.monotonic()

    def __call__(self, done: int, total: int | None) -> None:
        now = time.monotonic()
        if now - self._last >= LINE_SECONDS:
            self._last = now
            of = "" if total is None else f" of {total}"
            print(f"reading the pictures: {done}{of}", file=sys.stderr, flush=True)
