"""What ``trimix evaluate`` shows: a bar or lines while it measures, tables of means at the end."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from trimix.cli.outputs import print_table
from trimix.evaluation.observer import Observer
from trimix.evaluation.results import Measurement, Results


class Display(Observer):
    """One line for each measurement.

    Attributes:
        name: of the codec that is measured.
        done: measurements of it that are kept.
        total: of it.
    """

    def __init__(self) -> None:
        self.name = ""
        self.done = self.total = 0

    def begins(self, name: str, done: int, total: int) -> None:
        """Say what is here already."""
        self.name, self.done, self.total = name, done, total
        if done == total:
            self.say(f"{name}: all {total} measurements are here already")
        elif done:
            self.say(f"{name}: going on after {done} of {total} measurements")

    def measured(self, measurement: Measurement) -> None:
        """Say what was found."""
        self.done += 1
        self.say(f"{self.name} {self.done}/{self.total} {_summary(measurement)}")

    def say(self, line: str) -> None:
        """Print a line."""
        print(line, file=sys.stderr)


class _Bar(Display):
    """A bar that stays in one line of the terminal."""

    def __init__(self, progress: Any) -> None:
        super().__init__()
        self._progress = progress
        self._task: Any = None
        self._last = ""

    def begins(self, name: str, done: int, total: int) -> None:
        super().begins(name, done, total)
        self._last = ""
        self._task = self._progress.add_task(name, total=total, completed=done, status="loading")

    def warms_up(self) -> None:
        self._progress.update(self._task, status="warming up")

    def coding(self, picture: str, quality: float) -> None:
        self._progress.update(self._task, status=self._last or f"{picture} quality {quality:g}")

    def measured(self, measurement: Measurement) -> None:
        self.done += 1
        point = measurement.point
        self._last = (
            f"{measurement.picture} quality {measurement.quality:g} "
            f"{point.bits_per_pixel:.3f} bpp {point.psnr_db:.2f} dB"
        )
        self._progress.update(self._task, completed=self.done, status=self._last)

    def say(self, line: str) -> None:
        self._progress.console.print(line, highlight=False, markup=False)


@contextmanager
def displaying() -> Iterator[Display]:
    """A bar if standard error is a terminal, else lines."""
    if not sys.stderr.isatty():
        yield Display()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.table import Column

    columns = (
        TextColumn("{task.description} {task.completed}/{task.total}", markup=False),
        BarColumn(bar_width=10, table_column=Column(min_width=10)),
        TimeRemainingColumn(table_column=Column(min_width=7)),
        # The only one that is cut where the terminal is narrow.
        TextColumn("{task.fields[status]}", markup=False, table_column=Column(no_wrap=True)),
    )
    # Drawn seldom: the processor belongs to what is timed.
    with Progress(*columns, console=Console(stderr=True), refresh_per_second=2) as progress:
        yield _Bar(progress)


def _summary(measurement: Measurement) -> str:
    point = measurement.point
    return (
        f"{measurement.picture} quality {measurement.quality:g}: {point.bits_per_pixel:.4f} bpp, "
        f"{point.psnr_db:.2f} dB, {measurement.encoding_seconds:.2f} + {measurement.decoding_seconds:.2f} s"
    )


_COLUMNS = (
    "quality",
    "bpp",
    "payload bpp",
    "PSNR dB",
    "PSNR Y dB",
    "MS-SSIM",
    "SSIMULACRA2",
    "Butteraugli",
    "encode s",
    "decode s",
    "memory MiB",
)


def print_tables(results: Sequence[Results]) -> None:
    """Print a table of means for each codec, one line for each quality."""
    for number, one in enumerate(results):
        if number:
            print()
        idle = one.provenance.get("idle_memory_bytes")
        before = "" if idle is None else f"; memory before it was opened {idle / 2**20:.0f} MiB"
        count = "1 picture" if len(one.pictures) == 1 else f"{len(one.pictures)} pictures"
        print(f"{one.name} on {one.data}, means over {count}{before}")
        rows: list[tuple[str, ...]] = [_COLUMNS]
        for means in one.means:
            point = means.point
            memory = means.peak_memory_bytes
            rows.append(
                (
                    _number(point.quality, "g"),
                    _number(point.bits_per_pixel, ".4f"),
                    _number(means.payload_bits_per_pixel, ".4f"),
                    _number(point.psnr_db, ".3f"),
                    _number(point.luma_psnr_db, ".3f"),
                    _number(point.ms_ssim, ".5f"),
                    _number(point.ssimulacra2, ".2f"),
                    _number(point.butteraugli, ".3f"),
                    _number(means.encoding_seconds, ".3f"),
                    _number(means.decoding_seconds, ".3f"),
                    _number(None if memory is None else memory / 2**20, ".0f"),
                )
            )
        print_table(rows)


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else f"{value:{form}}"
