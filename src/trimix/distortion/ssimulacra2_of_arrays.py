"""SSIMULACRA2 of arrays with its slope; `ssimulacra2` is the same for torch, and says what is computed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from trimix.distortion.array_windows import windowed_sums
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
    SSIMULACRA2_SMALLEST_WEIGHT,
    SSIMULACRA2_STABILIZER,
    SSIMULACRA2_STRAIGHT_ABOVE,
    SSIMULACRA2_STRAIGHT_BELOW,
    SSIMULACRA2_WEIGHTS,
    SSIMULACRA2_WINDOW,
    SSIMULACRA2_XYB,
    SSIMULACRA2_XYB_OFFSETS,
)
from trimix.errors import PictureError
from trimix.shapes import Float, UInt8

_Plane = Float[np.ndarray, "H W"]


def ssimulacra2_and_slope(
    x: Float[np.ndarray, "3 H W"],
    x_hat: Float[np.ndarray, "3 H W"],
    *,
    as_patches: bool = False,
    with_slope: bool = False,
) -> tuple[float, Float[np.ndarray, "3 H W"] | None]:
    """SSIMULACRA2 score of a picture, and its slope by ``x_hat``, which is clamped to [0, 1]; None without.

    Args:
        x: a picture in [0, 1], both sides at least 128 pixels.
        x_hat: what came of it.
        as_patches: windows then count only what is inside.
        with_slope: whether the slope is wanted.

    >>> x = np.broadcast_to(np.linspace(0, 1, 128, dtype=np.float32), (3, 128, 128))
    >>> round(ssimulacra2_and_slope(x, np.float32(0.9) * x)[0], 1)
    67.5
    """
    shown = x_hat.clip(0, 1)
    error, slope = _error_and_slope(x, shown, as_patches, with_slope)
    score, slope_of_score = _score(SSIMULACRA2_ERROR_SCALE * error)
    if slope is None:
        return score, None
    slope *= np.float32(SSIMULACRA2_ERROR_SCALE * slope_of_score)
    # Beyond the range that at its end where it leads back, else 0; the score grows where the error shrinks.
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
    return ssimulacra2_and_slope(*_planes(original, decoded))[0]


def published_ssimulacra2(original: UInt8[np.ndarray, "H W C"], decoded: UInt8[np.ndarray, "H W C"]) -> float:
    """The score of 8-bit pixels, RGB or grey, by the published curve: without the straight ends that training needs.

    100 for equal pictures, 90 hard to tell apart, 30 poor, no lower end. Both sides have at least 113 pixels: of
    smaller pictures the reference lacks the sixth scale, and takes others' weights.
    """
    x, y = _planes(original, decoded)
    error = SSIMULACRA2_ERROR_SCALE * _error_and_slope(x, y, False, False)[0]
    third, second, first = SSIMULACRA2_CUBIC
    return 100 - 10 * max(((third * error + second) * error + first) * error, 0.0) ** SSIMULACRA2_EXPONENT


def _planes(*pictures: UInt8[np.ndarray, "H W C"]) -> Iterator[Float[np.ndarray, "3 H W"]]:
    for pixels in pictures:
        colours = np.broadcast_to(pixels.transpose(2, 0, 1), (3, *pixels.shape[:2]))
        yield colours.astype(np.float32) / np.float32(255)


def _score(error: float) -> tuple[float, float]:
    """The published curve, with its straight ends, and its slope."""
    e = min(error, SSIMULACRA2_STRAIGHT_ABOVE)
    third, second, first = SSIMULACRA2_CUBIC
    p = ((third * e + second) * e + first) * e
    slope = (3 * third * e + 2 * second) * e + first
    bounded = max(p, SSIMULACRA2_STRAIGHT_BELOW)
    lost = 10 * bounded**SSIMULACRA2_EXPONENT * min(p / SSIMULACRA2_STRAIGHT_BELOW, 1)
    score = 100 - lost - SSIMULACRA2_SLOPE_ABOVE * (error - e)
    if error > SSIMULACRA2_STRAIGHT_ABOVE:
        return score, -SSIMULACRA2_SLOPE_ABOVE
    if p > SSIMULACRA2_STRAIGHT_BELOW:
        return score, -SSIMULACRA2_EXPONENT * lost / p * slope
    return score, -10 * bounded ** (SSIMULACRA2_EXPONENT - 1) * slope


@dataclass(frozen=True)
class _Window:
    """Weighted means around every pixel.

    Args:
        inverse_mass: of the weights inside the picture; None where zeros around it count.
    """

    inverse_mass: Float[np.ndarray, "1 H W"] | None

    @classmethod
    def over(cls, shape: tuple[int, ...], as_patches: bool) -> "_Window":
        if not as_patches:
            return cls(None)
        ones = np.ones((1, *shape), np.float32)
        return cls(1 / windowed_sums(ones, SSIMULACRA2_WINDOW, SSIMULACRA2_REACH))

    def means(self, *planes: _Plane) -> Float[np.ndarray, "K H W"]:
        sums = windowed_sums(np.stack(planes), SSIMULACRA2_WINDOW, SSIMULACRA2_REACH)
        return sums if self.inverse_mass is None else sums * self.inverse_mass

    def means_back(self, *slopes: _Plane) -> Float[np.ndarray, "K H W"]:
        joined = np.stack(slopes)
        if self.inverse_mass is not None:
            joined *= self.inverse_mass
        return windowed_sums(joined, SSIMULACRA2_WINDOW, SSIMULACRA2_REACH)


def _error_and_slope(
    x: np.ndarray, y: np.ndarray, as_patches: bool, with_slope: bool
) -> tuple[float, np.ndarray | None]:
    light, light_hat = _light(x), _light(y)
    cones, cones_hat = (
        [np.stack([_mixed(each, weights, SSIMULACRA2_OPSIN_BIAS) for weights in SSIMULACRA2_OPSIN])]
        for each in (light, light_hat)
    )
    for level in range(1, SSIMULACRA2_SCALES):
        cones.append(_halved(cones[level - 1]))
        cones_hat.append(_halved(cones_hat[level - 1]))
    error, slope = 0.0, None
    for scale in reversed(range(SSIMULACRA2_SCALES)):
        weights = [
            [w if w >= SSIMULACRA2_SMALLEST_WEIGHT else 0.0 for w in of_channel[scale]]
            for of_channel in SSIMULACRA2_WEIGHTS
        ]
        channels = [channel for channel in range(3) if any(weights[channel])]
        count = 3 if 2 in channels else 2
        roots, roots_hat = (np.cbrt(levels[scale][:count]) for levels in (cones, cones_hat))
        window = _Window.over(roots[0].shape, as_patches)
        slopes = []
        for channel in channels:
            plane, plane_hat = (
                _mixed(each, SSIMULACRA2_XYB[channel], SSIMULACRA2_XYB_OFFSETS[channel]) for each in (roots, roots_hat)
            )
            of_plane, slope_of_plane = _plane_error(plane, plane_hat, weights[channel], window, with_slope)
            error += of_plane
            slopes.append(slope_of_plane)
        if not with_slope:
            continue
        of_cones = cones_hat[scale]
        slope = np.zeros_like(of_cones) if slope is None else _spread(slope, of_cones.shape)
        for cone in range(count):
            of_root = _mixed(slopes, [SSIMULACRA2_XYB[channel][cone] for channel in channels])
            slope[cone] += of_root * roots_hat[cone] / (3 * of_cones[cone])
    if slope is None:
        return error, None
    of_light = np.stack([_mixed(slope, weights) for weights in zip(*SSIMULACRA2_OPSIN, strict=True)])
    return error, of_light * _slope_of_light(y)


def _mixed(planes: Sequence[np.ndarray] | np.ndarray, weights: Sequence[float], offset: float = 0.0) -> np.ndarray:
    total = np.full_like(planes[0], offset)
    for plane, weight in zip(planes, weights, strict=False):
        if weight:
            total += np.float32(weight) * plane
    return total


def _light(coded: np.ndarray) -> np.ndarray:
    """Linear light of coded values (IEC 61966-2-1)."""
    power = ((coded + np.float32(0.055)) / np.float32(1.055)) ** np.float32(2.4)
    return np.where(coded > np.float32(0.04045), power, coded / np.float32(12.92))


def _slope_of_light(coded: np.ndarray) -> np.ndarray:
    power = ((coded + np.float32(0.055)) / np.float32(1.055)) ** np.float32(1.4)
    return np.where(coded > np.float32(0.04045), np.float32(2.4 / 1.055) * power, np.float32(1 / 12.92))


def _halved(x: np.ndarray) -> np.ndarray:
    """Means of 2 x 2 pixels; a last odd row or column counts twice."""
    odd_rows, odd_columns = (side % 2 for side in x.shape[1:])
    if odd_rows or odd_columns:
        x = np.pad(x, ((0, 0), (0, odd_rows), (0, odd_columns)), mode="edge")
    rows = x[:, ::2] + x[:, 1::2]
    return np.float32(0.25) * (rows[..., ::2] + rows[..., 1::2])


def _spread(slope: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The adjoint of halving."""
    back = (np.float32(0.25) * slope).repeat(2, axis=1).repeat(2, axis=2)
    rows, columns = shape[1:]
    if back.shape[1] > rows:
        back[:, rows - 1] *= 2
    if back.shape[2] > columns:
        back[..., columns - 1] *= 2
    return back[:, :rows, :columns]


def _plane_error(
    x: _Plane, y: _Plane, weights: Sequence[float], window: _Window, with_slope: bool
) -> tuple[float, _Plane | None]:
    """Weighted sum of the norms of the three maps of a plane, and its slope by y."""
    difference = x - y
    mean_x, mean_difference = window.means(x, difference)
    error, slope, slope_of_mean = 0.0, None, None
    ssim_weights, artifact_weights, lost_weights = weights[::3], weights[1::3], weights[2::3]
    mean_y = mean_x - mean_difference
    if any(ssim_weights):
        # 1 - (1 - d^2) (v - w) / v = d^2 + (1 - d^2) w / v: d the difference of the means, w the variance of the
        # difference, v the sum of both variances. Nothing cancels there: of equal pictures it is 0.
        squares, square = window.means(x * x + y * y, difference * difference)
        squared_mean = mean_difference * mean_difference
        variances = squares - mean_x * mean_x - mean_y * mean_y + np.float32(SSIMULACRA2_STABILIZER)
        share = (square - squared_mean).clip(min=0) / variances
        rest = 1 - squared_mean
        error, of_ssim = _norms(squared_mean + rest * share, ssim_weights, with_slope)
        if of_ssim is not None:
            of_square = of_ssim * rest / variances
            of_squares = of_square * share
            slope_of_mean = 2 * ((of_ssim * (1 - share) - of_square) * mean_difference - of_squares * mean_y)
            of_squares, of_square = window.means_back(of_squares, of_square)
            slope = -2 * (of_squares * y + of_square * difference)
    if any(artifact_weights) or any(lost_weights):
        edge = np.abs(x - mean_x) + 1
        edge_hat = y - mean_y
        growth = (np.abs(edge_hat) + 1) / edge - 1
        of_growth = np.zeros_like(growth)
        for sign, edge_weights in ((1, artifact_weights), (-1, lost_weights)):
            if any(edge_weights):
                of_kind, of_map = _norms((sign * growth).clip(min=0), edge_weights, with_slope)
                error += of_kind
                if of_map is not None:
                    of_growth += sign * of_map
        if with_slope:
            of_edge = of_growth * np.sign(edge_hat) / edge
            slope = of_edge if slope is None else slope + of_edge
            slope_of_mean = of_edge if slope_of_mean is None else slope_of_mean + of_edge
    if slope is not None and slope_of_mean is not None:
        slope = slope - window.means_back(slope_of_mean)[0]
    return error, slope


def _norms(errors: _Plane, weights: Sequence[float], with_slope: bool) -> tuple[float, _Plane | None]:
    """Weighted 1-norm and 4-norm, both as means, of a map that is nowhere negative; and their slope."""
    of_one, of_four = weights
    norm, slope = 0.0, np.zeros_like(errors) if with_slope else None
    if of_one:
        norm += of_one * float(errors.mean(dtype=np.float64))
        if slope is not None:
            slope += np.float32(of_one / errors.size) * np.sign(errors)
    if of_four:
        squares = errors * errors
        four_norm = float((squares * squares).mean(dtype=np.float64)) ** 0.25
        norm += of_four * four_norm
        if slope is not None:
            # The bound is for errors whose powers float32 no longer tells from 0.
            slope += np.float32(of_four / errors.size / max(four_norm, 1e-8) ** 3) * (squares * errors)
    return norm, slope
