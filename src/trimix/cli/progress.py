"""Signs of life on standard error."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

SILENT_SECONDS = 1.0
"""What takes less is not announced."""


@contextmanager
def working(text: str) -> Iterator[None]:
    """Show what is being done, once it lasts and if standard error is a terminal.

    Args:
        text: for example ``encoding photo.png``.
    """
    if not sys.stderr.isatty():
        yield
        return
    done = threading.Event()

    def show() -> None:
        if done.wait(SILENT_SECONDS):
            return
        from rich.console import Console
        from rich.text import Text

        with Console(stderr=True).status(Text(text)):
            done.wait()

    thread = threading.Thread(target=show, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
