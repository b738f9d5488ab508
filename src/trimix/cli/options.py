"""Options that several commands share, and their checks."""

from enum import StrEnum
from typing import Annotated

import typer

from trimix.errors import UsageError

QUALITY_ANCHORS = ((10, 0.12, 28), (50, 0.4, 62), (90, 1.41, 83))
"""(quality, bits per pixel, points of SSIMULACRA2): means of the default weights over Kodak, for the help."""
MAXIMUM_THREADS = 1024
"""More than any machine has use for; OpenMP ends the process where it cannot start as many as are asked for."""
PICTURE_FORMATS = ("png", "webp", "tif", "tiff", "bmp", "jpg", "jpeg", "ppm", "pgm", "avif", "jxl")
"""Extensions that pictures are written with; `trimix.images.OUTPUT_FORMATS`, known without torch."""


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
    float | None, typer.Option("-q", "--quality", metavar="1..100", help=_quality_help(), show_default="75")
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
