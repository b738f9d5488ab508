"""Pictures without a model: the samples themselves in a ``.tmix`` file, for what is drawn takes fewer bytes so.

::

    encode   Picture -> samples, hidden ones 0 -> lossless WebP (or PNG) -> "pixels"
                        alpha, metadata, checksum of the samples         -> Container -> bytes
    decode   bytes -> Container -> "pixels" -> samples, checked -> Picture
"""

import zlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from trimix.bitstream import MAXIMUM_PIXELS, Container, check_sides, check_size, lossless_header, read_header
from trimix.errors import CorruptedFileError
from trimix.images import Picture, decode_samples, encode_samples, fill_hidden, is_drawn, reduced, region_or_whole
from trimix.shapes import Rectangle
from trimix.time_budget import check_time

if TYPE_CHECKING:  # reading such a file needs no engine
    from trimix.codec import Codec
    from trimix.encoder.target_search import Encoded
    from trimix.encoder.targets import Target

_QUALITY = 100.0


def encode_lossless(picture: Picture) -> bytes:
    """The file of a picture that comes back exactly, but for colours that full transparency hides.

    Raises:
        PictureTooLargeError: a side is too long.

    >>> picture = Picture(np.arange(48, dtype=np.uint8).reshape(4, 4, 3))
    >>> bool((decode_lossless(encode_lossless(picture)).pixels == picture.pixels).all())
    True
    """
    check_sides(picture.width, picture.height)
    check_time()
    pixels, alpha = picture.pixels, picture.alpha
    if alpha is not None:
        pixels = np.where(alpha[:, :, None] == 0, pixels.dtype.type(0), pixels)
    return Container(
        lossless_header(
            picture.width, picture.height, picture.file_channels, picture.bit_depth, picture.stands_for_rgb
        ),
        side=b"",
        latent=b"",
        symbol_checksum=_checksum(pixels),
        alpha=b"" if alpha is None else encode_samples(alpha[:, :, None]),
        pixels=encode_samples(pixels),
        metadata=picture.metadata,
    ).to_bytes()


def encode_best(
    codec: "Codec | None",
    picture: Picture,
    aim: "float | Target",
    effort: int,
    lossless: bool | None = None,
    **options: Any,
) -> "Encoded":
    """The file of a model, or one without loss.

    Args and errors are those of ``Codec.encode_to``, and:

    Args:
        codec: not needed for a file that is lossless in any case.
        lossless: None: where the picture is drawn and takes no more bytes so.
    """
    from trimix.encoder.target_search import Encoded

    if codec is None or lossless:
        return Encoded(encode_lossless(picture), _QUALITY, is_lossless=True)
    encoded = codec.encode_to(picture, aim, effort, **options)
    file_bytes = len(encoded.data)
    if lossless is None and is_drawn(picture, 8 * file_bytes / (picture.width * picture.height)):
        data = encode_lossless(picture)
        if len(data) <= file_bytes:
            return replace(encoded, data=data, quality=_QUALITY, is_met=True, is_lossless=True)
    return encoded


def decode_lossless(
    data: bytes, maximum_pixels: int = MAXIMUM_PIXELS, reduction: int = 1, *, region: Rectangle | None = None
) -> Picture:
    """The picture of a file without a model, or a part of it.

    Args:
        reduction: pixels to one, in both directions.
        region: the part, in pixels of the whole, widened to multiples of the reduction; None for all.

    Raises:
        CodecError: the bytes are no valid file.
        PictureTooLargeError: the header claims more than ``maximum_pixels``.
    """
    check_size(read_header(data), maximum_pixels)
    container = Container.from_bytes(data)
    header = container.header
    shape = header.height, header.width
    window = region_or_whole(region, *shape, reduction).positions
    pixels = decode_samples(container.pixels, *shape, header.colour_channels, header.bit_depth)
    check_time()
    if (found := _checksum(pixels)) != container.symbol_checksum:
        raise CorruptedFileError(
            f"the samples must have the checksum {container.symbol_checksum:08x}, found {found:08x}; "
            "write the file again"
        )
    alpha = None
    if header.has_alpha:
        alpha = decode_samples(container.alpha, *shape, 1, header.bit_depth, name="alpha")
        pixels, alpha = fill_hidden(pixels, alpha[:, :, 0]), reduced(alpha[window], reduction)[:, :, 0]
    return Picture(reduced(pixels[window], reduction), alpha, container.metadata, header.has_equal_colours)


def _checksum(pixels: np.ndarray) -> int:
    return zlib.crc32(pixels.astype(pixels.dtype.newbyteorder("<")).tobytes())
