"""Pictures in the page: as large as the room allows, and without loss where they are to be judged."""

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np

from trimix.errors import UsageError
from trimix.evaluation.report.bit_map import BitMap, colours, common_scale, scale_colours
from trimix.evaluation.report.crops import Region, most_interesting_region
from trimix.evaluation.report.embedding import EmbeddedPicture, embed_lossless, embed_preview, estimate_lossless_bytes
from trimix.evaluation.report.equal_size import EqualSize, Rendition

CROP_WIDTHS = (520, 464, 416, 368, 328, 288, 256, 224, 192, 128)
"""Pixels, largest first: that one fills the page at 2 : 1; each next has about a fifth fewer pixels."""
CROP_ASPECT = 4 / 3
WHOLE_MAXIMUM_PIXELS = 520 * 520
"""A picture up to this size is shown whole where there is room."""
_HIGHEST_VALUE = 65535


def page_pictures(compared: Sequence[EqualSize], room_bytes: int) -> dict[str, Any]:
    """Plain values for the page.

    Args:
        compared: pictures at equal size.
        room_bytes: for all of it, as text in the page.

    Raises:
        UsageError: even the smallest crops have no room.
    """
    bit_maps = _bit_maps(compared)
    # Base64 makes four characters of three bytes.
    room_for_pictures = int(0.74 * (room_bytes - _text_bytes(bit_maps)))
    regions, embedded = _fitting(compared, room_for_pictures)
    return {
        "model": compared[0].renditions[0].name,
        "pictures": [
            _picture(one, region, sources) for one, region, sources in zip(compared, regions, embedded, strict=True)
        ],
        "bit_maps": bit_maps,
    }


def _fitting(compared: Sequence[EqualSize], room_bytes: int) -> tuple[list[Region], list[list[EmbeddedPicture]]]:
    """The largest regions whose pictures fit into the room, the same size for all pictures."""
    needed = 0
    for width in (None, *CROP_WIDTHS):
        regions = [_region(one, width) for one in compared]
        estimated = sum(
            estimate_lossless_bytes(region.cut(pixels))
            for one, region in zip(compared, regions, strict=True)
            for pixels in _all_pixels(one)
        )
        # Estimates are a little high, but for pictures that are not like photographs.
        if estimated <= 1.1 * room_bytes:
            embedded = [_embed(one, region) for one, region in zip(compared, regions, strict=True)]
            needed = sum(len(picture.data) for pictures in embedded for picture in pictures)
            if needed <= room_bytes:
                return regions, embedded
    raise UsageError(
        f"pictures must fit into {room_bytes} bytes of the report, found {needed or 'more'}; "
        "give fewer pictures or other codecs"
    )


def _region_size(one: EqualSize, width: int | None) -> tuple[int, int]:
    original = one.original
    if width is None:
        if original.width * original.height <= WHOLE_MAXIMUM_PIXELS:
            return original.width, original.height
        width = CROP_WIDTHS[0]
    return min(width, original.width), min(round(width / CROP_ASPECT), original.height)


def _region(one: EqualSize, width: int | None) -> Region:
    return most_interesting_region(one.original.pixels, *_region_size(one, width))


def _embed(one: EqualSize, region: Region) -> list[EmbeddedPicture]:
    return [embed_lossless(region.cut(pixels), one.original.metadata.icc_profile) for pixels in _all_pixels(one)]


def _all_pixels(one: EqualSize) -> list[np.ndarray]:
    return [one.original.pixels, *(rendition.pixels for rendition in one.renditions)]


def _picture(one: EqualSize, region: Region, embedded: Sequence[EmbeddedPicture]) -> dict[str, Any]:
    original = one.original
    return {
        "name": one.name,
        "width": original.width,
        "height": original.height,
        "region": {
            "left": region.left,
            "top": region.top,
            "width": region.width,
            "height": region.height,
            "is_whole": (region.width, region.height) == (original.width, original.height),
        },
        "renditions": [
            {"name": "original", "bytes": None, "source": embedded[0].source},
            *(
                _rendition(rendition) | {"source": picture.source}
                for rendition, picture in zip(one.renditions, embedded[1:], strict=True)
            ),
        ],
        "notes": list(one.notes),
    }


def _rendition(rendition: Rendition) -> dict[str, Any]:
    point = rendition.point
    return {
        "name": rendition.name,
        "setting": rendition.setting,
        "description": rendition.description,
        "bytes": rendition.file_bytes,
        "bpp": point.bits_per_pixel,
        "psnr_db": _plain(point.psnr_db),
        "luma_psnr_db": _plain(point.luma_psnr_db),
        "ms_ssim": point.ms_ssim,
        "ssimulacra2": point.ssimulacra2,
        "butteraugli": point.butteraugli,
    }


def _bit_maps(compared: Sequence[EqualSize]) -> dict[str, Any]:
    highest = common_scale([one.bit_map for one in compared])
    return {
        "highest": highest,
        "colours": scale_colours(),
        "maps": [_bit_map(one, one.bit_map, highest) for one in compared],
    }


def _bit_map(one: EqualSize, found: BitMap, highest: float) -> dict[str, Any]:
    step = max(float(found.bits.max()), 1e-6) / _HIGHEST_VALUE
    values = np.round(found.bits / step).astype("<u2")
    return {
        "name": one.name,
        "width": found.width,
        "height": found.height,
        "rows": found.bits.shape[0],
        "columns": found.bits.shape[1],
        "stride": found.stride,
        "values": base64.b64encode(values.tobytes()).decode(),
        "value_step": step,
        "heat": embed_lossless(colours(found, highest)).source,
        "preview": embed_preview(one.original.pixels).source,
        "latent_bits": found.latent_bits,
        "hyper_latent_bits": found.hyper_latent_bits,
        "remaining_bits": found.remaining_bits,
        "padding_bits": found.padding_bits,
        "file_bytes": found.file_bytes,
    }


def _text_bytes(bit_maps: dict[str, Any]) -> int:
    return sum(len(text) for one in bit_maps["maps"] for text in (one["values"], one["heat"], one["preview"]))


def _plain(value: float | None) -> float | str | None:
    return str(value) if value == float("inf") else value
