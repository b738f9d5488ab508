"""Pillow's own limits, set aside because ours are checked, and its errors in one line."""

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image, PngImagePlugin

from trimix.bitstream import METADATA_BYTES_MAXIMUM

_pillow_lock = threading.RLock()

# Pillow and tifffile log some damage on their way to an error. Where no logging is set up, Python would print it.
for _name in ("PIL", "tifffile"):
    logging.getLogger(_name).addHandler(logging.NullHandler())


@contextmanager
def without_pillow_limits() -> Iterator[None]:
    """Pillow's limits on pixels and text are set aside, because ours are checked; so are its remarks on odd files.

    All are global in Python, hence the lock.
    """
    with _pillow_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        limits = Image.MAX_IMAGE_PIXELS, PngImagePlugin.MAX_TEXT_CHUNK
        # IPTC stands in hexadecimal digits in PNG, and a little around it.
        Image.MAX_IMAGE_PIXELS, PngImagePlugin.MAX_TEXT_CHUNK = None, 3 * METADATA_BYTES_MAXIMUM
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS, PngImagePlugin.MAX_TEXT_CHUNK = limits


def one_line(error: BaseException) -> str:
    """What an error says, else its kind."""
    return " ".join(str(error).split()) or type(error).__name__
