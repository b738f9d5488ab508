"""A contender at work: bytes, seconds and memory of one picture after the other.

Each contender works in a process of its own, which does nothing else: what one has loaded or compiled does not count
for the next, and metrics are computed elsewhere. The process ends with the one that started it, however that ends.

On Linux the largest memory is known for a stretch of time: writing 5 to ``/proc/self/clear_refs`` sets the process's
high-water mark back to what it holds now. Elsewhere the mark is that of the process's whole life.
"""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from trimix.errors import TrimixError
from trimix.evaluation.contenders import Contender
from trimix.images import Picture
from trimix.shapes import UInt8


@dataclass(frozen=True)
class Coded:
    """One picture, encoded and decoded: pixels, and what `Measurement` says of each; GPU memory is None without one."""

    pixels: UInt8[np.ndarray, "H W C"]
    file_bytes: int
    payload_bytes: int | None
    encoding_seconds: float
    decoding_seconds: float
    peak_memory_bytes: int | None
    gpu_peak_memory_bytes: int | None


class Measure:
    """A contender measured in this very process; its facts are with the memory of the process before it was open."""

    def __init__(self, contender: Contender) -> None:
        idle_bytes = peak_memory_bytes()
        self._coder = contender.open()
        self.facts: Mapping[str, Any] = {**self._coder.facts(), "idle_memory_bytes": idle_bytes}

    def code(self, picture: Picture, quality: float) -> Coded:
        """Encode and decode a picture.

        Raises:
            TrimixError: the contender refuses it.
        """
        forget_peak_memory()
        start = time.perf_counter()
        data = self._coder.encode(picture, quality)
        encoded = time.perf_counter()
        decoded = self._coder.decode(data, picture.channels)
        end = time.perf_counter()
        cuda = _cuda()
        return Coded(
            pixels=decoded.pixels,
            file_bytes=len(data),
            payload_bytes=self._coder.payload_bytes(data),
            encoding_seconds=encoded - start,
            decoding_seconds=end - encoded,
            peak_memory_bytes=peak_memory_bytes(),
            gpu_peak_memory_bytes=None if cuda is None else int(cuda.max_memory_allocated()),
        )


class _RemoteMeasure(Measure):
    """The same in a process of its own."""

    def __init__(self, contender: Contender) -> None:
        self._name = contender.name
        self._pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=_prepare_worker)
        self._worker: int | None = None
        try:
            self._worker = self._ask(os.getpid)
            self.facts = self._ask(_open, contender)
        except BaseException:
            self.close()
            raise

    def code(self, picture: Picture, quality: float) -> Coded:
        return self._ask(_code, picture, quality)

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
    """A contender, opened in a process of its own; if not isolated in this one, whose memory then counts.

    Raises:
        TrimixError: it cannot be opened.
    """
    if not isolated:
        yield Measure(contender)
        return
    with contextlib.closing(_RemoteMeasure(contender)) as measure:
        yield measure


def forget_peak_memory() -> None:
    """Begin a stretch of time, where the system can."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    if (cuda := _cuda()) is not None:
        cuda.reset_peak_memory_stats()


def peak_memory_bytes() -> int | None:
    """Largest resident memory of this process, since it was last forgotten on Linux; None where it is not known."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    try:
        import resource
    except ImportError:
        return None
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else 1024 * largest


def _cuda() -> ModuleType | None:
    """torch.cuda, if it is in use; torch is not imported for this."""
    torch = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_initialized() else None


def _prepare_worker() -> None:
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


def _code(picture: Picture, quality: float) -> Coded:
    assert _measure is not None
    with _one_error():
        return _measure.code(picture, quality)


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
