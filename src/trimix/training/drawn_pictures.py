"""Pictures that photographs lack, drawn at random: what a codec of photographs has never seen it codes badly.

Ramps, flat colours, text, line art, charts, interfaces and pixel art, each kind as often as the others, a third of all
in greys. Every picture is a function of seed, index and size alone, given the fonts of the machine.
"""

import functools
import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from trimix.images.psnr import BT601_LUMA_WEIGHTS
from trimix.shapes import UInt8

_PICTURES = 252
"""36 of each kind: 80 MB for patches of 256 pixels."""
_MARGIN = 64
_GREY_SHARE = 1 / 3
_FINER = 2
"""What has soft edges is drawn so many times as large, and scaled down."""
_FONT_FOLDERS = (
    "/usr/share/fonts", "/usr/local/share/fonts", "~/.local/share/fonts", "~/.fonts",
    "/System/Library/Fonts", "/Library/Fonts", "C:/Windows/Fonts",
)  # fmt: skip
_MOST_FONTS = 64
_SYLLABLES = (
    "a", "al", "an", "be", "co", "da", "en", "er", "ing", "ion", "le", "ly", "ma", "no", "of", "st", "ti", "un"
)  # fmt: skip
_SIGNS = (".", ",", ":", ";", "!", "?", " =", " +", "()", "%", " -", "/")

Colour = tuple[int, int, int]
Box = tuple[int, int, int, int]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
Random = np.random.Generator


def drawn_pictures(seed: int, patch_size: int) -> list[UInt8[np.ndarray, "side side 3"]]:
    """Those of a run, each somewhat larger than a patch, drawn on all cores in a second or two.

    Args:
        seed: with its index, decides every picture.
        patch_size: pixels a side of the largest patch.
    """
    side = patch_size + _MARGIN
    with ThreadPoolExecutor(thread_name_prefix="draw") as pool:
        return list(pool.map(lambda index: draw_picture(seed, index, side), range(_PICTURES)))


def draw_picture(seed: int, index: int, side: int) -> UInt8[np.ndarray, "side side 3"]:
    """One picture; its kind follows from its index.

    >>> draw_picture(seed=1, index=2, side=64).shape
    (64, 64, 3)
    """
    random = np.random.default_rng((seed, index, side))
    picture = KINDS[index % len(KINDS)](random, side)
    if random.random() < _GREY_SHARE:
        picture = picture.convert("L").convert("RGB")
    return np.array(picture)


def _colour(random: Random) -> Colour:
    """Black, white, a grey, or any colour."""
    choice = random.random()
    if choice < 0.15:
        return (0, 0, 0)
    if choice < 0.35:
        return (255, 255, 255)
    if choice < 0.5:
        level = int(random.integers(256))
        return (level, level, level)
    red, green, blue = random.integers(256, size=3).tolist()
    return (red, green, blue)


def _apart(random: Random, other: Colour) -> Colour:
    """A colour that is much lighter or darker than another one, so that what is written in it can be read."""
    while True:
        colour = _colour(random)
        if abs(_luma(colour) - _luma(other)) > 60:
            return colour


def _luma(colour: Colour) -> float:
    return sum(weight * value for weight, value in zip(BT601_LUMA_WEIGHTS, colour, strict=True))


def _canvas(side: int, background: Colour) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    picture = Image.new("RGB", (side, side), background)
    return picture, ImageDraw.Draw(picture)


def _place(random: Random, side: int) -> tuple[int, int]:
    x, y = random.integers(side, size=2).tolist()
    return x, y


def _box(random: Random, side: int, largest: float = 0.7) -> Box:
    left, top = (int(v) for v in random.uniform(-0.1 * side, 0.9 * side, size=2))
    width, height = (int(v) for v in np.exp(random.uniform(np.log(3), np.log(largest * side), size=2)))
    return left, top, left + width, top + height


@functools.cache
def _font_files() -> tuple[Path, ...]:
    found = [
        path
        for folder in _FONT_FOLDERS
        for path in Path(folder).expanduser().rglob("*")
        if path.suffix.lower() in {".ttf", ".otf"}
    ]
    return tuple(sorted(found)[:: max(1, len(found) // _MOST_FONTS)])


def _font(random: Random, size: int) -> Font:
    """A font of the machine, or Pillow's own."""
    files = _font_files()
    choice = int(random.integers(len(files) + 1))
    if choice < len(files):
        try:
            return ImageFont.truetype(files[choice], size)
        except OSError:  # of pictures, or in a format that FreeType does not know
            pass
    return ImageFont.load_default(size)


def _words(random: Random, count: int) -> str:
    words = []
    for _ in range(count):
        if random.random() < 0.15:
            words.append(str(int(random.integers(10 ** int(random.integers(1, 6))))))
            continue
        word = "".join(random.choice(_SYLLABLES, size=int(random.integers(1, 5))))
        word = word.capitalize() if random.random() < 0.2 else word
        words.append(word + (str(random.choice(_SIGNS)) if random.random() < 0.15 else ""))
    return " ".join(words)


def _write(draw: ImageDraw.ImageDraw, random: Random, box: Box, font: Font, size: int, colour: Colour) -> None:
    """Lines of text from the top of a box to its end, cut off at the picture's border alone."""
    left, top, right, bottom = box
    per_line = max(1, int((right - left) / (2.5 * size)))
    for y in range(top, max(top + 1, bottom - size), max(1, int(size * random.uniform(1.1, 1.6)))):
        draw.text((left, y), _words(random, per_line), colour, font)


def _ramp(random: Random, side: int) -> Image.Image:
    """Between two colours, sometimes close ones: straight, round or twisted."""
    x, y = (axis / side - random.random() for axis in np.mgrid[:side, :side])
    angle, shape = random.uniform(0, 2 * np.pi), random.integers(3)
    share = (np.cos(angle) * x + np.sin(angle) * y, np.hypot(x, y), x * y)[shape]
    share = (share - share.min()) / max(np.ptp(share), 1e-9)
    first = np.array(_colour(random), dtype=float)
    if random.random() < 0.5:
        second = np.array(_colour(random), dtype=float)
    else:  # a slow one, where a codec leaves bands
        change = random.integers(-24, 25, size=3 if random.random() < 0.5 else 1)
        second = first + change
    pixels = first + (second - first) * share[..., None]
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))


def _flats(random: Random, side: int) -> Image.Image:
    """Few or many flat shapes over one another, with hard or soft edges."""
    finer = _FINER if random.random() < 0.5 else 1
    side *= finer
    picture, draw = _canvas(side, _colour(random))
    for _ in range(int(random.integers(1, 25))):
        shape, colour, box = random.integers(3), _colour(random), _box(random, side)
        if shape == 0:
            draw.rectangle(box, colour)
        elif shape == 1:
            draw.ellipse(box, colour)
        else:
            draw.polygon([_place(random, side) for _ in range(int(random.integers(3, 6)))], colour)
    return picture.reduce(finer)


def _text(random: Random, side: int) -> Image.Image:
    """One or more blocks of text, each of its own font and size."""
    background = _colour(random)
    picture, draw = _canvas(side, background)
    top = int(random.integers(-8, 8))
    while top < side:
        size = int(np.exp(random.uniform(np.log(8), np.log(48))))
        height = int(random.integers(size, 4 * size + side // 2))
        left = int(random.integers(-16, side // 3))
        box = (left, top, side + 32, top + height)
        _write(draw, random, box, _font(random, size), size, _apart(random, background))
        top += height
    return picture


def _line_art(random: Random, side: int) -> Image.Image:
    """Strokes, arcs and hatching."""
    finer = _FINER if random.random() < 0.7 else 1
    side *= finer
    background = _colour(random)
    picture, draw = _canvas(side, background)
    colour = _apart(random, background)
    for _ in range(int(random.integers(8, 60))):
        if random.random() < 0.1:
            colour = _apart(random, background)
        width, shape = finer * int(random.integers(1, 4)), random.random()
        if shape < 0.4:
            steps = random.normal(0, side / 12, size=(int(random.integers(2, 9)), 2)).cumsum(axis=0)
            points = [(float(x), float(y)) for x, y in steps + _place(random, side)]
            draw.line(points, colour, width, joint="curve")
        elif shape < 0.8:
            start, end = sorted(random.uniform(0, 720, size=2).tolist())
            draw.arc(_box(random, side), start, end, colour, width)
        else:
            left, top, right, bottom = _box(random, side, largest=0.4)
            for x in range(left, right, width * int(random.integers(3, 8))):
                draw.line((x, top, x + (bottom - top) // 2, bottom), colour, width)
    return picture.reduce(finer)


def _chart(random: Random, side: int) -> Image.Image:
    """Axes, a grid, labels, and bars, curves, points or a pie."""
    background = _colour(random)
    ink = _apart(random, background)
    picture, draw = _canvas(side, background)
    left, top, right, bottom = side // 8, side // 10, side - side // 16, side - side // 8
    size = int(random.integers(8, 15))
    font = _font(random, size)
    lines = int(random.integers(3, 9))
    for line in range(lines + 1):
        y = bottom - (bottom - top) * line // lines
        draw.line((left, y, right, y), _colour(random) if random.random() < 0.1 else (200, 200, 200))
        draw.text((2, y - size // 2), str(line * 10), ink, font)
    kind, count = random.integers(4), int(random.integers(4, 16))
    heights = random.uniform(top, bottom, size=(int(random.integers(1, 4)), count))
    for values in heights.astype(int).tolist():
        colour, step = _apart(random, background), (right - left) / count
        if kind == 0:
            for place, y in enumerate(values):
                draw.rectangle((left + step * place, y, left + step * (place + 0.7), bottom), colour, ink)
        elif kind == 1:
            draw.line([(left + step * place, y) for place, y in enumerate(values)], colour, 2)
        elif kind == 2:
            for y in values:
                x, radius = int(random.integers(left, right)), int(random.integers(2, 6))
                draw.ellipse((x - radius, y - radius, x + radius, y + radius), colour)
    if kind == 3:
        for start, end in itertools.pairwise(sorted(random.uniform(0, 360, size=6).tolist())):
            draw.pieslice((left, top, right, bottom), start, end, _colour(random), ink)
    draw.line((left, top, left, bottom, right, bottom), ink, int(random.integers(1, 3)))
    _write(draw, random, (left, 1, right, size + 2), font, size, ink)
    return picture


def _interface(random: Random, side: int) -> Image.Image:
    """A window: bars, panels, rows of text, buttons, boxes to tick."""
    background = _colour(random)
    accent, ink = _apart(random, background), _apart(random, background)
    picture, draw = _canvas(side, background)
    size = int(random.integers(8, 16))
    font = _font(random, size)
    bar, panel = 2 * size, int(random.uniform(0, 0.4) * side)
    draw.rectangle((0, 0, side, bar), accent)
    _write(draw, random, (6, size // 2, side, bar), font, size, _apart(random, accent))
    draw.rectangle((0, bar + 1, panel, side), _colour(random), ink)
    for y in range(bar + 4, side, int(size * random.uniform(1.6, 3))):
        choice, x = random.random(), panel + 8
        if panel > 4 * size:
            draw.text((5, y), _words(random, 1), ink, font)
        if choice < 0.5:
            _write(draw, random, (x, y, side, y + size), font, size, ink)
        elif choice < 0.7:
            width = int(random.integers(3 * size, 9 * size))
            draw.rounded_rectangle((x, y, x + width, y + size + 5), int(random.integers(9)), accent, ink)
            draw.text((x + 4, y + 1), _words(random, 1), _apart(random, accent), font)
        elif choice < 0.85:
            draw.rectangle((x, y, x + size, y + size), background, ink)
            if random.random() < 0.5:
                draw.line((x + 2, y + size // 2, x + size // 2, y + size - 2, x + size - 1, y + 1), ink, 2)
            _write(draw, random, (x + 2 * size, y, side, y + size), font, size, ink)
        else:
            draw.line((panel, y, side, y), accent)
    return picture


def _pixel_art(random: Random, side: int) -> Image.Image:
    """Tiles of few colours, mirrored like figures, in large square pixels."""
    palette = np.array([_colour(random) for _ in range(int(random.integers(3, 17)))], dtype=np.uint8)
    pixel = int(random.integers(1, 7))
    tile = int(random.integers(6, 17))
    kinds = int(random.integers(2, 9))
    # Of each tile few colours, in patches of two pixels or of one.
    colours = random.integers(len(palette), size=(kinds, 3))
    coarse = int(random.integers(1, 3))
    inks = random.integers(3, size=(kinds, -(-tile // coarse), -(-tile // coarse)))
    inks = inks.repeat(coarse, axis=1).repeat(coarse, axis=2)[:, :tile, :tile]
    tiles = np.take_along_axis(colours[:, :, None, None], inks[:, None], axis=1)[:, 0]
    tiles[random.random(tiles.shape) < random.uniform(0.1, 0.6)] = 0
    tiles[:, :, tile // 2 :] = tiles[:, :, : tile - tile // 2][:, :, ::-1]
    tiles[0] = 0
    across = -(-side // (pixel * tile))
    chosen = tiles[random.integers(kinds, size=(across, across))]
    indices = chosen.transpose(0, 2, 1, 3).reshape(across * tile, across * tile)
    pixels = palette[indices].repeat(pixel, axis=0).repeat(pixel, axis=1)
    return Image.fromarray(pixels[:side, :side])


KINDS: Sequence[Callable[[Random, int], Image.Image]] = (
    _ramp, _flats, _text, _line_art, _chart, _interface, _pixel_art
)  # fmt: skip
