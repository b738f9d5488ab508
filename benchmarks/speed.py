"""How long trimix takes: in a running process, as a command, and the first time after installation.

    python benchmarks/speed.py [--picture P.png] [--quality 50] [--repeats 9] [--threads 1]

Medians of several runs on one picture of 768 x 512 pixels. JPEG, WebP and AVIF are timed beside, in the same process
and at the nearest size that is not larger, so that only ratios need be believed. "First use" compiles the range
coder into an empty cache, as after installation.
"""

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

import trimix
from measuring import benchmark_picture, median_seconds, run
from trimix.errors import UsageError
from trimix.evaluation.peers import AVIF, JPEG, WEBP
from trimix.images import Picture, write_picture


def command_seconds(repeats: int, *arguments: str, environment: dict[str, str] | None = None) -> float:
    """The median time of a whole command, start of the interpreter and all."""
    command = shutil.which("trimix", path=str(Path(sys.executable).parent)) or shutil.which("trimix")
    if command is None:
        raise UsageError("the command trimix must be installed, found none; pip install -e .")
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = subprocess.run([command, *arguments], env=environment, capture_output=True, text=True, check=False)
        seconds.append(time.perf_counter() - start)
        if result.returncode != 0:
            raise UsageError(
                f"trimix {' '.join(arguments)} must succeed, found: {result.stderr.strip()}; see trimix --help"
            )
    return statistics.median(seconds)


def in_process(picture: Picture, quality: float, model: str, repeats: int) -> Table:
    """Encoding and decoding in this process, beside the other codecs."""
    codec = trimix.Codec.load(model)
    data = codec.encode(picture, quality)
    rows = [
        (
            "trimix",
            len(data),
            median_seconds(repeats, lambda: codec.encode(picture, quality)),
            median_seconds(repeats, lambda: codec.decode(data)),
        )
    ]
    for other in (JPEG, WEBP, AVIF):
        if not other.available:
            continue
        file = other.encode_to_size(picture, len(data))
        encoding = median_seconds(repeats, lambda other=other, file=file: other.encode(picture, file.quality))
        decoding = median_seconds(repeats, lambda other=other, file=file: other.decode(file.data, picture.channels))
        rows.append((other.name, len(file.data), encoding, decoding))
    table = Table(title=f"in a running process, {picture.width} x {picture.height}", title_justify="left")
    table.add_column("codec")
    for heading in ("bytes", "encode ms", "over trimix", "decode ms", "over trimix"):
        table.add_column(heading, justify="right")
    for name, size, encoding, decoding in rows:
        shares = (f"{encoding / rows[0][2]:.3f}", f"{decoding / rows[0][3]:.3f}")
        table.add_row(name, f"{size:,}", f"{1e3 * encoding:.1f}", shares[0], f"{1e3 * decoding:.1f}", shares[1])
    return table


def as_commands(picture: Picture, quality: float, model: str, repeats: int) -> Table:
    """Whole commands, and the first one with nothing compiled."""
    table = Table("command", title="whole commands", title_justify="left")
    table.add_column("seconds", justify="right")
    with tempfile.TemporaryDirectory() as folder:
        source, compressed, decoded, cache = (str(Path(folder) / name) for name in ("p.png", "p.tmix", "d.png", "c"))
        write_picture(picture, Path(source))
        # Written anew each time: whether a command replaces an existing file is no matter here.
        compress = ("compress", source, "-o", compressed, "-q", f"{quality:g}", "--model", model, "--force")
        decompress = ("decompress", compressed, "-o", decoded, "--force")
        fresh = os.environ | {"NUMBA_CACHE_DIR": cache}
        for name, seconds in (
            ("trimix --help", lambda: command_seconds(repeats, "--help")),
            ("trimix compress, first use", lambda: command_seconds(1, *compress, environment=fresh)),
            ("trimix decompress, first use", lambda: command_seconds(1, *decompress, environment=fresh)),
            ("trimix compress", lambda: command_seconds(repeats, *compress)),
            ("trimix decompress", lambda: command_seconds(repeats, *decompress)),
        ):
            table.add_row(name, f"{seconds():.2f}")
    return table


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--picture", type=Path, help="a picture file (default: a photograph, 768 x 512)")
    parser.add_argument("--quality", type=float, default=50.0, help="1 .. 100 (default: %(default)s)")
    parser.add_argument("--model", default="gllmm-lite", help="name or weights file (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=9, help="runs of which the median counts")
    parser.add_argument("--threads", type=int, help="threads of torch (default: as many as it takes)")
    options = parser.parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    console = Console()
    picture = benchmark_picture(options.picture)
    console.print(
        f"trimix {trimix.__version__}, torch {torch.__version__}, Python {platform.python_version()}, "
        f"{torch.get_num_threads()} threads of {os.cpu_count()} cores, {platform.machine()}",
        highlight=False,
    )
    console.print(in_process(picture, options.quality, options.model, options.repeats))
    console.print(as_commands(picture, options.quality, options.model, min(options.repeats, 5)))
    return 0


if __name__ == "__main__":
    run(main)
