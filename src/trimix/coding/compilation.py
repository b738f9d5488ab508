"""Loops that run as machine code: in C, built with the package, or else compiled by Numba on first use.

::

    @kernel function --> libkernels.so has its name? --yes--> the function of kernels.c
                                                  `--no--> Numba, cached on disk where a directory can be written

Both give the same numbers. The C needs no import and no cache, and a fraction of the installed size; Numba is for where
no C compiler was at hand when the package was built.
"""

import ctypes
import inspect
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np

from trimix.errors import MissingExtraError

_Result = TypeVar("_Result")

_SOURCE = Path(__file__).with_name("kernels.c")
LIBRARY = Path(__file__).with_name("libkernels.so")
"""Built from `kernels.c` by `hatch_build.py`."""
_MIXTURE = "u1:1 i4 i4 u1 u4 i4"
_ARGUMENTS = {
    "code_symbols": f"i4:1 {_MIXTURE} i8",
    "first_bad_weights": "i4:2",
    "information_and_derivatives": "f4:1 u1:1 f8 f4 f4 f4 number number f4 f4 f4 f4",
    "encode": "i8:1 number number u8 u2:1",
    "decode_mixture": f"i4:1 {_MIXTURE} u8 u2:1",
    "decode_factorized": "i4:1 i4 u4:2 i4 i4 u8 u2:1",
    "multiply": "i2:2 i2:2 i8:1 f8 f8 number number",
    "requantize": "f8:2 i8 i8 i8 i8 i8 i8 i4",
    "softmax": "i8:3 i8 i8",
    "add_up": "f4:3 f4:1 number f4 f4:3",
}
"""Of every function of kernels.c what it is given: the type of an array and how many of its sizes follow it."""


class NativeKernel:
    """A function of kernels.c. It runs without the interpreter's lock.

    Args:
        function: of the library.
        plain: the same in Python.
    """

    def __init__(self, function: Any, plain: Callable[..., Any]) -> None:
        self.__wrapped__ = plain
        self.__name__ = plain.__name__
        self._function = function
        self._kinds: list[tuple[np.dtype[Any], int] | None] = []
        types: list[Any] = []
        for kind in _ARGUMENTS[plain.__name__].split():
            letters, _, sizes = kind.partition(":")
            self._kinds.append(None if kind == "number" else (np.dtype(letters), int(sizes or 0)))
            types += [ctypes.c_int64] if kind == "number" else [ctypes.c_void_p, *[ctypes.c_int64] * int(sizes or 0)]
        function.argtypes, function.restype = types, ctypes.c_int64

    def __call__(self, *arguments: Any) -> Any:
        """Run it; arrays, of which some may stand in a tuple, are contiguous and of its types.

        Raises:
            TypeError: they are not.
        """
        given: list[Any] = []
        flat: list[Any] = []
        for argument in arguments:
            flat += cast(list[Any], argument if isinstance(argument, tuple) else [argument])
        for argument, kind in zip(flat, self._kinds, strict=True):
            if kind is None:
                given.append(argument)
                continue
            if argument.dtype != kind[0] or not argument.flags.c_contiguous:
                raise TypeError(
                    f"{self.__name__} takes contiguous {kind[0]}, found {argument.dtype} {argument.strides}"
                )
            given += [argument.__array_interface__["data"][0], *argument.shape[: kind[1]]]
        return self._function(*given)


def _library() -> ctypes.CDLL | None:
    """None where there is none, or one of another version of its source."""
    try:
        library = ctypes.CDLL(str(LIBRARY))
        library.source_checksum.restype = ctypes.c_uint32
        return library if library.source_checksum() == zlib.crc32(_SOURCE.read_bytes()) else None
    except (OSError, AttributeError):
        return None


_native = _library()
_dispatchers: list[Any] = []


def is_native() -> bool:
    """Whether the loops are those of kernels.c."""
    return _native is not None


def _numba() -> Any:
    try:
        import numba  # pyright: ignore[reportMissingImports, reportMissingTypeStubs]
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "coding needs the machine code of kernels.c or Numba, found neither; install trimix where there is a C "
            "compiler, or pip install numba"
        ) from error
    return numba


def inlined(function: Callable[..., _Result]) -> Callable[..., _Result]:
    """Compile a function into those that call it.

    Always: passing arrays to a call that is not inlined counts references, which costs more than the work.
    """
    if _native is not None:
        return function
    return _numba().njit(nogil=True, forceinline=True)(inspect.unwrap(function))


def kernel(function: Callable[..., _Result]) -> Callable[..., _Result]:
    """Make machine code of a function that Python calls. It runs without the interpreter's lock.

    That of Numba is made at the first call and cached beside the source, or else in the user's cache directory, or else
    (a read-only installation of a user without a home) not at all.
    """
    plain = inspect.unwrap(function)  # Numba cannot compile the wrapper of a run-time type checker
    if _native is not None:
        return NativeKernel(getattr(_native, plain.__name__), plain)
    numba = _numba()
    try:
        dispatcher = numba.njit(cache=True, nogil=True)(plain)
    except RuntimeError:  # Numba: "cannot cache function ...: no locator available for file ..."
        dispatcher = numba.njit(nogil=True)(plain)
    _dispatchers.append(dispatcher)
    return dispatcher


_INTEGER_PATH = ("requantize", "softmax")
ENCODING_KERNELS = (*_INTEGER_PATH, "first_bad_weights", "code_symbols", "encode")
DECODING_KERNELS = (*_INTEGER_PATH, "first_bad_weights", "decode_mixture", "decode_factorized")
COUNTING_KERNELS = (*_INTEGER_PATH, "first_bad_weights", "code_symbols")
SEARCHING_KERNELS = (*ENCODING_KERNELS, "information_and_derivatives")


def compilation_is_cached(names: tuple[str, ...] | None = None) -> bool:
    """Return whether kernels are ready: built with the package, compiled in this process or found on disk.

    `names`: the kernels that will be used; all of them when None. If not ready, the first use takes some seconds
    longer, and a command may say so. It is a forecast: a cache directory shared by different processors can hold
    code for another one only.
    """
    chosen = [dispatcher for dispatcher in _dispatchers if names is None or dispatcher.__name__ in names]
    return all(_is_ready(dispatcher) for dispatcher in chosen)


def _is_ready(dispatcher: Any) -> bool:
    if getattr(dispatcher, "signatures", True):  # no such attribute: NUMBA_DISABLE_JIT is set
        return True
    try:
        # Numba has no public way to ask; this index is empty if the source has changed since.
        return bool(dispatcher._cache._cache_file._load_index())
    except (AttributeError, OSError):
        return False
