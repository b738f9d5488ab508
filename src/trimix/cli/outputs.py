"""What a command writes: a file or object that appears whole or not at all, a pipe, or standard output."""

import json
import os
import stat
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trimix.cli.inputs import STANDARD_STREAM, Source
from trimix.cli.locations import exists, locate, make_folder, write_whole
from trimix.cli.selection import is_folder
from trimix.errors import OutputError, OutputExistsError, UsageError
from trimix.progress import harmless


class Destination:
    """The output of a command: a path, an address or ``-``.

    It is checked when it is made: a long computation must not end in a refusal.

    Raises:
        OutputError: it exists and ``force`` is not given, is a folder, or its folder is missing or cannot be written.
        UsageError: it is the source, or a terminal.
    """

    def __init__(self, argument: str, source: Source, *, force: bool) -> None:
        self._location = None if argument == STANDARD_STREAM else locate(argument)
        self.path = self._location if isinstance(self._location, Path) else None
        self.name = "standard output" if self._location is None else argument
        self._force = force
        self.is_stream = self._location is None
        if self._location is None:
            if sys.stdout.isatty():
                raise UsageError("the output is no text and standard output is a terminal; give -o FILE")
            return
        if self.path is None:
            if not force and exists(self._location):
                raise OutputExistsError(f"{self.name} already exists; replace it, or choose another name")
            return
        try:
            self._check(self.path, source)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise OutputError(f"{self.name}: cannot be written: {reason}; give another -o FILE") from error

    def _check(self, path: Path, source: Source) -> None:
        parent = Path(os.path.realpath(path)).parent
        if not parent.is_dir():
            raise OutputError(f"{self.name}: there is no folder {parent}; make it first")
        if path.exists():
            mode = path.stat().st_mode
            if stat.S_ISDIR(mode):
                raise OutputError(f"{self.name}: is a folder; add a file name")
            if source.path is not None and source.path.exists() and path.samefile(source.path):
                raise UsageError(f"{self.name}: the output would overwrite the input; give another -o FILE")
            if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
                self.is_stream = True  # /dev/null, or the shell's >(command)
                return
            if not self._force:
                raise OutputExistsError(f"{self.name} already exists; replace it, or choose another name")
        if not os.access(parent, os.W_OK | os.X_OK):
            raise OutputError(f"{self.name}: the folder {parent} cannot be written; choose another")

    def write(self, data: bytes) -> None:
        """Write the whole output; OutputError if that cannot be."""
        if self._location is not None and not self.is_stream:
            write_whole(self._location, data, overwrite=self._force)
            return
        try:
            if self.path is None:
                sys.stdout.buffer.write(data)
                sys.stdout.buffer.flush()
            else:
                self.path.write_bytes(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputError(f"{self.name}: cannot be written: {error.strerror}") from error


@dataclass(frozen=True)
class Writing:
    """How outputs are written."""

    force: bool = False
    keep_times: bool = False
    only_smaller: bool = False
    skip_existing: bool = False
    json: bool = False

    def destination(self, output: str | None, source: Source, extension: str) -> Destination | None:
        """Where the output of the only input goes, checked; None if it is there and shall be left alone.

        A folder is made if it is missing; None stands for beside the input, with the extension.
        """
        if output is None:
            output = default_output(source, extension)
        elif is_folder(output):
            if source.location is None:
                raise UsageError(f"{output}: is a folder, and standard input has no name; add a file name")
            make_folder(locate(output))
            output = str(locate(output) / source.location.with_suffix(f".{extension}").name)
        if self.json:
            refuse_json_with_data(output)
        if self.skip_existing and not self.force and output != STANDARD_STREAM and locate(output).exists():
            print_summary(f"{output} is there already")
            return None
        return Destination(output, source, force=self.force)

    def write(self, source: Source, destination: Destination, data: bytes) -> None:
        """Write an output, with the times of its input if they are kept and both are files."""
        destination.write(data)
        if self.keep_times and source.path is not None and destination.path is not None and not destination.is_stream:
            status = source.path.stat()
            os.utime(destination.path, ns=(status.st_atime_ns, status.st_mtime_ns))


def default_output(source: Source, extension: str) -> str:
    """The output for an input: the same name with another extension; standard output for standard input."""
    return STANDARD_STREAM if source.location is None else str(source.location.with_suffix(f".{extension}"))


def refuse_json_with_data(output: str) -> None:
    """Refuse JSON and data on the same stream, with a UsageError."""
    if output == STANDARD_STREAM:
        raise UsageError("--json and the output cannot share standard output; give -o FILE")


def print_json(record: dict[str, object]) -> None:
    """Print an object in one line, so that lines of several runs make a table."""
    print(json.dumps(record))


def print_table(rows: Sequence[Sequence[str]], text_columns: int = 0) -> None:
    """Print rows, headings among them, with cells below one another; after the first columns of text come numbers."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (
            text.ljust(width) if column < text_columns else text.rjust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        )
        print(harmless("  ".join(cells).rstrip()))


def print_summary(line: str) -> None:
    """Print the line that says what was done; standard output stays free for data, the terminal unharmed."""
    print(harmless(line), file=sys.stderr)
