"""Options that several commands share, and their checks."""

import math
import re
from enum import StrEnum
from typing import Annotated, Any

import typer

from trimix.encoder.effort import DEFAULT_EFFORT, MAXIMUM, MINIMUM, search_steps
from trimix.encoder.targets import Target, one_target
from trimix.errors import UsageError

QUALITY_ANCHORS = ((10, 0.14, 31), (50, 0.46, 64), (90, 1.45, 83))
"""(quality, bits per pixel, points of SSIMULACRA2): means of the default weights over Kodak, for the help."""
MAXIMUM_THREADS = 1024
"""More than any machine has use for; OpenMP ends the process where it cannot start as many as are asked for."""
PICTURE_FORMATS = ("png", "webp", "tif", "tiff", "bmp", "jpg", "jpeg", "ppm", "pgm", "avif", "jxl")
"""Extensions that pictures are written with; `trimix.images.OUTPUT_FORMATS`, known without torch."""
_UNITS = {"": 1, "b": 1, "k": 10**3, "kb": 10**3, "m": 10**6, "mb": 10**6, "kib": 2**10, "mib": 2**20}


class Device(StrEnum):
    """Where the networks run."""

    CPU = "cpu"
    CUDA = "cuda"
    AUTO = "auto"


class Stripping(StrEnum):
    """Metadata to leave out; `trimix.images.Strip`, known without torch."""

    GPS = "gps"
    ALL = "all"
    PROFILE = "profile"


def _quality_help() -> str:
    anchors = ", ".join(f"{quality} about {bits:g} and {points}" for quality, bits, points in QUALITY_ANCHORS)
    return f"Smallest file to best picture, fractions allowed. Bits per pixel and SSIMULACRA2: {anchors}."


QualityOption = Annotated[
    float | None, typer.Option("-q", "--quality", metavar="1..100", help=_quality_help(), show_default="70")
]
DeviceOption = Annotated[
    Device, typer.Option("--device", help="Where the networks run; auto takes a CUDA device if there is one.")
]
ThreadsOption = Annotated[
    int | None,
    typer.Option(
        "--threads",
        min=1,
        max=MAXIMUM_THREADS,
        metavar="N",
        help="Threads of the networks on the CPU.",
        show_default="one per core",
    ),
]
ForceOption = Annotated[bool, typer.Option("-f", "--force", help="Replace the output if it exists.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print a JSON object on standard output instead.")]


def _checked_seconds(seconds: float | None) -> float | None:
    if seconds is not None and not seconds > 0:
        raise UsageError(f"--max-seconds must be more than 0, found {seconds:g}")
    return seconds


MaximumPixelsOption = Annotated[
    int,
    typer.Option(
        "--max-pixels",
        min=1,
        metavar="N",
        show_default="2^28 = 268435456",
        help="Refuse pictures of more pixels (width x height). Raise it for files that you trust.",
    ),
]
MaximumSecondsOption = Annotated[
    float | None,
    typer.Option(
        "--max-seconds",
        metavar="SECONDS",
        callback=_checked_seconds,
        show_default="none",
        help="Give up on what takes longer by the clock, without an output; of many, on each file by itself.",
    ),
]

BackgroundOption = Annotated[
    str | None,
    typer.Option(
        "--background",
        metavar="COLOUR",
        help="Put what is transparent on a colour: white, #ff8800 and the like.",
        show_default=False,
    ),
]


def checked_background(colour: str | None) -> tuple[int, int, int] | None:
    """R, G, B of a colour by name or number; UsageError if there is no such colour.

    >>> checked_background("#f80")
    (255, 136, 0)
    """
    if colour is None:
        return None
    from PIL import ImageColor

    try:
        red, green, blue = ImageColor.getcolor(colour, "RGB")  # type: ignore[misc]
    except ValueError:
        raise UsageError(f"--background must be a colour such as white, grey or #ff8800, found {colour!r}") from None
    return red, green, blue


def check_quality(quality: float) -> None:
    """Refuse a quality that is not from 1 to 100 with a UsageError."""
    if not 1 <= quality <= 100:
        raise UsageError(f"--quality must be from 1 (smallest file) to 100 (best picture), found {quality:g}")


def check_picture_format(name: str) -> str:
    """The extension of a picture format that can be written, in lower case and without dot; else a UsageError."""
    extension = name.lower().removeprefix(".")
    if extension not in PICTURE_FORMATS:
        raise UsageError(f"--format must be one of {', '.join(PICTURE_FORMATS)}, found {name!r}")
    return extension


def effort_option(text: str) -> Any:
    """``--effort``, with what it means for a command."""
    return typer.Option(
        "--effort",
        min=MINIMUM,
        max=MAXIMUM,
        metavar=f"{MINIMUM}..{MAXIMUM}",
        help=text,
        show_default=str(DEFAULT_EFFORT),
    )


EffortOption = Annotated[
    int,
    effort_option(
        "Time to spend on a smaller file: 1 rounds plainly, 2 chooses every latent once, from 3 on a search whose "
        "steps double with each level (1 to 64). Decoding takes as long as ever."
    ),
]
TimeLimitOption = Annotated[
    float | None,
    typer.Option(
        "--time-limit",
        min=0.0,
        metavar="SECONDS",
        help="Of an effort from 3 on: end the search in time and keep the best so far.",
        show_default="none",
    ),
]


def _target_option(name: str, metavar: str, text: str) -> Any:
    return typer.Option(name, metavar=metavar, help=f"Instead of a quality: {text}", show_default=False)


TargetBitsPerPixelOption = Annotated[
    float | None, _target_option("--target-bpp", "BPP", "bits per pixel of the whole file, within 2 %.")
]
TargetSizeOption = Annotated[
    str | None,
    _target_option(
        "--target-size",
        "SIZE",
        "bytes of the whole file, within 2 % and rather below; 500000, 120k, 1.5M (powers of 1000), 64KiB or 2MiB.",
    ),
]
TargetPsnrOption = Annotated[
    float | None, _target_option("--target-psnr", "DB", "PSNR of the decoded picture in dB, within 0.1.")
]
TargetSsimulacra2Option = Annotated[
    float | None,
    _target_option(
        "--target-ssimulacra2",
        "POINTS",
        "SSIMULACRA2 score of the decoded picture, within 0.5; 50 is medium, 70 high, 90 without visible loss.",
    ),
]


def checked_target(
    quality: float | None,
    bits_per_pixel: float | None,
    size: str | None,
    psnr_db: float | None,
    ssimulacra2: float | None = None,
) -> Target | None:
    """The target that was given, or None; UsageError for more than one, a quality beside it, or one out of range."""
    given = {
        "--quality": quality,
        "--target-bpp": bits_per_pixel,
        "--target-size": size,
        "--target-psnr": psnr_db,
        "--target-ssimulacra2": ssimulacra2,
    }
    names = [name for name, value in given.items() if value is not None]
    if len(names) > 1:
        raise UsageError(f"{' and '.join(names)} exclude each other; give one of them")
    for name, value in given.items():
        if name != "--quality" and isinstance(value, float) and not 0 < value < math.inf:
            raise UsageError(f"{name} must be positive and finite, found {value:g}")
    return one_target(bits_per_pixel, None if size is None else parse_size(size), psnr_db, ssimulacra2)


def parse_size(text: str) -> float:
    """Bytes; UsageError if the text is no positive size.

    >>> [parse_size(text) for text in ("500000", "120k", "1.5M", "64KiB")]
    [500000.0, 120000.0, 1500000.0, 65536.0]
    """
    found = re.fullmatch(r"(\d{1,15}(?:\.\d{1,15})?) ?([a-zA-Z]*)", text.strip(), re.ASCII)
    unit = _UNITS.get(found[2].lower()) if found else None
    size = float(found[1]) * unit if found and unit else 0.0
    if size < 1:
        raise UsageError(f"--target-size must be bytes such as 500000, 120k, 1.5M or 64KiB, found {text!r}")
    return size


def check_time_limit(seconds: float | None, effort: int) -> None:
    """Refuse a limit that is no number, or of what does not search, with a UsageError."""
    if seconds is not None and math.isnan(seconds):
        raise UsageError("--time-limit must be seconds from 0, found nan")
    if seconds is not None and not search_steps(effort):
        raise UsageError(
            f"--time-limit must come with an effort that searches, 3 to {MAXIMUM}, found {effort}; add --effort "
            f"{MAXIMUM}"
        )
