"""What the benchmarks share."""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from trimix.allocator import keep_freed_memory
from trimix.errors import TrimixError, UsageError
from trimix.evaluation.bd_rate import SMALL_OVERLAP_SHARE, BdRate, bd_rate
from trimix.evaluation.rate_points import RateCurve
from trimix.evaluation.report.tables import ABSENT
from trimix.images import Picture, read_picture

WIDTH, HEIGHT = 768, 512
Found = TypeVar("Found")


def benchmark_picture(path: Path | None) -> Picture:
    """The given picture, or a photograph scaled to 768 x 512."""
    if path is not None:
        return read_picture(path).bare()
    from skimage import data

    image = Image.fromarray(data.astronaut()).resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
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


def bd_rate_or_none(anchor: RateCurve, test: RateCurve) -> BdRate | None:
    """BD-rate; None where the curves do not allow one."""
    try:
        return bd_rate(anchor, test)
    except UsageError:
        return None  # hardly trained, rates may fall where PSNR grows


def percent_text(changes: Sequence[BdRate | None], unit: str = " %") -> str:
    """The mean, marked as in reports: in brackets if curves have little in common, – if one of them is missing."""
    if not changes or None in changes:
        return ABSENT
    text = f"{statistics.fmean(one.percent for one in changes):+.1f}{unit}"
    return f"({text})" if any(one.overlap_share < SMALL_OVERLAP_SHARE for one in changes) else text


def explained(table: Sequence[str]) -> list[str]:
    """The lines of a table, and what brackets around percentages mean if it has any."""
    if not any("(+" in line or "(-" in line for line in table):
        return [*table]
    return [*table, "", "In brackets where curves have less than half of their range in common."]


def read_record(path: Path, build: Callable[[Any], Found]) -> Found:
    """What an earlier run has written.

    Args:
        path: of a JSON file.
        build: makes a record of its value.

    Raises:
        UsageError: it cannot be read, or is not of this benchmark.
    """
    try:
        return build(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise UsageError(
            f"{path}: must be a file that this benchmark has written, found: {error.strerror}; name another one"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{path}: must be a file that this benchmark has written, found another ({error!r}); name another one"
        ) from error


def pictures_parser(description: str | None) -> argparse.ArgumentParser:
    """Options of a benchmark over pictures whose results are kept."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
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
