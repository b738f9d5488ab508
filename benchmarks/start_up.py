"""What a command costs beside the work: CPU seconds, memory and installed size, here and in another checkout.

    python benchmarks/start_up.py --picture P.png [--against CHECKOUT] [--model gllmm-lite] [--repeats 5] [--threads 1]

Every number is the least of several processes, taken in turn with those of the other checkout, whose `src` this
interpreter can run. `--installed FOLDER...` adds up the packages in folders of site-packages.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from measuring import run

ROOT = Path(__file__).parent.parent
_COMMAND = """
import resource, sys
from trimix.cli import main
code = main(sys.argv[1:])
used = resource.getrusage(resource.RUSAGE_SELF)
print(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, file=sys.stderr)
sys.exit(code)
"""
_IN_PROCESS = """
import json, sys, time
from pathlib import Path
from trimix.allocator import keep_freed_memory
from trimix.codec import Codec
from trimix.images import read_picture
keep_freed_memory()
codec, picture, found = Codec.load(sys.argv[2]), read_picture(Path(sys.argv[1])), {}
def least(action):
    seconds = []
    for _ in range(4):
        began = time.process_time()
        action()
        seconds.append(time.process_time() - began)
    return min(seconds[1:])
for effort in (1, 2):
    data = codec.encode(picture, 50, effort)
    found[f"encode at effort {effort}"] = least(lambda: codec.encode(picture, 50, effort))
found["decode"] = least(lambda: codec.decode(data))
print(json.dumps(found))
"""


def _output(source: Path, threads: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    environment = os.environ | dict.fromkeys(names, str(threads)) | {"PYTHONPATH": str(source / "src")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # as installed: an installer compiles all modules
    return subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, check=True)


def measured(source: Path, picture: Path, model: str, threads: int, folder: Path) -> dict[str, float]:
    """CPU seconds and MB of one of each, by what it is."""
    file, back = folder / "a.tmix", folder / "b.png"
    found: dict[str, float] = {}
    for name, arguments in (
        ("trimix compress", ("compress", str(picture), "-o", str(file), "-f", "-q", "50", "--model", model)),
        ("trimix decompress", ("decompress", str(file), "-o", str(back), "-f")),
    ):
        seconds, megabytes = _output(source, threads, "-c", _COMMAND, *arguments).stderr.split()[-2:]
        found |= {f"{name}, s": float(seconds), f"{name}, peak MB": float(megabytes)}
    inside = json.loads(_output(source, threads, "-c", _IN_PROCESS, str(picture), model).stdout)
    return found | {f"{name} in a process, s": value for name, value in inside.items()}


def installed_megabytes(folder: Path) -> float:
    """Of all files under a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--picture", type=Path, required=True)
    parser.add_argument("--against", type=Path, help="another checkout")
    parser.add_argument("--model", default="gllmm-lite")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--installed", type=Path, nargs="*", default=[], help="folders of site-packages")
    options = parser.parse_args(arguments)
    sources = [ROOT] if options.against is None else [ROOT, options.against]
    least: list[dict[str, float]] = [{} for _ in sources]
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(options.repeats):
            for source, found in zip(sources, least, strict=True):
                new = measured(source, options.picture, options.model, options.threads, Path(folder))
                found |= {name: min(value, found.get(name, value)) for name, value in new.items()}
    table = Table("", *("here", "there", "here / there")[: 2 * len(sources) - 1])
    for name, here in least[0].items():
        rest = [f"{one[name]:.2f}" for one in least[1:]] + [f"{here / one[name]:.2f}" for one in least[1:]]
        table.add_row(name, f"{here:.2f}", *rest)
    console = Console()
    console.print(table)
    for folder in options.installed:
        console.print(f"{folder}: {installed_megabytes(folder):.0f} MB")
    return 0


if __name__ == "__main__":
    run(main)
