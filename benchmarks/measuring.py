"""What the benchmarks share."""

import argparse
import math
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from trimix.allocator import keep_freed_memory
from trimix.errors import TrimixError, UsageError
from trimix.evaluation.bd_rate import bd_rate
from trimix.evaluation.demo import photograph
from trimix.evaluation.rate_points import RateCurve
from trimix.images import Picture, read_picture

WIDTH, HEIGHT = 768, 512


def benchmark_picture(path: Path | None) -> Picture:
    """The given picture, or a photograph scaled to 768 x 512."""
    if path is not None:
        return Picture(read_picture(path).pixels)
    image = Image.fromarray(photograph().pixels).resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
    return Picture(np.asarray(image))


def median_seconds(repeats: int, action: Callable[[], object]) -> float:
    """The median of several runs, after one that warms up."""
    action()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def bd_rate_percent(anchor: RateCurve, test: RateCurve) -> float:
    """BD-rate; not a number where the curves do not allow one."""
    try:
        return bd_rate(anchor, test).percent
    except UsageError:
        return math.nan  # hardly trained, rates may fall where PSNR grows


def pictures_parser(description: str | None) -> argparse.ArgumentParser:
    """Options of a benchmark over pictures whose results are kept."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=Path, nargs="+", metavar="FILE", default=[])
    parser.add_argument("--show", type=Path, metavar="FILE", help="print what an earlier run has found, only")
    parser.add_argument("--model", default="gllmm-lite", help="name or weights file (default: %(default)s)")
    return parser


def run(main: Callable[[], int]) -> None:
    """Run a benchmark as a command: what trimix refuses is one line and an exit code."""
    keep_freed_memory()  # as trimix's own commands do
    try:
        sys.exit(main())
    except TrimixError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
