"""What a command reads: a file, a pipe or standard input."""

import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trimix.errors import TrimixError, UsageError

STANDARD_STREAM = "-"
"""Argument that stands for standard input or standard output."""


class Source:
    """The input of a command, a path or ``-`` for standard input, checked when it is made.

    Raises:
        TrimixError: of class ``error``: missing, a folder, not readable, or empty.
        UsageError: standard input is a terminal.
    """

    def __init__(self, argument: str, error: type[TrimixError]) -> None:
        self.path = None if argument == STANDARD_STREAM else Path(argument)
        self.name = "standard input" if self.path is None else argument
        self._error = error
        self._contents: bytes | None = None
        try:
            self._open()
        except FileNotFoundError:
            raise error(f"{self.name}: no such file; check the path") from None
        except (OSError, ValueError) as problem:
            reason = getattr(problem, "strerror", None) or problem
            raise error(f"{self.name}: cannot be read: {reason}") from problem

    def _open(self) -> None:
        if self.path is None:
            if sys.stdin.isatty():
                raise UsageError("standard input is a terminal; name a file, or pipe one in")
            self._keep(sys.stdin.buffer.read())
        else:
            status = self.path.stat()
            if stat.S_ISDIR(status.st_mode):
                raise self._error(f"{self.name}: is a folder; name one file")
            if stat.S_ISREG(status.st_mode):
                self.path.open("rb").close()
                self.size_bytes = status.st_size
            else:
                self._keep(self.path.read_bytes())  # a pipe can be read once only
        if not self.size_bytes:
            raise self._error(f"{self.name}: is empty; fetch or make it again")

    def _keep(self, contents: bytes) -> None:
        self._contents = contents
        self.size_bytes = len(contents)

    def beginning(self, count: int) -> bytes:
        """The first ``count`` bytes, or fewer if there are no more."""
        if self._contents is not None or self.path is None:
            return self.contents()[:count]
        with self.path.open("rb") as file:
            return file.read(count)

    def contents(self) -> bytes:
        """All bytes."""
        if self._contents is None:
            assert self.path is not None
            self._contents = self.path.read_bytes()
        return self._contents

    def path_or_contents(self) -> Path | bytes:
        """The path of a regular file; the bytes of anything else."""
        return self.contents() if self._contents is not None or self.path is None else self.path


@contextmanager
def naming(source: Source) -> Iterator[None]:
    """Put the name of the input before the message of any error that does not have it."""
    try:
        yield
    except TrimixError as error:
        message = str(error)
        if message.startswith(source.name):
            raise
        raise type(error)(f"{source.name}: {message.removeprefix('the picture: ')}") from error
