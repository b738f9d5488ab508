"""What numbers of speed and memory depend on: the machine and the versions."""

import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trimix import __version__
from trimix.threads import usable_cores


def machine() -> Mapping[str, Any]:
    """Processor, cores, system, and how many processes wait for a core (mean over the last minute)."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "usable_cores": usable_cores(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "platform": platform.platform(),
    }


def versions() -> Mapping[str, str]:
    """Of trimix, Python and the libraries that pixels pass through."""
    import numpy
    import PIL
    import torch

    return {
        "trimix": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "pillow": PIL.__version__,
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or platform.machine()
