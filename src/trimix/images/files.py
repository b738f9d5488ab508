"""Picture files: what is read, what is refused, what is written."""

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from PIL import ExifTags, Image, PngImagePlugin, TiffImagePlugin, UnidentifiedImageError

from trimix.errors import OutputError, PictureError, UsageError
from trimix.images import exif as exif_blocks
from trimix.images.atomic_files import write_atomically
from trimix.images.checks import HEAD_BYTES, check_kind, check_size, check_webp_size

INPUT_FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "PPM", "AVIF", "GIF")
"""Formats that are read, by Pillow's names."""

OUTPUT_FORMATS = {
    "png": "PNG",
    "webp": "WEBP",
    "tif": "TIFF",
    "tiff": "TIFF",
    "bmp": "BMP",
    "jpg": "JPEG",
    "jpeg": "JPEG",
    "ppm": "PPM",
    "pgm": "PPM",
}
"""Formats that are written: file name extension -> Pillow's name."""

_EXIF_PREFIX = b"Exif\0\0"
_XMP_TIFF_TAG = 700
# What may move between a TIFF's first directory and an EXIF block; the rest says where the pixels lie.
_DESCRIPTIVE_TAGS = (
    ExifTags.Base.ImageDescription,
    ExifTags.Base.Make,
    ExifTags.Base.Model,
    ExifTags.Base.XResolution,
    ExifTags.Base.YResolution,
    ExifTags.Base.ResolutionUnit,
    ExifTags.Base.Software,
    ExifTags.Base.DateTime,
    ExifTags.Base.Artist,
    ExifTags.Base.Copyright,
)
_SUBDIRECTORIES = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)

_pillow_lock = threading.Lock()

# Pillow logs some damage on its way to an error. Where no logging is set up, Python would print it.
logging.getLogger("PIL").addHandler(logging.NullHandler())


@runtime_checkable
class ByteSource(Protocol):
    """Anything that bytes are read from: a file opened in binary mode, `sys.stdin.buffer`, `BytesIO`."""

    def read(self) -> bytes:
        """All bytes to the end."""
        ...


@runtime_checkable
class ByteSink(Protocol):
    """Anything that bytes are written to: a file opened in binary mode, `sys.stdout.buffer`, `BytesIO`."""

    def write(self, data: bytes, /) -> object:
        """Take `data`."""
        ...


@dataclass(frozen=True, eq=False)
class Picture:
    """An upright picture and the metadata that travel with it.

    Attributes:
        pixels: uint8 [height, width, channels], 0 .. 255; 1 channel (grey) or 3 (RGB).
        icc_profile: ICC profile of the pixels; empty for none.
        exif: EXIF block from its TIFF header on (without `Exif\\0\\0`); empty for none.
        xmp: XMP packet; empty for none.

    Raises:
        PictureError: pixels of another type or shape.

    >>> Picture(np.zeros((2, 3, 1), np.uint8)).width
    3
    """

    pixels: np.ndarray
    icc_profile: bytes = field(default=b"", repr=False)
    exif: bytes = field(default=b"", repr=False)
    xmp: bytes = field(default=b"", repr=False)

    def __post_init__(self) -> None:
        shape = self.pixels.shape
        if self.pixels.dtype != np.uint8 or len(shape) != 3 or shape[2] not in (1, 3) or 0 in shape:
            raise PictureError(
                "pixels must be uint8 [height, width, 1 or 3] with at least one pixel, "
                f"found {self.pixels.dtype} {list(shape)}; convert them"
            )

    @property
    def height(self) -> int:
        """Rows."""
        return self.pixels.shape[0]

    @property
    def width(self) -> int:
        """Columns."""
        return self.pixels.shape[1]

    @property
    def channels(self) -> int:
        """1 for grey, 3 for RGB."""
        return self.pixels.shape[2]


def read_picture(source: Path | ByteSource | bytes, *, maximum_pixels: int = 2**28) -> Picture:
    """Read a picture file: PNG, JPEG, WebP, TIFF, BMP, PPM, AVIF or GIF, with 8 bits, grey or RGB.

    The orientation in EXIF is applied, and set to upright in the metadata that are kept. Palettes become
    RGB, two levels become grey. Colour information outside an ICC profile (gAMA, cHRM, cICP of PNG) is
    not kept.

    Args:
        source: path, binary stream (read from where it stands to its end), or the contents of a file.
        maximum_pixels: width x height that is accepted; checked before pixels are decoded.

    Raises:
        PictureError: the file is missing, damaged, or of a kind that is not handled: alpha, more than 8 bits,
            CMYK and other colour spaces, several frames or pages.
        PictureTooLargeError: more than `maximum_pixels` pixels.
    """
    if not isinstance(source, Path):
        stream = BytesIO(source if isinstance(source, bytes) else source.read())
        return _read_stream(stream, "the picture", maximum_pixels)
    try:
        stream = source.open("rb")
    except FileNotFoundError:
        raise PictureError(f"{source}: the picture must exist, found no such file; check the path") from None
    except IsADirectoryError:
        raise PictureError(f"{source}: the picture must be a file, found a directory; name a file") from None
    except PermissionError:
        raise PictureError(
            f"{source}: reading must be permitted, found it is not; change the permissions of the file"
        ) from None
    except (OSError, ValueError) as error:
        raise PictureError(f"{source} cannot be opened ({_one_line(error)}); check the path") from error
    with stream:
        return _read_stream(stream, str(source), maximum_pixels)


def write_picture(picture: Picture, destination: Path | ByteSink, *, format: str | None = None) -> None:  # noqa: A002
    """Write a picture file: PNG, WebP (lossless), TIFF, BMP, JPEG (quality 95, 4:4:4) or PPM.

    ICC profile, EXIF and XMP are kept by PNG, WebP, TIFF and JPEG; BMP and PPM have no place for them.
    WebP knows no grey: a grey picture comes back as RGB.

    Args:
        picture: what to write.
        destination: path, which is replaced in one step if it exists, or binary stream.
        format: an extension of `OUTPUT_FORMATS` in any case, or None for the one of the path.

    Raises:
        UsageError: no format, or one that is not written.
        OutputError: the format cannot hold the picture, or the file cannot be written.
    """
    if format is not None:
        pillow_format = OUTPUT_FORMATS.get(format.lower().removeprefix("."))
        if pillow_format is None:
            raise UsageError(
                f"the output format must be one of {_output_names()}, found {format}; choose one"
            )
    elif isinstance(destination, Path):
        pillow_format = output_format(destination)
    else:
        raise UsageError(
            f"the output format of a stream must be given, found none; choose of {_output_names()}"
        )
    name = str(destination) if isinstance(destination, Path) else "the picture"
    data = _encode(picture, pillow_format, name)
    if isinstance(destination, Path):
        write_atomically(destination, data, overwrite=True)
        return
    try:
        destination.write(data)
    except OSError as error:
        raise OutputError(f"{name} cannot be written ({_one_line(error)}); choose another output") from error


def output_format(destination: Path) -> str:
    """The format that the extension of a path asks for, by Pillow's name.

    Raises:
        UsageError: an extension that is not in `OUTPUT_FORMATS`.

    >>> output_format(Path("picture.jpg"))
    'JPEG'
    """
    pillow_format = OUTPUT_FORMATS.get(destination.suffix.lower().removeprefix("."))
    if pillow_format is None:
        raise UsageError(
            f"{destination}: the extension must be one of {_output_names()}, "
            f"found {destination.suffix or 'none'}; change it"
        )
    return pillow_format


def _output_names() -> str:
    return ", ".join(OUTPUT_FORMATS)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _read_stream(stream: BufferedReader | BytesIO, name: str, maximum_pixels: int) -> Picture:
    try:
        if not stream.seekable():
            stream = BytesIO(stream.read())
        head = stream.read(HEAD_BYTES)
        stream.seek(0)
        if not head:
            raise PictureError(f"{name}: a picture file must have contents, found it empty; fetch it again")
        check_webp_size(name, head, maximum_pixels)
        with _without_pillow_limits():
            image = Image.open(stream, formats=INPUT_FORMATS)
        check_size(name, image.width, image.height, maximum_pixels)
        is_tiff = isinstance(image, TiffImagePlugin.TiffImageFile)
        with image:
            check_kind(name, image, head)
            # Only TIFF comes back to Pillow's own limit while it decodes; others may decode in parallel.
            with _without_pillow_limits() if is_tiff else nullcontext():
                image.load()
            return _to_picture(image)
    except PictureError:
        raise
    except UnidentifiedImageError:
        raise PictureError(
            f"{name}: a picture must be one of {', '.join(INPUT_FORMATS)}, found another or a damaged file; "
            "convert it to PNG"
        ) from None
    except MemoryError as error:
        raise PictureError(
            f"{name}: the picture must fit into memory, found it does not; cut it up"
        ) from error
    # A damaged file leads Pillow to OSError, SyntaxError, ValueError, struct.error and more.
    except Exception as error:
        raise PictureError(
            f"{name}: a picture must decode, found it damaged or truncated ({_one_line(error)}); "
            "fetch it again"
        ) from error


@contextmanager
def _without_pillow_limits() -> Iterator[None]:
    """Pillow's limit on pixels is set aside, because ours is checked; so are its remarks on odd files.

    Both are global in Python, hence the lock.
    """
    with _pillow_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _to_picture(image: Image.Image) -> Picture:
    """Pixels and metadata of a decoded image of a kind that is handled."""
    icc_profile = image.info.get("icc_profile") or b""
    xmp = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or b""
    if isinstance(xmp, str):
        xmp = xmp.encode("utf-8")
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        # Pillow has turned the pixels already while decoding. TIFF has no EXIF block: make one.
        exif = _descriptive_exif(image.getexif())
        exif_block = exif.tobytes() if exif else b""
        orientation = exif_blocks.UPRIGHT
        xmp = exif_blocks.reset_xmp_orientation(xmp)
    else:
        exif_block = image.info.get("exif") or b""
        orientation = exif_blocks.read_orientation(exif_block.removeprefix(_EXIF_PREFIX))
    exif_block = exif_block.removeprefix(_EXIF_PREFIX)
    wanted = {"1": "L", "L": "L"}.get(image.mode, "RGB")
    pixels = np.array(image if image.mode == wanted else image.convert(wanted), dtype=np.uint8)
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    if orientation != exif_blocks.UPRIGHT:
        pixels = exif_blocks.apply_orientation(pixels, orientation)
        exif_block = exif_blocks.reset_orientation(exif_block)
        xmp = exif_blocks.reset_xmp_orientation(xmp)
    return Picture(pixels, icc_profile=icc_profile, exif=exif_block, xmp=xmp)


def _descriptive_exif(source: Image.Exif) -> Image.Exif:
    """The tags of a TIFF or an EXIF block that describe the picture and do not depend on how it is stored."""
    kept = Image.Exif()
    for tag in _DESCRIPTIVE_TAGS:
        if tag in source:
            kept[tag] = source[tag]
    for directory in _SUBDIRECTORIES:
        if values := source.get_ifd(directory):
            kept[directory] = dict(values)
    return kept


def _tiff_tags(picture: Picture) -> TiffImagePlugin.ImageFileDirectory_v2:
    """What of EXIF a TIFF takes up in its own directory, and XMP."""
    exif = Image.Exif()
    exif.load(picture.exif)
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, value in _descriptive_exif(exif).items():
        tags[tag] = value
    if picture.xmp:
        tags[_XMP_TIFF_TAG] = picture.xmp
    return tags


def _encode(picture: Picture, pillow_format: str, name: str) -> bytes:
    pixels = picture.pixels
    image = Image.fromarray(np.ascontiguousarray(pixels[:, :, 0] if picture.channels == 1 else pixels))
    buffer = BytesIO()
    try:
        image.save(buffer, pillow_format, **_save_options(picture, pillow_format))
    # Too large for the format or metadata too long for it: OSError, ValueError, struct.error and more.
    except Exception as error:
        raise OutputError(
            f"{name}: the picture and its metadata must fit into {pillow_format}, found they do not "
            f"({_one_line(error)}); choose another format"
        ) from error
    return buffer.getvalue()


def _save_options(picture: Picture, pillow_format: str) -> dict[str, Any]:
    """Pillow's arguments, with the metadata where the format has a place for them."""
    match pillow_format:
        case "PNG":
            options: dict[str, Any] = {}
        case "WEBP":
            options = {"lossless": True, "exact": True, "quality": 80, "method": 4}
        case "JPEG":
            options = {"quality": 95, "subsampling": 0}
        case "TIFF":
            options = {"tiffinfo": (tags := _tiff_tags(picture))}
            # The compressing writer of Pillow cannot write the directories that EXIF and GPS tags stand in.
            if not any(directory in tags for directory in _SUBDIRECTORIES):
                options["compression"] = "tiff_adobe_deflate"
        case _:
            return {}
    if picture.icc_profile:
        options["icc_profile"] = picture.icc_profile
    if pillow_format == "TIFF":
        return options
    if picture.exif:
        options["exif"] = _EXIF_PREFIX + picture.exif
    if picture.xmp and pillow_format == "PNG":
        # As bytes: a packet that is not UTF-8 stays what it is.
        chunks = PngImagePlugin.PngInfo()
        chunks.add(b"iTXt", b"XML:com.adobe.xmp" + bytes(5) + picture.xmp)
        options["pnginfo"] = chunks
    elif picture.xmp:
        options["xmp"] = picture.xmp
    return options
