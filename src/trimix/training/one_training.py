"""One training at a time in a folder: two would write over each other's checkpoints."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trimix.errors import TrainingError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


@contextmanager
def only_training_in(folder: Path) -> Iterator[None]:
    """Hold a folder, which must exist, while training in it; what a killed process held is free.

    Holds nothing where the system knows no locks.

    Raises:
        TrainingError: another training holds it.
    """
    if fcntl is None:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)  # of the folder itself: no further file is left behind
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise TrainingError(
                f"{folder}: one training at a time must write into a folder, found another at work; wait until it "
                "ends, stop it, or give another folder"
            ) from error
        except OSError:
            pass  # a file system without locks
        yield
    finally:
        os.close(descriptor)
