"""SSIMULACRA2 with its slope: the distortion of models that are trained for the eye.

::

    x, x_hat --> linear light --> opsin L, M, S --> halve --> halve --> halve --> halve
                                       |              |         |         |         |
                                       Y            X, Y      X, Y     X, Y, B   X, Y, B    cube roots, differences
                                       |              |         |         |         |
                                       '--- maps of SSIM, artifacts and lost detail ---'
                                                          |
                                     1-norms, 4-norms --> weighted sum --> score

After Sneyers 2022-2023, github.com/cloudinary/ssimulacra2 (version 2.1), which is that of libjxl's tools: there, too,
windows reach beyond the picture, where all is 0.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trimix.distortion.constants import (
    SSIMULACRA2_CUBIC,
    SSIMULACRA2_ERROR_SCALE,
    SSIMULACRA2_EXPONENT,
    SSIMULACRA2_MINIMUM_SIDE,
    SSIMULACRA2_OPSIN,
    SSIMULACRA2_OPSIN_BIAS,
    SSIMULACRA2_REACH,
    SSIMULACRA2_SCALES,
    SSIMULACRA2_SLOPE_ABOVE,
    SSIMULACRA2_STABILIZER,
    SSIMULACRA2_STRAIGHT_ABOVE,
    SSIMULACRA2_STRAIGHT_BELOW,
    SSIMULACRA2_WEIGHTS,
    SSIMULACRA2_WINDOW,
    SSIMULACRA2_XYB,
    SSIMULACRA2_XYB_OFFSETS,
)
from trimix.distortion.planes import (
    Planes,
    by_plane,
    evened,
    halved,
    library_of,
    linear_light,
    plane_means,
    spread,
    windowed_sums,
)
from trimix.errors import PictureError
from trimix.shapes import Float, UInt8


def ssimulacra2_and_slope(
    x: Planes, x_hat: Planes, *, as_patches: bool = False, with_slope: bool = False
) -> tuple[Any, Planes | None]:
    """SSIMULACRA2 score, 100 where it is the original, and its slope by ``x_hat``.

    100 - 10 p(e)^0.6276, p of third degree, e the weighted sum of the norms of three maps of X, Y and B - Y:
    ssim = 1 - (1 - (m_x - m_y)^2) (2 s_xy + C) / (s_x^2 + s_y^2 + C), and the positive and the negative part of
    (1 + |y - m_y|) / (1 + |x - m_x|) - 1. Pictures are halved in linear light.

    Measured is what would be shown: x_hat clamped to [0, 1], though not rounded to 8 bits. Beyond the range the slope
    is that at its end where what makes the score grow leads back, else 0. The published curve has slopes that training
    cannot use: above a score of 99.87, where they grow without bound, it is a straight line to 100 here; below -30,
    where it is soon all but level, it goes on by its tangent.

    Args:
        x: pictures in [0, 1], [... 3 H W], both sides at least 128 pixels.
        as_patches: of larger pictures, whose score is meant: windows then count only what is inside. Zeros around hide
            errors near the border, of small pictures most, where a coarse scale is hardly more than border.

    >>> x = np.broadcast_to(np.linspace(0, 1, 128, dtype=np.float32), (3, 128, 128))
    >>> float(ssimulacra2_and_slope(x, x)[0]), round(float(ssimulacra2_and_slope(x, np.float32(0.9) * x)[0]), 1)
    (100.0, 67.5)
    """
    shown = x_hat.clip(0, 1)
    error, slope = _error_and_slope(x, shown, as_patches, with_slope)
    score, slope_of_score = _score(SSIMULACRA2_ERROR_SCALE * error)
    if slope is None:
        return score, None
    slope = slope * by_plane(SSIMULACRA2_ERROR_SCALE * slope_of_score, x_hat)[..., None]
    slope[slope * (x_hat - shown) > 0] = 0
    return score, slope


def ssimulacra2_of_pixels(original: UInt8[np.ndarray, "H W C"], decoded: UInt8[np.ndarray, "H W C"]) -> float:
    """SSIMULACRA2 score of 8-bit pixels, RGB or grey.

    Raises:
        PictureError: a side has fewer than 128 pixels.

    >>> pixels = np.full((128, 128, 1), 77, np.uint8)
    >>> ssimulacra2_of_pixels(pixels, pixels)
    100.0
    """
    height, width, _ = original.shape
    if min(height, width) < SSIMULACRA2_MINIMUM_SIDE:
        raise PictureError(
            f"a picture must have {SSIMULACRA2_MINIMUM_SIDE} pixels on both sides for an SSIMULACRA2 score, found "
            f"{width}x{height}; set a quality or another target"
        )
    return float(ssimulacra2_and_slope(*_planes(original, decoded))[0])


def published_ssimulacra2(original: UInt8[np.ndarray, "H W C"], decoded: UInt8[np.ndarray, "H W C"]) -> float:
    """The score of 8-bit pixels, RGB or grey, by the published curve: without the straight ends that training needs.

    100 for equal pictures, 90 hard to tell apart, 30 poor, no lower end. Both sides have at least 113 pixels: of
    smaller pictures the reference lacks the sixth scale, and takes others' weights.
    """
    x, x_hat = _planes(original, decoded)
    error = SSIMULACRA2_ERROR_SCALE * float(_error_and_slope(x, x_hat, as_patches=False, with_slope=False)[0])
    third, second, first = SSIMULACRA2_CUBIC
    return 100 - 10 * max(((third * error + second) * error + first) * error, 0.0) ** SSIMULACRA2_EXPONENT


def _planes(*pictures: UInt8[np.ndarray, "H W C"]) -> Iterator[Float[np.ndarray, "3 H W"]]:
    for pixels in pictures:
        colours = np.broadcast_to(pixels.transpose(2, 0, 1), (3, *pixels.shape[:2]))
        yield colours.astype(np.float32) / np.float32(255)


def _score(error: Any) -> tuple[Any, Any]:
    """The published curve, with its straight ends, and its slope."""
    e = error.clip(max=SSIMULACRA2_STRAIGHT_ABOVE)
    third, second, first = SSIMULACRA2_CUBIC
    p = ((third * e + second) * e + first) * e
    slope = (3 * third * e + 2 * second) * e + first
    bounded = p.clip(min=SSIMULACRA2_STRAIGHT_BELOW)
    lost = 10 * bounded**SSIMULACRA2_EXPONENT
    # Below, where the curve is straight, p is in the place of its power.
    where = library_of(error).where
    by_p = where(p > SSIMULACRA2_STRAIGHT_BELOW, SSIMULACRA2_EXPONENT * lost, lost) / bounded
    score = 100 - lost * (p / SSIMULACRA2_STRAIGHT_BELOW).clip(max=1) - SSIMULACRA2_SLOPE_ABOVE * (error - e)
    return score, -where(error > SSIMULACRA2_STRAIGHT_ABOVE, SSIMULACRA2_SLOPE_ABOVE, by_p * slope)


@dataclass(frozen=True)
class _Window:
    """Weighted means around every pixel.

    Args:
        inverse_mass: of the weights inside the picture, [H W]; None where zeros around it count.
    """

    inverse_mass: Planes | None

    @classmethod
    def over(cls, planes: Planes, as_patches: bool) -> "_Window":
        if not as_patches:
            return cls(None)
        ones = library_of(planes).ones_like(planes.reshape(-1, *planes.shape[-2:])[:1])
        return cls(1 / windowed_sums(ones, SSIMULACRA2_WINDOW, SSIMULACRA2_REACH)[0])

    def means(self, *planes: Planes) -> Planes:
        sums = windowed_sums(library_of(planes[0]).stack(planes), SSIMULACRA2_WINDOW, SSIMULACRA2_REACH)
        return sums if self.inverse_mass is None else sums * self.inverse_mass

    def means_back(self, *slopes: Planes) -> Planes:
        joined = library_of(slopes[0]).stack(slopes)
        if self.inverse_mass is not None:
            joined *= self.inverse_mass
        return windowed_sums(joined, SSIMULACRA2_WINDOW, SSIMULACRA2_REACH)


def _error_and_slope(x: Planes, y: Planes, as_patches: bool, with_slope: bool) -> tuple[Any, Planes | None]:
    """The weighted sum of all norms. Planes inside have their channel first."""
    library = library_of(x)
    x, y = (library.moveaxis(pictures, -3, 0) for pictures in (x, y))
    cones, cones_hat = ([_opsin(linear_light(each))] for each in (x, y))
    for level in range(1, SSIMULACRA2_SCALES):
        cones.append(halved(evened(cones[level - 1])))
        cones_hat.append(halved(evened(cones_hat[level - 1])))
    error, slope = 0.0, None
    for scale in reversed(range(SSIMULACRA2_SCALES)):
        channels = [channel for channel in range(3) if (scale, channel) in SSIMULACRA2_WEIGHTS]
        count = 3 if 2 in channels else 2
        # What is not needed any more goes at once: at the finest scale memory is what this takes most of.
        of_cones = cones_hat.pop()
        roots, roots_hat = (_cube_roots(each[:count]) for each in (cones.pop(), of_cones))
        window = _Window.over(roots[0], as_patches)
        planes = [[_xyb(each, channel) for channel in channels] for each in (roots, roots_hat)]
        del roots
        slopes = []
        for channel, plane, plane_hat in zip(channels, *planes, strict=True):
            weights = SSIMULACRA2_WEIGHTS[scale, channel]
            of_plane, slope_of_plane = _plane_error(plane, plane_hat, weights, window, with_slope)
            error = error + of_plane
            slopes.append(slope_of_plane)
        if not with_slope:
            continue
        slope = library.zeros_like(of_cones) if slope is None else _spread(slope, of_cones)
        for cone in range(count):
            of_root = _mixed(slopes, [SSIMULACRA2_XYB[channel][cone] for channel in channels])
            slope[cone] += of_root * roots_hat[cone] / (3 * of_cones[cone])
    if slope is None:
        return error, None
    of_light = library.stack([_mixed(slope, weights) for weights in zip(*SSIMULACRA2_OPSIN, strict=True)])
    return error, library.moveaxis(of_light * _slope_of_light(y), 0, -3)


def _opsin(light: Planes) -> Planes:
    return library_of(light).stack([_mixed(light, weights, SSIMULACRA2_OPSIN_BIAS) for weights in SSIMULACRA2_OPSIN])


def _xyb(roots: Planes, channel: int) -> Planes:
    return _mixed(roots, SSIMULACRA2_XYB[channel], SSIMULACRA2_XYB_OFFSETS[channel])


def _mixed(planes: Planes | Sequence[Planes], weights: Sequence[float], offset: float = 0.0) -> Planes:
    total = library_of(planes[0]).full_like(planes[0], offset)
    for plane, weight in zip(planes, weights, strict=False):
        if weight:
            total += weight * plane
    return total


def _cube_roots(x: Planes) -> Planes:
    return np.cbrt(x) if isinstance(x, np.ndarray) else x ** (1 / 3)


def _slope_of_light(coded: Planes) -> Planes:
    return library_of(coded).where(coded > 0.04045, 2.4 / 1.055 * ((coded + 0.055) / 1.055) ** 1.4, 1 / 12.92)


def _spread(slope: Planes, x: Planes) -> Planes:
    """The adjoint of halving ``evened`` planes x."""
    back = spread(slope)
    rows, columns = x.shape[-2:]
    if back.shape[-2] > rows:
        back[..., rows - 1, :] *= 2
    if back.shape[-1] > columns:
        back[..., columns - 1] *= 2
    return back[..., :rows, :columns]


def _plane_error(
    x: Planes, y: Planes, weights: Sequence[float], window: _Window, with_slope: bool
) -> tuple[Any, Planes | None]:
    """Weighted sum of the norms of the three maps of a plane, and its slope by y."""
    difference = x - y
    mean_x, mean_difference = window.means(x, difference)
    mean_y = mean_x - mean_difference
    error, slope, slope_of_mean = 0.0, None, None
    ssim_weights, artifact_weights, lost_weights = weights[::3], weights[1::3], weights[2::3]
    if any(ssim_weights):
        means = mean_x, mean_y, mean_difference
        error, slope, slope_of_mean = _ssim_error(y, difference, x * x, means, ssim_weights, window, with_slope)
        del means
    del difference, mean_difference
    if any(artifact_weights) or any(lost_weights):
        errors, of_edge = _edge_error(x - mean_x, y - mean_y, (artifact_weights, lost_weights), with_slope)
        error = sum(errors, start=error)
        if of_edge is not None:
            slope = of_edge if slope is None else slope + of_edge
            slope_of_mean = of_edge if slope_of_mean is None else slope_of_mean + of_edge
    if slope is not None and slope_of_mean is not None:
        slope = slope - window.means_back(slope_of_mean)[0]
    return error, slope


def _ssim_error(
    y: Planes,
    difference: Planes,
    square_x: Planes,
    means: tuple[Planes, Planes, Planes],
    weights: Sequence[float],
    window: _Window,
    with_slope: bool,
) -> tuple[Any, Planes | None, Planes | None]:
    """Weighted norms of the map of SSIM, and their slopes: by y, and by the mean of y around.

    1 - (1 - d^2) (v - w) / v = d^2 + (1 - d^2) w / v: d the difference of the means, w the variance of the difference,
    v the sum of both variances. Nothing cancels there: of equal pictures it is 0.
    """
    mean_x, mean_y, mean_difference = means
    squares, square = window.means(square_x + y * y, difference * difference)
    squared_mean = mean_difference * mean_difference
    variances = squares - mean_x * mean_x - mean_y * mean_y + SSIMULACRA2_STABILIZER
    share = (square - squared_mean).clip(min=0) / variances
    del squares, square
    rest = 1 - squared_mean
    error, of_ssim = _norms(squared_mean + rest * share, weights, with_slope)
    if of_ssim is None:
        return error, None, None
    of_square = of_ssim * rest / variances
    del rest, squared_mean, variances
    of_squares = of_square * share
    slope_of_mean = 2 * ((of_ssim * (1 - share) - of_square) * mean_difference - of_squares * mean_y)
    del of_ssim, share
    of_squares, of_square = window.means_back(of_squares, of_square)
    return error, -2 * (of_squares * y + of_square * difference), slope_of_mean


def _edge_error(
    edge: Planes, edge_hat: Planes, weights: tuple[Sequence[float], Sequence[float]], with_slope: bool
) -> tuple[list[Any], Planes | None]:
    """Weighted norms of artifacts and of lost detail, and their slope by ``edge_hat``.

    Args:
        edge: what a plane has beside the mean around.
    """
    edge = abs(edge) + 1
    growth = (abs(edge_hat) + 1) / edge - 1
    errors, of_growth = [], 0.0
    for sign, of_kind in zip((1, -1), weights, strict=True):
        if any(of_kind):
            error, of_map = _norms((sign * growth).clip(min=0), of_kind, with_slope)
            errors.append(error)
            if of_map is not None:
                of_growth = of_growth + sign * of_map
    return errors, of_growth * library_of(edge).sign(edge_hat) / edge if with_slope else None


def _norms(errors: Planes, weights: Sequence[float], with_slope: bool) -> tuple[Any, Planes | None]:
    """Weighted 1-norm and 4-norm, both as means, of a map that is nowhere negative; and their slope."""
    pixels = math.prod(errors.shape[-2:])
    of_one, of_four = weights
    norm, slope = 0.0, None
    if of_one:
        norm = of_one * plane_means(errors)
        if with_slope:
            slope = of_one / pixels * library_of(errors).sign(errors)
    if of_four:
        squares = errors * errors
        four_norm = plane_means(squares * squares) ** 0.25
        norm = norm + of_four * four_norm
        if with_slope:
            # The bound is for errors whose powers float32 no longer tells from 0.
            of_fourth = by_plane(of_four / pixels / four_norm.clip(min=1e-8) ** 3, errors) * (squares * errors)
            slope = of_fourth if slope is None else slope + of_fourth
    return norm, slope
