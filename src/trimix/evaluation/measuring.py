"""A contender at work: bytes, seconds and memory of one picture after the other.

Each contender works in a process of its own, which does nothing else: what one has loaded or compiled does not count
for the next, and metrics are worked out elsewhere. The process ends with the one that started it, however that ends.
"""

import contextlib
import json
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol, runtime_checkable

import numpy as np

from trimix.errors import TrimixError
from trimix.evaluation.contenders import Coder, Contender
from trimix.evaluation.memory import PeakMemory, own_peak_bytes
from trimix.images import Picture
from trimix.shapes import UInt8

WARM_UP_SIDE = 256
"""Pixels: what the first coding of a process compiles and allocates is not counted, a part of a picture is enough."""
_PATIENCE_SECONDS = 5.0


@dataclass(frozen=True)
class Coded:
    """One picture, encoded and decoded.

    Attributes:
        pixels: decoded, uint8 [H W C].
        file_bytes: the whole file.
        payload_bytes: without headers and metadata; None where the codec does not tell them apart.
        encoding_seconds: wall clock, pixels in memory to bytes in memory.
        decoding_seconds: wall clock, bytes in memory to pixels in memory.
        peak_memory_bytes: largest resident memory meanwhile, of the program that codes; None where it is not known.
        gpu_peak_memory_bytes: largest memory on a GPU meanwhile; None without one.
    """

    pixels: UInt8[np.ndarray, "H W C"]
    file_bytes: int
    payload_bytes: int | None
    encoding_seconds: float
    decoding_seconds: float
    peak_memory_bytes: int | None
    gpu_peak_memory_bytes: int | None


@runtime_checkable
class Measure(Protocol):
    """An opened contender that is measured."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """What is known of it once it is open."""
        ...

    def warm_up(self, picture: Picture, quality: float) -> None:
        """Code a part of a picture, so that what happens only once is over."""
        ...

    def code(self, picture: Picture, quality: float) -> Coded:
        """Encode and decode a picture."""
        ...


class LocalMeasure:
    """A contender measured in this very process.

    Args:
        contender: what to open.
    """

    def __init__(self, contender: Contender) -> None:
        self._idle_bytes = own_peak_bytes()
        self._coder: Coder = contender.open()

    @property
    def facts(self) -> Mapping[str, Any]:
        """What the contender tells, and the memory of the process before it was opened."""
        return {**self._coder.facts(), "idle_memory_bytes": self._idle_bytes}

    def warm_up(self, picture: Picture, quality: float) -> None:
        """Code the middle of a picture.

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


class RemoteMeasure:
    """A contender measured in a process of its own.

    Args:
        contender: what to open; sent there by pickle.

    Raises:
        TrimixError: it cannot be opened.
    """

    def __init__(self, contender: Contender) -> None:
        self._name = contender.name
        # A group of its own: Ctrl-C reaches this process only, which then ends that one and all that it has started.
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, json.dumps(sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            self._facts: Mapping[str, Any] = self._ask(contender)
        except BaseException:
            self.close()
            raise

    @property
    def facts(self) -> Mapping[str, Any]:
        """What the contender tells, and the memory of its process before it was opened."""
        return self._facts

    def warm_up(self, picture: Picture, quality: float) -> None:
        """Code the middle of a picture.

        Raises:
            TrimixError: the contender refuses it, or its process has ended.
        """
        self._ask(("warm_up", picture, quality))

    def code(self, picture: Picture, quality: float) -> Coded:
        """Encode and decode a picture.

        Raises:
            TrimixError: the contender refuses it, or its process has ended.
        """
        return self._ask(("code", picture, quality))

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def _ask(self, request: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            pickle.dump(request, self._process.stdin)
            self._process.stdin.flush()
            answer = pickle.load(self._process.stdout)
        except (EOFError, BrokenPipeError, pickle.UnpicklingError) as error:
            code = self._process.wait()
            reason = f"signal {-code} (9 often means out of memory)" if code < 0 else f"exit code {code}"
            raise TrimixError(
                f"{self._name} must code in a process of its own, found that it has ended with {reason}; "
                "look for messages above, or use smaller pictures"
            ) from error
        if isinstance(answer, _Failure):
            answer.error.add_note(answer.trace)
            raise answer.error
        return answer


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
        yield LocalMeasure(contender)
        return
    measure = RemoteMeasure(contender)
    try:
        yield measure
    finally:
        measure.close()


@dataclass(frozen=True)
class _Failure:
    error: TrimixError
    trace: str


_PROGRAM = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from trimix.evaluation.measuring import serve
serve()
"""


def serve() -> None:
    """Be the process of a `RemoteMeasure`: a contender comes over standard input, then pictures."""
    # Answers go over what was standard output; what a library prints goes to standard error.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_read_requests, args=(sys.stdin.buffer, requests), daemon=True).start()
    measure: LocalMeasure | None = None
    while True:
        request = requests.get()
        try:
            if measure is None:
                measure = LocalMeasure(request)
                answer: Any = measure.facts
            else:
                kind, picture, quality = request
                answer = getattr(measure, kind)(picture, quality)
        except Exception as error:
            answer = _Failure(_told(error), traceback.format_exc())
        pickle.dump(answer, answers)
        answers.flush()


def _read_requests(stream: BinaryIO, requests: queue.SimpleQueue[Any]) -> None:
    # In a thread of its own, so that the end of the other process is noticed in the middle of coding.
    while True:
        try:
            requests.put(pickle.load(stream))
        except BaseException:
            _end_with_all_programs()


def _end_with_all_programs() -> None:
    if hasattr(os, "killpg"):
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os._exit(1)


def _told(error: Exception) -> TrimixError:
    if isinstance(error, TrimixError):
        return error
    if isinstance(error, MemoryError) or "memory" in str(error):
        return TrimixError(
            f"the memory must be enough, found it is not ({_one_line(error)}); use smaller pictures"
        )
    return TrimixError(f"coding must succeed, found {type(error).__name__}: {_one_line(error)}; report it")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
