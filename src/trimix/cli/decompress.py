"""``trimix decompress``: a ``.tmix`` file to a picture file."""

import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import Annotated, Any

import typer

from trimix.bitstream import MAXIMUM_PIXELS, QUALITY_STEPS, Header
from trimix.cli.batch import (
    Batch,
    BatchOptions,
    JobsOption,
    KeepTimesOption,
    Made,
    RecursiveOption,
    SkipExistingOption,
    default_jobs,
)
from trimix.cli.compressed_files import ModelOfFileOption, checked_header, model_of_file
from trimix.cli.inputs import STANDARD_STREAM, Source, naming
from trimix.cli.interrupts import raise_if_interrupted
from trimix.cli.networks import announce_compilation, prepare_coding
from trimix.cli.options import (
    PICTURE_FORMATS,
    BackgroundOption,
    Device,
    DeviceOption,
    ForceOption,
    JsonOption,
    MaximumPixelsOption,
    ThreadsOption,
    check_picture_format,
    checked_background,
)
from trimix.cli.outputs import (
    Destination,
    default_output,
    output_in_folder,
    print_json,
    print_summary,
    refuse_json_with_data,
)
from trimix.cli.outputs import keep_times as keep_times_of
from trimix.cli.selection import are_many, is_folder, refuse_output_among_inputs, select
from trimix.errors import CodecError, UsageError
from trimix.frozen.catalogue import find_model
from trimix.progress import working

_DEFAULT_FORMAT = "png"
_loading = Lock()
"""Threads that begin at once must not load the same model twice."""


def decompress(
    files: Annotated[
        list[str], typer.Argument(metavar="IN...", help="Compressed files and folders of them; - reads standard input.")
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            metavar="OUT|FOLDER",
            help="Picture file, of many the folder for them (made if missing); - writes standard output.",
            show_default="IN with the suffix of --format",
        ),
    ] = None,
    format: Annotated[  # noqa: A002
        str | None,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help=f"{', '.join(PICTURE_FORMATS)}; JPEG and AVIF are written at quality 95, the others without loss.",
            show_default="by the suffix of OUT, else png",
        ),
    ] = None,
    background: BackgroundOption = None,
    model: ModelOfFileOption = None,
    recursive: RecursiveOption = False,
    jobs: JobsOption = None,
    skip_existing: SkipExistingOption = False,
    keep_times: KeepTimesOption = False,
    device: DeviceOption = Device.CPU,
    threads: ThreadsOption = None,
    force: ForceOption = False,
    json: JsonOption = False,
    maximum_pixels: MaximumPixelsOption = MAXIMUM_PIXELS,
) -> None:
    """Decompress .tmix files to pictures.

    What the format has no place for is named, alpha is then put on white. With
    -o - the picture takes standard output: no --json then. Of many, what is there
    already is not done again without --force, what fails is named and the rest done.
    """
    wanted = None if format is None else check_picture_format(format)
    colour = checked_background(background)
    refuse_output_among_inputs(files, *(f".{one}" for one in PICTURE_FORMATS))
    if are_many(files):
        extension = wanted or _DEFAULT_FORMAT
        selection = select(files, output, extension, recursive=recursive, of_pictures=False)
        if model is not None:
            find_model(model)
        batch = Batch(selection, CodecError, "decompressed", BatchOptions(force, keep_times, json=json))

        def load(share: int) -> Callable[[Source], Made]:
            device_name = _prepare(device, share)
            return lambda source: _made(
                source, checked_header(source, maximum_pixels), model, device_name, maximum_pixels, extension, colour
            )

        batch.run(load, default_jobs(jobs, device), threads)
        return
    source = Source(files[0], CodecError)
    # Damage, limits and a missing model show here, before torch is loaded.
    header = checked_header(source, maximum_pixels)
    if output is None:
        output = default_output(source, wanted or _DEFAULT_FORMAT)
    elif is_folder(output):
        output = output_in_folder(output, source, wanted or _DEFAULT_FORMAT)
    extension = wanted or _extension_of(output)
    if json:
        refuse_json_with_data(output)
    if skip_existing and not force and output != STANDARD_STREAM and Path(output).exists():
        print_summary(f"{output} is there already")
        return
    destination = Destination(output, source, force=force)
    model_of_file(source, header, model)
    device_name = _prepare(device, threads)
    with working(f"decompressing {source.name}"):
        made = _made(source, header, model, device_name, maximum_pixels, extension, colour)
        destination.write(made.data)
        if keep_times:
            keep_times_of(source, destination)
    for note in made.notes:
        print_summary(f"trimix: {destination.name}: {note}")
    if json:
        print_json({"input": source.name, "output": destination.name, **made.record})
        return
    print_summary(
        f"{source.name} ({source.size_bytes} bytes, {made.record['bits_per_pixel']:.3f} bpp) -> {destination.name}: "
        f"{header.width}x{header.height}, {len(made.data)} bytes, {made.record['decode_seconds']:.2f} s"
    )


def _prepare(device: Device, threads: int | None) -> str:
    with working("loading the model"):
        device_name = prepare_coding(device, threads)
        raise_if_interrupted()
    announce_compilation("decoding")
    return device_name


def _made(
    source: Source,
    header: Header,
    model: str | None,
    device_name: str,
    maximum_pixels: int,
    extension: str,
    background: tuple[int, int, int] | None,
) -> Made:
    """The picture file of a compressed one; several threads may call it."""
    from trimix.codec import Codec
    from trimix.images import write_picture

    with _loading:
        codec = Codec.load(model_of_file(source, header, model).path, device_name)
    started = time.perf_counter()
    with naming(source):
        picture = codec.decode(source.contents(), maximum_pixels)
    decode_seconds = time.perf_counter() - started
    buffer = BytesIO()
    notes = write_picture(picture, buffer, format=extension, background=background)
    pixels = picture.width * picture.height
    record: dict[str, Any] = {
        "width": picture.width,
        "height": picture.height,
        "channels": picture.samples.shape[2],
        "bit_depth": picture.bit_depth,
        "notes": notes,
        "bytes": source.size_bytes,
        "output_bytes": buffer.tell(),
        "bits_per_pixel": 8 * source.size_bytes / pixels,
        "quality": round(header.quality / QUALITY_STEPS, 2),
        "model": codec.model.identity.name,
        "model_hash": codec.model.identity.weights_hash.hex(),
        "decode_seconds": decode_seconds,
    }
    return Made(buffer.getvalue(), pixels, record, notes)


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
