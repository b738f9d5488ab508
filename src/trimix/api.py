"""Two functions for those who want nothing more: ``compress`` and ``decompress``."""

import io
import math
from numbers import Integral, Real
from pathlib import Path
from reprlib import repr as short

import numpy as np
import torch
from PIL import Image

from trimix.bitstream import MAXIMUM_PIXELS
from trimix.codec import Codec
from trimix.encoder.effort import DEFAULT_EFFORT, MAXIMUM, MINIMUM
from trimix.encoder.targets import one_target
from trimix.errors import PictureError, UsageError
from trimix.images import Picture, read_picture


def _as_picture(image: "Image.Image | np.ndarray | str | Path") -> Picture:
    if isinstance(image, str | Path):
        return read_picture(Path(image))
    if isinstance(image, Image.Image):
        # Through the reader, so that alpha, 16 bits, palettes, orientation and profiles are handled in one place.
        buffer = io.BytesIO()
        try:
            image.save(
                buffer,
                format="PNG",
                compress_level=1,
                icc_profile=image.info.get("icc_profile"),
                exif=image.getexif(),
            )
        except OSError as error:
            raise PictureError(f"an image must be grey or RGB of 8 bits, found mode {image.mode}") from error
        return read_picture(buffer.getvalue())
    if not isinstance(image, np.ndarray):
        raise PictureError(
            "an image must be a Pillow image, a uint8 array or the path of a picture file, found "
            f"{type(image).__name__}; convert it"
        )
    if (
        image.dtype != np.uint8
        or image.ndim not in (2, 3)
        or (image.ndim == 3 and image.shape[2] not in (1, 3))
    ):
        raise PictureError(
            f"an array must be uint8 [H W], [H W 1] or [H W 3], found {image.dtype} {list(image.shape)}"
        )
    if 0 in image.shape:
        raise PictureError(f"an array must have at least one pixel, found {list(image.shape)}")
    return Picture(np.ascontiguousarray(image if image.ndim == 3 else image[:, :, None]))


def _number(name: str, value: object) -> float:
    """A number of Python or numpy.

    Raises:
        UsageError: it is none.
    """
    if not isinstance(value, Real) or isinstance(value, bool) or math.isnan(value):
        raise UsageError(f"{name} must be a number (int or float), found {short(value)}; change it")
    return float(value)


def _if_given(name: str, value: object) -> float | None:
    return None if value is None else _number(name, value)


def _whole_effort(effort: object) -> int:
    if not isinstance(effort, Integral) or isinstance(effort, bool):
        raise UsageError(
            f"effort must be a whole number from {MINIMUM} (fastest) to {MAXIMUM} (smallest file), found "
            f"{short(effort)}; change it"
        )
    return int(effort)


def _check_device(name: str) -> None:
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError):
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise UsageError(f"device must be cpu or cuda, found {short(name)}; change it")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UsageError(f"device {name} needs a CUDA device that torch can use, found none; use cpu")


def compress(
    image: "Image.Image | np.ndarray | str | Path",
    quality: float | None = None,
    model: str | Path = "gllmm-lite",
    device: str = "cpu",
    *,
    effort: int = DEFAULT_EFFORT,
    time_limit_seconds: float | None = None,
    target_bits_per_pixel: float | None = None,
    target_bytes: float | None = None,
    target_psnr_db: float | None = None,
    target_ssimulacra2: float | None = None,
) -> bytes:
    """Compress a picture to the contents of a ``.tmix`` file.

    Args:
        image: a Pillow image, a uint8 array [H W 3] or [H W], or the path of a picture file.
        quality: 1..100, continuous; 50 without a target.
        model: name or weights file.
        device: ``cpu`` or ``cuda``.
        effort: 1 (fastest) to 9 (smallest file); decoding takes as long as ever.
        time_limit_seconds: ends the search in time; its best so far is kept.
        target_bits_per_pixel: of the whole file, within 2 %, instead of a quality.
        target_bytes: size of the file, within 2 % and rather below, instead of a quality.
        target_psnr_db: of the decoded picture, within 0.1 dB, instead of a quality.
        target_ssimulacra2: score of the decoded picture, within 0.5, instead of a quality.

    Raises:
        PictureError: the picture is of a kind that is not handled.
        UsageError: an argument is of another kind or out of range, or there are two targets.
        OutOfReachError: no quality meets the target.
        ModelError: there is no such model.
        KeyboardInterrupt: Ctrl-C, also during a search; ``Codec.encode_to`` returns the best so far instead.

    >>> import numpy as np
    >>> data = compress(np.zeros((32, 32, 3), np.uint8), quality=30)
    >>> decompress(data).size
    (32, 32)
    """
    effort, quality = _whole_effort(effort), _if_given("quality", quality)
    target = one_target(
        _if_given("target_bits_per_pixel", target_bits_per_pixel),
        _if_given("target_bytes", target_bytes),
        _if_given("target_psnr_db", target_psnr_db),
        _if_given("target_ssimulacra2", target_ssimulacra2),
    )
    time_limit_seconds = _if_given("time_limit_seconds", time_limit_seconds)
    if time_limit_seconds is not None and time_limit_seconds < 0:
        raise UsageError(
            f"time_limit_seconds must be from 0, found {time_limit_seconds:g}; None sets no limit"
        )
    _check_device(device)
    if target is not None and quality is not None:
        raise UsageError("a quality and a target exclude each other, found both; leave one out")
    codec, picture = Codec.load(model, device), _as_picture(image)
    aim = target or (50.0 if quality is None else quality)
    encoded = codec.encode_to(picture, aim, effort, time_limit_seconds=time_limit_seconds)
    if encoded.ended == "interrupt":
        raise KeyboardInterrupt  # else a program that compresses many could not be stopped
    return encoded.data


def decompress(data: bytes, device: str = "cpu", maximum_pixels: int = MAXIMUM_PIXELS) -> Image.Image:
    """Decompress the contents of a ``.tmix`` file to a Pillow image with its metadata.

    Args:
        data: the file's bytes.
        device: ``cpu`` or ``cuda``.
        maximum_pixels: larger pictures are refused.

    Raises:
        CodecError: the bytes are no valid file.
        UnknownModelError: the file's model is not installed.
        UsageError: an argument is of another kind.
    """
    if not isinstance(data, bytes | bytearray | memoryview):
        raise UsageError(
            f"data must be the bytes of a .tmix file, found {type(data).__name__}; read the file first"
        )
    _number("maximum_pixels", maximum_pixels)
    _check_device(device)
    data = bytes(data)
    picture = Codec.for_file(data, device).decode(data, maximum_pixels)
    pixels = picture.pixels
    image = Image.fromarray(pixels[:, :, 0] if picture.channels == 1 else pixels)
    # Under the keys that Pillow's own readers use, so that saving the image keeps them.
    for key, value in (
        ("icc_profile", picture.icc_profile),
        ("exif", b"Exif\0\0" + picture.exif if picture.exif else b""),
        ("xmp", picture.xmp),
    ):
        if value:
            image.info[key] = value
    return image
