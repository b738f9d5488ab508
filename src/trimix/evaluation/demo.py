"""A demonstration: one photograph through the command line, beside JPEG, WebP and AVIF of the same size.

    python -m trimix.evaluation.demo [PICTURE] [--quality 30] [--output demo-output]

Without a picture it takes a photograph that scikit-image ships; nothing is downloaded.
"""

import argparse
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from trimix.errors import TrimixError, UsageError
from trimix.evaluation.comparison import Panel, draw_comparison
from trimix.evaluation.metrics import measure_point
from trimix.evaluation.peers import AVIF, JPEG_PROGRESSIVE, WEBP
from trimix.evaluation.rate_points import RatePoint
from trimix.images import Picture, read_picture, write_picture

OTHER_CODECS = (JPEG_PROGRESSIVE, WEBP, AVIF)
"""JPEG in its smaller form: at these sizes the default one is at the end of its scale."""
DEFAULT_QUALITY = 30.0
ASTRONAUT_FACE = (60, 170)
"""Row and column of the detail of the photograph that is taken without a picture."""


@dataclass(frozen=True)
class Contender:
    """A picture that went through a codec."""

    name: str
    setting: str
    file_bytes: int
    point: RatePoint
    decoded: Picture

    @property
    def panel(self) -> Panel:
        """Its column in the comparison."""
        ms_ssim = "" if self.point.ms_ssim is None else f"   MS-SSIM {self.point.ms_ssim:.4f}"
        return Panel(
            self.name,
            (
                f"{self.file_bytes:,} bytes   {self.point.bits_per_pixel:.3f} bpp",
                f"PSNR {self.point.psnr_db:.2f} dB{ms_ssim}",
            ),
            self.decoded.pixels,
        )


def photograph() -> Picture:
    """Eileen Collins, NASA astronaut: 512 x 512 RGB, in the public domain, a file of scikit-image's wheel.

    Raises:
        UsageError: scikit-image is not installed.
    """
    try:
        from skimage import data
    except ImportError as error:
        raise UsageError(
            "the demonstration needs scikit-image for its photograph, found none; "
            "pip install 'trimix[demo]', or name a picture"
        ) from error
    return Picture(data.astronaut())


def run_trimix(console: Console, *arguments: str) -> None:
    """Run the command line as a person would, and show what was typed and how long it took.

    Raises:
        UsageError: the command is not installed.
        SystemExit: the command failed; it has said why, and its exit code is kept.
    """
    # The command of this very environment, though it may not be on the path.
    command = shutil.which("trimix", path=str(Path(sys.executable).parent)) or shutil.which("trimix")
    if command is None:
        raise UsageError("the command trimix must be installed, found none; pip install -e .")
    console.print(f"[bold]$ trimix {' '.join(arguments)}[/bold]", highlight=False, soft_wrap=True)
    start = time.perf_counter()
    result = subprocess.run([command, *arguments], check=False)
    if result.returncode != 0:
        raise SystemExit(result.returncode)
    console.print(f"  took {time.perf_counter() - start:.1f} s", style="dim", highlight=False)


def compress_and_decompress(
    console: Console, original: Picture, source: Path, compressed: Path, decompressed: Path, quality: float
) -> Contender:
    """The picture through `trimix compress` and `trimix decompress`, from file to file."""
    for left_over in (compressed, decompressed):
        left_over.unlink(missing_ok=True)
    run_trimix(console, "compress", str(source), "-o", str(compressed), "-q", f"{quality:g}")
    run_trimix(console, "decompress", str(compressed), "-o", str(decompressed))
    file_bytes = compressed.stat().st_size
    decoded = read_picture(decompressed)
    point = measure_point(original.pixels, decoded.pixels, file_bytes, quality)
    return Contender("trimix", f"quality {quality:g}", file_bytes, point, decoded)


def others_of_size(console: Console, original: Picture, target_bytes: int) -> list[Contender]:
    """Each other codec at its highest quality whose file is not larger than the target."""
    found = []
    for codec in OTHER_CODECS:
        if not codec.available:
            console.print(f"[yellow]{codec.name} is left out: it {codec.obstacle}.[/yellow]")
            continue
        try:
            file = codec.encode_to_size(original, target_bytes)
        except UsageError as error:
            console.print(f"[yellow]{codec.name} is left out: {error}.[/yellow]", highlight=False)
            continue
        decoded = codec.decode(file.data, original.channels)
        point = measure_point(original.pixels, decoded.pixels, len(file.data), float(file.quality))
        found.append(Contender(codec.name, f"quality {file.quality}", len(file.data), point, decoded))
    return found


def results_table(source: Path, original: Picture, contenders: Sequence[Contender]) -> Table:
    """Size, rate and distortion of every contender, the best distortion in bold."""
    title = f"{source.name}, {original.width} x {original.height}, at equal size"
    table = Table(title=title, title_style="bold", title_justify="left")
    for heading in ("codec", "setting"):
        table.add_column(heading)
    for heading in ("bytes", "bpp", "PSNR dB", "MS-SSIM"):
        table.add_column(heading, justify="right")
    png_bytes = source.stat().st_size
    table.add_row("PNG", "lossless", f"{png_bytes:,}", f"{8 * png_bytes / original.pixels[:, :, 0].size:.3f}")
    best_psnr_db = max(contender.point.psnr_db for contender in contenders)
    best_ms_ssim = max(contender.point.ms_ssim or 0.0 for contender in contenders)
    for contender in contenders:
        point = contender.point
        psnr = f"{point.psnr_db:.2f}"
        ms_ssim = "too small" if point.ms_ssim is None else f"{point.ms_ssim:.4f}"
        table.add_row(
            contender.name,
            contender.setting,
            f"{contender.file_bytes:,}",
            f"{point.bits_per_pixel:.3f}",
            f"[bold]{psnr}[/bold]" if point.psnr_db == best_psnr_db else psnr,
            f"[bold]{ms_ssim}[/bold]" if point.ms_ssim == best_ms_ssim else ms_ssim,
        )
    return table


def demonstrate(console: Console, picture: Path | None, quality: float, output: Path) -> None:
    """Everything, from the photograph to the paths of what was written.

    Args:
        console: where to print.
        picture: a picture file, or None for the photograph of scikit-image.
        quality: of trimix, 1 .. 100.
        output: folder, made where it does not exist.

    Raises:
        TrimixError: the picture cannot be read, or the results cannot be written.
        SystemExit: a command failed.
    """
    # Pixels only: a profile or a thumbnail would count as bits of one codec and not of the others.
    original = photograph() if picture is None else Picture(read_picture(picture).pixels)
    name = "astronaut" if picture is None else picture.stem
    output.mkdir(parents=True, exist_ok=True)
    source, compressed = output / f"{name}.png", output / f"{name}.tmix"
    decompressed, comparison = output / f"{name}.decoded.png", output / "comparison.png"
    write_picture(original, source)
    trimix = compress_and_decompress(console, original, source, compressed, decompressed, quality)
    contenders = [trimix, *others_of_size(console, original, trimix.file_bytes)]
    console.print(results_table(source, original, contenders))
    for codec in OTHER_CODECS:
        if codec.available:
            console.print(
                f"{codec.name}: {codec.settings} ({codec.version})",
                style="dim",
                highlight=False,
                soft_wrap=True,
            )
    panels = [Panel("original", (f"{source.stat().st_size:,} bytes as PNG",), original.pixels)]
    panels += [contender.panel for contender in contenders]
    sheet = draw_comparison(panels, ASTRONAUT_FACE if picture is None else None)
    sheet.save(comparison)
    for meaning, path in (
        ("compressed", compressed),
        ("decoded", decompressed),
        ("side by side", comparison),
    ):
        console.print(f"{meaning}: {path}", highlight=False, soft_wrap=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """The demonstration as a command; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m trimix.evaluation.demo",
        description="One photograph through trimix, beside JPEG, WebP and AVIF of the same size.",
    )
    parser.add_argument("picture", type=Path, nargs="?", help="a picture file (default: a photograph)")
    parser.add_argument(
        "--quality", type=float, default=DEFAULT_QUALITY, help="1 .. 100 (default: %(default)s)"
    )
    parser.add_argument(
        "--output", type=Path, default=Path("demo-output"), help="folder (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    try:
        demonstrate(Console(), options.picture, options.quality, options.output)
    except TrimixError as error:
        Console(stderr=True).print(f"[red]error:[/red] {error}", highlight=False, soft_wrap=True)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
