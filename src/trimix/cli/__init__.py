"""The command ``trimix``: one file per command. Each parses, calls the library and prints; none computes.

Modules here import nothing heavy at their top: help, ``info`` and ``models`` must not wait for torch.
"""

import os
import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line, by default with the arguments of the process, and return its exit code."""
    try:
        _stand_in_for_closed_streams()
        # Here, so that Ctrl-C during these imports is as quiet as later.
        from trimix.cli.application import run

        return run(arguments)
    except KeyboardInterrupt:
        return 130  # `failures.INTERRUPTED`, which may not be imported yet


def _stand_in_for_closed_streams() -> None:
    """Put something on the descriptors 0, 1 and 2 that are closed, and on Python's streams.

    Input is then empty, messages go nowhere. Output can be opened for reading only: writing a result to it fails, as it
    must, with an error that the commands know.
    """
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is not None:
            continue
        try:
            os.fstat(descriptor)
        except OSError:
            flags = os.O_WRONLY if name == "stderr" else os.O_RDONLY
            opened = os.open(os.devnull, flags)
            if opened != descriptor:
                os.dup2(opened, descriptor)
                os.close(opened)
        mode = "r" if name == "stdin" else "w"
        stream = open(descriptor, mode, closefd=False, errors="backslashreplace")  # noqa: SIM115
        setattr(sys, name, stream)
