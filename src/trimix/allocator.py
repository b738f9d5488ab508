"""Memory that networks free is kept for the next layer, where the C library would give it back to the system.

glibc maps every large block anew and unmaps it when it is freed. The activations of pictures are large blocks, so each
layer would wait for the system to find and clear its pages: half of the time of a training step.
"""

import ctypes
import sys
from functools import cache

# The numbers of mallopt's parameters (malloc.h of glibc).
_TRIM_THRESHOLD = -1
_MAPPING_THRESHOLD = -3
_NO_LIMIT_BYTES = 2**31 - 1


@cache
def keep_freed_memory() -> bool:
    """Let this process keep and reuse what it frees, for as long as it lives; whether that could be done.

    Commands and trainings call it for themselves. A program that uses the library may do so, too: it concerns all of
    its memory. Elsewhere than with glibc it does nothing.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        set_option = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # another C library
        return False
    set_option.argtypes, set_option.restype = (ctypes.c_int, ctypes.c_int), ctypes.c_int
    # Both: setting either ends glibc's own adjustment of the other.
    return all(set_option(option, _NO_LIMIT_BYTES) for option in (_MAPPING_THRESHOLD, _TRIM_THRESHOLD))


def give_back_freed_memory() -> bool:
    """Give back to the system what this process has freed and kept, once; whether there was any.

    For where less is needed from then on, as after making the graph of a network.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        return bool(ctypes.CDLL(None).malloc_trim(0))
    except (AttributeError, OSError):  # another C library
        return False
