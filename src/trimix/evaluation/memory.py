"""How much memory coding takes: the largest resident memory of the process, or of a program that it runs.

On Linux it is known for a stretch of time: writing 5 to ``/proc/self/clear_refs`` sets the process's high-water mark
back to what it holds now. Elsewhere the mark is that of the process's whole life. Programs that the process runs are
looked at every 10 ms; their own high-water marks are read, so that only what they take in their last 10 ms is missed.
"""

import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import ModuleType, TracebackType

_POLLING_SECONDS = 0.01
_SELF = Path("/proc/self")


class PeakMemory:
    """Watches memory between entering and leaving.

    Attributes:
        peak_bytes: largest resident memory of a program that was run, if one was; else of this process. None where
            the system does not tell.
        gpu_peak_bytes: largest memory that torch took on a GPU; None without one.
    """

    def __init__(self) -> None:
        self.peak_bytes: int | None = None
        self.gpu_peak_bytes: int | None = None
        self._programs_peak_bytes = 0
        self._done = threading.Event()
        # Programs are children of the thread that starts them.
        self._thread = _SELF / "task" / str(threading.get_native_id())
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "PeakMemory":
        with suppress(OSError):
            (_SELF / "clear_refs").write_text("5")
        if (cuda := _cuda()) is not None:
            cuda.reset_peak_memory_stats()
        if (self._thread / "children").exists():
            self._watcher.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        if self._watcher.is_alive():
            self._watcher.join()
        self.peak_bytes = self._programs_peak_bytes or own_peak_bytes()
        if (cuda := _cuda()) is not None:
            self.gpu_peak_bytes = int(cuda.max_memory_allocated())

    def _watch(self) -> None:
        own_command = _contents(_SELF / "cmdline")
        while not self._done.wait(_POLLING_SECONDS):
            for program in _programs(self._thread):
                # Between fork and exec a child still is this process.
                if _contents(program / "cmdline") not in ("", own_command):
                    peak_bytes = _high_water_bytes(program) or 0
                    self._programs_peak_bytes = max(self._programs_peak_bytes, peak_bytes)


def own_peak_bytes() -> int | None:
    """Largest resident memory of this process, since it was last reset on Linux; None where it is not known."""
    found = _high_water_bytes(_SELF)
    if found is not None:
        return found
    try:
        import resource
    except ImportError:
        return None
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else 1024 * largest


def _programs(thread: Path) -> Iterator[Path]:
    """The processes that a thread has started, and those that they have."""
    for identifier in _contents(thread / "children").split():
        program = Path("/proc") / identifier
        yield program
        yield from _programs(program / "task" / identifier)


def _high_water_bytes(process: Path) -> int | None:
    for line in _contents(process / "status").splitlines():
        if line.startswith("VmHWM:"):
            return 1024 * int(line.split()[1])
    return None


def _contents(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""  # the process has ended, or this system has no such file


def _cuda() -> ModuleType | None:
    """torch.cuda, if it is in use; torch is not imported for this."""
    torch = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_initialized() else None
