"""Ctrl-C that is not forgotten: torch and numba swallow it now and then, above all while they are imported."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

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
    """Raise the interrupt that a library has swallowed.

    Raises:
        KeyboardInterrupt: there was one.
    """
    if _seen:
        raise KeyboardInterrupt


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
