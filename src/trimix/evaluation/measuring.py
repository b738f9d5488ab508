"""A contender at work: bytes, seconds and memory of one picture after the other.

Each contender works in a process of its own, which does nothing else: what one has loaded or compiled does not count
for the next, and metrics are computed elsewhere. The process ends with the one that started it, however that ends.
"""

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from trimix.errors import TrimixError
from trimix.evaluation.contenders import Contender
from trimix.evaluation.memory import PeakMemory, own_peak_bytes
from trimix.images import Picture
from trimix.shapes import UInt8

WARM_UP_SIDE = 256
"""Pixels: what the first coding of a process compiles and allocates is not counted, a part of a picture is enough."""


@dataclass(frozen=True)
class Coded:
    """One picture, encoded and decoded.

    Attributes:
        pixels: decoded, uint8 [H W C].
        file_bytes: the whole file.
        payload_bytes: without headers and metadata; None where the codec does not tell them apart.
        encoding_seconds: wall clock, pixels in memory to bytes in memory.
        decoding_seconds: wall clock, bytes in memory to pixels in memory.
        peak_memory_bytes: largest resident memory meanwhile; None where it is not known.
        gpu_peak_memory_bytes: largest memory on a GPU meanwhile; None without one.
    """

    pixels: UInt8[np.ndarray, "H W C"]
    file_bytes: int
    payload_bytes: int | None
    encoding_seconds: float
    decoding_seconds: float
    peak_memory_bytes: int | None
    gpu_peak_memory_bytes: int | None


class Measure:
    """A contender measured in this very process.

    Args:
        contender: what to open.

    Attributes:
        facts: what the contender tells once it is open, and the memory of the process before.
    """

    def __init__(self, contender: Contender) -> None:
        idle_bytes = own_peak_bytes()
        self._coder = contender.open()
        self.facts: Mapping[str, Any] = {**self._coder.facts(), "idle_memory_bytes": idle_bytes}

    def warm_up(self, picture: Picture, quality: float) -> None:
        """Code the middle of a picture, so that what happens only once is over.

        Raises:
            TrimixError: the contender refuses it.
        """
        top, left = (max(side - WARM_UP_SIDE, 0) // 2 for side in picture.pixels.shape[:2])
        middle = picture.pixels[top : top + WARM_UP_SIDE, left : left + WARM_UP_SIDE]
        self.code(Picture(np.ascontiguousarray(middle)), quality)

    def code(self, picture: Picture, quality: float) -> Coded:
        """Encode and decode a picture.

        Raises:
            TrimixError: the contender refuses it.
        """
        with PeakMemory() as memory:
            start = time.perf_counter()
            data = self._coder.encode(picture, quality)
            encoded = time.perf_counter()
            decoded = self._coder.decode(data, picture.channels)
            end = time.perf_counter()
        return Coded(
            pixels=decoded.pixels,
            file_bytes=len(data),
            payload_bytes=self._coder.payload_bytes(data),
            encoding_seconds=encoded - start,
            decoding_seconds=end - encoded,
            peak_memory_bytes=memory.peak_bytes,
            gpu_peak_memory_bytes=memory.gpu_peak_bytes,
        )


class _RemoteMeasure(Measure):
    """The same in a process of its own."""

    def __init__(self, contender: Contender) -> None:
        self._name = contender.name
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(1, context, initializer=prepare_worker)
        self._worker: int | None = None
        try:
            self._worker = self._ask(os.getpid)
            self.facts = self._ask(_open, contender)
        except BaseException:
            self.close()
            raise

    def warm_up(self, picture: Picture, quality: float) -> None:
        self._ask(_call, "warm_up", picture, quality)

    def code(self, picture: Picture, quality: float) -> Coded:
        return self._ask(_call, "code", picture, quality)

    def close(self) -> None:
        """End the process, whatever it does."""
        if self._worker is not None:
            with contextlib.suppress(OSError):
                os.kill(self._worker, signal.SIGTERM)
        self._pool.shutdown(cancel_futures=True)

    def _ask(self, function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return self._pool.submit(function, *arguments).result()
        except BrokenProcessPool as error:
            raise TrimixError(
                f"{self._name} must code in a process of its own, found that it was ended, often for lack of memory; "
                "look for messages above, or use smaller pictures"
            ) from error


@contextmanager
def measuring(contender: Contender, *, isolated: bool) -> Iterator[Measure]:
    """A contender, opened.

    Args:
        contender: what to measure.
        isolated: in a process of its own. Otherwise its memory is that of this process, with all that it holds.

    Raises:
        TrimixError: it cannot be opened.
    """
    if not isolated:
        yield Measure(contender)
        return
    measure = _RemoteMeasure(contender)
    try:
        yield measure
    finally:
        measure.close()


def prepare_worker() -> None:
    """Let a worker process leave Ctrl-C and standard output to the process that started it, and end with that."""
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()


_measure: Measure | None = None
"""Of a worker process."""


def _open(contender: Contender) -> Mapping[str, Any]:
    global _measure
    with _one_error():
        _measure = Measure(contender)
        return _measure.facts


def _call(method: str, picture: Picture, quality: float) -> Any:
    with _one_error():
        return getattr(_measure, method)(picture, quality)


@contextmanager
def _one_error() -> Iterator[None]:
    """Turn whatever a codec raises into an error that says what to do."""
    try:
        yield
    except TrimixError:
        raise
    except Exception as error:
        text = " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, MemoryError) or "memory" in text:
            raise TrimixError(f"the memory must be enough, found it is not ({text}); use smaller pictures") from error
        raise TrimixError(f"coding must succeed, found {type(error).__name__}: {text}; report it") from error
