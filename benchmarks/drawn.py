"""Damage to drawn pictures, which measures for photographs do not show: cast on grey, bands in ramps, speckle.

    python benchmarks/drawn.py [--model gllmm-lite ...] [--qualities 18 46 71] [--output results/drawn.json]
    python benchmarks/drawn.py --show results/drawn.json [--each]
    python benchmarks/drawn.py --write FOLDER    # the pictures, to look at

In 8-bit levels:

    cast      largest less smallest of R, G and B, where they are equal in the source: mean, 99.9th percentile, largest
    band      largest step between neighbours in a ramp, less the ramp's own, which is 1: at multiples of 16 pixels,
              where blocks and latents meet, and elsewhere
    speckle   root mean square and largest error of ground that is flat in the source: nothing else within 16 pixels
              (away), or an edge within these but not within 1 (near)

Pictures that take no more bytes without loss are kept so, as by `trimix compress`. AVIF is beside each model at the
best quality whose file of each picture is not larger. Where even its lowest makes a larger one, that is taken, and
counted as above size.
"""

import argparse
import json
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool
from PIL import Image
from rich.console import Console
from rich.progress import track
from scipy.ndimage import maximum_filter, minimum_filter

from drawn_pictures import DrawnPicture, drawn_pictures
from measuring import read_record, run
from trimix.codec import Codec
from trimix.encoder.effort import DEFAULT_EFFORT, search_steps
from trimix.errors import UsageError
from trimix.evaluation.peers import AVIF, AVIF_PSNR, find_peers
from trimix.evaluation.report.tables import ABSENT
from trimix.images import Picture, picture_of_samples, psnr_of_error_db, write_atomically
from trimix.lossless_codec import decode_lossless, encode_best
from trimix.shapes import UInt8

MODELS = ("gllmm-lite-eye", "gllmm-lite")
QUALITIES = (18.0, 46.0, 71.0)
PEERS = (AVIF, AVIF_PSNR)
BLOCK = 16
EDGE_REACH = 16
"""Pixels: the ground beyond is away from edges."""


@dataclass(frozen=True)
class Cast:
    """Largest less smallest of R, G and B on pixels that are neutral in the source, levels."""

    mean: float
    percentile: float
    maximum: float


@dataclass(frozen=True)
class Bands:
    """Largest steps between neighbours of a ramp less its own, levels."""

    at_blocks: float
    elsewhere: float


@dataclass(frozen=True)
class Speckle:
    """Error of flat ground, levels; None where there is no such ground."""

    away_rms: float | None
    away_maximum: float | None
    near_rms: float | None
    near_maximum: float | None


@dataclass(frozen=True)
class Outcome:
    """A picture through a codec.

    Args:
        model: that codes, or whose size is met.
        quality: of the model.
        codec: name.
        picture: name.
        file_bytes: of the whole file.
        is_above_size: whether it is larger than the model's.
        mean_squared_error: of R, G and B.
        cast: None without neutral pixels.
        bands: None without a ramp.
        speckle: None of a ramp.
    """

    model: str
    quality: float
    codec: str
    picture: str
    file_bytes: int
    is_above_size: bool
    mean_squared_error: float
    cast: Cast | None = None
    bands: Bands | None = None
    speckle: Speckle | None = None

    @classmethod
    def from_json(cls, value: dict) -> "Outcome":
        kinds = {"cast": Cast, "bands": Bands, "speckle": Speckle}
        return cls(**value | {name: kind(**value[name]) for name, kind in kinds.items() if value[name]})


@dataclass(frozen=True)
class Record:
    """What was drawn and coded how, and what came of it."""

    seed: int
    effort: int
    avif: str
    outcomes: list[Outcome]

    @classmethod
    def read(cls, path: Path) -> "Record":
        return read_record(
            path, lambda value: cls(**value | {"outcomes": [Outcome.from_json(one) for one in value["outcomes"]]})
        )


def cast(original: UInt8[np.ndarray, "H W 3"], decoded: UInt8[np.ndarray, "H W 3"]) -> Cast | None:
    """What became of neutral pixels; None without any."""
    found = np.ptp(decoded.astype(int), axis=2)[np.ptp(original.astype(int), axis=2) == 0]
    if not found.size:
        return None
    return Cast(float(found.mean()), float(np.percentile(found, 99.9)), float(found.max()))


def bands(
    original: UInt8[np.ndarray, "H W 3"], decoded: UInt8[np.ndarray, "H W 3"], ramp: Bool[np.ndarray, "H W"]
) -> Bands:
    """Steps of the error along rows and columns of a ramp: those of the decoded picture less the ramp's own."""
    error = decoded.astype(int) - original
    largest = {True: 0.0, False: 0.0}
    for axis in (0, 1):
        steps = np.abs(np.diff(error, axis=axis)).max(axis=2)
        in_ramp = np.moveaxis(ramp, axis, 0)
        steps = np.where(in_ramp[1:] & in_ramp[:-1], np.moveaxis(steps, axis, 0), 0)
        at_blocks = np.arange(1, len(steps) + 1) % BLOCK == 0
        for place in largest:
            largest[place] = max(largest[place], float(steps[at_blocks == place].max(initial=0)))
    return Bands(largest[True], largest[False])


def speckle(original: UInt8[np.ndarray, "H W 3"], decoded: UInt8[np.ndarray, "H W 3"]) -> Speckle:
    """The error of ground that is flat in the source."""
    error = decoded.astype(float) - original
    away = _flat(original, EDGE_REACH)
    near = _flat(original, 1) & ~away
    return Speckle(*_error_of(error[away]), *_error_of(error[near]))


def _flat(pixels: UInt8[np.ndarray, "H W 3"], reach: int) -> Bool[np.ndarray, "H W"]:
    """Where a square of pixels that reaches so far to all sides has one colour."""
    size = (2 * reach + 1, 2 * reach + 1, 1)
    return (maximum_filter(pixels, size) == minimum_filter(pixels, size)).all(axis=2)


def _error_of(error: np.ndarray) -> tuple[float | None, float | None]:
    return (float(np.sqrt(np.square(error).mean())), float(np.abs(error).max())) if error.size else (None, None)


def damage(
    drawn: DrawnPicture, decoded: UInt8[np.ndarray, "H W 3"], file_bytes: int, size: int, **what: object
) -> Outcome:
    """All numbers of a decoded picture, whose file should have a size."""
    return Outcome(
        **what,
        picture=drawn.name,
        file_bytes=file_bytes,
        is_above_size=file_bytes > size,
        mean_squared_error=float(np.square(decoded.astype(float) - drawn.pixels).mean()),
        cast=cast(drawn.pixels, decoded),
        bands=None if drawn.ramp is None else bands(drawn.pixels, decoded, drawn.ramp),
        speckle=speckle(drawn.pixels, decoded) if drawn.ramp is None else None,
    )


def measure(codec: Codec, drawn: DrawnPicture, quality: float, effort: int) -> list[Outcome]:
    """A picture through a model, and through AVIF in as many bytes."""
    picture = Picture(drawn.pixels)
    name = codec.model.identity.name
    # As the command line does: equal colours are coded as grey, and what takes no more bytes so without loss.
    encoded = encode_best(codec, picture_of_samples(drawn.pixels), quality, effort)
    decode, size = (decode_lossless if encoded.is_lossless else codec.decode), len(encoded.data)
    what = {"model": name, "quality": quality}
    found = [damage(drawn, decode(encoded.data).samples, size, size, codec=name, **what)]
    for peer in PEERS:
        try:
            data = peer.encode_to_size(picture, size).data
        except UsageError:  # even its smallest file is larger
            data = peer.encode(picture, peer.scale.worst)
        pixels = peer.decode(data, 3).pixels
        found.append(damage(drawn, pixels, len(data), size, codec=peer.name, **what))
    return found


HEADINGS = (
    "bytes", "above size", "PSNR, dB", "cast: mean", "99.9 %", "largest", "band: at 16", "elsewhere",
    "speckle away: RMS", "largest", "near: RMS", "largest",
)  # fmt: skip


def cells(outcomes: Sequence[Outcome]) -> list[str]:
    """A row: means over pictures of means and of squares, the largest of what is largest."""
    casts = [one.cast for one in outcomes if one.cast]
    ramps = [one.bands for one in outcomes if one.bands]
    grounds = [one.speckle for one in outcomes if one.speckle]
    return [
        str(sum(one.file_bytes for one in outcomes)),
        str(sum(one.is_above_size for one in outcomes)),
        f"{psnr_of_error_db(statistics.fmean(one.mean_squared_error for one in outcomes)):.2f}",
        _number(statistics.fmean, [one.mean for one in casts], 2),
        _number(max, [one.percentile for one in casts], 0),
        _number(max, [one.maximum for one in casts], 0),
        _number(max, [one.at_blocks for one in ramps], 0),
        _number(max, [one.elsewhere for one in ramps], 0),
        _number(_root_mean_square, [one.away_rms for one in grounds], 2),
        _number(max, [one.away_maximum for one in grounds], 0),
        _number(_root_mean_square, [one.near_rms for one in grounds], 2),
        _number(max, [one.near_maximum for one in grounds], 0),
    ]


def _number(summary: Callable[[list[float]], float], values: Sequence[float | None], decimals: int) -> str:
    known = [value for value in values if value is not None]
    return f"{summary(known):.{decimals}f}" if known else ABSENT


def _root_mean_square(values: list[float]) -> float:
    return math.sqrt(statistics.fmean(value * value for value in values))


def table(record: Record, *, each: bool = False) -> str:
    """Markdown: a table for every model and quality, a row for every codec, and for every picture if asked for."""
    groups: dict[tuple[str, float], dict[str, list[Outcome]]] = {}
    for one in record.outcomes:
        groups.setdefault((one.model, one.quality), {}).setdefault(one.codec, []).append(one)
    lines = [f"seed {record.seed}, effort {record.effort}; {record.avif}"]
    for (model, quality), by_codec in groups.items():
        lines += ["", f"{model}, quality {quality:g}, and AVIF at equal size:", ""]
        lines += [f"| | {' | '.join(HEADINGS)} |", f"|---|{'---:|' * len(HEADINGS)}"]
        for codec, outcomes in by_codec.items():
            lines.append(f"| {codec} | {' | '.join(cells(outcomes))} |")
            if each:
                lines += [f"| {one.picture} | {' | '.join(cells([one]))} |" for one in outcomes]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw, code, measure, print; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--show", type=Path, metavar="FILE", help="print what an earlier run has found, only")
    parser.add_argument("--write", type=Path, metavar="FOLDER", help="write the pictures as PNG, only")
    parser.add_argument("--each", action="store_true", help="print a row for every picture, too")
    parser.add_argument("--model", nargs="+", default=MODELS, help="names or weights files")
    parser.add_argument("--qualities", type=float, nargs="+", default=QUALITIES)
    parser.add_argument("--effort", type=int, default=DEFAULT_EFFORT, help="1..9 (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, default=Path("runs/drawn.json"))
    options = parser.parse_args(arguments)
    console = Console(width=200, markup=False, highlight=False, soft_wrap=True)
    if options.show is not None:
        console.print(table(Record.read(options.show), each=options.each))
        return 0
    pictures = drawn_pictures(options.seed)
    if options.write is not None:
        options.write.mkdir(parents=True, exist_ok=True)
        for drawn in pictures:
            Image.fromarray(drawn.pixels).save(options.write / f"{drawn.name.replace(' ', '-')}.png")
        return 0
    search_steps(options.effort)
    find_peers([peer.key for peer in PEERS])
    outcomes = []
    for codec in [Codec.load(model) for model in options.model]:
        work = [(drawn, quality) for quality in options.qualities for drawn in pictures]
        for drawn, quality in track(work, description=codec.model.identity.name, transient=True):
            outcomes += measure(codec, drawn, quality, options.effort)
    record = Record(options.seed, options.effort, AVIF.version, outcomes)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(options.output, (json.dumps(asdict(record), indent=1) + "\n").encode(), overwrite=True)
    console.print(table(record, each=options.each))
    return 0


if __name__ == "__main__":
    run(main)
