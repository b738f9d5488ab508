"""Functions for those who want nothing more: ``compress`` and ``decompress``."""

import math
import re
import warnings
from dataclasses import replace
from numbers import Integral, Real
from os import PathLike
from pathlib import Path
from reprlib import repr as short

import numpy as np
from PIL import Image

from trimix.bitstream import MAXIMUM_PIXELS, read_header
from trimix.codec import Codec
from trimix.encoder.effort import DEFAULT_EFFORT, DEFAULT_QUALITY, MAXIMUM, MINIMUM
from trimix.encoder.targets import one_target
from trimix.errors import PictureError, UsageError, needing_torch
from trimix.frozen.catalogue import model_for
from trimix.images import (
    ByteSource,
    Picture,
    Strip,
    picture_of_image,
    picture_of_samples,
    read_picture,
    stripped,
    to_image,
)
from trimix.lossless_codec import decode_lossless, encode_best
from trimix.shapes import Rectangle
from trimix.time_budget import limited_time

PictureSource = Image.Image | np.ndarray | str | PathLike[str] | bytes | bytearray | memoryview | ByteSource | Picture
"""What a picture is taken from: an image, an array, a file's path, contents or open stream, or a `Picture`."""
FileSource = str | PathLike[str] | bytes | bytearray | memoryview | ByteSource
"""What a compressed file is taken from."""
_REDUCTIONS = {1 / reduction: reduction for reduction in (1, 2, 4, 8, 16)}


class PictureWarning(UserWarning):
    """A picture was changed before it was compressed, or something with it was left out."""


def _as_picture(
    image: PictureSource,
    frame: int | None = None,
    background: tuple[int, int, int] | None = None,
    strip: Strip = Strip.NOTHING,
) -> Picture:
    match image:
        case Picture():
            return picture_of_samples(image.samples, image.metadata, image.notes, background)
        case str() | PathLike():
            return read_picture(Path(image), frame=frame, background=background, strip=strip)
        case bytes() | bytearray() | memoryview():
            return read_picture(bytes(image), frame=frame, background=background, strip=strip)
        case Image.Image():
            return picture_of_image(image, frame=frame, background=background)
        case np.ndarray():
            return picture_of_samples(image, background=background)
        case ByteSource():
            return read_picture(image, frame=frame, background=background, strip=strip)
    raise PictureError(
        "an image must be a Pillow image, an array, or a picture file's path, contents or open stream, found "
        f"{type(image).__name__}; convert it"
    )


def _contents(source: FileSource) -> bytes:
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source)
    if isinstance(source, str | PathLike):
        try:
            return Path(source).read_bytes()
        except (OSError, ValueError) as error:
            raise UsageError(f"{source}: the file cannot be read ({error}); check the path") from error
    if isinstance(source, ByteSource):
        return source.read()
    raise UsageError(
        "data must be the path, the bytes or the open stream of a .tmix file, found "
        f"{type(source).__name__}; convert it"
    )


def _number(name: str, value: object) -> float:
    """A number of Python or numpy; UsageError for anything else."""
    if not isinstance(value, Real) or isinstance(value, bool) or math.isnan(value):
        raise UsageError(f"{name} must be a number (int or float), found {short(value)}; change it")
    return float(value)


def _if_given(name: str, value: object) -> float | None:
    return None if value is None else _number(name, value)


def _check_device(name: str) -> None:
    if not isinstance(name, str) or not re.fullmatch(r"cpu|torch|cuda(:[0-9]+)?", name):
        raise UsageError(f"device must be cpu, torch or cuda, found {short(name)}; change it")
    if name == "cpu":
        return
    with needing_torch(f"device {name}", "gpu"):
        import torch
    if name != "torch" and int(name.partition(":")[2] or 0) >= torch.cuda.device_count():
        raise UsageError(f"device {name} needs a CUDA device that torch can use, found none; use cpu")


def compress(
    image: PictureSource,
    quality: float | None = None,
    model: str | Path | None = None,
    device: str = "cpu",
    *,
    tune: str | None = None,
    effort: int = DEFAULT_EFFORT,
    lossless: bool | None = None,
    time_limit_seconds: float | None = None,
    target_bits_per_pixel: float | None = None,
    target_bytes: float | None = None,
    target_psnr_db: float | None = None,
    target_ssimulacra2: float | None = None,
    frame: int | None = None,
    background: tuple[int, int, int] | None = None,
    strip: Strip = Strip.NOTHING,
    maximum_seconds: float | None = None,
) -> bytes:
    """Compress a picture to the contents of a ``.tmix`` file.

    What was converted or left out on the way is told by a ``PictureWarning``.

    Args:
        image: a Pillow image; an array, uint8 or uint16, [H W] or [H W C] with 1 grey, 2 grey and alpha, 3 RGB, 4 RGB
            and alpha; a picture file's path, contents or open stream; or a ``Picture``.
        quality: 1..100, continuous; 70 without a target.
        model: name or weights file; by default that of the tune.
        tune: what the picture shall be best for: ``eye``, the default, ``psnr`` or ``ms-ssim``.
        effort: 1 (fastest) to 9 (smallest file); decoding takes as long as ever.
        lossless: whether the samples are kept exactly, without a model; None: where the picture is drawn and takes no
            more bytes so than at the quality, which text, screens and pixel art often do.
        time_limit_seconds: ends the search in time; its best so far is kept.
        target_bits_per_pixel: of the whole file, within 2 %, instead of a quality.
        target_bytes: size of the file, within 2 % and rather below, instead of a quality.
        target_psnr_db: of the decoded picture, within 0.1 dB, instead of a quality.
        target_ssimulacra2: score of the decoded picture, within 0.5, instead of a quality.
        frame: of an animation or a file of many pages, from 0; such a file is refused without.
        background: R, G, B, 0..255, that takes the place of transparency; None keeps alpha.
        strip: metadata to leave out.
        maximum_seconds: by the clock, of the whole call; where they are not enough there is no file.

    Raises:
        PictureError: the picture is of a kind that is not handled, or has several frames and none is chosen.
        UsageError: an argument is of another kind or out of range, or there are two targets, or a model and a tune.
        OutOfReachError: no quality meets the target.
        TimeOverError: ``maximum_seconds`` are not enough.
        ModelError: there is no such model.
        KeyboardInterrupt: Ctrl-C, also during a search; ``Codec.encode_to`` returns the best so far instead.

    >>> import numpy as np
    >>> data = compress(np.zeros((32, 32, 3), np.uint8), quality=30)
    >>> decompress(data).size
    (32, 32)
    """
    if not isinstance(effort, Integral) or isinstance(effort, bool):
        raise UsageError(
            f"effort must be a whole number from {MINIMUM} (fastest) to {MAXIMUM} (smallest file), found "
            f"{short(effort)}; change it"
        )
    quality = _if_given("quality", quality)
    target = one_target(
        _if_given("target_bits_per_pixel", target_bits_per_pixel),
        _if_given("target_bytes", target_bytes),
        _if_given("target_psnr_db", target_psnr_db),
        _if_given("target_ssimulacra2", target_ssimulacra2),
    )
    time_limit_seconds = _if_given("time_limit_seconds", time_limit_seconds)
    if time_limit_seconds is not None and time_limit_seconds < 0:
        raise UsageError(f"time_limit_seconds must be from 0, found {time_limit_seconds:g}; None sets no limit")
    _check_device(device)
    if target is not None and quality is not None:
        raise UsageError("a quality and a target exclude each other, found both; leave one out")
    if lossless and (target is not None or quality is not None):
        raise UsageError("a lossless file has neither quality nor target, found one of them; leave it out")
    with limited_time(_if_given("maximum_seconds", maximum_seconds)):
        path, picture = model_for(tune, model), _as_picture(image, frame, background, strip)
        for note in picture.notes:
            warnings.warn(note, PictureWarning, stacklevel=2)
        picture = replace(picture, metadata=stripped(picture.metadata, strip))
        codec = None if lossless else Codec.load(path, device)
        aim = target or (DEFAULT_QUALITY if quality is None else quality)
        encoded = encode_best(codec, picture, aim, int(effort), lossless, time_limit_seconds=time_limit_seconds)
    if encoded.ended == "interrupt":
        raise KeyboardInterrupt  # else a program that compresses many could not be stopped
    return encoded.data


def decompress(
    data: FileSource,
    device: str = "cpu",
    maximum_pixels: int = MAXIMUM_PIXELS,
    *,
    scale: float = 1,
    region: tuple[int, int, int, int] | None = None,
    keep_going: bool = False,
    maximum_seconds: float | None = None,
) -> Image.Image:
    """Decompress a ``.tmix`` file to a Pillow image with its metadata.

    Pillow has no 16 bits in colour or with alpha: such pictures come with 8, and a ``PictureWarning``;
    ``decompress_to_picture`` gives all bits.

    Args:
        data: the file's path, bytes or open stream.
        maximum_pixels: larger pictures are refused.
        scale: 1, 1/2, 1/4, 1/8 or 1/16, sides rounded up; the last two take about half the time.
        region: left, top, width and height of a part, in pixels of the whole; its edges are widened to multiples of
            1 / scale. Of pictures from 4.2 megapixels on only what is needed is decoded.
        keep_going: where a part of a large picture is damaged, show what is expected there, with a ``PictureWarning``.
        maximum_seconds: by the clock, of the whole call; a short file may claim a large picture.

    Raises:
        CodecError: the bytes are no valid file.
        TimeOverError: ``maximum_seconds`` are not enough.
        UnknownModelError: the file's model is not installed.
        UsageError: an argument is of another kind or out of range, or the path cannot be read.
    """
    picture = decompress_to_picture(
        data, device, maximum_pixels, scale=scale, region=region, keep_going=keep_going, maximum_seconds=maximum_seconds
    )
    image, notes = to_image(picture)
    for note in (*picture.notes, *notes):
        warnings.warn(note, PictureWarning, stacklevel=2)
    return image


def decompress_to_picture(
    data: FileSource,
    device: str = "cpu",
    maximum_pixels: int = MAXIMUM_PIXELS,
    *,
    scale: float = 1,
    region: tuple[int, int, int, int] | None = None,
    keep_going: bool = False,
    maximum_seconds: float | None = None,
) -> Picture:
    """Decompress a ``.tmix`` file to a ``Picture``: its ``samples`` are an array, ``write_picture`` makes a file of it.

    Args and errors are those of ``decompress``.

    >>> import numpy as np
    >>> ramp = np.linspace(0, 65535, 32 * 32 * 4).astype(np.uint16).reshape(32, 32, 4)
    >>> decompress_to_picture(compress(ramp)).samples.dtype
    dtype('uint16')
    """
    contents = _contents(data)
    _number("maximum_pixels", maximum_pixels)
    _check_device(device)
    if (reduction := _REDUCTIONS.get(_number("scale", scale))) is None:
        raise UsageError(f"scale must be 1, 1/2, 1/4, 1/8 or 1/16, found {short(scale)}; choose one of them")
    window = None
    if region is not None:
        left, top, width, height = (int(_number("region", value)) for value in region)
        window = Rectangle(top, left, height, width)
    with limited_time(_if_given("maximum_seconds", maximum_seconds)):
        if read_header(contents).is_lossless:
            return decode_lossless(contents, maximum_pixels, reduction, region=window)
        codec = Codec.for_file(contents, device)
        return codec.decode(contents, maximum_pixels, reduction, region=window, keep_going=keep_going)
