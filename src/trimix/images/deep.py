"""More than 8 bits: what Pillow cannot read or write.

PNG, AVIF and JPEG 2000 are read by imagecodecs, TIFF by tifffile: `pip install 'trimix[formats]'`. Grey PNG
and TIFF are Pillow's, PPM is read here. Writing needs neither.
"""

import re
import struct
import zlib
from collections.abc import Callable
from importlib import import_module
from io import BytesIO
from typing import Any

import numpy as np
from PIL import TiffImagePlugin

from trimix.errors import PictureError
from trimix.images.chunks import PNG_SIGNATURE, ByteStream, Chunk, png_chunk
from trimix.shapes import UInt

PORTABLE_ANYMAP = re.compile(rb"P[2356](?:(?:\s|#[^\n]*\n)+(\d{1,9})){3}\s")
"""The header of PGM and PPM; its group is the largest value."""

_EXTRA = "pip install 'trimix[formats]'"
_COMPRESSION_DEFLATE, _PREDICTOR_DIFFERENCE = 8, 2
_ASSOCIATED_ALPHA, _UNASSOCIATED_ALPHA = 1, 2
_MINISWHITE, _MINISBLACK, _RGB = 0, 1, 2


def scaled(samples: np.ndarray, bits: int) -> UInt[np.ndarray, "*shape"]:
    """Samples of 9 .. 16 bits as they are with 16: the largest value is 65535.

    >>> scaled(np.array([0, 512, 1023], np.uint16), 10).tolist()
    [0, 32800, 65535]
    """
    return _of_peak(samples, 2**bits - 1)


def _of_peak(samples: np.ndarray, peak: int) -> np.ndarray:
    if peak == 65535:
        return samples.astype(np.uint16)
    levels = samples.astype(np.uint32)
    return ((np.minimum(levels, peak) * np.uint32(65535) + np.uint32(peak // 2)) // np.uint32(peak)).astype(np.uint16)


def read_png(data: bytes, chunks: list[Chunk]) -> UInt[np.ndarray, "H W C"]:
    """All samples of a PNG of 16 bits; the colour that tRNS calls transparent becomes alpha."""
    samples = module_for("imagecodecs", "16 bits in colour").png_decode(data)
    samples = samples if samples.ndim == 3 else samples[:, :, None]
    for one in chunks:
        if one.type == b"tRNS" and samples.shape[2] in (1, 3) and len(one.data) == 2 * samples.shape[2]:
            samples = with_key_colour(samples, struct.unpack(f">{samples.shape[2]}H", one.data))
    return samples


def with_key_colour(samples: UInt[np.ndarray, "H W C"], key: tuple[int, ...]) -> UInt[np.ndarray, "H W D"]:
    """Samples with an alpha that is 0 where they have the key colour."""
    is_key = (samples == np.array(key, samples.dtype)).all(axis=2, keepdims=True)
    alpha = np.where(is_key, 0, np.iinfo(samples.dtype).max).astype(samples.dtype)
    return np.concatenate([samples, alpha], axis=2)


def read_avif(data: bytes, bits: int) -> UInt[np.ndarray, "*shape"]:
    """All samples of an AVIF of 10 or 12 bits, not yet turned."""
    return scaled(module_for("imagecodecs", f"{bits} bits").avif_decode(data), bits)


def read_jpeg_2000(data: bytes, bits: int) -> UInt[np.ndarray, "*shape"]:
    """All samples of a JPEG 2000 of more than 8 bits."""
    return scaled(module_for("imagecodecs", f"{bits} bits").jpeg2k_decode(data), bits)


def read_anymap(data: bytes) -> UInt[np.ndarray, "H W C"]:
    """All samples of a binary PGM or PPM of more than 8 bits (ValueError: written in digits, or cut short)."""
    found = PORTABLE_ANYMAP.match(data)
    if found is None or data[1:2] not in b"56":
        raise ValueError("samples of more than 8 bits must be binary, found digits")
    width, height, peak = (int(number) for number in re.findall(rb"\d+", re.sub(rb"#[^\n]*\n", b"", found[0]))[1:])
    channels = 1 if data[1:2] == b"5" else 3
    samples = np.frombuffer(data, ">u2", height * width * channels, found.end())
    return _of_peak(samples.reshape(height, width, channels), peak)


def read_tiff(
    stream: ByteStream, frame: int, check_size: Callable[[int, int], None] = lambda width, height: None
) -> UInt[np.ndarray, "H W C"]:
    """All samples of a page of a TIFF, from 0, not yet turned; PictureError for samples or colours of another kind.

    Before pixels are decoded, `check_size` is asked with width and height.
    """
    tifffile = module_for("tifffile", "this kind of TIFF")
    stream.seek(0)
    with tifffile.TiffFile(stream) as file:
        page = file.pages[frame]
        bits, photometric = page.bitspersample, int(page.photometric)
        if page.dtype is None or page.dtype.kind != "u" or page.dtype.itemsize > 2:
            raise PictureError(
                f"samples must be whole numbers of up to 16 bits, found {page.dtype or bits}; convert them"
            )
        if photometric not in (_MINISWHITE, _MINISBLACK, _RGB) or page.axes not in ("YX", "YXS", "SYX"):
            raise PictureError(f"colours must be grey or RGB, found {page.photometric!s} {page.axes}; convert them")
        check_size(int(page.imagewidth), int(page.imagelength))
        samples = page.asarray()
        extra = tuple(int(kind) for kind in page.extrasamples)
    samples = samples[:, :, None] if samples.ndim == 2 else samples
    samples = np.moveaxis(samples, 0, 2) if page.axes == "SYX" else samples
    if extra not in ((), (_ASSOCIATED_ALPHA,), (_UNASSOCIATED_ALPHA,)):
        raise PictureError(f"colours must be grey or RGB, found {samples.shape[2]} samples a pixel; convert them")
    if samples.dtype == np.uint16:
        samples = scaled(samples, bits)
    if photometric == _MINISWHITE:
        samples = np.iinfo(samples.dtype).max - samples
    return _unmultiplied(samples) if extra == (_ASSOCIATED_ALPHA,) else samples


def _unmultiplied(samples: UInt[np.ndarray, "H W C"]) -> UInt[np.ndarray, "H W C"]:
    """Colours that were multiplied by alpha as they are without."""
    peak = np.iinfo(samples.dtype).max
    colours, alpha = samples[:, :, :-1].astype(np.uint32), samples[:, :, -1:].astype(np.uint32)
    colours = (colours * np.uint32(peak) + alpha // 2) // np.maximum(alpha, 1)
    return np.concatenate([np.minimum(colours, peak), alpha], axis=2).astype(samples.dtype)


def write_png(samples: UInt[np.ndarray, "H W C"], before: list[Chunk], after: list[Chunk]) -> bytes:
    """A PNG of 16 bits: 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha; other chunks stand before and behind."""
    height, width, channels = samples.shape
    colour_type = (0, 4, 2, 6)[channels - 1]
    rows = samples.astype(">u2").view(np.uint8).reshape(height, 2 * channels * width)
    # Filter 2, "up": every byte less the one above it. Every row begins with the filter's number.
    above = np.concatenate([np.zeros((1, rows.shape[1]), np.uint8), rows[:-1]])
    filtered = np.concatenate([np.full((height, 1), 2, np.uint8), rows - above], axis=1)
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    pixels = Chunk(b"IDAT", zlib.compress(filtered.tobytes(), 6))
    parts = [Chunk(b"IHDR", header), *before, pixels, *after, Chunk(b"IEND", b"")]
    return PNG_SIGNATURE + b"".join(png_chunk(one) for one in parts)


def write_tiff(samples: UInt[np.ndarray, "H W C"], tags: TiffImagePlugin.ImageFileDirectory_v2) -> bytes:
    """A TIFF of 16 bits, deflated, of 1 to 4 samples as `write_png` has them; tags that say how are added to `tags`."""
    height, width, channels = samples.shape
    differences = samples.copy()
    differences[:, 1:] -= samples[:, :-1]
    data = zlib.compress(differences.astype("<u2").tobytes(), 6)
    stored: dict[int, Any] = {
        256: width,
        257: height,
        258: (16,) * channels,
        259: _COMPRESSION_DEFLATE,
        262: _MINISBLACK if channels <= 2 else _RGB,
        273: 0,  # offset of the data behind the directory, which is added to it when this is written
        277: channels,
        278: height,
        279: len(data),
        317: _PREDICTOR_DIFFERENCE,
    }
    if channels in (2, 4):
        stored[338] = _UNASSOCIATED_ALPHA
    for tag, value in stored.items():
        tags[tag] = value
    buffer = BytesIO()
    tags.save(buffer)
    buffer.write(data)
    return buffer.getvalue()


def write_anymap(samples: UInt[np.ndarray, "H W C"]) -> bytes:
    """A PGM or PPM of 16 bits."""
    height, width, channels = samples.shape
    return b"P%d\n%d %d\n65535\n" % (5 if channels == 1 else 6, width, height) + samples.astype(">u2").tobytes()


def module_for(name: str, what: str) -> Any:
    """A package that is an extra; PictureError if it is missing, and ``what`` needs it."""
    try:
        return import_module(name)
    except ImportError:
        raise PictureError(f"{what} needs the package {name}, found it missing; {_EXTRA}") from None
