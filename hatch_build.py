"""Builds `kernels.c` with the wheel; without a C compiler the wheel asks for Numba, which compiles on first use."""

import os
import shlex
import shutil
import subprocess
import zlib
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from packaging.tags import platform_tags

NUMBA = "numba>=0.60"


def build_kernels(folder: Path) -> bool:
    """Make `libkernels.so` of `kernels.c` in a folder; whether there is a compiler that can.

    `CC` and `CFLAGS` are heeded; `TRIMIX_WITHOUT_C` set to anything leaves it to Numba.
    """
    source, library = folder / "kernels.c", folder / "libkernels.so"
    library.unlink(missing_ok=True)
    asked = os.environ.get("CC")
    compiler = shlex.split(asked) if asked else [name for name in ("cc", "gcc", "clang") if shutil.which(name)][:1]
    if not compiler or os.environ.get("TRIMIX_WITHOUT_C"):
        return False
    command = [*compiler, "-O3", "-fPIC", "-shared", *shlex.split(os.environ.get("CFLAGS", "")), "-ffp-contract=off"]
    command += [f"-DSOURCE_CHECKSUM={zlib.crc32(source.read_bytes())}u", "-o", str(library), str(source), "-lm"]
    try:
        return subprocess.run(command, check=False).returncode == 0
    except OSError:
        return False


class KernelsHook(BuildHookInterface):
    """Called by hatchling before a wheel is built, also an editable one."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the library and its platform, or the need for Numba."""
        if build_kernels(Path(self.root) / "src" / "trimix" / "coding"):
            build_data["artifacts"].append("/src/trimix/coding/libkernels.so")
            build_data["pure_python"] = False
            build_data["tag"] = f"py3-none-{next(platform_tags())}"
        else:
            build_data["dependencies"].append(NUMBA)
