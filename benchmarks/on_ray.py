"""How much faster many pictures are compressed by two workers of Ray than by one, and what a million costs.

    python benchmarks/on_ray.py [--pictures 200] [--workers 2] [--quality 70] [--price 0.04]

Every run compresses the same pictures of 768 x 512 pixels, which differ in noise, into a folder of its own, on a
cluster of its own on this machine. The time is that from the first job to the last; Ray's workers load the model in it.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from measuring import HEIGHT, WIDTH, benchmark_picture, run
from trimix.errors import UsageError

MILLION = 10**6


def write_pictures(folder: Path, count: int) -> None:
    """Pictures of one size that differ in noise."""
    samples = benchmark_picture(None).samples.astype(np.int16)
    for number in range(count):
        noise = np.random.default_rng(number).integers(-2, 3, samples.shape)
        Image.fromarray((samples + noise).clip(0, 255).astype(np.uint8)).save(folder / f"{number:06}.png")


def megapixels_per_second(source: Path, target: Path, *options: str) -> float:
    """What a command says of itself, after it has done all pictures."""
    line = [sys.executable, "-m", "trimix", "compress", str(source), "-o", str(target), "--json", *options]
    result = subprocess.run(line, stdout=subprocess.PIPE, text=True, check=False)
    if result.returncode:
        raise UsageError(f"trimix compress {' '.join(options)} must succeed, found exit code {result.returncode}")
    summary = json.loads(result.stdout.splitlines()[-1])
    return summary["pixels"] / summary["seconds"] / MILLION


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=200, help="how many (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="of the larger cluster (default: %(default)s)")
    parser.add_argument("--quality", default="70", help="1 .. 100 (default: %(default)s)")
    parser.add_argument("--price", type=float, help="of a core for an hour: prints the cost of a million pictures")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "pictures").mkdir()
        write_pictures(folder / "pictures", options.pictures)
        shared = ("--threads", "1", "--quality", options.quality)
        rates = {}
        for label, *line in (
            ("--jobs 1", "--jobs", "1"),
            ("--ray --jobs 1", "--ray", "--jobs", "1"),
            (f"--ray --jobs {options.workers}", "--ray", "--jobs", str(options.workers)),
        ):
            rates[label] = megapixels_per_second(folder / "pictures", folder / f"out{len(rates)}", *line, *shared)
            print(f"{label:16} {rates[label]:.3f} MP/s", flush=True)
    _, one, many = rates.values()
    print(f"{options.workers} workers over one: {many / one:.2f}")
    hours = MILLION * WIDTH * HEIGHT / MILLION / one / 3600
    print(f"a million pictures of {WIDTH} x {HEIGHT}: {hours:.0f} core-hours")
    if options.price is not None:
        print(f"at {options.price:g} a core-hour: {hours * options.price:.2f}")
    return 0


if __name__ == "__main__":
    run(main)
