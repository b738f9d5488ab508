"""``trimix decompress``: a ``.tmix`` file to a picture file."""

import time
from io import BytesIO
from pathlib import Path
from typing import Annotated

import typer

from trimix.bitstream import MAXIMUM_PIXELS, QUALITY_STEPS
from trimix.cli.compressed_files import ModelOfFileOption, checked_header, model_of_file
from trimix.cli.inputs import STANDARD_STREAM, Source, naming
from trimix.cli.interrupts import raise_if_interrupted
from trimix.cli.networks import announce_compilation, prepare_coding
from trimix.cli.options import (
    PICTURE_FORMATS,
    Device,
    DeviceOption,
    ForceOption,
    JsonOption,
    MaximumPixelsOption,
    ThreadsOption,
    check_picture_format,
)
from trimix.cli.outputs import (
    Destination,
    default_output,
    print_json,
    print_summary,
    refuse_json_with_data,
)
from trimix.errors import CodecError, UsageError
from trimix.progress import working

_DEFAULT_FORMAT = "png"


def decompress(
    file: Annotated[str, typer.Argument(metavar="IN", help="Compressed file; - reads standard input.")],
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            metavar="OUT",
            help="Picture file; - writes standard output.",
            show_default="IN with the suffix of --format",
        ),
    ] = None,
    format: Annotated[  # noqa: A002
        str | None,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help=f"{', '.join(PICTURE_FORMATS)}; JPEG is written at quality 95, WebP without loss.",
            show_default="by the suffix of OUT, else png",
        ),
    ] = None,
    model: ModelOfFileOption = None,
    device: DeviceOption = Device.CPU,
    threads: ThreadsOption = None,
    force: ForceOption = False,
    json: JsonOption = False,
    maximum_pixels: MaximumPixelsOption = MAXIMUM_PIXELS,
) -> None:
    """Decompress a .tmix file to a picture.

    What the format has no place for is named, alpha is then put on white. With
    -o - the picture takes standard output: no --json then.
    """
    wanted = None if format is None else check_picture_format(format)
    source = Source(file, CodecError)
    # Damage, limits and a missing model show here, before torch is loaded.
    header = checked_header(source, maximum_pixels)
    output = default_output(source, wanted or _DEFAULT_FORMAT) if output is None else output
    extension = wanted or _extension_of(output)
    if json:
        refuse_json_with_data(output)
    destination = Destination(output, source, force=force)
    entry = model_of_file(source, header, model)
    with working("loading the model"):
        device_name = prepare_coding(device, threads)
        from trimix.codec import Codec
        from trimix.images import write_picture

        raise_if_interrupted()
        codec = Codec.load(entry.path, device_name)
    with working(f"decompressing {source.name}"):
        announce_compilation("decoding")
        started = time.perf_counter()
        with naming(source):
            picture = codec.decode(source.contents(), maximum_pixels)
        decode_seconds = time.perf_counter() - started
        buffer = BytesIO()
        notes = write_picture(picture, buffer, format=extension)
        destination.write(buffer.getvalue())
    bits_per_pixel = 8 * source.size_bytes / (picture.width * picture.height)
    for note in notes:
        print_summary(f"trimix: {destination.name}: {note}")
    if json:
        print_json(
            {
                "input": source.name,
                "output": destination.name,
                "width": picture.width,
                "height": picture.height,
                "channels": picture.samples.shape[2],
                "bit_depth": picture.bit_depth,
                "notes": notes,
                "bytes": source.size_bytes,
                "output_bytes": buffer.tell(),
                "bits_per_pixel": bits_per_pixel,
                "quality": round(header.quality / QUALITY_STEPS, 2),
                "model": codec.model.identity.name,
                "model_hash": codec.model.identity.weights_hash.hex(),
                "decode_seconds": decode_seconds,
            }
        )
        return
    print_summary(
        f"{source.name} ({source.size_bytes} bytes, {bits_per_pixel:.3f} bpp) -> {destination.name}: "
        f"{picture.width}x{picture.height}, {buffer.tell()} bytes, {decode_seconds:.2f} s"
    )


def _extension_of(output: str) -> str:
    if output == STANDARD_STREAM or Path(output).is_char_device() or Path(output).is_fifo():
        return _DEFAULT_FORMAT
    suffix = Path(output).suffix
    if suffix.lower().removeprefix(".") not in PICTURE_FORMATS:
        raise UsageError(
            f"{output}: the suffix must be one of {', '.join(PICTURE_FORMATS)}, found {suffix or 'none'}; "
            "change it or give --format"
        )
    return suffix
