"""A limit on the time of one call: set around it, looked at between slices, passes and tiles, in whichever thread."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from trimix.errors import TimeOverError, UsageError

Report = Callable[[str], None]
"""Takes how far a call has come, in words."""


@dataclass
class _Budget:
    began: float
    seconds: float
    report: Report | None
    reached: str = "the beginning"
    left: str = ""

    def look(self, part: str, done: int, total: int) -> None:
        spent = time.monotonic() - self.began
        if part:
            self.reached = f"{100 * done // total} % of {part}"
            self.left = f", about {spent * (total - done) / done:.0f} s from the end of it" if done else ""
            if self.report is not None:
                self.report(self.reached)
        if spent > self.seconds:
            raise TimeOverError(
                f"the time must be at most {self.seconds:g} s, found {spent:.1f} s spent at {self.reached}{self.left}; "
                "raise the limit if you trust the file"
            )


_BUDGET: ContextVar[_Budget | None] = ContextVar("trimix_time_budget", default=None)


@contextmanager
def limited_time(maximum_seconds: float | None, report: Report | None = None) -> Iterator[None]:
    """Let what is done inside take so many seconds by the clock, or a little more: to the next look at it.

    Args:
        maximum_seconds: > 0; None for no limit but that of a call around this one.
        report: told how far it has come.

    Raises:
        UsageError: the limit is not positive.
        TimeOverError: it was not enough.

    >>> with limited_time(60):
    ...     check_time()
    """
    if maximum_seconds is not None and not maximum_seconds > 0:
        raise UsageError(f"a time limit must be more than 0 seconds, found {maximum_seconds:g}; change it")
    outer, now, seconds = _BUDGET.get(), time.monotonic(), math.inf if maximum_seconds is None else maximum_seconds
    if outer is not None and outer.began + outer.seconds <= now + seconds:
        now, seconds = outer.began, outer.seconds
    token = _BUDGET.set(_Budget(now, seconds, report or (outer and outer.report)))
    try:
        yield
    finally:
        _BUDGET.reset(token)


def check_time(part: str = "", done: int = 0, total: int = 1) -> None:
    """Raise TimeOverError if the time of a call is over; costs next to nothing.

    Args:
        part: what is being made, where that tells how far the call has come.
        done: of the total.
    """
    budget = _BUDGET.get()
    if budget is not None:
        budget.look(part, done, total)
