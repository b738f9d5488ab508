"""Rate and distortion of trimix, JPEG, WebP and AVIF on a folder of pictures, and BD-rates between them.

    python benchmarks/rate_distortion.py --data kodak [--model gllmm-lite] [--qualities 5,15,...] [--output F.json]
    python benchmarks/rate_distortion.py --data kodak --monotonicity

Rates are those of whole files, distortions those of 8-bit RGB pixels decoded from these files; a point is the mean
over the pictures of bits per pixel and of decibels. The published curves are means over the 24 Kodak pictures, so
the BD-rate against them means something on those only. --monotonicity codes every picture at every quality from
1 to 100 and fails where a higher quality gives a smaller file or a lower PSNR.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from itertools import pairwise
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

import trimix
from trimix.errors import TrimixError, UsageError
from trimix.evaluation.bd_rate import BdRate, bd_rate
from trimix.evaluation.metrics import measure_point, psnr_db
from trimix.evaluation.rate_points import RateCurve, RatePoint, mean_point, reference_curves
from trimix.images import INPUT_FORMATS, Picture, read_picture

PICTURE_EXTENSIONS = {".png", ".ppm", ".bmp", ".tif", ".tiff", ".webp", ".jpg", ".jpeg"}
DEFAULT_QUALITIES = (5.0, 15.0, 25.0, 35.0, 45.0, 55.0, 65.0, 75.0, 85.0, 95.0)
CLASSICAL_QUALITIES = (5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95)
CLASSICAL_CODECS = (JPEG, WEBP, AVIF)
"""As most people write these files."""
MORE_CODECS = (JPEG_PROGRESSIVE, JPEG_444, WEBP_SLOW, AVIF_444)
KODAK_PICTURES = 24
ANCHORS = {"VTM (published)": "vtm", "WebP (published)": "webp", "JPEG (published)": "jpeg"}


def read_pictures(folder: Path, limit: int | None) -> dict[str, Picture]:
    """Pixels of the pictures in a folder, by file name, in the order of the names."""
    paths = sorted(path for path in folder.glob("*") if path.suffix.lower() in PICTURE_EXTENSIONS)[:limit]
    if not paths:
        raise UsageError(
            f"{folder} must hold pictures ({', '.join(INPUT_FORMATS)}), found none; check --data"
        )
    # Without metadata, which would count as bits of some codecs and not of others.
    return {path.name: Picture(read_picture(path).pixels) for path in paths}


def measure(
    coded: Callable[[Picture, float], tuple[bytes, Picture]], picture: Picture, quality: float
) -> RatePoint:
    """One picture through a codec, as a file."""
    data, decoded = coded(picture, quality)
    return measure_point(picture.pixels, decoded.pixels, len(data), quality)


def trimix_coder(model: str, device: str) -> Callable[[Picture, float], tuple[bytes, Picture]]:
    """Encodes and decodes with a model by name or weights file."""
    codec = trimix.Codec.load(model, device)

    def coded(picture: Picture, quality: float) -> tuple[bytes, Picture]:
        data = codec.encode(picture, quality)
        return data, codec.decode(data)

    return coded


def classical_coder(codec: Peer) -> Callable[[Picture, float], tuple[bytes, Picture]]:
    """Encodes and decodes with Pillow."""

    def coded(picture: Picture, quality: float) -> tuple[bytes, Picture]:
        data = codec.encode(picture, quality)
        return data, codec.decode(data, picture.channels)

    return coded


def measure_curve(
    name: str,
    source: str,
    coded: Callable[[Picture, float], tuple[bytes, Picture]],
    pictures: dict[str, Picture],
    qualities: Sequence[float],
) -> tuple[RateCurve, dict[str, list[RatePoint]]]:
    """The mean curve over the pictures, and the points of each."""
    by_picture = {
        file_name: [measure(coded, picture, quality) for quality in qualities]
        for file_name, picture in track(pictures.items(), description=name, transient=True)
    }
    means = tuple(mean_point(points) for points in zip(*by_picture.values(), strict=True))
    return RateCurve(name, means, source), by_picture


def growing(curve: RateCurve) -> RateCurve:
    """The curve without points that a BD-rate cannot use: infinite, or not better than a cheaper one."""
    kept: list[RatePoint] = []
    for point in curve.points:
        if np.isfinite(point.psnr_db) and (not kept or point.psnr_db > kept[-1].psnr_db):
            kept.append(point)
    return RateCurve(curve.name, tuple(kept), curve.source)


def bd_rates(curves: Sequence[RateCurve]) -> dict[str, dict[str, BdRate | None]]:
    """BD-rate in PSNR by anchor, published or of this run, and by codec; None where the curves do not allow one."""
    anchors = {name: reference_curves()[key] for name, key in ANCHORS.items()}
    anchors |= {f"{curve.name} (this run)": curve for curve in curves[1:]}
    table: dict[str, dict[str, BdRate | None]] = {}
    for anchor_name, anchor in anchors.items():
        row = table.setdefault(anchor_name, {})
        for curve in curves:
            try:
                row[curve.name] = bd_rate(growing(anchor), growing(curve))
            except UsageError:
                row[curve.name] = None
    return table


def print_results(
    console: Console, curves: Sequence[RateCurve], rates: dict[str, dict[str, BdRate | None]]
) -> None:
    """A table of points and one of BD-rates."""
    points = Table("codec", title="means over the pictures")
    for heading in ("quality", "bpp", "PSNR dB", "luma PSNR dB", "MS-SSIM", "MS-SSIM dB"):
        points.add_column(heading, justify="right")
    for curve in curves:
        for point in curve.points:
            points.add_row(
                curve.name,
                *(
                    "" if value is None else f"{value:{form}}"
                    for value, form in (
                        (point.quality, "g"),
                        (point.bits_per_pixel, ".4f"),
                        (point.psnr_db, ".3f"),
                        (point.luma_psnr_db, ".3f"),
                        (point.ms_ssim, ".5f"),
                        (point.ms_ssim_db, ".2f"),
                    )
                ),
            )
        points.add_section()
    console.print(points)
    deltas = Table("against", title="BD-rate in PSNR, %")
    for curve in curves:
        deltas.add_column(curve.name, justify="right")
    deltas.add_column(f"over dB ({curves[0].name})", justify="right")
    for anchor_name, row in rates.items():
        first = row[curves[0].name]
        deltas.add_row(
            anchor_name,
            *("none" if rate is None else f"{rate.percent:+.1f}" for rate in row.values()),
            "" if first is None else f"{first.overlap_minimum_db:.1f} .. {first.overlap_maximum_db:.1f}",
        )
    console.print(deltas)


def falling_steps(points: Sequence[RatePoint]) -> Iterator[tuple[RatePoint, RatePoint, str]]:
    """Neighbours in quality of which the higher has a smaller file or a lower PSNR."""
    for lower, higher in pairwise(points):
        if higher.bits_per_pixel < lower.bits_per_pixel:
            yield lower, higher, f"{lower.bits_per_pixel:.5f} -> {higher.bits_per_pixel:.5f} bpp"
        if higher.psnr_db < lower.psnr_db:
            yield lower, higher, f"{lower.psnr_db:.4f} -> {higher.psnr_db:.4f} dB"


def rate_and_psnr(
    coded: Callable[[Picture, float], tuple[bytes, Picture]], picture: Picture, quality: float
) -> RatePoint:
    """One picture through a codec, without the metrics that take longer."""
    data, decoded = coded(picture, quality)
    pixels = picture.width * picture.height
    return RatePoint(8 * len(data) / pixels, psnr_db(picture.pixels, decoded.pixels), quality=quality)


def check_monotonicity(
    console: Console, coded: Callable[[Picture, float], tuple[bytes, Picture]], pictures: dict[str, Picture]
) -> bool:
    """Whether rate and PSNR never fall from one quality to the next, for every picture."""
    sound = True
    for name, picture in track(pictures.items(), description="monotonicity", transient=True):
        points = [rate_and_psnr(coded, picture, float(quality)) for quality in range(1, 101)]
        for lower, higher, what in falling_steps(points):
            sound = False
            console.print(f"{name}: quality {lower.quality:g} -> {higher.quality:g}: {what}")
    console.print("monotone: yes" if sound else "monotone: no")
    return sound


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of pictures")
    parser.add_argument("--model", default="gllmm-lite", help="name or weights file (default: %(default)s)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: %(default)s)")
    parser.add_argument(
        "--qualities",
        type=lambda text: tuple(float(part) for part in text.split(",")),
        default=DEFAULT_QUALITIES,
        help="of trimix, with commas between (default: every tenth from 5 to 95)",
    )
    parser.add_argument(
        "--all-codecs", action="store_true", help="also 4:4:4 and slower settings of the others"
    )
    parser.add_argument("--limit", type=int, help="only the first so many pictures")
    parser.add_argument("--monotonicity", action="store_true", help="only check qualities 1 to 100")
    parser.add_argument("--output", type=Path, default=Path("runs/rate_distortion.json"))
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; returns the exit code."""
    options = parse_arguments(arguments)
    console = Console()
    pictures = read_pictures(options.data, options.limit)
    coded = trimix_coder(options.model, options.device)
    if options.monotonicity:
        return 0 if check_monotonicity(console, coded, pictures) else 1
    results = [measure_curve("trimix", f"model {options.model}", coded, pictures, options.qualities)]
    for codec in CLASSICAL_CODECS + (MORE_CODECS if options.all_codecs else ()):
        if not codec.available:
            console.print(f"{codec.name} is left out: it {codec.obstacle}")
            continue
        source = f"{codec.settings}; {codec.version}"
        coder = classical_coder(codec)
        results.append(measure_curve(codec.name, source, coder, pictures, CLASSICAL_QUALITIES))
    curves = [curve for curve, _ in results]
    rates = bd_rates(curves)
    console.print(
        f"{len(pictures)} pictures of {options.data.name}, trimix {trimix.__version__}, {options.model}"
    )
    print_results(console, curves, rates)
    if len(pictures) != KODAK_PICTURES:
        console.print(
            "the published curves are means over the 24 Kodak pictures: their rows mean little here"
        )
    options.output.parent.mkdir(parents=True, exist_ok=True)
    report = {
        "version": trimix.__version__,
        "date": date.today().isoformat(),
        "data": options.data.name,
        "curves": [curve.to_json() for curve in curves],
        "bd_rates_percent": {
            anchor: {name: rate and round(rate.percent, 3) for name, rate in row.items()}
            for anchor, row in rates.items()
        },
        "pictures": {
            curve.name: {
                name: RateCurve(name, tuple(points)).to_json()["points"]
                for name, points in by_picture.items()
            }
            for curve, by_picture in results
        },
    }
    options.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    console.print(f"written: {options.output}")
    for name, points in results[0][1].items():
        for lower, higher, what in falling_steps(points):
            console.print(f"not monotone: {name}: quality {lower.quality:g} -> {higher.quality:g}: {what}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except TrimixError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
