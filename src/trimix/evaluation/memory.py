"""How much memory coding takes: the largest resident memory of the process.

On Linux it is known for a stretch of time: writing 5 to ``/proc/self/clear_refs`` sets the process's high-water mark
back to what it holds now. Elsewhere the mark is that of the process's whole life.
"""

import sys
from contextlib import suppress
from pathlib import Path
from types import ModuleType, TracebackType

_SELF = Path("/proc/self")


class PeakMemory:
    """Watches memory between entering and leaving.

    Attributes:
        peak_bytes: largest resident memory of this process; None where the system does not tell.
        gpu_peak_bytes: largest memory that torch took on a GPU; None without one.
    """

    peak_bytes: int | None = None
    gpu_peak_bytes: int | None = None

    def __enter__(self) -> "PeakMemory":
        with suppress(OSError):
            (_SELF / "clear_refs").write_text("5")
        if (cuda := _cuda()) is not None:
            cuda.reset_peak_memory_stats()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.peak_bytes = own_peak_bytes()
        if (cuda := _cuda()) is not None:
            self.gpu_peak_bytes = int(cuda.max_memory_allocated())


def own_peak_bytes() -> int | None:
    """Largest resident memory of this process, since it was last reset on Linux; None where it is not known."""
    with suppress(OSError):
        for line in (_SELF / "status").read_text(encoding="utf-8").splitlines():
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
