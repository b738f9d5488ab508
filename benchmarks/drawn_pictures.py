"""Pictures that photographs lack, drawn from a seed: ramps, flat colours, discs, text, lines, an interface, a night."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Bool
from PIL import Image, ImageDraw, ImageFont

from trimix.shapes import Float, UInt8

WIDTH, HEIGHT = 512, 384
_FINER = 4
"""Lines and discs are drawn this much larger, and shrunk: their edges are soft."""
_WHITE, _BLACK = (255, 255, 255), (0, 0, 0)
_WORDS = (
    "the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "while", "0123456789", "(five)", "boxing",
    "wizards;", "vexed?", "yes!",
)  # fmt: skip


@dataclass(frozen=True)
class DrawnPicture:
    """A picture and what it is made of.

    Attributes:
        name: short.
        pixels: RGB.
        ramp: where neighbours differ by the ramp's own step and nothing else; None where it has none.
    """

    name: str
    pixels: UInt8[np.ndarray, "H W 3"]
    ramp: Bool[np.ndarray, "H W"] | None = None


def drawn_pictures(seed: int) -> tuple[DrawnPicture, ...]:
    """All pictures; of one seed always the same.

    Args:
        seed: from 0; decides colours, places and words.
    """
    # A generator for each: a change to one picture leaves the others as they are.
    return tuple(draw(np.random.default_rng((seed, number))) for number, draw in enumerate(_DRAWERS))


def _grey_ramp(random: np.random.Generator) -> DrawnPicture:
    return _ramp("grey ramp", np.linspace(0, 255, WIDTH)[None, :, None])


def _slow_grey_ramp(random: np.random.Generator) -> DrawnPicture:
    start = random.uniform(60, 120)
    return _ramp("slow grey ramp", np.linspace(start, start + 60, WIDTH)[None, :, None])


def _radial_grey_ramp(random: np.random.Generator) -> DrawnPicture:
    return _ramp("radial grey ramp", 210 - 130 * _distance(random)[:, :, None])


def _sky(random: np.random.Generator) -> DrawnPicture:
    bright, deep = np.array([232, 240, 248]), np.array([64, 116, 190])
    return _ramp("sky", bright + (deep - bright) * _distance(random)[:, :, None])


def _coloured_ramps(random: np.random.Generator) -> DrawnPicture:
    rising = np.linspace(0, 255, WIDTH)
    none, falling = np.zeros(WIDTH), rising[::-1]
    bands = [(rising, none, none), (none, rising, none), (none, none, rising), (rising, rising, falling)]
    height = HEIGHT // len(bands)
    order = random.permutation(len(bands))
    rows = np.stack([np.stack(bands[number], axis=1) for number in order])
    found = _ramp("coloured ramps", rows.repeat(height, axis=0))
    # The borders between them are edges.
    place = np.arange(HEIGHT) % height
    ramp = np.broadcast_to(((place >= 16) & (place < height - 16))[:, None], (HEIGHT, WIDTH))
    return DrawnPicture(found.name, found.pixels, ramp)


def _flat_colours(random: np.random.Generator) -> DrawnPicture:
    pixels = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    tops, lefts = _cuts(random, HEIGHT, 4), _cuts(random, WIDTH, 5)
    for row, (top, bottom) in enumerate(pairwise(tops)):
        for column, (left, right) in enumerate(pairwise(lefts)):
            pixels[top:bottom, left:right] = _colour(random, is_grey=(row + column) % 2 == 0)
    return DrawnPicture("flat colours", pixels)


def _discs(random: np.random.Generator) -> DrawnPicture:
    def draw(canvas: ImageDraw.ImageDraw) -> None:
        for number in range(14):
            x, y = _FINER * random.uniform(0, WIDTH), _FINER * random.uniform(0, HEIGHT)
            radius = _FINER * random.uniform(8, 56)
            canvas.ellipse((x - radius, y - radius, x + radius, y + radius), _colour(random, is_grey=number % 2 == 0))

    return DrawnPicture("discs", _shrunk(draw))


def _text(random: np.random.Generator) -> DrawnPicture:
    image = Image.new("RGB", (WIDTH, HEIGHT), _WHITE)
    canvas = ImageDraw.Draw(image)
    canvas.rectangle((0, 256, WIDTH, 319), _BLACK)
    canvas.rectangle((0, 320, WIDTH, HEIGHT), (90, 90, 90))
    sizes = (28, 22, 18, 15, 13, 12, 11, 11, 10)
    top = 6
    for number, size in enumerate(sizes):
        ink = _colour(random, is_grey=False) if number in (1, 6) else _BLACK
        canvas.text((8, top), _sentence(random, 90), ink, ImageFont.load_default(size))
        top += round(1.5 * size)
    for number, ink in enumerate((_WHITE, (190, 190, 190), _WHITE, (20, 20, 20))):
        canvas.text((8, 262 + 30 * number), _sentence(random, 90), ink, ImageFont.load_default(14))
    return DrawnPicture("text", np.array(image))


def _line_art(random: np.random.Generator) -> DrawnPicture:
    def draw(canvas: ImageDraw.ImageDraw) -> None:
        centre = (WIDTH / 2, HEIGHT / 2)
        for turn in np.linspace(0, 2 * np.pi, 37)[:-1] + random.uniform(0, 0.1):
            ends = [
                (_FINER * (centre[0] + r * np.cos(turn)), _FINER * (centre[1] + r * np.sin(turn))) for r in (30, 150)
            ]
            canvas.line(ends, _BLACK, _FINER)
        for radius in np.arange(30, 160, 20):
            box = [_FINER * (middle + sign * radius) for sign in (-1, 1) for middle in centre]
            canvas.ellipse(box, outline=_BLACK, width=_FINER)
        for _ in range(6):
            points = _FINER * random.uniform((0, 0), (WIDTH, HEIGHT), (2, 2))
            canvas.line([tuple(point) for point in points], _BLACK, int(random.integers(1, 4)) * _FINER)

    return DrawnPicture("line art", _shrunk(draw))


def _interface(random: np.random.Generator) -> DrawnPicture:
    accent, ground = _colour(random, is_grey=False), (245, 245, 245)
    image = Image.new("RGB", (WIDTH, HEIGHT), ground)
    canvas = ImageDraw.Draw(image)
    font = ImageFont.load_default(12)
    canvas.rectangle((0, 0, WIDTH, 31), accent)
    canvas.text((10, 8), _sentence(random, 30), _WHITE, font)
    canvas.rectangle((0, 32, 127, HEIGHT), (60, 60, 60))
    for row in range(9):
        canvas.text((12, 46 + 36 * row), _sentence(random, 14), (220, 220, 220), font)
    canvas.rectangle((148, 52, 491, 227), _WHITE, (200, 200, 200))
    for row in range(5):
        canvas.line((148, 86 + 28 * row, 491, 86 + 28 * row), (225, 225, 225))
        canvas.text((158, 64 + 28 * row), _sentence(random, 40), (40, 40, 40), font)
    for column, (fill, ink) in enumerate(((accent, _WHITE), (_WHITE, _BLACK), ((230, 230, 230), _BLACK))):
        left = 148 + 118 * column
        canvas.rounded_rectangle((left, 252, left + 100, 284), 6, fill, (170, 170, 170))
        canvas.text((left + 14, 260), _sentence(random, 10), ink, font)
    canvas.rectangle((148, 312, 491, 327), (222, 222, 222))
    canvas.rectangle((148, 312, 148 + int(random.integers(60, 300)), 327), accent)
    return DrawnPicture("interface", np.array(image))


def _night(random: np.random.Generator) -> DrawnPicture:
    """Neutral darkness with neutral noise, a horizon, and warm lamps: what is neutral stays so under the noise."""
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    dark = np.where(rows < 260 + 8 * np.sin(columns / 40), 14.0, 6.0) + 6 * (1 - rows / HEIGHT)
    pixels = (dark + random.normal(0, 2.5, dark.shape))[:, :, None].repeat(3, axis=2).round()
    for _ in range(4):
        row, column = random.uniform(40, 240), random.uniform(40, WIDTH - 40)
        squared = (rows - row) ** 2 + (columns - column) ** 2
        # Nothing far away, so that most of the picture is neutral.
        light = 240 * np.exp(-squared / (2 * 9**2)) * (squared < 40**2)
        pixels += light[:, :, None] * np.array([1.0, 0.82, 0.5])
    return DrawnPicture("night", _rounded(pixels))


_DRAWERS: tuple[Callable[[np.random.Generator], DrawnPicture], ...] = (
    _grey_ramp,
    _slow_grey_ramp,
    _radial_grey_ramp,
    _sky,
    _coloured_ramps,
    _flat_colours,
    _discs,
    _text,
    _line_art,
    _interface,
    _night,
)


def _ramp(name: str, values: Float[np.ndarray, "h w c"]) -> DrawnPicture:
    pixels = _rounded(np.broadcast_to(values, (HEIGHT, WIDTH, 3)))
    return DrawnPicture(name, pixels, np.ones((HEIGHT, WIDTH), bool))


def _distance(random: np.random.Generator) -> Float[np.ndarray, "H W"]:
    """From a place near the upper border, 0 .. 1 at the farthest corner."""
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    found = np.hypot(rows - random.uniform(0, 80), columns - random.uniform(100, 400))
    return found / found.max()


def _cuts(random: np.random.Generator, length: int, parts: int) -> list[int]:
    inner = [round(length * (number + random.uniform(-0.3, 0.3)) / parts) for number in range(1, parts)]
    return [0, *inner, length]


def _colour(random: np.random.Generator, *, is_grey: bool) -> tuple[int, int, int]:
    red, green, blue = (int(value) for value in random.integers(0, 256, 3))
    return (red, red, red) if is_grey else (red, green, blue)


def _sentence(random: np.random.Generator, letters: int) -> str:
    text = ""
    while len(text) + len(word := _WORDS[int(random.integers(len(_WORDS)))]) < letters:
        text += f"{word} "
    return text


def _shrunk(draw: Callable[[ImageDraw.ImageDraw], None]) -> UInt8[np.ndarray, "H W 3"]:
    image = Image.new("RGB", (_FINER * WIDTH, _FINER * HEIGHT), _WHITE)
    draw(ImageDraw.Draw(image))
    return np.array(image.resize((WIDTH, HEIGHT), Image.Resampling.BOX))


def _rounded(values: Float[np.ndarray, "H W C"]) -> UInt8[np.ndarray, "H W C"]:
    return np.rint(values).clip(0, 255).astype(np.uint8)
