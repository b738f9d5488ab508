"""``trimix decompress``: a ``.tmix`` file to a picture file."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Annotated

import typer

from trimix.bitstream import MAXIMUM_PIXELS, QUALITY_STEPS, SIDE_MAXIMUM, Header
from trimix.cli import batch, options
from trimix.cli.batch import Batch, Made
from trimix.cli.compressed_files import ModelOfFileOption, checked_header, model_of_file
from trimix.cli.inputs import Source, naming
from trimix.cli.interrupts import raise_if_interrupted
from trimix.cli.networks import announce_compilation, prepare_coding
from trimix.cli.options import PICTURE_FORMATS
from trimix.cli.outputs import Destination, Writing, print_json, print_summary
from trimix.cli.selection import are_many, is_compressed, refuse_output_among_inputs, select
from trimix.errors import CodecError, UsageError
from trimix.frozen.catalogue import find_model
from trimix.progress import working
from trimix.shapes import Rectangle
from trimix.time_budget import limited_time

_DEFAULT_FORMAT = "png"


class Scale(StrEnum):
    """Sides of the picture to those of the file's."""

    WHOLE = "1"
    HALF = "1/2"
    QUARTER = "1/4"
    EIGHTH = "1/8"
    SIXTEENTH = "1/16"

    @property
    def reduction(self) -> int:
        """Pixels to one, in both directions."""
        return int(self.rpartition("/")[2])


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
    background: options.BackgroundOption = None,
    scale: Annotated[
        Scale, typer.Option("--scale", help="Smaller, sides rounded up; 1/8 and 1/16 take about half the time.")
    ] = Scale.WHOLE,
    thumbnail: Annotated[
        int | None,
        typer.Option(
            "--thumbnail",
            min=1,
            max=SIDE_MAXIMUM,
            metavar="PIXELS",
            help="Instead of a scale: sides of at most so many pixels, with 8 bits.",
            show_default=False,
        ),
    ] = None,
    region: Annotated[
        str | None,
        typer.Option(
            "--region",
            metavar="X,Y,W,H",
            help="Only a part: left, top, width, height in pixels. Quick in pictures from 4.2 megapixels on.",
            show_default=False,
        ),
    ] = None,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Where a part of a large picture is damaged, show a guess.")
    ] = False,
    model: ModelOfFileOption = None,
    recursive: batch.RecursiveOption = False,
    jobs: batch.JobsOption = None,
    skip_existing: batch.SkipExistingOption = False,
    failures: batch.FailuresOption = None,
    ray: batch.RayOption = None,
    keep_times: batch.KeepTimesOption = False,
    device: options.DeviceOption = options.Device.CPU,
    threads: options.ThreadsOption = None,
    force: options.ForceOption = False,
    json: options.JsonOption = False,
    maximum_pixels: options.MaximumPixelsOption = MAXIMUM_PIXELS,
    maximum_seconds: options.MaximumSecondsOption = None,
) -> None:
    """Decompress .tmix files to pictures.

    What the format has no place for is named, alpha is then put on white. With
    -o - the picture takes standard output: no --json then. Of many, what is there
    already is not done again without --force, what fails is named and the rest done.
    """
    if thumbnail is not None and scale is not Scale.WHOLE:
        raise UsageError("--scale and --thumbnail exclude each other; give one of them")
    wanted = None if format is None else options.check_picture_format(format)
    colour, window = options.checked_background(background), _window(region)
    decoding = Decoding(model, maximum_pixels, colour, scale, thumbnail, window, keep_going, maximum_seconds)
    refuse_output_among_inputs(files, *(f".{one}" for one in PICTURE_FORMATS))
    writing = Writing(force, keep_times, skip_existing=skip_existing, json=json)
    if ray is not None or are_many(files):
        extension = wanted or _DEFAULT_FORMAT
        selection = select(files, output, extension, recursive=recursive, is_wanted=is_compressed)
        if model is not None:
            find_model(model)

        def load(share: int) -> Callable[[Source], Made]:
            device_name = prepare(device, share)
            return lambda source: decoding.made(source, decoding.header(source), device_name, extension)

        Batch(selection, CodecError, "decompressed", writing, failures).run(load, jobs, device, threads, ray)
        return
    source = Source(files[0], CodecError)
    # Damage, limits and a missing model show here, before torch is loaded.
    header = decoding.header(source)
    destination = writing.destination(output, source, wanted or _DEFAULT_FORMAT)
    if destination is None:
        return
    extension = wanted or _extension_of(destination)
    model_of_file(source, header, model)
    device_name = prepare(device, threads)
    with working(f"decompressing {source.name}") as tell, limited_time(None, tell):
        made = decoding.made(source, header, device_name, extension)
        writing.write(source, destination, made.data)
    for note in made.notes:
        print_summary(f"trimix: {destination.name}: {note}")
    if json:
        print_json({"input": source.name, "output": destination.name, **made.record})
        return
    print_summary(
        f"{source.name} ({source.size_bytes} bytes, {made.record['bits_per_pixel']:.3f} bpp) -> {destination.name}: "
        f"{made.record['width']}x{made.record['height']}, {len(made.data)} bytes, "
        f"{made.record['decode_seconds']:.2f} s"
    )


def prepare(device: options.Device, threads: int | None) -> str:
    """The device's name, after what decoding needs."""
    with working("loading the model"):
        device_name = prepare_coding(device, threads)
        raise_if_interrupted()
    announce_compilation("decoding")
    return device_name


@dataclass(frozen=True)
class Decoding:
    """How pictures are decoded and written."""

    model: str | None
    maximum_pixels: int
    background: tuple[int, int, int] | None = None
    scale: Scale = Scale.WHOLE
    thumbnail: int | None = None
    region: Rectangle | None = None
    keep_going: bool = False
    maximum_seconds: float | None = None

    def header(self, source: Source) -> Header:
        """Of a file that is whole, or whose damage is looked at later; raises as ``checked_header`` does."""
        return checked_header(source, self.maximum_pixels, keep_going=self.keep_going)

    def made(self, source: Source, header: Header, device_name: str, extension: str) -> Made:
        """The picture file of a compressed one; several threads may call it."""
        from trimix.images import encode_picture, thumbnail_of

        entry = model_of_file(source, header, self.model)
        if entry is None:
            from trimix.lossless_codec import decode_lossless as decode
        else:
            from trimix.codec import Codec

            decode = partial(Codec.load(entry.path, device_name).decode, keep_going=self.keep_going)
        reduction = self.scale.reduction
        if self.thumbnail is not None:
            sides = (header.width, header.height) if self.region is None else (self.region.width, self.region.height)
            most = max(sides) // self.thumbnail
            reduction = max((one.reduction for one in Scale if one.reduction <= most), default=1)
        started = time.perf_counter()
        with naming(source), limited_time(self.maximum_seconds):
            picture = decode(source.contents(), self.maximum_pixels, reduction, region=self.region)
        decode_seconds = time.perf_counter() - started
        picture = picture if self.thumbnail is None else thumbnail_of(picture, self.thumbnail)
        data, lost = encode_picture(picture, extension, self.background)
        notes = (*picture.notes, *lost)
        pixels = header.width * header.height
        record = {
            "width": picture.width,
            "height": picture.height,
            "channels": picture.file_channels,
            "bit_depth": picture.bit_depth,
            "notes": notes,
            "bytes": source.size_bytes,
            "output_bytes": len(data),
            "bits_per_pixel": 8 * source.size_bytes / pixels,
            "quality": round(header.quality / QUALITY_STEPS, 2),
            "lossless": header.is_lossless,
            "model": None if entry is None else entry.name,
            "model_hash": None if entry is None else header.weights_hash.hex(),
            "decode_seconds": decode_seconds,
        }
        return Made(data, pixels, record, notes)


def _window(region: str | None) -> Rectangle | None:
    if region is None:
        return None
    try:
        left, top, width, height = map(int, region.split(","))
    except ValueError:
        raise UsageError(
            f"--region must be four whole numbers, left,top,width,height, found {region!r}; change it"
        ) from None
    return Rectangle(top, left, height, width)


def _extension_of(destination: Destination) -> str:
    if destination.path is None or destination.is_stream:
        return _DEFAULT_FORMAT
    suffix = destination.path.suffix
    if suffix.lower().removeprefix(".") not in PICTURE_FORMATS:
        raise UsageError(
            f"{destination.name}: the suffix must be one of {', '.join(PICTURE_FORMATS)}, found {suffix or 'none'}; "
            "change it or give --format"
        )
    return suffix
