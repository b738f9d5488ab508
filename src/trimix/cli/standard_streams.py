"""Standard streams that the caller has closed (``>&-``): no file that is opened must take their place."""

import os
import sys


def stand_in_for_closed_streams() -> None:
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
