"""Signals that ask a run to stop, kept until it can: a step is done whole or not at all."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequest:
    """Whether SIGINT or SIGTERM has come, in ``made``; in the grace seconds a second SIGINT counts as the first."""

    def __init__(self, grace_seconds: float = 0.0) -> None:
        self.made = False
        self._grace_seconds = grace_seconds
        self._made_at = time.monotonic()

    def receive(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal: note it; SIGINT after another one interrupts at once.

        Raises:
            KeyboardInterrupt: whoever asks twice does not want to wait.
        """
        del frame
        now = time.monotonic()
        if self.made and number == signal.SIGINT and now - self._made_at >= self._grace_seconds:
            raise KeyboardInterrupt
        if not self.made:
            self.made, self._made_at = True, now


@contextmanager
def delayed_signals(grace_seconds: float = 0.0) -> Iterator[StopRequest]:
    """Turn SIGINT and SIGTERM into a request that the caller looks at where it can stop.

    What the process ignores stays ignored (SIGINT in a shell's background jobs). Outside the main thread, which alone
    receives signals, nothing changes.
    """
    request = StopRequest(grace_seconds=grace_seconds)
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    # None is a handler that was not set from Python and could not be put back.
    before = {number: handler for number, handler in before.items() if handler not in (None, signal.SIG_IGN)}
    try:
        for number in before:
            signal.signal(number, request.receive)
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
