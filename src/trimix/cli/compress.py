"""``trimix compress``: a picture file to a ``.tmix`` file."""

import time
from typing import Annotated

import typer

from trimix.bitstream import MAGIC, QUALITY_STEPS, describe
from trimix.cli.inputs import Source, naming
from trimix.cli.interrupts import raise_if_interrupted
from trimix.cli.networks import announce_compilation, prepare_torch
from trimix.cli.options import (
    MAXIMUM_PIXELS,
    Device,
    DeviceOption,
    ForceOption,
    JsonOption,
    MaximumPixelsOption,
    QualityOption,
    ThreadsOption,
    check_quality,
)
from trimix.cli.outputs import (
    Destination,
    default_output,
    print_json,
    print_summary,
    refuse_json_with_data,
)
from trimix.cli.progress import working
from trimix.errors import PictureError
from trimix.models.catalogue import DEFAULT_MODEL, find_model


def compress(
    picture: Annotated[
        str,
        typer.Argument(
            metavar="IN",
            help="Picture: PNG, JPEG, WebP, TIFF, BMP, PPM, AVIF or GIF, 8 bits, grey or RGB; - reads standard input.",
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            metavar="OUT",
            help="Compressed file; - writes standard output.",
            show_default="IN with the suffix .tmix",
        ),
    ] = None,
    quality: QualityOption = 50.0,
    model: Annotated[
        str,
        typer.Option(
            "--model", metavar="NAME|FILE", help="Model, see 'trimix models', or a .safetensors file."
        ),
    ] = DEFAULT_MODEL,
    device: DeviceOption = Device.CPU,
    threads: ThreadsOption = None,
    force: ForceOption = False,
    json: JsonOption = False,
    maximum_pixels: MaximumPixelsOption = MAXIMUM_PIXELS,
) -> None:
    """Compress a picture to a .tmix file.

    ICC profile, EXIF and XMP are kept. A picture that EXIF says is turned is put
    upright. With -o - the output takes standard output: no --json then.
    """
    check_quality(quality)
    source = Source(picture, PictureError)
    if source.beginning(len(MAGIC)) == MAGIC:
        raise PictureError(f"{source.name}: is compressed already; 'trimix decompress' makes a picture of it")
    output = default_output(source, "tmix") if output is None else output
    if json:
        refuse_json_with_data(output)
    destination = Destination(output, source, force=force)
    entry = find_model(model)
    with working("loading the model"):
        torch_device = prepare_torch(device, threads)
        from trimix.codec import load_codec
        from trimix.images import read_picture

        raise_if_interrupted()
        codec = load_codec(entry.path, torch_device)
    with working(f"compressing {source.name}"):
        with naming(source):
            original = read_picture(source.path_or_contents(), maximum_pixels=maximum_pixels)
        announce_compilation("encoding")
        started = time.perf_counter()
        data = codec.encode(original, quality)
        encode_seconds = time.perf_counter() - started
        destination.write(data)
    bits_per_pixel = 8 * len(data) / (original.width * original.height)
    if json:
        print_json(
            {
                "input": source.name,
                "output": destination.name,
                "width": original.width,
                "height": original.height,
                "channels": original.channels,
                "input_bytes": source.size_bytes,
                "bytes": len(data),
                "bits_per_pixel": bits_per_pixel,
                "quality": round(describe(data).header.quality / QUALITY_STEPS, 2),
                "model": codec.model.identity.name,
                "model_hash": codec.model.identity.weights_hash.hex(),
                "encode_seconds": encode_seconds,
            }
        )
        return
    print_summary(
        f"{source.name} ({original.width}x{original.height}, {source.size_bytes} bytes) -> {destination.name}: "
        f"{len(data)} bytes, {bits_per_pixel:.3f} bpp at quality {quality:g}, {encode_seconds:.2f} s"
    )
