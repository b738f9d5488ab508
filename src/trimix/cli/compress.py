"""``trimix compress``: a picture file to a ``.tmix`` file."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trimix.bitstream import MAGIC, MAXIMUM_PIXELS
from trimix.cli import batch, options
from trimix.cli.batch import Batch, Made
from trimix.cli.inputs import Source, naming
from trimix.cli.interrupts import heed_interrupt, raise_if_interrupted
from trimix.cli.networks import announce_compilation, prepare_coding
from trimix.cli.outputs import Writing, print_json, print_summary
from trimix.cli.selection import (
    COMPRESSED_SUFFIX,
    are_many,
    in_parts,
    is_picture,
    is_table,
    refuse_output_among_inputs,
    select,
)
from trimix.encoder.effort import DEFAULT_EFFORT, DEFAULT_QUALITY, search_steps
from trimix.errors import PictureError, UsageError
from trimix.frozen.catalogue import ModelEntry, Tune, find_model, model_for
from trimix.progress import showing_progress, working
from trimix.time_budget import limited_time

if TYPE_CHECKING:
    from trimix.codec import Codec
    from trimix.encoder.search import SearchProgress
    from trimix.encoder.target_search import Encoded
    from trimix.encoder.targets import Target, Trial
    from trimix.images import Picture


def compress(
    pictures: Annotated[
        list[str],
        typer.Argument(
            metavar="IN...",
            help="Pictures (PNG, JPEG, WebP, TIFF, AVIF, GIF and others, 8 or 16 bits) and folders of them; - reads "
            "standard input.",
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            metavar="OUT|FOLDER",
            help="Compressed file, of many the folder for them (made if missing); - writes standard output.",
            show_default="IN with the suffix .tmix",
        ),
    ] = None,
    quality: options.QualityOption = None,
    target_bits_per_pixel: options.TargetBitsPerPixelOption = None,
    target_size: options.TargetSizeOption = None,
    target_psnr: options.TargetPsnrOption = None,
    target_ssimulacra2: options.TargetSsimulacra2Option = None,
    effort: options.EffortOption = DEFAULT_EFFORT,
    lossless: Annotated[
        bool | None,
        typer.Option(
            "--lossless/--no-lossless",
            help="Keep every sample exactly. Without either: where text, drawings or pixel art take no more bytes so.",
            show_default=False,
        ),
    ] = None,
    time_limit: options.TimeLimitOption = None,
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
    background: options.BackgroundOption = None,
    frame: Annotated[
        int | None,
        typer.Option(
            "--frame",
            min=0,
            metavar="N",
            help="Of an animation or a file of many pages: which, from 0; refused without.",
            show_default=False,
        ),
    ] = None,
    strip: Annotated[
        options.Stripping | None,
        typer.Option(
            "--strip",
            help="Leave out metadata: the place (gps), all but the description of colours (all), that too (profile).",
            show_default=False,
        ),
    ] = None,
    recursive: batch.RecursiveOption = False,
    jobs: batch.JobsOption = None,
    skip_existing: batch.SkipExistingOption = False,
    failures: batch.FailuresOption = None,
    ray: batch.RayOption = None,
    column: Annotated[
        str | None,
        typer.Option(
            "--column",
            metavar="NAME",
            help="Take Parquet and Arrow tables instead of pictures: this column holds the pictures' bytes. -o is the "
            "folder for Parquet files with compressed ones in their place.",
            show_default=False,
        ),
    ] = None,
    only_smaller: Annotated[
        bool, typer.Option("--only-smaller", help="Write no file that is not smaller than its picture.")
    ] = False,
    keep_times: batch.KeepTimesOption = False,
    device: options.DeviceOption = options.Device.CPU,
    threads: options.ThreadsOption = None,
    force: options.ForceOption = False,
    json: options.JsonOption = False,
    maximum_pixels: options.MaximumPixelsOption = MAXIMUM_PIXELS,
    maximum_seconds: options.MaximumSecondsOption = None,
) -> None:
    """Compress pictures to .tmix files.

    Alpha and metadata are kept. A picture that EXIF says is turned is put
    upright. With -o - the output takes standard output: no --json then. Ctrl-C
    ends a search and writes the best so far; a second one ends without a file.

    Of many, what is there already is not done again without --force, what fails
    is named and the rest done; Ctrl-C finishes the pictures in hand, and the same
    command goes on. Names and the tree of folders are kept.
    """
    target = options.checked_target(quality, target_bits_per_pixel, target_size, target_psnr, target_ssimulacra2)
    if lossless and (quality is not None or target is not None):
        raise UsageError("--lossless has neither quality nor target, found one of them; leave it out")
    quality = DEFAULT_QUALITY if quality is None else quality
    options.check_quality(quality)
    options.check_time_limit(time_limit, effort)
    colour = options.checked_background(background)
    encoding = _Encoding(
        target, quality, effort, lossless, time_limit, maximum_pixels, maximum_seconds, frame, colour, strip
    )
    refuse_output_among_inputs(pictures, COMPRESSED_SUFFIX)
    writing = Writing(force, keep_times, only_smaller, skip_existing, json)
    if column is not None and output is None:
        raise UsageError("--column makes tables of tables; give a folder for them with -o")
    if column is not None or ray is not None or are_many(pictures):
        if column is None:
            selection = select(pictures, output, "tmix", recursive=recursive, is_wanted=is_picture)
        else:
            selection = in_parts(select(pictures, output, "parquet", recursive=recursive, is_wanted=is_table))
        find_model(model_for(tune, model))  # what is missing shows before anything is begun

        def load(share: int) -> Callable[..., Made]:
            codec = encoding.load(find_model(model_for(tune, model)), device, share)
            of_table = column
            if of_table is None:
                return lambda source: encoding.made(codec, source)[0]
            return lambda source, part: encoding.made_table(codec, source, part, of_table)

        Batch(selection, PictureError, "compressed", writing, failures).run(load, jobs, device, threads, ray)
        return
    source = Source(pictures[0], PictureError)
    _refuse_compressed(source)
    destination = writing.destination(output, source, "tmix")
    if destination is None:
        return
    codec = encoding.load(find_model(model_for(tune, model)), device, threads)
    with nullcontext() if encoding.is_search else working(f"compressing {source.name}") as tell:
        searching = _searching(target) if encoding.is_search else nullcontext({})
        with searching as callbacks, naming(source), limited_time(None, tell):
            made, encoded = encoding.made(codec, source, callbacks)
        if encoded.ended == "interrupt":
            heed_interrupt()
            print_summary("trimix: interrupted: the best so far is written; Ctrl-C again writes nothing")
        is_left_out = only_smaller and made.is_larger
        if not is_left_out:
            writing.write(source, destination, made.data)
    for note in made.notes:
        print_summary(f"trimix: {source.name}: {note}")
    if json:
        print_json({"input": source.name, "output": None if is_left_out else destination.name, **made.record})
        return
    print_summary(
        f"{source.name} ({made.record['width']}x{made.record['height']}, {source.size_bytes} bytes) -> "
        f"{'nothing, for it would grow' if is_left_out else destination.name}: {len(made.data)} bytes, "
        f"{made.record['bits_per_pixel']:.3f} bpp {encoding.how(encoded)}, {made.record['encode_seconds']:.2f} s"
    )


@contextmanager
def _searching(target: "Target | None") -> Iterator[dict[str, Any]]:
    """What a search calls, to show where it stands: a bar if standard error is a terminal, else now and then a line."""
    trials = count(1)
    with showing_progress("searching", transient=True) as display:

        def on_step(progress: "SearchProgress") -> None:
            raise_if_interrupted()  # a Ctrl-C that a library has swallowed
            reached = f"{progress.bits_per_pixel:.4f} bpp, {progress.distortion}"
            display.show(f"step {progress.step} of {progress.steps}: {reached}", progress.step, progress.steps)

        def on_trial(trial: "Trial") -> None:
            measured = "" if target is None else target.text(trial.measured)
            display.show(f"trial {next(trials)}: quality {trial.quality:.2f} gives {measured}")

        yield {"on_step": on_step, "on_trial": on_trial}


def _refuse_compressed(source: Source) -> None:
    if source.beginning(len(MAGIC)) == MAGIC:
        raise PictureError(f"{source.name}: is compressed already; 'trimix decompress' makes a picture of it")


@dataclass(frozen=True)
class _Encoding:
    """How pictures are read and encoded."""

    target: "Target | None"
    quality: float
    effort: int
    lossless: bool | None
    time_limit: float | None
    maximum_pixels: int
    maximum_seconds: float | None
    frame: int | None
    background: tuple[int, int, int] | None
    strip: options.Stripping | None

    @property
    def is_search(self) -> bool:
        return not self.lossless and (self.target is not None or search_steps(self.effort) > 0)

    def load(self, entry: ModelEntry, device: options.Device, threads: int | None) -> "Codec | None":
        """The codec of a model, if one is needed."""
        if self.lossless:
            return None
        with working("loading the model"):
            device_name = prepare_coding(device, threads)
            from trimix.codec import Codec

            raise_if_interrupted()
            codec = Codec.load(entry.path, device_name)
        announce_compilation("searching" if self.is_search else "encoding")
        return codec

    def made(
        self, codec: "Codec | None", source: Source, callbacks: Mapping[str, Any] | None = None
    ) -> "tuple[Made, Encoded]":
        """The file of a picture, and what it took; several threads may call it."""
        with limited_time(self.maximum_seconds):
            return self._made(codec, source, callbacks or {})

    def _made(self, codec: "Codec | None", source: Source, callbacks: Mapping[str, Any]) -> "tuple[Made, Encoded]":
        from trimix.images import Strip, read_picture
        from trimix.lossless_codec import encode_best

        _refuse_compressed(source)
        picture = read_picture(
            source.path_or_contents(),
            maximum_pixels=self.maximum_pixels,
            frame=self.frame,
            background=self.background,
            strip=Strip.NOTHING if self.strip is None else Strip(self.strip),
        )
        started = time.perf_counter()
        options = {"time_limit_seconds": self.time_limit, **callbacks}
        encoded = encode_best(codec, picture, self.target or self.quality, self.effort, self.lossless, **options)
        encode_seconds = time.perf_counter() - started
        data, target, pixels = encoded.data, self.target, picture.width * picture.height
        is_larger = len(data) >= source.size_bytes
        notes = (*picture.notes, *_warnings(source, picture, data, encoded.is_lossless))
        if target is not None and not encoded.is_met:
            notes += (
                f"warning: {target.text(target.value)} was not met in {encoded.encodings} encodings; "
                f"the nearest is {target.text(encoded.measured or 0.0)}",
            )
        identity = None if codec is None or encoded.is_lossless else codec.model.identity
        record = {
            "width": picture.width,
            "height": picture.height,
            "channels": picture.file_channels,
            "bit_depth": picture.bit_depth,
            "notes": notes,
            "input_bytes": source.size_bytes,
            "bytes": len(data),
            "is_larger": is_larger,
            "bits_per_pixel": 8 * len(data) / pixels,
            "quality": round(encoded.quality, 3),  # enough to give the same again
            "lossless": encoded.is_lossless,
            "effort": self.effort,
            "search_steps": encoded.steps,
            "ended": encoded.ended,
            "encodings": encoded.encodings,
            "target_met": None if target is None else encoded.is_met,
            "model": None if identity is None else identity.name,
            "model_hash": None if identity is None else identity.weights_hash.hex(),
            "encode_seconds": encode_seconds,
        }
        return Made(data, pixels, record, notes, is_larger), encoded

    def made_table(self, codec: "Codec | None", source: Source, part: int, column: str) -> Made:
        """A part of a table, with compressed files in place of its pictures."""
        from trimix.integrations.tables import compressed_table, parquet_bytes, read_part

        found: list[Made] = []

        def compress_row(row: int, data: bytes) -> bytes:
            one = Source(f"{source.name}#{part}:{row}", PictureError, data)
            with naming(one):
                found.append(self.made(codec, one)[0])
            return found[-1].data

        table, errors = compressed_table(read_part(source.location, part), column, compress_row)
        data = parquet_bytes(table)
        record = {
            "rows": table.num_rows,
            "compressed_rows": len(found),
            "input_bytes": sum(one.record["input_bytes"] for one in found),
            "bytes": len(data),
            "encode_seconds": sum(one.record["encode_seconds"] for one in found),
        }
        return Made(
            data,
            sum(one.pixels for one in found),
            record,
            tuple(dict.fromkeys(note for one in found for note in one.notes)),
            input_bytes=record["input_bytes"],
            failures={f"{source.name}#{part}:{row}": message for row, message in errors.items()},
        )

    def how(self, encoded: "Encoded") -> str:
        """Quality and effort, and what ended it, for the line at the end."""
        if encoded.is_lossless:
            return "without loss"
        if self.target is None:
            text = f"at quality {self.quality:g}"
        else:
            measured = None if self.target.is_rate else encoded.measured
            text = "" if measured is None else f"and {self.target.text(measured)} "
            text += f"at quality {encoded.quality:.2f}"
        if self.effort != DEFAULT_EFFORT:
            text += f", effort {self.effort}"
        if encoded.ended is not None:
            reason = {"time": "the time limit", "interrupt": "Ctrl-C"}[encoded.ended]
            text += f" (ended by {reason} after {encoded.steps} steps)"
        return text


def _warnings(source: Source, original: "Picture", data: bytes, is_lossless: bool) -> list[str]:
    """Where the file is worse than it should be."""
    found = []
    if len(data) >= source.size_bytes:
        found.append(
            f"warning: the compressed file is larger than the picture's, {len(data)} to {source.size_bytes} bytes; "
            f"keep the picture{'' if is_lossless else ', or lower the quality'}"
        )
    metadata_bytes = sum(len(section) for _, section in original.metadata.sections())
    if metadata_bytes > len(data) / 2:
        found.append(
            f"warning: profile and other metadata outweigh the picture, {metadata_bytes} bytes before packing; "
            f"--strip {'profile' if 2 * len(original.metadata.icc_profile) > metadata_bytes else 'all'} leaves them out"
        )
    return found
