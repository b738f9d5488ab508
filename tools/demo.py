"""A demonstration: one photograph through the command line, beside JPEG, WebP and AVIF of the same size.

    python tools/demo.py [PICTURE] [--quality 30] [--output demo-output]

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

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from rich.console import Console
from rich.table import Table

from trimix.distortion.constants import SSIMULACRA2_MINIMUM_SIDE
from trimix.distortion.ssimulacra2 import ssimulacra2_of_pixels
from trimix.errors import TrimixError, UsageError
from trimix.evaluation.metrics import measure_point
from trimix.evaluation.peers import AVIF, JPEG_PROGRESSIVE, WEBP
from trimix.evaluation.rate_points import RatePoint
from trimix.images import Picture, read_picture, write_picture
from trimix.shapes import UInt8

OTHER_CODECS = (JPEG_PROGRESSIVE, WEBP, AVIF)
"""JPEG in its smaller form: at these sizes the default one is at the end of its scale."""
DEFAULT_QUALITY = 30.0
ASTRONAUT_FACE = (60, 170)
"""Row and column of the detail of the photograph that is taken without a picture."""


_COLUMN_WIDTH = 400
_DETAIL_SIDE = 100
_MARGIN = 24
_TITLE_SIZE, _CAPTION_SIZE = 26, 18
_BACKGROUND, _INK, _PALE_INK, _FRAME = (250, 250, 248), (25, 25, 25), (105, 105, 105), (225, 70, 45)


@dataclass(frozen=True)
class Panel:
    """One column of the comparison.

    Attributes:
        title: name of the codec.
        captions: lines below the title.
        pixels: uint8 [H W C], 0 .. 255, grey or RGB.
    """

    title: str
    captions: tuple[str, ...]
    pixels: UInt8[np.ndarray, "H W C"]


def draw_comparison(panels: Sequence[Panel], detail_corner: tuple[int, int] | None = None) -> Image.Image:
    """A column for each panel: title and captions, the whole picture, a detail enlarged four times.

    Args:
        panels: at least one, all of one size.
        detail_corner: row and column of the upper left pixel of the detail, moved into the picture where it must
            be; None for a detail in the middle.

    Raises:
        UsageError: no panels, or panels of different sizes.
    """
    sizes = {panel.pixels.shape[:2] for panel in panels}
    if len(sizes) != 1:
        raise UsageError(f"panels must have one size, found {sorted(sizes) or 'none'}; crop them")
    height, width = sizes.pop()
    side = min(_DETAIL_SIDE, height, width)
    row, column = detail_corner or ((height - side) // 2, (width - side) // 2)
    row, column = min(max(row, 0), height - side), min(max(column, 0), width - side)
    whole_height = round(_COLUMN_WIDTH * height / width)
    caption_lines = max(len(panel.captions) for panel in panels)
    heading_height = _TITLE_SIZE + 12 + caption_lines * (_CAPTION_SIZE + 6) + 8
    sheet = Image.new(
        "RGB",
        (
            _MARGIN + len(panels) * (_COLUMN_WIDTH + _MARGIN),
            4 * _MARGIN + heading_height + whole_height + _COLUMN_WIDTH,
        ),
        _BACKGROUND,
    )
    draw = ImageDraw.Draw(sheet)
    title_font, caption_font = ImageFont.load_default(_TITLE_SIZE), ImageFont.load_default(_CAPTION_SIZE)
    for index, panel in enumerate(panels):
        left, top = _MARGIN + index * (_COLUMN_WIDTH + _MARGIN), _MARGIN
        draw.text((left, top), panel.title, _INK, title_font)
        for line, caption in enumerate(panel.captions):
            line_top = top + _TITLE_SIZE + 12 + line * (_CAPTION_SIZE + 6)
            draw.text((left, line_top), caption, _PALE_INK, caption_font)
        top += heading_height + _MARGIN // 2
        image = Image.fromarray(panel.pixels.repeat(3, axis=2) if panel.pixels.shape[2] == 1 else panel.pixels)
        sheet.paste(image.resize((_COLUMN_WIDTH, whole_height), Image.Resampling.LANCZOS), (left, top))
        scale = _COLUMN_WIDTH / width
        corners = [(left + scale * x, top + scale * y) for x, y in ((column, row), (column + side, row + side))]
        draw.rectangle([*corners[0], *corners[1]], outline=_FRAME, width=2)
        top += whole_height + _MARGIN
        # Nearest neighbours: what is seen is what was decoded, not what a filter made of it.
        detail = image.crop((column, row, column + side, row + side))
        sheet.paste(detail.resize((_COLUMN_WIDTH, _COLUMN_WIDTH), Image.Resampling.NEAREST), (left, top))
        draw.rectangle([left - 2, top - 2, left + _COLUMN_WIDTH + 1, top + _COLUMN_WIDTH + 1], outline=_FRAME, width=2)
    return sheet


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
    for heading in ("bytes", "bpp", "SSIMULACRA2", "PSNR dB", "MS-SSIM"):
        table.add_column(heading, justify="right")
    png_bytes = source.stat().st_size
    table.add_row("PNG", "lossless", f"{png_bytes:,}", f"{8 * png_bytes / original.pixels[:, :, 0].size:.3f}")
    is_scored = min(original.width, original.height) >= SSIMULACRA2_MINIMUM_SIDE
    scores = [
        ssimulacra2_of_pixels(original.pixels, contender.decoded.pixels) if is_scored else None
        for contender in contenders
    ]
    best_psnr_db = max(contender.point.psnr_db for contender in contenders)
    best_ms_ssim = max(contender.point.ms_ssim or 0.0 for contender in contenders)
    for contender, score in zip(contenders, scores, strict=True):
        point = contender.point
        points = "too small" if score is None else f"{score:.1f}"
        psnr = f"{point.psnr_db:.2f}"
        ms_ssim = "too small" if point.ms_ssim is None else f"{point.ms_ssim:.4f}"
        table.add_row(
            contender.name,
            contender.setting,
            f"{contender.file_bytes:,}",
            f"{point.bits_per_pixel:.3f}",
            f"[bold]{points}[/bold]"
            if score is not None and score == max(one for one in scores if one is not None)
            else points,
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
    original = photograph() if picture is None else read_picture(picture).bare()
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
                f"{codec.name}: {codec.settings} ({codec.version})", style="dim", highlight=False, soft_wrap=True
            )
    panels = [Panel("original", (f"{source.stat().st_size:,} bytes as PNG",), original.pixels)]
    panels += [contender.panel for contender in contenders]
    sheet = draw_comparison(panels, ASTRONAUT_FACE if picture is None else None)
    sheet.save(comparison)
    for meaning, path in (("compressed", compressed), ("decoded", decompressed), ("side by side", comparison)):
        console.print(f"{meaning}: {path}", highlight=False, soft_wrap=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """The demonstration as a command; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="python tools/demo.py",
        description="One photograph through trimix, beside JPEG, WebP and AVIF of the same size.",
    )
    parser.add_argument("picture", type=Path, nargs="?", help="a picture file (default: a photograph)")
    parser.add_argument("--quality", type=float, default=DEFAULT_QUALITY, help="1 .. 100 (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("demo-output"), help="folder (default: %(default)s)")
    options = parser.parse_args(arguments)
    try:
        demonstrate(Console(), options.picture, options.quality, options.output)
    except TrimixError as error:
        Console(stderr=True).print(f"[red]error:[/red] {error}", highlight=False, soft_wrap=True)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
