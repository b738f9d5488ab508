"""The learning curve of a model that many runs made one after the other: BD-rate on validation crops over hours.

    python benchmarks/learning_curve.py --validation VALIDATION --run 0:start:A/log.jsonl --run 2.5:longer:B/log.jsonl
    python benchmarks/learning_curve.py --show results/learning_curve.json
    python benchmarks/learning_curve.py --show results/learning_curve_gllmm.json --anchor results/learning_curve.json

A run is given as the hours of training before it, its name and its ``log.jsonl``. Printed are the BD-rates of its
validations against JPEG and WebP on the same crops, in RGB PSNR: bits of whole files there, bits of rounded latents by
their likelihoods here, so the model's are somewhat lower than files would be. Runs are added to those that stand in the
output already. With an anchor, another such record of the same crops, its last validation is compared with, too, where
that has 0.2 to 1 bits per pixel.
"""

import argparse
import hashlib
import io
import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import track
from scipy.interpolate import PchipInterpolator

from measuring import bd_rate_or_none, explained, percent_text, read_record, run
from trimix.errors import UsageError
from trimix.evaluation.bd_rate import BdRate
from trimix.evaluation.metrics import psnr_db
from trimix.evaluation.rate_points import RateCurve, RatePoint
from trimix.images import write_atomically
from trimix.training.patches import validation_crops
from trimix.training.picture_files import load_pictures
from trimix.training.validation import VALIDATION_SIZE

ANCHOR_BITS_PER_PIXEL = (0.2, 1.0)
QUALITIES = {"JPEG": (5, 10, 20, 30, 45, 60, 80, 90), "WEBP": (5, 20, 45, 70, 82, 88, 94, 98)}


@dataclass(frozen=True)
class Validation:
    """One line of a log.

    Args:
        run: its name.
        phase: of the run.
        step: of the run.
        hours: of training since the first run began: of processors, where the log tells them, or by the clock.
        bits_per_pixel: at each quality.
        psnr_db: at each quality.
    """

    run: str
    phase: str
    step: int
    hours: float
    bits_per_pixel: tuple[float, ...]
    psnr_db: tuple[float, ...]

    @property
    def curve(self) -> RateCurve:
        """As evaluation has it."""
        return RateCurve(self.run, tuple(map(RatePoint, self.bits_per_pixel, self.psnr_db)))


@dataclass(frozen=True)
class Record:
    """What was read and measured.

    Args:
        crops: how many there are.
        others: rate points of JPEG and WebP.
        validations: of all runs, in their order.
        crops_sha256: of their pixels, hexadecimal; None where it was not kept.
    """

    crops: int
    others: dict[str, list[tuple[float, float]]]
    validations: list[Validation]
    crops_sha256: str | None = None

    @classmethod
    def read(cls, path: Path) -> "Record":
        return read_record(
            path, lambda value: cls(**value | {"validations": [Validation(**one) for one in value["validations"]]})
        )


def validations(given: str) -> list[Validation]:
    """The validations of one ``--run``."""
    before, name, path = [*given.split(":", 2), "", ""][:3]
    try:
        start = float(before)
        lines = [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]
    except (ValueError, OSError) as error:
        raise UsageError(f"--run must be HOURS:NAME:LOG, found {given!r}: {error}") from error
    try:
        return [
            Validation(
                name,
                line["phase"],
                line["step"],
                start + line.get("core_hours", line["hours"]),
                tuple(line["bits_per_pixel"]),
                tuple(line["psnr_db"]),
            )
            for line in lines
            if line["kind"] == "validation"
        ]
    except (KeyError, TypeError) as error:
        raise UsageError(
            f"{path}: every line must be one of a training's log.jsonl, found another ({error!r}); name another LOG"
        ) from error


def measure(crops: np.ndarray, form: str) -> list[tuple[float, float]]:
    """Mean bits per pixel and PSNR of all crops at each quality."""
    points = []
    for quality in track(QUALITIES[form], description=form, transient=True):
        rates, decibels = [], []
        for crop in crops:
            file = io.BytesIO()
            Image.fromarray(crop).save(file, form, quality=quality)
            decoded = np.asarray(Image.open(file).convert("RGB"))
            rates.append(8 * file.tell() / (crop.shape[0] * crop.shape[1]))
            decibels.append(psnr_db(crop, decoded))
        points.append((statistics.fmean(rates), statistics.fmean(decibels)))
    return points


def against_part(anchor: RateCurve, test: RateCurve) -> BdRate | None:
    """BD-rate over the distortions that the anchor has between two rates; its share is that of them that counts."""
    psnr_db = PchipInterpolator(
        np.log([point.bits_per_pixel for point in anchor.points]), [point.psnr_db for point in anchor.points]
    )
    rates = np.geomspace(*ANCHOR_BITS_PER_PIXEL, 9)
    points = tuple(RatePoint(float(rate), float(psnr_db(np.log(rate)))) for rate in rates)
    found = bd_rate_or_none(RateCurve(anchor.name, points), test)
    if found is None:
        return None
    counted = found.overlap_maximum - found.overlap_minimum
    return replace(found, overlap_share=counted / (points[-1].psnr_db - points[0].psnr_db))


def table(record: Record, anchor: Record | None = None) -> str:
    """Markdown: a row for each validation.

    Raises:
        UsageError: the anchor is of other crops.
    """
    columns: dict[str, Callable[[RateCurve], BdRate | None]] = {}
    if anchor is not None:
        hashes = {anchor.crops_sha256, record.crops_sha256} - {None}  # None where it was not kept
        if anchor.crops != record.crops or len(hashes) > 1:
            raise UsageError(
                f"the anchor must be of the same {record.crops} crops, found {anchor.crops} others; give another"
            )
        last = anchor.validations[-1].curve
        low, high = ANCHOR_BITS_PER_PIXEL
        columns[f"{last.name}, {low:g} to {high:g} bpp"] = partial(against_part, last)
    for name, points in record.others.items():
        curve = RateCurve(name, tuple(RatePoint(*point) for point in points))
        columns[name] = partial(bd_rate_or_none, curve)
    lines = [
        f"{record.crops} crops of {VALIDATION_SIZE} x {VALIDATION_SIZE}",
        "",
        "| hours | run | phase | step | " + " | ".join(f"against {name}" for name in columns) + " |",
        "|---:|---|---|---:|" + "---:|" * len(columns),
    ]
    for one in record.validations:
        shown = " | ".join(percent_text([compare(one.curve)]) for compare in columns.values())
        lines.append(f"| {one.hours:.2f} | {one.run} | {one.phase} | {one.step} | {shown} |")
    return "\n".join(explained(lines))


def main(arguments: Sequence[str] | None = None) -> int:
    """Read, measure, print; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", action="append", default=[], metavar="HOURS:NAME:LOG")
    parser.add_argument("--validation", type=Path, nargs="+", help="folders or tars of pictures")
    parser.add_argument("--show", type=Path, metavar="FILE", help="print what was found earlier, only")
    parser.add_argument("--anchor", type=Path, metavar="FILE", help="a record to compare the last validation of")
    parser.add_argument("--output", type=Path, default=Path("runs/learning_curve.json"))
    options = parser.parse_args(arguments)
    console = Console(width=200, markup=False, highlight=False)
    anchor = None if options.anchor is None else Record.read(options.anchor)
    if options.show is not None:
        console.print(table(Record.read(options.show), anchor))
        return 0
    if not options.run or not options.validation:
        raise UsageError("--run and --validation must be given, found one or none; or --show a file")
    read = [one for given in options.run for one in validations(given)]
    crops = validation_crops(load_pictures(options.validation, VALIDATION_SIZE), VALIDATION_SIZE)
    pixels = (crops * 255).round().byte().permute(0, 2, 3, 1).numpy()
    digest = hashlib.sha256(pixels.tobytes()).hexdigest()
    if options.output.exists():  # what JPEG and WebP make of the same crops is the same
        known = Record.read(options.output)
        if known.crops != len(pixels) or known.crops_sha256 not in (None, digest):
            raise UsageError(
                f"{options.output}: must be of the {len(pixels)} crops of --validation, found {known.crops} others; "
                "give another --output, or those pictures"
            )
    else:
        known = Record(len(pixels), {form: measure(pixels, form) for form in QUALITIES}, [], digest)
    found: dict[tuple[float, ...], Validation] = {}
    for one in (*known.validations, *read):
        # A run that branches off repeats the log of its trunk.
        found.setdefault(tuple(one.bits_per_pixel), one)
    record = replace(known, validations=list(found.values()))
    options.output.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(options.output, (json.dumps(asdict(record), indent=1) + "\n").encode(), overwrite=True)
    console.print(table(record, anchor))
    return 0


if __name__ == "__main__":
    run(main)
