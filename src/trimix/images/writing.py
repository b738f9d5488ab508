"""From pictures to picture files: what each format holds, and what is said of what it cannot hold."""

from io import BytesIO
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from PIL import Image

from trimix.bitstream import Metadata
from trimix.errors import OutputError, PictureError, UsageError
from trimix.images import chunks as png
from trimix.images import deep
from trimix.images.atomic_files import write_atomically
from trimix.images.jpeg_segments import iptc_segments, merged_xmp, xmp_segments
from trimix.images.jpeg_xl import write_jpeg_xl
from trimix.images.limits import one_line
from trimix.images.matrix_profile import profile_of_chunks
from trimix.images.picture import WHITE, Picture, picture_of_samples
from trimix.images.tags import PROFILE_TAG, SUBDIRECTORIES, tiff_tags

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
    "avif": "AVIF",
    "jxl": "JXL",
}
"""Formats that are written: file name extension -> Pillow's name."""
_OUTPUT_NAMES = ", ".join(OUTPUT_FORMATS)

_EXIF_PREFIX = b"Exif\0\0"
_PNG_HEADER_BYTES = 33
_WITH_ALPHA = ("PNG", "WEBP", "TIFF", "AVIF", "JXL")
_WITH_16_BITS = ("PNG", "TIFF", "PPM", "JXL")
_WITH_PROFILE = ("PNG", "WEBP", "TIFF", "JPEG", "AVIF")
_WITH_EXIF = (*_WITH_PROFILE, "JXL")
"""And XMP."""
_WITH_IPTC = ("PNG", "TIFF", "JPEG")
_WITH_RESOLUTION = ("TIFF", "JPEG", "BMP")
"""PNG as a chunk."""
_OPTIONS = {
    "PNG": {"compress_level": 3},  # two fifths of the time of 6, for 2 % more bytes of a photograph
    "JPEG": {"quality": 95, "subsampling": 0},
    "AVIF": {"quality": 95, "subsampling": "4:4:4"},
    "WEBP": {"lossless": True, "exact": True, "quality": 80, "method": 4},
}
_NAMES = {"WEBP": "WebP", "JXL": "JPEG XL"}


@runtime_checkable
class ByteSink(Protocol):
    """Anything that bytes are written to: a file opened in binary mode, `sys.stdout.buffer`, `BytesIO`."""

    def write(self, data: bytes, /) -> object:
        """Take `data`."""
        ...


def encode_picture(
    picture: Picture,
    format: str,  # noqa: A002
    background: tuple[int, int, int] | None = None,
    *,
    name: str = "the picture",
) -> tuple[bytes, tuple[str, ...]]:
    """The contents of a picture file, and what the format could not hold; see ``write_picture``.

    Args:
        format: an extension of `OUTPUT_FORMATS` in any case.
        name: what messages call it.
    """
    pillow_format = OUTPUT_FORMATS.get(format.lower().removeprefix("."))
    if pillow_format is None:
        raise UsageError(f"the output format must be one of {_OUTPUT_NAMES}, found {format}; choose one")
    if format.lower().removeprefix(".") == "pgm" and picture.samples.shape[2] > 2:
        raise OutputError(f"{name}: a PGM must be grey, found RGB; choose PPM, or turn the picture grey")
    try:
        return _encode(picture, pillow_format, background)
    except PictureError as error:  # a package is missing
        raise OutputError(f"{name}: {error}") from error
    # Too large for the format or metadata too long for it: OSError, ValueError, struct.error and more.
    except Exception as error:
        raise OutputError(
            f"{name}: the picture and its metadata must fit into {pillow_format}, found they do not "
            f"({one_line(error)}); choose another format"
        ) from error


def write_picture(
    picture: Picture,
    destination: Path | ByteSink,
    *,
    format: str | None = None,  # noqa: A002
    background: tuple[int, int, int] | None = None,
) -> tuple[str, ...]:
    """Write a picture file: PNG, WebP (lossless), TIFF, BMP, PPM, JPEG XL (lossless), JPEG or AVIF
    (quality 95, 4:4:4).

    | | 16 bits | alpha | ICC, EXIF, XMP | resolution | text | IPTC | colours without ICC |
    |---|---|---|---|---|---|---|---|
    | PNG | yes | yes | yes | yes | yes | yes, as ImageMagick has it | yes |
    | TIFF | yes | yes | yes | yes | | yes | as a profile |
    | JPEG | | | yes | yes | a comment | yes | as a profile |
    | WebP | | yes | yes | | | | as a profile |
    | AVIF | | yes | yes | | | | as a profile |
    | JPEG XL | yes | yes | all but ICC | | | | |
    | BMP | | | | yes | | | |
    | PPM | yes | | | | | | |

    WebP and AVIF know no grey: a grey picture comes back as RGB.

    Args:
        picture: what to write.
        destination: path, which is replaced in one step if it exists, or binary stream.
        format: an extension of `OUTPUT_FORMATS` in any case, or None for the one of the path.
        background: R, G, B, 0 .. 255, that takes the place of transparency; None keeps alpha where the format
            can hold it, else white.

    Returns:
        What the format could not hold, one line each.

    Raises:
        UsageError: no format, or one that is not written.
        OutputError: the format cannot hold the picture, or the file cannot be written.
    """
    if format is None:
        if not isinstance(destination, Path):
            raise UsageError(f"the output format of a stream must be given, found none; choose of {_OUTPUT_NAMES}")
        output_format(destination)
        format = destination.suffix  # noqa: A001
    name = str(destination) if isinstance(destination, Path) else "the picture"
    data, notes = encode_picture(picture, format, background, name=name)
    if isinstance(destination, Path):
        write_atomically(destination, data, overwrite=True)
        return notes
    try:
        destination.write(data)
    except OSError as error:
        raise OutputError(f"{name} cannot be written ({one_line(error)}); choose another output") from error
    return notes


def output_format(destination: Path) -> str:
    """The format that the extension of a path asks for, by Pillow's name; UsageError if it is none of `OUTPUT_FORMATS`.

    >>> output_format(Path("picture.jpg"))
    'JPEG'
    """
    pillow_format = OUTPUT_FORMATS.get(destination.suffix.lower().removeprefix("."))
    if pillow_format is None:
        raise UsageError(
            f"{destination}: the extension must be one of {_OUTPUT_NAMES}, "
            f"found {destination.suffix or 'none'}; change it"
        )
    return pillow_format


def to_image(picture: Picture) -> tuple[Image.Image, tuple[str, ...]]:
    """A Pillow image, L, LA, RGB, RGBA or I;16, with metadata as Pillow's readers have them; what it cannot hold."""
    notes: tuple[str, ...] = ()
    if picture.bit_depth > 8 and picture.samples.shape[2] > 1:
        picture, notes = (picture.in_8_bits(), ("Pillow cannot hold 16 bits in colour or with alpha: reduced to 8",))
    image = _image(picture.samples)
    image.info.update(metadata_information(picture.metadata))
    return image, notes


def thumbnail_of(picture: Picture, side: int) -> Picture:
    """The picture with 8 bits and sides of at most so many pixels, of its own proportions.

    >>> thumbnail_of(Picture(np.zeros((30, 40, 1), np.uint8)), 20).pixels.shape
    (15, 20, 1)
    """
    image, _ = to_image(picture.in_8_bits())
    image.thumbnail((side, side))
    return picture_of_samples(np.asarray(image), picture.metadata)


def metadata_information(metadata: Metadata) -> dict[str, Any]:
    """Metadata under the keys of Pillow's `info` that its own readers use, so that saving an image keeps them."""
    chunks = png.unpack_chunks(metadata.chunks)
    resolution = png.resolution_of(chunks)
    information = {
        "icc_profile": metadata.icc_profile or profile_of_chunks(chunks),
        "exif": _EXIF_PREFIX + metadata.exif if metadata.exif else b"",
        "xmp": metadata.xmp,
        "comment": png.comment_of(chunks),
        "dpi": (resolution.x, resolution.y) if resolution and resolution.has_unit else None,
    }
    return {key: value for key, value in information.items() if value}


def _image(samples: np.ndarray) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(samples[:, :, 0] if samples.shape[2] == 1 else samples))


def _encode(
    picture: Picture, pillow_format: str, background: tuple[int, int, int] | None
) -> tuple[bytes, tuple[str, ...]]:
    name, notes = _NAMES.get(pillow_format, pillow_format), []
    if picture.alpha is not None and (background is not None or pillow_format not in _WITH_ALPHA):
        picture = picture.flattened(background or WHITE)
        if background is None:
            notes.append(f"{name} cannot hold alpha: the picture was put on white")
    if picture.bit_depth > 8 and pillow_format not in _WITH_16_BITS:
        picture = picture.in_8_bits()
        notes.append(f"{name} cannot hold 16 bits: reduced to 8")
    chunks = png.unpack_chunks(picture.metadata.chunks)
    options, lost = _options(picture.metadata, chunks, pillow_format)
    xmp = options.pop("xmp", b"") if pillow_format in ("PNG", "JXL") else b""  # written here, not by Pillow
    own_chunks = _png_chunks(chunks, xmp, picture.metadata.iptc) if pillow_format == "PNG" else []
    if lost:
        notes.append(f"{name} cannot hold {', '.join(lost)}: left out")
    samples = picture.samples
    if pillow_format == "JXL":
        return write_jpeg_xl(samples, picture.metadata.exif, xmp), tuple(notes)
    if picture.bit_depth == 16 and (samples.shape[2] > 1 or pillow_format != "PNG"):
        data = _encode_16_bits(samples, pillow_format, options)
    else:
        buffer = BytesIO()
        _image(samples).save(buffer, pillow_format, **options)
        data = buffer.getvalue()
    if own_chunks:  # large pictures are not copied for nothing
        data = b"".join((data[:_PNG_HEADER_BYTES], *map(png.png_chunk, own_chunks), data[_PNG_HEADER_BYTES:]))
    return data, tuple(notes)


def _encode_16_bits(samples: np.ndarray, pillow_format: str, options: dict[str, Any]) -> bytes:
    match pillow_format:
        case "PNG":
            # Pillow writes the metadata, around a picture of one pixel.
            buffer = BytesIO()
            _image(np.zeros((1, 1, 3), np.uint8)).save(buffer, "PNG", **options)
            chunks = png.read_png_chunks(buffer)
            at = [one.type for one in chunks].index(b"IDAT")
            return deep.write_png(samples, chunks[1:at], chunks[at + 1 :])
        case "TIFF":
            tags = options["tiffinfo"]
            if profile := options.get("icc_profile"):
                tags[PROFILE_TAG] = profile
            return deep.write_tiff(samples, tags)
        case _:
            return deep.write_anymap(samples)


def _options(metadata: Metadata, chunks: list[png.Chunk], pillow_format: str) -> tuple[dict[str, Any], list[str]]:
    """Pillow's arguments with all metadata that the format has a place for, and the names of the rest."""
    lost = [
        name
        for name, data, formats in (
            ("ICC profile", metadata.icc_profile, _WITH_PROFILE),
            ("EXIF", metadata.exif, _WITH_EXIF),
            ("XMP", metadata.xmp or metadata.extended_xmp, _WITH_EXIF),
            ("IPTC", metadata.iptc, _WITH_IPTC),
        )
        if data and pillow_format not in formats
    ]
    options, xmp, resolution = dict(_OPTIONS.get(pillow_format, {})), b"", png.resolution_of(chunks)
    if pillow_format == "JPEG":
        xmp, segments = xmp_segments(metadata.xmp, metadata.extended_xmp)
        options["extra"] = segments + (iptc_segments(metadata.iptc) if metadata.iptc else b"")
        options["comment"] = png.comment_of(chunks)
    elif pillow_format in _WITH_EXIF:
        xmp = _one_packet(metadata, lost)
    if pillow_format == "TIFF":
        options["tiffinfo"] = tags = tiff_tags(metadata, xmp)
        # The compressing writer of Pillow cannot write the directories that EXIF and GPS tags stand in.
        if not any(directory in tags for directory in SUBDIRECTORIES):
            options["compression"] = "tiff_adobe_deflate"
    elif pillow_format in _WITH_EXIF:
        options |= {"exif": _EXIF_PREFIX + metadata.exif} if metadata.exif else {}
        options |= {"xmp": xmp} if xmp else {}
    if pillow_format in _WITH_RESOLUTION and resolution and resolution.has_unit:
        options["dpi"] = (resolution.x, resolution.y)
    profile = metadata.icc_profile or (b"" if pillow_format == "PNG" else profile_of_chunks(chunks))
    if profile and pillow_format in _WITH_PROFILE:
        options["icc_profile"] = profile
    return options, lost + _lost_chunks(chunks, pillow_format, options)


def _png_chunks(chunks: list[png.Chunk], xmp: bytes, iptc: bytes) -> list[png.Chunk]:
    """All chunks that Pillow does not write, or not as they are."""
    found = list(chunks)
    if xmp:
        found.append(png.Chunk(b"iTXt", png.XMP_KEYWORD + bytes(5) + xmp))
    if iptc:
        found.append(png.iptc_chunk(iptc))
    return found


def _one_packet(metadata: Metadata, lost: list[str]) -> bytes:
    """XMP for a format without segments."""
    if not metadata.extended_xmp:
        return metadata.xmp
    if merged := merged_xmp(metadata.xmp, metadata.extended_xmp):
        return merged
    lost.append("the extended part of XMP")
    return metadata.xmp


def _lost_chunks(chunks: list[png.Chunk], pillow_format: str, options: dict[str, Any]) -> list[str]:
    if pillow_format == "PNG":
        return []
    lost = []
    if any(one.type in png.COLOUR_TYPES and one.type != b"sRGB" for one in chunks) and not options.get("icc_profile"):
        lost.append(f"colours ({', '.join(one.type.decode() for one in chunks if one.type in png.COLOUR_TYPES)})")
    if png.resolution_of(chunks) and "dpi" not in options:
        lost.append("resolution")
    keywords = png.keywords_of(chunks)
    if pillow_format == "JPEG" and png.comment_of(chunks):
        keywords.remove("Comment")
    if keywords:
        lost.append(f"text ({', '.join(keywords)})")
    return lost
