"""Signals that end a command: Ctrl-C that is not forgotten (torch and numba swallow it now and then, above all while
they are imported), SIGTERM and SIGHUP that leave nothing half written."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

_seen = 0


def interrupt_was_seen() -> bool:
    """Whether Ctrl-C was pressed since `remembering_interrupts` began, or since one was heeded."""
    return _seen > 0


def heed_interrupt() -> None:
    """Forget Ctrl-C, for it has done what it should: what follows is not to end with it.

    Raises:
        KeyboardInterrupt: it was pressed more than once.
    """
    global _seen
    if _seen > 1:
        raise KeyboardInterrupt
    _seen = 0


def raise_if_interrupted() -> None:
    """Raise the interrupt that a library has swallowed (KeyboardInterrupt: there was one)."""
    if _seen:
        raise KeyboardInterrupt


@contextmanager
def noting_interrupts() -> Iterator[Callable[[], bool]]:
    """Let the first Ctrl-C only be noted, for what must not end in the middle; the second raises.

    Yields:
        Says whether there was one. `heed_interrupt` is not needed: it is told here.
    """
    noted = False

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal noted
        if noted:
            raise KeyboardInterrupt
        noted = True

    before = signal.getsignal(signal.SIGINT)
    try:
        # Ignored, as for a shell's background jobs, it stays so; in another thread signals do not come.
        if before is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, note)
    except ValueError:
        yield lambda: False
        return
    try:
        yield lambda: noted
    finally:
        signal.signal(signal.SIGINT, before)


def end_at_once(code: object) -> NoReturn:
    """End the process without waiting for threads that compute. What was being written is removed already."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code if isinstance(code, int) else 1)


@contextmanager
def ending_on_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the command as an exception would, so that its part files are removed."""
    before = {}
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # there is no SIGHUP on Windows
        # Ignored, as under nohup, it stays so; in another thread signals do not come.
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            with suppress(ValueError):
                before[number] = signal.signal(number, _end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


@contextmanager
def remembering_interrupts() -> Iterator[None]:
    """Let Ctrl-C raise as ever, and remember it."""
    global _seen
    _seen = 0
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield  # ignored, as for a shell's background jobs, or the caller's own
        return
    try:
        signal.signal(signal.SIGINT, _remember)
    except ValueError:
        yield  # not the main thread: signals do not come here
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _remember(number: int, frame: FrameType | None) -> None:
    global _seen
    _seen += 1
    signal.default_int_handler(number, frame)
