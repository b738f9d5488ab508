"""Signals that end a command: Ctrl-C that is not forgotten (torch and numba swallow it now and then, above all while
they are imported), SIGTERM and SIGHUP that leave nothing half written."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from types import FrameType
from typing import NoReturn

_seen = 0


def interrupt_was_seen() -> bool:
    """Whether Ctrl-C was pressed since `remembering_interrupts` began, or since one was heeded."""
    return _seen > 0


def heed_interrupt() -> None:
    """Forget Ctrl-C, for it has done what it should; KeyboardInterrupt if it was pressed more than once."""
    global _seen
    if _seen > 1:
        raise KeyboardInterrupt
    _seen = 0


def raise_if_interrupted() -> None:
    """Raise the interrupt that a library has swallowed (KeyboardInterrupt: there was one)."""
    if _seen:
        raise KeyboardInterrupt


@contextmanager
def _handling(number: int, handler: Callable[[int, FrameType | None], None], before: object = None) -> Iterator[bool]:
    """Handle a signal; yields whether it is. In another thread signals do not come.

    Left alone is what is not handled as ``before``; by default what is ignored, as under nohup and for background jobs.
    """
    found = signal.getsignal(number)
    is_ours = found is not signal.SIG_IGN if before is None else found is before
    try:
        if is_ours:
            signal.signal(number, handler)
    except ValueError:
        is_ours = False
    try:
        yield is_ours
    finally:
        if is_ours:
            signal.signal(number, found)


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

    with _handling(signal.SIGINT, note):
        yield lambda: noted


def end_at_once(code: object) -> NoReturn:
    """End the process without waiting for threads that compute. What was being written is removed already."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code if isinstance(code, int) else 1)


@contextmanager
def ending_on_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the command as an exception would, so that its part files are removed."""
    with ExitStack() as stack:
        for name in ("SIGTERM", "SIGHUP"):
            if number := getattr(signal, name, None):  # there is no SIGHUP on Windows
                stack.enter_context(_handling(number, _end, signal.SIG_DFL))
        yield


def _end(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


@contextmanager
def remembering_interrupts() -> Iterator[None]:
    """Let Ctrl-C raise as ever, and remember it."""
    global _seen
    _seen = 0
    with _handling(signal.SIGINT, _remember, signal.default_int_handler):
        yield


def _remember(number: int, frame: FrameType | None) -> None:
    global _seen
    _seen += 1
    signal.default_int_handler(number, frame)
