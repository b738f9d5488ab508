"""How fast patches are cut: from pictures in memory, and from tars that do not fit, decoded by 0, 1 and 2 workers.

    python benchmarks/patches.py --data TAR ... [--memory-gibibytes 0.1] [--patches-per-picture 1,8]

Both are measured after the windows have filled. Processor milliseconds are those of all threads together, for a patch:
what training loses where all cores train. With --step-milliseconds this thread sleeps as long after every batch, as if
a GPU were busy; workers decode meanwhile, and patches per second tell whether steps still wait.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from measuring import run
from trimix.errors import UsageError
from trimix.training.patches import PatchSampler
from trimix.training.picture_files import index_pictures, load_pictures
from trimix.training.picture_window import GIBIBYTE, PictureWindow

WORKERS = (0, 1, 2)


def rates(sampler: PatchSampler, first: int, options: argparse.Namespace) -> list[str]:
    """Patches per second and processor milliseconds per patch, after the steps before ``first``."""
    for step in range(first):
        sampler.batch(step, options.batch, options.patch)
    began, worked = time.perf_counter(), time.process_time()
    for step in range(first, first + options.steps):
        sampler.batch(step, options.batch, options.patch)
        time.sleep(options.step_milliseconds / 1000)
    patches = options.steps * options.batch
    seconds, processor_seconds = time.perf_counter() - began, time.process_time() - worked
    return [f"{patches / seconds:.0f}", f"{1000 * processor_seconds / patches:.2f}"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="uncompressed tars or folders of pictures")
    parser.add_argument("--memory-gibibytes", type=float, default=0.1, help="of the windows (default: %(default)s)")
    parser.add_argument("--patches-per-picture", default="1,8", help="with commas between (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--patch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--step-milliseconds", type=float, default=0.0)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    began = time.perf_counter()
    files = index_pictures(options.data, options.patch)
    indexed = time.perf_counter() - began
    decoded_bytes = sum(file.decoded_bytes for file in files)
    if not files or decoded_bytes <= options.memory_gibibytes * GIBIBYTE:
        raise UsageError(
            f"--data must take more than {options.memory_gibibytes:g} GiB in memory, found "
            f"{decoded_bytes / GIBIBYTE:.2f}; lower --memory-gibibytes"
        )
    title = (
        f"{len(files)} pictures, {decoded_bytes / GIBIBYTE:.2f} GiB decoded, indexed in {indexed:.1f} s; "
        f"batches of {options.batch} x {options.patch} x {options.patch}"
    )
    table = Table("pictures", title=title, title_justify="left")
    for heading in ("patches a picture", "workers", "patches a second", "processor ms a patch"):
        table.add_column(heading, justify="right")
    sampler = PatchSampler(load_pictures(options.data, options.patch), 1, 0.5, 0.5)
    table.add_row("in memory", "", "", *rates(sampler, 10, options))
    for patches_per_picture in map(int, options.patches_per_picture.split(",")):
        for workers in WORKERS:
            window = PictureWindow(
                files, 1, options.memory_gibibytes * GIBIBYTE, patches_per_picture=patches_per_picture, workers=workers
            )
            sampler = PatchSampler(window, 1, 0.5, 0.5)
            first = patches_per_picture * max(1, window.pictures // options.batch)
            name = f"windows on {window.pictures}"
            table.add_row(name, str(patches_per_picture), str(workers), *rates(sampler, first, options))
    Console(width=110).print(table)
    return 0


if __name__ == "__main__":
    run(main)
