"""Picture files, their colours, and the way to tensors and back."""

from trimix.images.atomic_files import write_atomically
from trimix.images.colour import (
    BT601_LUMA_WEIGHTS,
    collapse_to_grey,
    replicate_grey,
)
from trimix.images.files import (
    INPUT_FORMATS,
    OUTPUT_FORMATS,
    ByteSink,
    ByteSource,
    Picture,
    output_format,
    read_picture,
    write_picture,
)
from trimix.images.padding import pad_to_multiple, shares_in_picture, to_pixels, to_tensor
from trimix.images.psnr import PEAK, check_shapes, psnr_db, psnr_of_error_db

__all__ = [
    "BT601_LUMA_WEIGHTS",
    "INPUT_FORMATS",
    "OUTPUT_FORMATS",
    "PEAK",
    "ByteSink",
    "ByteSource",
    "Picture",
    "check_shapes",
    "collapse_to_grey",
    "output_format",
    "pad_to_multiple",
    "psnr_db",
    "psnr_of_error_db",
    "read_picture",
    "replicate_grey",
    "shares_in_picture",
    "to_pixels",
    "to_tensor",
    "write_atomically",
    "write_picture",
]
