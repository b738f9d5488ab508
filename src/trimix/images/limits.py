"""Pillow's own limits, set aside because ours are checked, and its errors in one line."""

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image

_pillow_lock = threading.RLock()

# Pillow logs some damage on its way to an error. Where no logging is set up, Python would print it.
logging.getLogger("PIL").addHandler(logging.NullHandler())


@contextmanager
def without_pillow_limits() -> Iterator[None]:
    """Pillow's limit on pixels is set aside, because ours is checked; so are its remarks on odd files.

    Both are global in Python, hence the lock.
    """
    with _pillow_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def one_line(error: BaseException) -> str:
    """What an error says, else its kind."""
    return " ".join(str(error).split()) or type(error).__name__
