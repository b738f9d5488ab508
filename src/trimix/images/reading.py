"""From picture files and Pillow images to pictures: what is read, what is converted, what is left out."""

from contextlib import nullcontext
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from PIL import Image, ImageFile, JpegImagePlugin, TiffImagePlugin, UnidentifiedImageError

from trimix.bitstream import NO_METADATA, Metadata
from trimix.errors import PictureError, SeveralFramesError
from trimix.images import chunks as png
from trimix.images import deep, jpeg_segments
from trimix.images import exif as exif_blocks
from trimix.images.checks import HEAD_BYTES, bits_per_sample, check_head, check_kind, check_size, choose_frame
from trimix.images.chunks import ByteStream
from trimix.images.colour_conversion import to_srgb
from trimix.images.jpeg_xl import is_jpeg_xl, jpeg_xl_size, read_jpeg_xl
from trimix.images.limits import one_line, without_pillow_limits
from trimix.images.lossless import webp_size
from trimix.images.picture import Picture, picture_of_samples
from trimix.images.stripping import Strip, stripped
from trimix.images.tags import descriptive_exif, iptc_of_tiff

INPUT_FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "PPM", "AVIF", "GIF", "JPEG2000", "QOI")
"""Formats that Pillow reads by their contents, by its names. JPEG XL is read by imagecodecs."""

_NO_LIMIT = 2**62
"""Pixels: of an image that is in memory already."""

FORMATS_BY_NAME = {".tga": ("TGA",), ".pcx": ("PCX",)}
"""Formats without a clear beginning: read only from a file of this suffix."""

_EXIF_PREFIX = b"Exif\0\0"
_GREY_16 = ("I;16", "I;16B", "I;16L", "I;16N")
_MODES = {"1": "L", "L": "L", "LA": "LA", "La": "LA", "PA": "RGBA", "RGBA": "RGBA", "RGBa": "RGBA"}


@runtime_checkable
class ByteSource(Protocol):
    """Anything that bytes are read from: a file opened in binary mode, `sys.stdin.buffer`, `BytesIO`."""

    def read(self) -> bytes:
        """All bytes to the end."""
        ...


def read_picture(
    source: Path | ByteSource | bytes,
    *,
    maximum_pixels: int = 2**28,
    frame: int | None = None,
    background: tuple[int, int, int] | None = None,
    strip: Strip = Strip.NOTHING,
) -> Picture:
    """Read a picture file: PNG, JPEG, WebP, TIFF, BMP, PPM, AVIF, GIF, JPEG 2000, QOI, TGA, PCX or JPEG XL.

    Samples of 9 to 16 bits become 16 bits. The orientation in EXIF is applied, and set to upright in the metadata that
    are kept. Palettes become RGB, two levels become grey, CMYK and Lab become sRGB by their profile. Of a camera's file
    with several pictures the first is taken. `Picture.notes` says what was converted or left out.

    Args:
        source: path, binary stream (read from where it stands to its end), or the contents of a file.
        maximum_pixels: width x height that is accepted; checked before pixels are decoded.
        frame: which frame or page, from 0; None where there must be only one.
        background: R, G, B, 0 .. 255, that takes the place of transparency; None keeps alpha.
        strip: metadata to leave out, however long they are.

    Raises:
        PictureError: the file is missing, damaged, or of a kind that is not handled; it has several frames and
            none is chosen; more than 16 bits; a package that reads it is missing.
        PictureTooLargeError: more than `maximum_pixels` pixels.
    """
    if not isinstance(source, Path):
        stream = BytesIO(source if isinstance(source, bytes) else source.read())
        return _read_stream(stream, _Wanted("the picture", maximum_pixels, frame, background, strip))
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
        raise PictureError(f"{source} cannot be opened ({one_line(error)}); check the path") from error
    with stream:
        seekable = stream if stream.seekable() else BytesIO(stream.read())
        return _read_stream(seekable, _Wanted(str(source), maximum_pixels, frame, background, strip))


def picture_of_image(
    image: Image.Image, *, frame: int | None = None, background: tuple[int, int, int] | None = None
) -> Picture:
    """The picture that a Pillow image shows, with the metadata that its `info` holds.

    Of an image whose file is open and not yet decoded all is kept that `read_picture` keeps, whose arguments these are.

    Raises:
        PictureError: of a kind that is not handled, or of several frames and none is chosen.

    >>> picture_of_image(Image.new("RGBA", (3, 2), (9, 8, 7, 100))).samples.shape
    (2, 3, 4)
    """
    contents, wanted = BytesIO(), _Wanted("the image", _NO_LIMIT, frame, background)
    try:
        if isinstance(image, ImageFile.ImageFile) and image.tile and (stream := image.fp) is not None:
            stands = stream.tell()
            stream.seek(0)
            contents = BytesIO(stream.read())
            stream.seek(stands)
        head = contents.read(HEAD_BYTES)
        return _read_image(image, contents, head, wanted)
    # Damage that shows only now: see `_read_stream`.
    except (OSError, SyntaxError, ValueError) as error:
        raise PictureError(f"{wanted.name}: a picture must decode, found it damaged ({one_line(error)})") from error


@dataclass(frozen=True)
class _Wanted:
    """What is asked for, see `read_picture`; the picture's name is for messages."""

    name: str
    maximum_pixels: int
    frame: int | None = None
    background: tuple[int, int, int] | None = None
    strip: Strip = Strip.NOTHING


def _read_stream(stream: ByteStream, wanted: _Wanted) -> Picture:
    name = wanted.name
    try:
        head = stream.read(HEAD_BYTES)
        stream.seek(0)
        check_head(name, head)
        if size := webp_size(head):  # Pillow allocates its pixels when it opens it
            check_size(name, *size, wanted.maximum_pixels)
        if is_jpeg_xl(head):
            return _read_jpeg_xl(stream, wanted)
        with without_pillow_limits():
            by_name = FORMATS_BY_NAME.get(Path(name).suffix.lower(), ())
            image = Image.open(stream, formats=(*INPUT_FORMATS, *by_name))
        with image:
            return _read_image(image, stream, head, wanted)
    except PictureError as error:
        if str(error).startswith(name):
            raise
        raise type(error)(f"{name}: {error}") from error
    except UnidentifiedImageError:
        if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
            return _read_unusual_tiff(stream, wanted)
        raise PictureError(
            f"{name}: a picture must be one of {', '.join(INPUT_FORMATS)} or JPEG XL, found another or a damaged "
            "file; convert it to PNG"
        ) from None
    except MemoryError as error:
        raise PictureError(f"{name}: the picture must fit into memory, found it does not; cut it up") from error
    # A damaged file leads Pillow to OSError, SyntaxError, ValueError, struct.error and more.
    except Exception as error:
        raise PictureError(
            f"{name}: a picture must decode, found it damaged or truncated ({one_line(error)}); fetch it again"
        ) from error


def _read_image(image: Image.Image, stream: ByteStream, head: bytes, wanted: _Wanted) -> Picture:
    """The picture of an image that is open, perhaps not decoded; `stream` and `head` are empty where it has no file."""
    name, frame = wanted.name, wanted.frame
    check_size(name, image.width, image.height, wanted.maximum_pixels)
    notes = choose_frame(name, image, frame)
    check_size(name, image.width, image.height, wanted.maximum_pixels)
    bits = bits_per_sample(image, head)
    check_kind(name, image, bits)
    chunks = png.read_png_chunks(stream) if image.format == "PNG" and head else []
    # Only TIFF comes back to Pillow's own limit while it decodes; others may decode in parallel.
    with without_pillow_limits() if isinstance(image, TiffImagePlugin.TiffImageFile) else nullcontext():
        samples = _samples(image, stream, bits, frame or 0, chunks, notes)
    if chunks and png.has_wrong_pixel_checksum(stream):
        notes.append("the checksum of its pixels is wrong: the picture may be damaged")
    metadata, orientation = _metadata(image, head, chunks, notes)
    if orientation != exif_blocks.UPRIGHT:
        samples = exif_blocks.apply_orientation(samples, orientation)
    return picture_of_samples(samples, stripped(metadata, wanted.strip), tuple(notes), wanted.background)


def _samples(
    image: Image.Image, stream: ByteStream, bits: int, frame: int, chunks: list[png.Chunk], notes: list[str]
) -> np.ndarray:
    """[H W C] of 8 or 16 bits, as Pillow would turn them while decoding."""
    if image.mode in ("CMYK", "LAB"):
        image.load()
        image, note = to_srgb(image)
        notes.append(note)
        return np.asarray(image)
    if bits > 8 and image.mode not in _GREY_16:
        return _deep_samples(image, stream, bits, frame, chunks)
    image.load()
    if image.mode in _GREY_16:
        samples = deep.scaled(np.asarray(image)[:, :, None], bits)
        if isinstance(image, TiffImagePlugin.TiffImageFile) and image.tag_v2.get(262) == 0:
            samples = 65535 - samples  # white is 0; Pillow heeds it with 8 bits only
        key = image.info.get("transparency")
        return deep.with_key_colour(samples, (key,)) if isinstance(key, int) else samples
    mode = _MODES.get(image.mode, "RGB")
    palette = image.palette if image.mode == "P" else None
    if "transparency" in image.info or (palette is not None and palette.mode == "RGBA"):  # or a key colour
        mode = "LA" if mode == "L" else "RGBA"
        image = image.convert("L") if image.mode == "1" else image
    samples = np.asarray(image if image.mode == mode else image.convert(mode))
    return samples if samples.ndim == 3 else samples[:, :, None]


def _deep_samples(image: Image.Image, stream: ByteStream, bits: int, frame: int, chunks: list[png.Chunk]) -> np.ndarray:
    stream.seek(0)
    match image.format:
        case "TIFF":
            samples = deep.read_tiff(stream, frame)
            orientation = image.getexif().get(exif_blocks.ORIENTATION_TAG, exif_blocks.UPRIGHT)
            # The caller turns what Pillow does not: this is TIFF's own, which Pillow would have applied.
            samples = exif_blocks.apply_orientation(samples, int(orientation))
        case "PNG":
            samples = deep.read_png(stream.read(), chunks)
        case "AVIF":
            samples = deep.read_avif(stream.read(), bits)
        case "JPEG2000":
            samples = deep.read_jpeg_2000(stream.read(), bits)
        case _:
            samples = deep.read_anymap(stream.read())
    return samples if samples.ndim == 3 else samples[:, :, None]


def _read_jpeg_xl(stream: ByteStream, wanted: _Wanted) -> Picture:
    name, frame = wanted.name, wanted.frame
    contents = stream.read()
    if (size := jpeg_xl_size(contents)) is None:
        raise PictureError(f"{name}: a picture must decode, found it damaged or truncated; fetch it again")
    check_size(name, *size, wanted.maximum_pixels)
    samples, exif, xmp, is_packed = read_jpeg_xl(contents)
    if samples.dtype not in (np.uint8, np.uint16):
        raise PictureError(f"{name}: samples must have up to 16 bits, found {samples.dtype}; convert them")
    if samples.ndim == 4:
        if frame is None or not 0 <= frame < len(samples):
            raise SeveralFramesError(
                f"{name}: a file must hold one picture, found {len(samples)} frames; choose one by its number, "
                f"0 to {len(samples) - 1}"
            )
        samples = samples[frame]
    notes = ("the profile of JPEG XL is not read", *(("packed metadata of JPEG XL are not read",) if is_packed else ()))
    # The decoder has turned the pixels.
    metadata = Metadata(
        exif=exif_blocks.reset_orientation(exif.removeprefix(_EXIF_PREFIX)), xmp=exif_blocks.reset_xmp_orientation(xmp)
    )
    return picture_of_samples(samples, stripped(metadata, wanted.strip), notes, wanted.background)


def _read_unusual_tiff(stream: ByteStream, wanted: _Wanted) -> Picture:
    """A TIFF that Pillow does not know."""
    name = wanted.name
    try:
        samples = deep.read_tiff(
            stream, wanted.frame or 0, lambda width, height: check_size(name, width, height, wanted.maximum_pixels)
        )
    except PictureError as error:
        raise type(error)(f"{name}: {str(error).removeprefix(f'{name}: ')}") from error
    except Exception as error:
        raise PictureError(
            f"{name}: a picture must decode, found it damaged or of an unusual kind ({one_line(error)}); "
            "convert it to PNG"
        ) from error
    notes = ("profile, EXIF and XMP of this kind of TIFF are not read",)
    return picture_of_samples(samples, NO_METADATA, notes, wanted.background)


def _metadata(image: Image.Image, head: bytes, chunks: list[png.Chunk], notes: list[str]) -> tuple[Metadata, int]:
    """Metadata of a decoded image, and the orientation that is still to be applied."""
    is_converted = image.mode in ("CMYK", "LAB")
    icc_profile = b"" if is_converted else image.info.get("icc_profile") or b""
    xmp = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or b""
    xmp = xmp.encode("utf-8") if isinstance(xmp, str) else xmp
    chunks = png.kept_chunks([*chunks, *_as_chunks(image, head)], has_profile=bool(icc_profile))
    iptc, chunks = png.without_iptc(chunks)
    extended_xmp = b""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        # Pillow has turned the pixels already while decoding. TIFF has no EXIF block: make one.
        exif = descriptive_exif(image.getexif())
        exif_block, orientation = exif.tobytes() if exif else b"", exif_blocks.UPRIGHT
        xmp, iptc = exif_blocks.reset_xmp_orientation(xmp), iptc_of_tiff(image)
    else:
        exif_block = _exif_block(image, xmp)
        orientation = exif_blocks.read_orientation(exif_block.removeprefix(_EXIF_PREFIX))
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        iptc = jpeg_segments.iptc_of(image)
        extended_xmp, is_damaged = jpeg_segments.extended_xmp_of(image, xmp)
        if is_damaged:
            notes.append("the extended part of XMP is damaged and was left out")
        if further := jpeg_segments.further_pictures(image):
            notes.append(f"{further} behind the first picture was left out")
    exif_block = exif_block.removeprefix(_EXIF_PREFIX)
    if orientation != exif_blocks.UPRIGHT:
        exif_block = exif_blocks.reset_orientation(exif_block)
        xmp = exif_blocks.reset_xmp_orientation(xmp)
    return Metadata(icc_profile, exif_block, xmp, png.pack_chunks(chunks), iptc, extended_xmp), orientation


def _exif_block(image: Image.Image, xmp: bytes) -> bytes:
    """The block of the file as it stands, or what the image says where somebody has changed it."""
    block = image.info.get("exif") or b""
    own = Image.Exif()
    try:
        with without_pillow_limits():
            said = image.getexif()
            own.load(block)
            if exif_blocks.ORIENTATION_TAG not in own and b":Orientation" in xmp:
                said.pop(exif_blocks.ORIENTATION_TAG, None)  # Pillow takes it from XMP, where nobody else heeds it
            return block if dict(own) == dict(said) else said.tobytes()
    except Exception:  # damaged
        return block


def _as_chunks(image: Image.Image, head: bytes) -> list[png.Chunk]:
    """Resolution, comment and colours of other formats in the words of PNG."""
    found: list[png.Chunk] = []
    match image.format:
        case "PNG" if head:
            return []
        case "JPEG" | "MPO":
            unit, density = image.info.get("jfif_unit"), image.info.get("jfif_density")
            if density and (unit or density[0] != density[1]):
                factor = 2.54 if unit == 2 else 1
                found.append(png.resolution_chunk(*(factor * value for value in density), has_unit=bool(unit)))
        case "TIFF" if isinstance(image, TiffImagePlugin.TiffImageFile) and 282 not in image.tag_v2:
            pass
        case "AVIF":
            found += _described_colours(head)
        case _ if (dpi := image.info.get("dpi")) and min(dpi) > 0:
            found.append(png.resolution_chunk(float(dpi[0]), float(dpi[1])))
    if isinstance(comment := image.info.get("comment"), bytes) and image.format != "JPEG2000":
        found.append(png.comment_chunk(comment))
    return found


def _described_colours(head: bytes) -> list[png.Chunk]:
    """The colours that an AVIF describes by numbers, where they are not sRGB, as RGB of full range."""
    at = head.find(b"colrnclx")
    if at < 0 or len(head) < at + 12:
        return []
    primaries, transfer = (int.from_bytes(head[start : start + 2], "big") for start in (at + 8, at + 10))
    if (primaries in (1, 2) and transfer in (2, 13)) or max(primaries, transfer) > 255:
        return []
    return [png.Chunk(b"cICP", bytes([primaries, transfer, 0, 1]))]
