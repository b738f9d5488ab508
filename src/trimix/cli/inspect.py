"""``trimix inspect``: what a ``.tmix`` file reveals of its model's mixtures, as a page, a figure or numbers."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trimix.bitstream import MAXIMUM_PIXELS
from trimix.cli.compressed_files import ModelOfFileOption, checked_header, model_of_file
from trimix.cli.inputs import STANDARD_STREAM, Source, naming
from trimix.cli.interrupts import raise_if_interrupted
from trimix.cli.networks import announce_compilation, prepare_coding
from trimix.cli.options import (
    Device,
    DeviceOption,
    ForceOption,
    JsonOption,
    MaximumPixelsOption,
    MaximumSecondsOption,
    ThreadsOption,
)
from trimix.cli.outputs import Destination, default_output, print_json, print_summary, refuse_json_with_data
from trimix.errors import CodecError, UsageError
from trimix.progress import working
from trimix.time_budget import limited_time

if TYPE_CHECKING:
    from trimix.evaluation.inspection.inspecting import Inspection

_PAGE_SUFFIXES = (".html", ".htm")
_FIGURE_SUFFIX = ".png"


def inspect(
    file: Annotated[str, typer.Argument(metavar="FILE", help="Compressed file; - reads standard input.")],
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            metavar="PAGE.html|FIGURE.png",
            help="Page or figure to write; - writes the page to standard output.",
            show_default="FILE with the suffix html; nothing with --json",
        ),
    ] = None,
    channel: Annotated[
        list[int] | None,
        typer.Option(
            "--channel",
            metavar="NUMBER",
            help="Latent channel to compare with its prediction, from 0; may be given several times.",
            show_default="the 8 with most bits",
        ),
    ] = None,
    title: Annotated[
        str | None, typer.Option("--title", metavar="TEXT", help="Title.", show_default="name of FILE")
    ] = None,
    model: ModelOfFileOption = None,
    device: DeviceOption = Device.CPU,
    threads: ThreadsOption = None,
    force: ForceOption = False,
    json: JsonOption = False,
    maximum_pixels: MaximumPixelsOption = MAXIMUM_PIXELS,
    maximum_seconds: MaximumSecondsOption = None,
) -> None:
    """Show which distributions code a .tmix file, where its bits go, and how well predictions fit.

    Maps over the picture, shares by channel, histograms of latents under their
    predicted distributions, and calibration. The page is one file that loads nothing.
    """
    # With --json alone the numbers are all that is wanted.
    draws_figure = output is not None and _is_figure(output)
    if output is not None or not json:
        from trimix.evaluation.drawing import require_packages

        require_packages("an inspection", "matplotlib", *([] if draws_figure else ["jinja2"]))
    source = Source(file, CodecError)
    # Damage, limits and a missing model show here, before torch is loaded.
    header = checked_header(source, maximum_pixels)
    if output is None and not json:
        output = default_output(source, "html")
    if output is not None and json:
        refuse_json_with_data(output)
    destination = None if output is None else Destination(output, source, force=force)
    entry = model_of_file(source, header, model)
    if entry is None:
        raise CodecError(f"{source.name}: holds its samples without loss; only what a model has coded can be inspected")
    with working("loading the model"):
        device_name = prepare_coding(device, threads)
        from trimix.codec import Codec
        from trimix.evaluation.inspection.inspecting import inspect_file, numbers

        raise_if_interrupted()
        codec = Codec.load(entry.path, device_name)
    name = source.name if source.path is None else source.path.name
    with working(f"inspecting {source.name}") as tell, limited_time(maximum_seconds, tell):
        announce_compilation("decoding")
        with naming(source):
            inspection = inspect_file(codec, source.contents(), name, channel, maximum_pixels)
        raise_if_interrupted()
    if destination is not None:
        with working("drawing"):
            data = _drawn(inspection, title or name, draws_figure=draws_figure)
            raise_if_interrupted()
        destination.write(data)
        if not json:
            print_summary(
                f"{source.name} ({inspection.file_bytes} bytes, {inspection.bits_per_pixel:.3f} bpp) -> "
                f"{destination.name}: {_summary(inspection)}, {len(data)} bytes"
            )
    if json:
        print_json(numbers(inspection))


def _drawn(inspection: "Inspection", title: str, *, draws_figure: bool) -> bytes:
    if draws_figure:
        from trimix.evaluation.inspection.figure import draw_figure

        return draw_figure(inspection, title)
    from trimix.evaluation.inspection.page import make_page

    return make_page(inspection, title)


def _summary(inspection: "Inspection") -> str:
    shares = zip(inspection.statistics.shares.names, inspection.weight_shares.tolist(), strict=True)
    return ", ".join(f"{name} {100 * share:.0f} %" for name, share in shares)


def _is_figure(output: str) -> bool:
    if output == STANDARD_STREAM or Path(output).is_char_device() or Path(output).is_fifo():
        return False
    suffix = Path(output).suffix
    if suffix.lower() not in (*_PAGE_SUFFIXES, _FIGURE_SUFFIX):
        raise UsageError(
            f"{output}: the suffix must be .html for a page or .png for a figure, found {suffix or 'none'}; change it"
        )
    return suffix.lower() == _FIGURE_SUFFIX
