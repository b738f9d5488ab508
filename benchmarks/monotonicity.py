"""Whether a higher quality gives a larger file and a better picture, on every picture at every quality from 1 to 100.

    python benchmarks/monotonicity.py --data kodak [--model gllmm-lite] [--limit 4]

Bytes are those of whole files, PSNR that of 8-bit RGB pixels decoded from these files. It prints every step at which
one of them falls, the means at the ends of the scale, and fails where anything fell.
"""

import argparse
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from rich.console import Console
from rich.progress import track

from measuring import run
from trimix.codec import Codec
from trimix.evaluation.data_sets import data_roots, find_pictures
from trimix.evaluation.metrics import psnr_db
from trimix.evaluation.rate_points import RatePoint, mean_point
from trimix.images import Picture, read_picture

QUALITIES = range(1, 101)


def measure(codec: Codec, picture: Picture, quality: float) -> RatePoint:
    """One picture as a file and back."""
    data = codec.encode(picture, quality)
    pixels = picture.width * picture.height
    return RatePoint(8 * len(data) / pixels, psnr_db(picture.pixels, codec.decode(data).pixels), quality=quality)


def falls(points: Sequence[RatePoint]) -> Iterator[str]:
    """What falls from one quality to the next, in words."""
    for lower, higher in pairwise(points):
        step = f"quality {lower.quality:g} -> {higher.quality:g}"
        if higher.bits_per_pixel < lower.bits_per_pixel:
            yield f"{step}: {lower.bits_per_pixel:.5f} -> {higher.bits_per_pixel:.5f} bpp"
        if higher.psnr_db < lower.psnr_db:
            yield f"{step}: {lower.psnr_db:.4f} -> {higher.psnr_db:.4f} dB"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="kodak", help="folder of pictures or named set (default: kodak)")
    parser.add_argument("--data-root", type=Path, help="folder with named sets (default: TRIMIX_DATA)")
    parser.add_argument("--model", default="gllmm-lite", help="name or weights file (default: %(default)s)")
    parser.add_argument("--limit", type=int, help="only the first so many pictures")
    options = parser.parse_args(arguments)
    console = Console()
    pictures = find_pictures(options.data, data_roots(options.data_root), options.limit)
    codec = Codec.load(options.model)
    curves, fallen = [], 0
    for path in track(pictures.paths, description="monotonicity", transient=True):
        picture = read_picture(path).bare()
        curves.append([measure(codec, picture, float(quality)) for quality in QUALITIES])
        for what in falls(curves[-1]):
            fallen += 1
            console.print(f"{path.name}: {what}")
    for points in (next(zip(*curves, strict=True)), [points[-1] for points in curves]):
        mean = mean_point(points)
        console.print(f"quality {mean.quality:g}: {mean.bits_per_pixel:.4f} bpp, {mean.psnr_db:.2f} dB on the mean")
    steps = len(curves) * (len(QUALITIES) - 1)
    console.print(f"{len(curves)} pictures, {steps} steps up in quality: {fallen} falls in size or PSNR")
    return 1 if fallen else 0


if __name__ == "__main__":
    run(main)
