"""What every effort of the encoder saves, and what it costs in time.

    python benchmarks/effort.py --pictures kodak/kodim{04,05,08,13,15,19,21,23}.png --output runs/effort.json
    python benchmarks/effort.py --show results/effort.json

Every picture is compressed at every quality and effort to a real file, which is decoded. Printed are the BD-rates of
the mean curves and the mean of the pictures' own BD-rates against effort 1, in RGB PSNR or, of weights for something
else, in decibels of that, and mean seconds of encoding; then R + lambda D of every effort at each quality alone, in the
objective of the weights, against the effort below. ``--crop 192`` takes the middle of every picture, in less time.
What stands in the output already is not measured again, so it may be stopped at any time. Efforts take turns at a
picture, so that another load of the machine meets all of them alike.
"""

import argparse
import hashlib
import json
import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import Progress

from measuring import pictures_parser, read_record, run
from trimix.codec import Codec
from trimix.encoder.picture_distortion import PictureDistortion
from trimix.errors import UsageError
from trimix.evaluation.bd_rate import MINIMUM_POINTS, bd_rate
from trimix.evaluation.machine import machine
from trimix.evaluation.metrics import psnr_db
from trimix.evaluation.rate_points import RateCurve, RatePoint, mean_point
from trimix.images import Picture, read_picture, write_atomically

ANCHOR = 1
QUALITIES = (20.0, 40.0, 60.0, 80.0)
EFFORTS = (1, 2, 3, 4, 5, 6, 7)
WARM_UP_EFFORTS = (1, 2, 3)
"""Nearest symbols, chosen ones, a step: more effort does nothing else."""


@dataclass(frozen=True)
class Measurement:
    """One file.

    Args:
        picture: name of the picture's file.
        quality: 1..100.
        effort: 1..9.
        file_bytes: of the whole file.
        bits_per_pixel: of the whole file.
        psnr_db: of 8-bit RGB.
        seconds: of encoding.
        steps: of the search.
        distortion: in the objective of the weights, before pixels are rounded; None in earlier records.
        objective_bits_per_pixel: R + lambda D, R that of the file; None in earlier records.
    """

    picture: str
    quality: float
    effort: int
    file_bytes: int
    bits_per_pixel: float
    psnr_db: float
    seconds: float
    steps: int
    distortion: float | None = None
    objective_bits_per_pixel: float | None = None

    @property
    def own_db(self) -> float:
        """Of the distortion of the weights, up to a constant; PSNR where that is all that is known."""
        return self.psnr_db if self.distortion is None else -10 * math.log10(self.distortion)


@dataclass
class Record:
    """What was measured, and with what.

    Args:
        model: its name.
        model_hash: of its weights, hexadecimal.
        pictures: SHA-256 of the pixels by the name of the file.
        threads: of torch.
        time_limit_seconds: of each encoding; None for none.
        machine: in words.
        measurements: in the order they were made.
    """

    model: str
    model_hash: str
    threads: int
    time_limit_seconds: float | None
    machine: dict[str, Any]
    pictures: dict[str, str] = field(default_factory=dict)
    measurements: list[Measurement] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> "Record":
        return read_record(
            path, lambda value: cls(**value | {"measurements": [Measurement(**one) for one in value["measurements"]]})
        )

    def write(self, path: Path) -> None:
        write_atomically(path, (json.dumps(asdict(self), indent=1) + "\n").encode(), overwrite=True)


def measure(codec: Codec, name: str, picture: Picture, quality: float, effort: int, limit: float | None) -> Measurement:
    """One picture to a file and back."""
    began = time.perf_counter()
    encoded = codec.encode_to(picture, quality, effort, time_limit_seconds=limit)
    seconds = time.perf_counter() - began
    if encoded.ended == "interrupt":
        raise KeyboardInterrupt
    symbols, pixels = codec.unpack(encoded.data), picture.width * picture.height
    distortion = PictureDistortion(codec.latents, picture.levels, symbols.quality_integer)
    bits = distortion.bits(codec.latents.dequantize(symbols))
    return Measurement(
        name,
        quality,
        effort,
        len(encoded.data),
        8 * len(encoded.data) / pixels,
        psnr_db(picture.pixels, codec.decode(encoded.data).pixels),
        seconds,
        encoded.steps,
        bits / (distortion.rate_distortion_lambda * pixels),
        (8 * len(encoded.data) + bits) / pixels,
    )


def begun(options: argparse.Namespace, codec: Codec) -> Record:
    """The record that is there, or a new one."""
    identity = codec.model.identity
    record = Record(identity.name, identity.weights_hash.hex(), torch.get_num_threads(), options.time_limit, machine())
    if not options.output.exists():
        return record
    found = Record.read(options.output)
    for name, here, there in (
        ("model", record.model_hash, found.model_hash),
        ("threads", record.threads, found.threads),
        ("time limit", record.time_limit_seconds, found.time_limit_seconds),
        ("processor", record.machine["processor"], found.machine["processor"]),
    ):
        if here != there:
            raise UsageError(
                f"{options.output}: must be of the same {name}, found {there} (now {here}); give another --output"
            )
    return found


def measure_all(options: argparse.Namespace, codec: Codec, record: Record) -> None:
    """Measure what is missing; the record is written after every measurement."""
    done = {(one.picture, one.quality, one.effort) for one in record.measurements}
    pictures = {}
    for path in options.pictures:
        picture = middle_of(read_picture(path).bare(), options.crop)
        digest = hashlib.sha256(picture.pixels.tobytes()).hexdigest()
        if path.name in pictures or record.pictures.setdefault(path.name, digest) != digest:
            raise UsageError(f"{path}: a name must be that of one picture, found two; rename one")
        pictures[path.name] = picture
    missing = [
        (name, quality, effort)
        for name in pictures
        for quality in options.qualities
        for effort in options.efforts
        if (name, quality, effort) not in done
    ]
    if not missing:
        return
    name, quality, _ = missing[0]
    for effort in WARM_UP_EFFORTS:  # at full size, where the first time takes several times as long
        measure(codec, name, pictures[name], quality, effort, None)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    with Progress(transient=True) as bar:
        task = bar.add_task("", total=len(missing))
        for name, quality, effort in missing:
            bar.update(task, description=f"{name} quality {quality:g} effort {effort}")
            found = measure(codec, name, pictures[name], quality, effort, options.time_limit)
            record.measurements.append(found)
            record.write(options.output)
            bar.advance(task)


def middle_of(picture: Picture, side: int | None) -> Picture:
    """A square from the middle, or all of it."""
    top, left = (0 if side is None else max(0, (size - side) // 2) for size in (picture.height, picture.width))
    return Picture(np.ascontiguousarray(picture.pixels[top:, left:][:side, :side]))


def curve(name: str, points: Sequence[Measurement]) -> RateCurve:
    """The means over pictures, one point for each quality."""
    return RateCurve(
        name,
        tuple(
            mean_point(
                RatePoint(one.bits_per_pixel, one.own_db, quality=quality) for one in points if one.quality == quality
            )
            for quality in sorted({one.quality for one in points})
        ),
    )


def table(record: Record) -> str:
    """Markdown: one row for each effort, over what was measured at every effort that is here."""
    efforts = sorted({one.effort for one in record.measurements})
    if ANCHOR not in efforts:
        raise UsageError(f"effort {ANCHOR} must be measured, for the others are compared with it; add it to --efforts")
    by_effort = {
        effort: {(one.picture, one.quality): one for one in record.measurements if one.effort == effort}
        for effort in efforts
    }
    common = set.intersection(*(set(found) for found in by_effort.values()))
    if not common:
        raise UsageError("a picture must be measured at every effort, found none yet; let it run on")
    pictures = sorted({picture for picture, _ in common})
    qualities = sorted({quality for _, quality in common})
    common = {(p, q) for p in pictures for q in qualities if all((p, each) in common for each in qualities)}
    pictures = sorted({picture for picture, _ in common})
    if not pictures:
        raise UsageError("a picture must be measured at every quality, found none yet; let it run on")
    limit = "" if record.time_limit_seconds is None else f", at most {record.time_limit_seconds:g} s each"
    lines = [
        f"{record.model}, {len(pictures)} pictures, qualities {', '.join(f'{q:g}' for q in qualities)}, "
        f"{record.threads} threads{limit}",
        "",
        "| effort | steps | encode, s | slowest, s | times effort 1 | BD-rate of means | mean of BD-rates | worst |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    base = [by_effort[ANCHOR][key] for key in sorted(common)]
    base_seconds = statistics.fmean(one.seconds for one in base)
    for effort in efforts:
        own = [by_effort[effort][key] for key in sorted(common)]
        seconds = statistics.fmean(one.seconds for one in own)
        of_means, single = math.nan, [math.nan]
        if len(qualities) >= MINIMUM_POINTS:
            of_means = bd_rate(curve("effort 1", base), curve(f"effort {effort}", own)).percent
            single = [
                bd_rate(
                    curve(picture, [one for one in base if one.picture == picture]),
                    curve(picture, [one for one in own if one.picture == picture]),
                ).percent
                for picture in pictures
            ]
        percents = (of_means, statistics.fmean(single), max(single))
        lines.append(
            f"| {effort} | {max(one.steps for one in own)} | {seconds:.2f} | {max(one.seconds for one in own):.2f} | "
            f"{seconds / base_seconds:.1f} | " + " | ".join(f"{percent:+.2f} %" for percent in percents) + " |"
        )
    return "\n".join(lines + objective_table(by_effort, pictures, qualities))


def objective_table(
    by_effort: dict[int, dict[tuple[str, float], Measurement]], pictures: Sequence[str], qualities: Sequence[float]
) -> list[str]:
    """R + lambda D against the effort below, mean of the pictures and the worst of them; nothing of earlier records."""
    costs = {
        (effort, *key): one.objective_bits_per_pixel
        for effort, found in by_effort.items()
        for key, one in found.items()
    }
    if None in costs.values():
        return []
    heads = " | ".join(f"quality {quality:g} | worst" for quality in qualities)
    lines = ["", f"| R + lambda D of effort | {heads} |", "|---:" * (1 + 2 * len(qualities)) + "|"]
    for below, effort in pairwise(sorted(by_effort)):
        cells = []
        for quality in qualities:
            changes = [100 * (costs[effort, one, quality] / costs[below, one, quality] - 1) for one in pictures]
            cells += [statistics.fmean(changes), max(changes)]
        lines.append(f"| {effort} against {below} | " + " | ".join(f"{cell:+.2f} %" for cell in cells) + " |")
    return lines


def numbers(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit code."""
    parser = pictures_parser(__doc__)
    parser.add_argument(
        "--qualities",
        type=numbers,
        default=QUALITIES,
        help=f"(default: {','.join(f'{quality:g}' for quality in QUALITIES)})",
    )
    parser.add_argument(
        "--efforts",
        type=lambda text: [int(part) for part in text.split(",")],
        default=EFFORTS,
        help=f"of 1..9 (default: {','.join(map(str, EFFORTS))})",
    )
    parser.add_argument("--crop", type=int, metavar="PIXELS", help="the middle of every picture (default: all of it)")
    parser.add_argument("--time-limit", type=float, metavar="SECONDS", help="of each encoding (default: none)")
    parser.add_argument("--threads", type=int, help="of torch (default: its own choice)")
    parser.add_argument("--output", type=Path, default=Path("runs/effort.json"))
    options = parser.parse_args(arguments)
    console = Console(width=200, markup=False, highlight=False)
    if options.show is not None:
        console.print(table(Record.read(options.show)))
        return 0
    if not options.pictures:
        raise UsageError("--pictures must name files, found none; or --show a file")
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    codec = Codec.load(options.model)
    record = begun(options, codec)
    measure_all(options, codec, record)
    console.print(table(record))
    return 0


if __name__ == "__main__":
    run(main)
