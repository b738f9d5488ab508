"""What the metrics cost: processor seconds for one picture of 768 x 512 pixels, medians of several runs.

    python benchmarks/metrics.py [--picture FILE] [--repeats 5]

The picture is compared with itself after JPEG. Programs count with all their threads.
"""

import argparse
import os
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

from measuring import benchmark_picture, run
from trimix.evaluation.metrics import butteraugli, luma_psnr_db, missing_metrics, ms_ssim, psnr_db, ssimulacra2
from trimix.evaluation.peers import JPEG


def processor_seconds(action: Callable[[], object]) -> float:
    """Of this process and of programs that have ended."""
    before = sum(os.times()[:4])
    action()
    return sum(os.times()[:4]) - before


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--picture", type=Path, help="a picture file (default: a photograph)")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args(arguments)
    picture = benchmark_picture(options.picture)
    decoded = JPEG.decode(JPEG.encode(picture, 50), picture.channels).pixels
    metrics = {"PSNR RGB": psnr_db, "PSNR Y": luma_psnr_db, "MS-SSIM": ms_ssim, "SSIMULACRA2": ssimulacra2}
    if not missing_metrics():
        metrics["Butteraugli"] = butteraugli
    print(f"{picture.width} x {picture.height}")
    for name, metric in metrics.items():
        value = metric(picture.pixels, decoded)  # and what is loaded only once
        seconds = [
            processor_seconds(lambda metric=metric: metric(picture.pixels, decoded)) for _ in range(options.repeats)
        ]
        print(f"{name:12} {value:10.4f}  {statistics.median(seconds):.2f} s")
    for note in missing_metrics():
        print(f"left out: {note}")
    return 0


if __name__ == "__main__":
    run(main)
