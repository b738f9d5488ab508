"""Options of ``trimix compress`` that say how long to search, and for what."""

import math
import re
from typing import Annotated, Any

import typer

from trimix.encoder.effort import DEFAULT_EFFORT, MAXIMUM, MINIMUM, search_steps
from trimix.encoder.targets import Target, one_target
from trimix.errors import UsageError

_UNITS = {"": 1, "b": 1, "k": 10**3, "kb": 10**3, "m": 10**6, "mb": 10**6, "kib": 2**10, "mib": 2**20}


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
TargetBitsPerPixelOption = Annotated[
    float | None,
    typer.Option(
        "--target-bpp",
        metavar="BPP",
        help="Instead of a quality: bits per pixel of the whole file, within 2 %.",
        show_default=False,
    ),
]
TargetSizeOption = Annotated[
    str | None,
    typer.Option(
        "--target-size",
        metavar="SIZE",
        help="Instead of a quality: bytes of the whole file, within 2 % and rather below; 500000, 120k, 1.5M (powers "
        "of 1000), 64KiB or 2MiB.",
        show_default=False,
    ),
]
TargetPsnrOption = Annotated[
    float | None,
    typer.Option(
        "--target-psnr",
        metavar="DB",
        help="Instead of a quality: PSNR of the decoded picture in dB, within 0.1.",
        show_default=False,
    ),
]
TargetSsimulacra2Option = Annotated[
    float | None,
    typer.Option(
        "--target-ssimulacra2",
        metavar="POINTS",
        help="Instead of a quality: SSIMULACRA2 score of the decoded picture, within 0.5; 50 is medium, 70 high, 90 "
        "without visible loss.",
        show_default=False,
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
