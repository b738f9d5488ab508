"""What a command reads: a file, an object of a store, a pipe or standard input."""

import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trimix.cli.locations import locate
from trimix.errors import TrimixError, UsageError

STANDARD_STREAM = "-"
"""Argument that stands for standard input or standard output."""


class Source:
    """The input of a command: a path, an address or ``-`` for standard input, checked when it is made.

    Args:
        argument: which, or a name for the contents.
        error: class of what is raised.
        contents: where they are at hand already.

    Raises:
        TrimixError: of class ``error``: missing, a folder, not readable, or empty.
        UsageError: standard input is a terminal.
    """

    def __init__(self, argument: str, error: type[TrimixError], contents: bytes | None = None) -> None:
        is_nameless = argument == STANDARD_STREAM or contents is not None
        self.location = None if is_nameless else locate(argument)
        self.path = self.location if isinstance(self.location, Path) else None
        self.name = "standard input" if argument == STANDARD_STREAM else argument
        self._error = error
        self._contents: bytes | None = None
        try:
            if contents is None:
                self._open()
            else:
                self._keep(contents)
        except FileNotFoundError:
            raise error(f"{self.name}: no such file; check the path") from None
        except (OSError, ValueError) as problem:
            reason = getattr(problem, "strerror", None) or problem
            raise error(f"{self.name}: cannot be read: {reason}") from problem
        if not self.size_bytes:
            raise error(f"{self.name}: is empty; fetch or make it again")

    def _open(self) -> None:
        if self.location is None:
            if sys.stdin.isatty():
                raise UsageError("standard input is a terminal; name a file, or pipe one in")
            self._keep(sys.stdin.buffer.read())
        elif self.path is None:
            self.size_bytes = self.location.stat().st_size
        else:
            status = self.path.stat()
            if stat.S_ISDIR(status.st_mode):
                raise self._error(f"{self.name}: is a folder; name one file")
            if stat.S_ISREG(status.st_mode):
                self.path.open("rb").close()
                self.size_bytes = status.st_size
            else:
                self._keep(self.path.read_bytes())  # a pipe can be read once only

    def _keep(self, contents: bytes) -> None:
        self._contents = contents
        self.size_bytes = len(contents)

    def beginning(self, count: int) -> bytes:
        """The first ``count`` bytes, or fewer if there are no more."""
        if self._contents is not None or self.location is None:
            return self.contents()[:count]
        with self.location.open("rb") as file:
            return file.read(count)

    def contents(self) -> bytes:
        """All bytes."""
        if self._contents is None:
            assert self.location is not None
            self._contents = self.location.read_bytes()
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
