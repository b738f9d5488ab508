"""``trimix compress``: a picture file to a ``.tmix`` file."""

import sys
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated

import typer

from trimix.bitstream import MAGIC, MAXIMUM_PIXELS
from trimix.cli.inputs import Source, naming
from trimix.cli.interrupts import heed_interrupt, raise_if_interrupted
from trimix.cli.networks import announce_compilation, prepare_coding
from trimix.cli.options import (
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
from trimix.cli.search_display import searching
from trimix.cli.search_options import (
    EffortOption,
    TargetBitsPerPixelOption,
    TargetPsnrOption,
    TargetSizeOption,
    TargetSsimulacra2Option,
    TimeLimitOption,
    check_time_limit,
    checked_target,
)
from trimix.encoder.effort import DEFAULT_EFFORT, DEFAULT_QUALITY, search_steps
from trimix.errors import PictureError
from trimix.frozen.catalogue import Tune, find_model, model_for
from trimix.progress import working

if TYPE_CHECKING:
    from trimix.encoder.target_search import Encoded
    from trimix.encoder.targets import Target


def compress(
    picture: Annotated[
        str,
        typer.Argument(
            metavar="IN",
            help="Picture: PNG, JPEG, WebP, TIFF, AVIF, GIF and others, 8 or 16 bits; - reads standard input.",
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
    quality: QualityOption = None,
    target_bits_per_pixel: TargetBitsPerPixelOption = None,
    target_size: TargetSizeOption = None,
    target_psnr: TargetPsnrOption = None,
    target_ssimulacra2: TargetSsimulacra2Option = None,
    effort: EffortOption = DEFAULT_EFFORT,
    time_limit: TimeLimitOption = None,
    tune: Annotated[
        Tune | None,
        typer.Option(
            "--tune",
            help="What the picture shall be best for at its size: the eye (SSIMULACRA2), PSNR or MS-SSIM.",
            show_default=Tune.EYE,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            metavar="NAME|FILE",
            help="Instead of a tune: a model, see 'trimix models', or a .safetensors file.",
            show_default=False,
        ),
    ] = None,
    device: DeviceOption = Device.CPU,
    threads: ThreadsOption = None,
    force: ForceOption = False,
    json: JsonOption = False,
    maximum_pixels: MaximumPixelsOption = MAXIMUM_PIXELS,
) -> None:
    """Compress a picture to a .tmix file.

    Alpha and metadata are kept. A picture that EXIF says is turned is put
    upright. With -o - the output takes standard output: no --json then. Ctrl-C
    ends a search and writes the best so far; a second one ends without a file.
    """
    target = checked_target(quality, target_bits_per_pixel, target_size, target_psnr, target_ssimulacra2)
    quality = DEFAULT_QUALITY if quality is None else quality
    check_quality(quality)
    check_time_limit(time_limit, effort)
    source = Source(picture, PictureError)
    if source.beginning(len(MAGIC)) == MAGIC:
        raise PictureError(f"{source.name}: is compressed already; 'trimix decompress' makes a picture of it")
    output = default_output(source, "tmix") if output is None else output
    if json:
        refuse_json_with_data(output)
    destination = Destination(output, source, force=force)
    entry = find_model(model_for(tune, model))
    with working("loading the model"):
        device_name = prepare_coding(device, threads)
        from trimix.codec import Codec
        from trimix.images import read_picture

        raise_if_interrupted()
        codec = Codec.load(entry.path, device_name)
    is_search = target is not None or search_steps(effort) > 0
    with nullcontext() if is_search else working(f"compressing {source.name}"):
        with naming(source):
            original = read_picture(source.path_or_contents(), maximum_pixels=maximum_pixels)
        announce_compilation("searching" if is_search else "encoding")
        started = time.perf_counter()
        with searching(target) if is_search else nullcontext() as display:
            callbacks = {} if display is None else {"on_step": display.step, "on_trial": display.tried}
            encoded = codec.encode_to(
                original, target or quality, effort, time_limit_seconds=time_limit, **callbacks
            )
        encode_seconds = time.perf_counter() - started
        if encoded.ended == "interrupt":
            heed_interrupt()
            print(
                "trimix: interrupted: the best so far is written; Ctrl-C again writes nothing",
                file=sys.stderr,
            )
        data = encoded.data
        destination.write(data)
    bits_per_pixel = 8 * len(data) / (original.width * original.height)
    for note in original.notes:
        print_summary(f"trimix: {source.name}: {note}")
    if json:
        print_json(
            {
                "input": source.name,
                "output": destination.name,
                "width": original.width,
                "height": original.height,
                "channels": original.samples.shape[2],
                "bit_depth": original.bit_depth,
                "notes": original.notes,
                "input_bytes": source.size_bytes,
                "bytes": len(data),
                "bits_per_pixel": bits_per_pixel,
                "quality": round(encoded.quality, 3),  # enough to give the same again
                "effort": effort,
                "search_steps": encoded.steps,
                "ended": encoded.ended,
                "encodings": encoded.encodings,
                "target_met": None if target is None else encoded.is_met,
                "model": codec.model.identity.name,
                "model_hash": codec.model.identity.weights_hash.hex(),
                "encode_seconds": encode_seconds,
            }
        )
        return
    if target is not None and not encoded.is_met:
        print_summary(
            f"trimix: warning: {target.text(target.value)} was not met in {encoded.encodings} encodings; "
            f"the nearest is {target.text(encoded.measured or 0.0)}"
        )
    print_summary(
        f"{source.name} ({original.width}x{original.height}, {source.size_bytes} bytes) -> {destination.name}: "
        f"{len(data)} bytes, {bits_per_pixel:.3f} bpp {_how(encoded, quality, effort, target)}, {encode_seconds:.2f} s"
    )


def _how(encoded: "Encoded", quality: float, effort: int, target: "Target | None") -> str:
    """Quality and effort, and what ended it, for the line at the end."""
    if target is None:
        text = f"at quality {quality:g}"
    else:
        measured = None if target.is_rate else encoded.measured
        text = "" if measured is None else f"and {target.text(measured)} "
        text += f"at quality {encoded.quality:.2f}"
    if effort != DEFAULT_EFFORT:
        text += f", effort {effort}"
    if encoded.ended is not None:
        reason = {"time": "the time limit", "interrupt": "Ctrl-C"}[encoded.ended]
        text += f" (ended by {reason} after {encoded.steps} steps)"
    return text
