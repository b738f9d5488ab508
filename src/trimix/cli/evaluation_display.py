"""What ``trimix evaluate`` shows: a bar or lines while it measures, tables of means at the end."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from trimix.cli.outputs import print_table
from trimix.evaluation.observer import Observer
from trimix.evaluation.results import Measurement, Results
from trimix.progress import ProgressDisplay, showing_progress


class Display(Observer):
    """A line for each measurement, or a bar.

    Attributes:
        name: of the codec that is measured.
        done: measurements of it that are kept.
        total: of it.
    """

    def __init__(self, progress: ProgressDisplay) -> None:
        self._progress = progress
        self.name = ""
        self.done = self.total = 0

    def begins(self, name: str, done: int, total: int) -> None:
        """Say what is here already."""
        self.name, self.done, self.total = name, done, total
        if done == total:
            self._progress.say(f"{name}: all {total} measurements are here already")
        elif done:
            self._progress.say(f"{name}: going on after {done} of {total} measurements")
        self._show(f"{name}: loading")

    def warms_up(self) -> None:
        """Say so."""
        self._show(f"{self.name}: warming up")

    def coding(self, picture: str, quality: float) -> None:
        """Say what is coded."""
        self._show(f"{self.name} {self.done}/{self.total} {picture} quality {quality:g}")

    def measured(self, measurement: Measurement) -> None:
        """Say what was found."""
        self.done += 1
        self._show(f"{self.name} {self.done}/{self.total} {_summary(measurement)}", always=True)

    def _show(self, text: str, *, always: bool = False) -> None:
        self._progress.show(text, self.done, self.total, always=always)


@contextmanager
def displaying() -> Iterator[Display]:
    """A bar if standard error is a terminal, else lines."""
    with showing_progress() as progress:
        yield Display(progress)


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
