"""Where in a picture a comparison should look: the most detailed part that a person would look at."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from trimix.shapes import Float, UInt8

_ANALYSIS_SIDE = 256
"""Pixels of the longer side in which detail is summed."""
_CENTRE_PRIOR = 0.5
"""How much less the border of a picture interests than its middle."""
_SKIN_BONUS = 3.0
"""How much more a place interests that has the colour of skin all around."""


@dataclass(frozen=True)
class Region:
    """A rectangle of pixels."""

    left: int
    top: int
    width: int
    height: int

    def cut(self, pixels: UInt8[np.ndarray, "H W C"]) -> UInt8[np.ndarray, "h w C"]:
        """The pixels inside."""
        return pixels[self.top : self.top + self.height, self.left : self.left + self.width]


def most_interesting_region(pixels: UInt8[np.ndarray, "H W C"], width: int, height: int) -> Region:
    """The region of a size in pixels, cut to the picture's, in which most is to be seen.

    Fine detail, summed over the region; the middle of a picture counts more than its border, and skin most of all.
    """
    rows, columns, _ = pixels.shape
    width, height = min(width, columns), min(height, rows)
    if (width, height) == (columns, rows):
        return Region(0, 0, columns, rows)
    interest = _interest(pixels)
    scale = interest.shape[1] / columns
    window_width = min(max(1, round(width * scale)), interest.shape[1])
    window_height = min(max(1, round(height * scale)), interest.shape[0])
    total = np.pad(interest.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    rows_sums = total[window_height:] - total[:-window_height]
    sums = rows_sums[:, window_width:] - rows_sums[:, :-window_width]
    top, left = (int(index) for index in np.unravel_index(int(sums.argmax()), sums.shape))
    return Region(min(round(left / scale), columns - width), min(round(top / scale), rows - height), width, height)


def _interest(pixels: UInt8[np.ndarray, "H W C"]) -> Float[np.ndarray, "h w"]:
    image = Image.fromarray(pixels if pixels.shape[2] == 3 else pixels.repeat(3, axis=2))
    factor = min(1.0, _ANALYSIS_SIDE / max(image.size))
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    small = np.asarray(image.resize(size, Image.Resampling.BOX), dtype=np.float64)
    detail = _blurred(_detail(pixels, size), 3.0)
    rows, columns = np.meshgrid(np.linspace(-1, 1, size[1]), np.linspace(-1, 1, size[0]), indexing="ij")
    prior = 1 - _CENTRE_PRIOR * np.clip(rows**2 + columns**2, 0, 2) / 2
    return (detail / max(float(detail.max()), 1e-9) + 1e-6) * prior * (1 + _SKIN_BONUS * _skin(small))


def _skin(pixels: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w"]:
    """Share of pixels around with the chroma of skin, light or dark (Chai and Ngan 1999): people look at people."""
    blue_difference = 128 + pixels @ np.array([-0.1687, -0.3313, 0.5])
    red_difference = 128 + pixels @ np.array([0.5, -0.4187, -0.0813])
    inside = (abs(blue_difference - 102) <= 25) & (abs(red_difference - 153) <= 20)
    return _blurred(inside.astype(np.float64), 6.0)


def _detail(pixels: UInt8[np.ndarray, "H W C"], size: tuple[int, int]) -> Float[np.ndarray, "h w"]:
    """Mean difference of neighbours at full resolution, compressed: a strong edge is not worth ten weak ones."""
    grey = pixels.mean(axis=2)
    steps = np.zeros_like(grey)
    steps[:, 1:] += np.abs(np.diff(grey, axis=1))
    steps[1:] += np.abs(np.diff(grey, axis=0))
    return np.asarray(
        Image.fromarray(np.sqrt(steps).astype(np.float32)).resize(size, Image.Resampling.BOX), dtype=np.float64
    )


def _blurred(plane: Float[np.ndarray, "h w"], radius: float) -> Float[np.ndarray, "h w"]:
    # Pillow blurs bytes only; a shared scale keeps small differences above its steps.
    low, high = float(plane.min()), float(plane.max())
    if high <= low:
        return plane
    image = Image.fromarray(np.round(255 * (plane - low) / (high - low)).astype(np.uint8))
    blurred = np.asarray(image.filter(ImageFilter.GaussianBlur(radius)), dtype=np.float64)
    return low + blurred * (high - low) / 255
