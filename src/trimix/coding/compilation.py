"""Compilation of the coder by Numba: on first use, and kept on disk where a directory can be written."""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

import numba  # pyright: ignore[reportMissingImports, reportMissingTypeStubs]

_Result = TypeVar("_Result")

_numba: Any = numba  # untyped
_dispatchers: list[Any] = []


def inlined(function: Callable[..., _Result]) -> Callable[..., _Result]:
    """Compile a function into those that call it.

    Always: passing arrays to a call that is not inlined counts references, which costs more than the work.
    """
    return _numba.njit(nogil=True, forceinline=True)(inspect.unwrap(function))


def kernel(function: Callable[..., _Result]) -> Callable[..., _Result]:
    """Compile a function that Python calls at its first call. It runs without the interpreter's lock.

    Machine code is cached beside the source, or else in the user's cache directory, or else (a read-only
    installation of a user without a home) not at all.
    """
    plain = inspect.unwrap(function)  # Numba cannot compile the wrapper of a run-time type checker
    try:
        dispatcher = _numba.njit(cache=True, nogil=True)(plain)
    except RuntimeError:  # Numba: "cannot cache function ...: no locator available for file ..."
        dispatcher = _numba.njit(nogil=True)(plain)
    _dispatchers.append(dispatcher)
    return dispatcher


_INTEGER_PATH = ("requantize", "softmax")
ENCODING_KERNELS = (*_INTEGER_PATH, "first_bad_weights", "code_symbols", "encode")
DECODING_KERNELS = (*_INTEGER_PATH, "first_bad_weights", "decode_mixture", "decode_factorized")
COUNTING_KERNELS = (*_INTEGER_PATH, "first_bad_weights", "code_symbols")
SEARCHING_KERNELS = (*ENCODING_KERNELS, "information_and_derivatives")


def compilation_is_cached(names: tuple[str, ...] | None = None) -> bool:
    """Return whether kernels are ready: compiled in this process or found on disk for this source.

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
