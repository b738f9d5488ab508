"""Draws decoded pictures side by side, with an enlarged detail of each."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from trimix.errors import UsageError
from trimix.shapes import UInt8

_COLUMN_WIDTH = 400
_DETAIL_SIDE = 100
_MARGIN = 24
_TITLE_SIZE, _CAPTION_SIZE = 26, 18
_BACKGROUND, _INK, _PALE_INK, _FRAME = (250, 250, 248), (25, 25, 25), (105, 105, 105), (225, 70, 45)


@dataclass(frozen=True)
class Panel:
    """One column of the comparison.

    Attributes:
        title: name of the codec.
        captions: lines below the title.
        pixels: uint8 [H W C], 0 .. 255, grey or RGB.
    """

    title: str
    captions: tuple[str, ...]
    pixels: UInt8[np.ndarray, "H W C"]


def draw_comparison(panels: Sequence[Panel], detail_corner: tuple[int, int] | None = None) -> Image.Image:
    """A column for each panel: title and captions, the whole picture, a detail enlarged four times.

    Args:
        panels: at least one, all of one size.
        detail_corner: row and column of the upper left pixel of the detail, moved into the picture where it must
            be; None for a detail in the middle.

    Raises:
        UsageError: no panels, or panels of different sizes.
    """
    sizes = {panel.pixels.shape[:2] for panel in panels}
    if len(sizes) != 1:
        raise UsageError(f"panels must have one size, found {sorted(sizes) or 'none'}; crop them")
    height, width = sizes.pop()
    side = min(_DETAIL_SIDE, height, width)
    row, column = detail_corner or ((height - side) // 2, (width - side) // 2)
    row, column = min(max(row, 0), height - side), min(max(column, 0), width - side)
    whole_height = round(_COLUMN_WIDTH * height / width)
    caption_lines = max(len(panel.captions) for panel in panels)
    heading_height = _TITLE_SIZE + 12 + caption_lines * (_CAPTION_SIZE + 6) + 8
    sheet = Image.new(
        "RGB",
        (
            _MARGIN + len(panels) * (_COLUMN_WIDTH + _MARGIN),
            4 * _MARGIN + heading_height + whole_height + _COLUMN_WIDTH,
        ),
        _BACKGROUND,
    )
    draw = ImageDraw.Draw(sheet)
    title_font, caption_font = ImageFont.load_default(_TITLE_SIZE), ImageFont.load_default(_CAPTION_SIZE)
    for index, panel in enumerate(panels):
        left, top = _MARGIN + index * (_COLUMN_WIDTH + _MARGIN), _MARGIN
        draw.text((left, top), panel.title, _INK, title_font)
        for line, caption in enumerate(panel.captions):
            line_top = top + _TITLE_SIZE + 12 + line * (_CAPTION_SIZE + 6)
            draw.text((left, line_top), caption, _PALE_INK, caption_font)
        top += heading_height + _MARGIN // 2
        image = Image.fromarray(
            panel.pixels.repeat(3, axis=2) if panel.pixels.shape[2] == 1 else panel.pixels
        )
        sheet.paste(image.resize((_COLUMN_WIDTH, whole_height), Image.Resampling.LANCZOS), (left, top))
        scale = _COLUMN_WIDTH / width
        corners = [
            (left + scale * x, top + scale * y) for x, y in ((column, row), (column + side, row + side))
        ]
        draw.rectangle([*corners[0], *corners[1]], outline=_FRAME, width=2)
        top += whole_height + _MARGIN
        # Nearest neighbours: what is seen is what was decoded, not what a filter made of it.
        detail = image.crop((column, row, column + side, row + side))
        sheet.paste(detail.resize((_COLUMN_WIDTH, _COLUMN_WIDTH), Image.Resampling.NEAREST), (left, top))
        draw.rectangle(
            [left - 2, top - 2, left + _COLUMN_WIDTH + 1, top + _COLUMN_WIDTH + 1], outline=_FRAME, width=2
        )
    return sheet
