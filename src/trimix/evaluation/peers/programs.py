"""Codecs that are programs: found on the PATH, run in a folder of their own, with one error for whatever fails."""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from trimix.errors import TrimixError

_BANNER_SECONDS = 20.0
_QUOTED_LETTERS = 200


def find_program(names: Sequence[str]) -> Path | None:
    """The first of the names that is on the PATH; None where none is."""
    for name in names:
        found = shutil.which(name)
        if found is not None:
            return Path(found).absolute()
    return None


def missing_programs(wanted: Sequence[Sequence[str]]) -> str:
    """Those that are not on the PATH, in words; empty where all are.

    Args:
        wanted: for each program the names that it goes by.
    """
    return " and no ".join(" or ".join(names) for names in wanted if find_program(names) is None)


def run_program(program: Path, arguments: Sequence[str], folder: Path, timeout_seconds: float) -> str:
    """Run a program and wait for its end.

    Args:
        program: the executable.
        arguments: of it.
        folder: where it runs; what it writes without being asked to stays there.
        timeout_seconds: it is ended after that.

    Returns:
        What it printed.

    Raises:
        TrimixError: it cannot be started, takes too long, or ends with an exit code other than 0.
    """
    # Its messages go to a file: a process that outlives the program could keep a pipe open for ever.
    with tempfile.TemporaryFile() as messages:
        try:
            code = subprocess.run(
                [str(program), *arguments],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=messages,
                stderr=subprocess.STDOUT,
                timeout=timeout_seconds,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired as error:
            raise TrimixError(
                f"{program.name} must end within {timeout_seconds:g} s, found it still at work; "
                "use smaller pictures"
            ) from error
        except OSError as error:
            raise TrimixError(
                f"{program} must be a program of this machine, found that it cannot be started: {error.strerror}; "
                "install it anew"
            ) from error
        messages.seek(0)
        printed = messages.read().decode(errors="replace")
        if code != 0:
            said = [" ".join(line.split()) for line in printed.split("\n") if line.strip()]
            raise TrimixError(
                f"{program.name} must succeed, found {_end(code)} and the last line "
                f"{said[-1][:_QUOTED_LETTERS] if said else ''!r}; check its installation and configuration"
            )
        return printed


def output_of(program: Path, path: Path) -> bytes:
    """What a program wrote.

    Args:
        program: that has ended well.
        path: file that it was asked to write.

    Raises:
        TrimixError: it wrote nothing there.
    """
    try:
        data = path.read_bytes()
    except OSError:
        data = b""
    if not data:
        raise TrimixError(
            f"{program.name} must write its output, found none though it ended with exit code 0; "
            "check its installation"
        )
    return data


@lru_cache
def program_version(program: Path, *arguments: str) -> str:
    """The version that a program tells in its banner, whatever exit code follows.

    Args:
        program: the executable.
        arguments: that make it tell.
    """
    try:
        banner = subprocess.run(
            [str(program), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_BANNER_SECONDS,
            check=False,
        ).stdout.decode(errors="replace")
    except (OSError, subprocess.TimeoutExpired):
        banner = ""
    found = re.search(r"\bversion\s*\[?\s*([\w.+-]+)", banner, re.IGNORECASE)
    return found[1] if found else "of unknown version"


def _end(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
