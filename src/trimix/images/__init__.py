"""Picture files, their colours, and the way to tensors and back."""

from trimix.images.alpha import fill_hidden
from trimix.images.atomic_files import write_atomically
from trimix.images.lossless import decode_samples, encode_samples, is_drawn
from trimix.images.padding import (
    collapse_to_grey,
    pad_to,
    pad_to_multiple,
    reduced,
    replicate_grey,
    shares_in_picture,
    to_pixels,
    to_planes,
)
from trimix.images.picture import Picture, picture_of_samples
from trimix.images.psnr import BT601_LUMA_WEIGHTS, PEAK, check_shapes, psnr_db, psnr_of_error_db
from trimix.images.reading import ByteSource, picture_of_image, read_picture
from trimix.images.regions import region_or_whole
from trimix.images.stripping import Strip, stripped
from trimix.images.writing import (
    OUTPUT_FORMATS,
    encode_picture,
    metadata_information,
    output_format,
    thumbnail_of,
    to_image,
    write_picture,
)

__all__ = [
    "BT601_LUMA_WEIGHTS",
    "OUTPUT_FORMATS",
    "PEAK",
    "ByteSource",
    "Picture",
    "Strip",
    "check_shapes",
    "collapse_to_grey",
    "decode_samples",
    "encode_picture",
    "encode_samples",
    "fill_hidden",
    "is_drawn",
    "metadata_information",
    "output_format",
    "pad_to",
    "pad_to_multiple",
    "picture_of_image",
    "picture_of_samples",
    "psnr_db",
    "psnr_of_error_db",
    "read_picture",
    "reduced",
    "region_or_whole",
    "replicate_grey",
    "shares_in_picture",
    "stripped",
    "thumbnail_of",
    "to_image",
    "to_pixels",
    "to_planes",
    "write_atomically",
    "write_picture",
]
