"""How far files miss the size or the PSNR that was asked for, and how many encodings that takes.

    python benchmarks/targets.py --pictures kodak/*.png [--effort 2] [--output results/targets.json]
    python benchmarks/targets.py --show results/targets.json

Sizes are those of whole files, PSNR that of 8-bit RGB pixels decoded from them. Fails where a size is missed by more
than 2 % or a PSNR by more than 0.1 dB, or refused although it lies between qualities 1 and 100. What a picture cannot
reach at any quality is listed with what it can.
"""

import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import track

from measuring import pictures_parser, read_record, run
from trimix.codec import Codec
from trimix.encoder.effort import DEFAULT_EFFORT, search_steps
from trimix.encoder.targets import Target, TargetKind
from trimix.errors import OutOfReachError, UsageError
from trimix.images import Picture, psnr_db, read_picture, write_atomically

RATES_BITS_PER_PIXEL = (0.15, 0.4, 0.8)
PSNRS_DB = (30.0, 34.0)
TOLERATED = {TargetKind.BITS_PER_PIXEL.value: 2.0, TargetKind.BYTES.value: 2.0, TargetKind.PSNR_DB.value: 0.1}
"""Per cent of sizes, dB."""


@dataclass(frozen=True)
class Outcome:
    """What came of one target.

    Args:
        picture: name of the picture's file.
        unit: of the target.
        target: what was asked for.
        miss: per cent of sizes, dB of PSNR, above the target; None where it is out of reach.
        encodings: of the latents.
        seconds: of all.
        quality: that was found, 1..100.
        reason: where it is out of reach.
        is_refused_wrongly: whether it is within reach and was refused.
    """

    picture: str
    unit: str
    target: float
    miss: float | None
    encodings: int = 0
    seconds: float = 0.0
    quality: float = 0.0
    reason: str = ""
    is_refused_wrongly: bool = False


@dataclass(frozen=True)
class Record:
    """What was asked for with a model at an effort, and what came of it."""

    model: str
    effort: int
    outcomes: list[Outcome]

    @classmethod
    def read(cls, path: Path) -> "Record":
        return read_record(
            path, lambda value: cls(**value | {"outcomes": [Outcome(**one) for one in value["outcomes"]]})
        )


def measure(codec: Codec, name: str, picture: Picture, target: Target, effort: int) -> Outcome:
    """One target, checked against the file."""
    began = time.perf_counter()
    try:
        encoded = codec.encode_to(picture, target, effort)
    except OutOfReachError as error:
        files = [codec.encode(picture, end, min(effort, DEFAULT_EFFORT)) for end in (1.0, 100.0)]
        ends = [value_of(codec, picture, target.kind, data) for data in files]
        return Outcome(
            name,
            target.kind.value,
            target.value,
            None,
            reason=str(error),
            is_refused_wrongly=min(ends) <= target.value <= max(ends),
        )
    seconds = time.perf_counter() - began
    if encoded.ended == "interrupt":
        raise KeyboardInterrupt
    value = value_of(codec, picture, target.kind, encoded.data)
    miss = value - target.value if target.kind is TargetKind.PSNR_DB else 100 * (value / target.value - 1)
    return Outcome(name, target.kind.value, target.value, miss, encoded.encodings, seconds, encoded.quality)


def value_of(codec: Codec, picture: Picture, kind: TargetKind, data: bytes) -> float:
    """Of a file, in the unit of a target."""
    if kind is TargetKind.PSNR_DB:
        return psnr_db(picture.pixels, codec.decode(data).pixels)
    return len(data) if kind is TargetKind.BYTES else 8 * len(data) / (picture.width * picture.height)


def targets_of(picture: Picture) -> list[Target]:
    """Rates, the same as sizes, and PSNRs."""
    pixels = picture.width * picture.height
    return [
        *(Target(TargetKind.BITS_PER_PIXEL, rate) for rate in RATES_BITS_PER_PIXEL),
        *(Target(TargetKind.BYTES, round(rate * pixels / 8)) for rate in RATES_BITS_PER_PIXEL),
        *(Target(TargetKind.PSNR_DB, psnr) for psnr in PSNRS_DB),
    ]


def show(record: Record, console: Console) -> bool:
    """Print a Markdown table and what is out of reach; returns whether all targets within reach were met."""
    console.print(f"{record.model}, effort {record.effort}")
    console.print(
        "| target | pictures | out of reach | largest miss | mean miss | above | encodings, mean | most | seconds |"
    )
    console.print("|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    is_sound = True
    # Bytes differ with the size of the picture: one row for all of them.
    rows: dict[str, list[Outcome]] = {}
    for one in record.outcomes:
        heading = one.unit if one.unit == TargetKind.BYTES.value else f"{one.target:g} {one.unit}"
        rows.setdefault(heading, []).append(one)
    for heading, found in rows.items():
        met = [one for one in found if one.miss is not None]
        if not met:
            console.print(f"| {heading} | {len(found)} | {len(found)} | | | | | | |")
            continue
        misses = [one.miss for one in met if one.miss is not None]
        unit = "dB" if met[0].unit == TargetKind.PSNR_DB.value else "%"
        is_sound = is_sound and max(map(abs, misses)) <= TOLERATED[met[0].unit]
        console.print(
            f"| {heading} | {len(found)} | {len(found) - len(met)} | {max(misses, key=abs):+.3f} {unit} | "
            f"{statistics.fmean(map(abs, misses)):.3f} {unit} | {sum(miss > 0 for miss in misses)} | "
            f"{statistics.fmean(one.encodings for one in met):.1f} | {max(one.encodings for one in met)} | "
            f"{statistics.fmean(one.seconds for one in met):.1f} |"
        )
    for one in record.outcomes:
        if one.miss is None:
            is_sound = is_sound and not one.is_refused_wrongly
            console.print(f"{one.picture}: {one.reason}{' - WRONG' if one.is_refused_wrongly else ''}")
    return is_sound


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit code."""
    parser = pictures_parser(__doc__)
    parser.add_argument("--effort", type=int, default=DEFAULT_EFFORT, help="1..9 (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("runs/targets.json"))
    options = parser.parse_args(arguments)
    console = Console(width=200, markup=False, highlight=False)
    if options.show is not None:
        return 0 if show(Record.read(options.show), console) else 1
    if not options.pictures:
        raise UsageError("--pictures must name files, found none; or --show a file")
    search_steps(options.effort)
    codec = Codec.load(options.model)
    outcomes = []
    for path in track(options.pictures, description="targets", transient=True):
        picture = read_picture(path).bare()
        outcomes += [measure(codec, path.name, picture, target, options.effort) for target in targets_of(picture)]
    record = Record(codec.model.identity.name, options.effort, outcomes)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(options.output, (json.dumps(asdict(record), indent=1) + "\n").encode(), overwrite=True)
    return 0 if show(record, console) else 1


if __name__ == "__main__":
    run(main)
