"""Which files a codec reads: the right model's, and no larger than allowed."""

from trimix.bitstream.header import Header
from trimix.errors import CorruptedFileError, PictureTooLargeError, UnknownModelError

MAXIMUM_PIXELS = 2**28
"""Of a picture that is decoded, unless a caller allows more."""
MAXIMUM_SIDE = 2**16


def check_sides(width: int, height: int) -> None:
    """Refuse a picture with a side that is too long; raises PictureTooLargeError."""
    # Strips bound the memory of tall pictures, not of wide ones; and a picture one pixel high is padded to 64.
    if max(width, height) > MAXIMUM_SIDE:
        raise PictureTooLargeError(
            f"a side must have at most {MAXIMUM_SIDE} pixels, found {width}x{height}; cut the picture"
        )


def check_header(header: Header, model: str, model_identifier: int, weights_hash: bytes, maximum_pixels: int) -> None:
    """Refuse a file before anything else of it is read.

    Args:
        header: of the file.
        model: name of the codec's model.
        model_identifier: of its architecture.
        weights_hash: of its weights.
        maximum_pixels: of the picture.

    Raises:
        PictureTooLargeError: the header claims more.
        UnknownModelError: it names another model.
        CorruptedFileError: it names the model, and another architecture.
    """
    if header.width * header.height > maximum_pixels:
        raise PictureTooLargeError(
            f"the picture must have at most {maximum_pixels} pixels, the file claims "
            f"{header.width}x{header.height}; raise the limit if you trust the file"
        )
    check_sides(header.width, header.height)
    if header.weights_hash != weights_hash:
        raise UnknownModelError(
            f"the file needs the model with hash {header.weights_hash.hex()}, this codec has {model} "
            f"({weights_hash.hex()})"
        )
    if header.model_identifier != model_identifier:
        raise CorruptedFileError(
            f"a file of the model {model} must name the architecture {model_identifier}, found "
            f"{header.model_identifier}: the file is damaged, get it again"
        )
