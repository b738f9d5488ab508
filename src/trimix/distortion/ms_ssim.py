"""MS-SSIM with its slope: the distortion of models that are trained for how pictures look.

::

    x, x_hat --> cs_1 --> halve --> cs_2 --> halve --> cs_3 --> halve --> cs_4 --> halve --> ssim_5
                  |                  |                  |                  |                  |
                  '------------------'------------------'-- weighted geometric mean of each channel --> mean

With A = 2 s_xy + C2, B = s_x^2 + s_y^2 + C2 and cs = A / B, over the window's means M:

    d cs / d M(xy) = 2 / B      d cs / d M(y^2) = -A / B^2      d cs / d m_y = (2 m_y A / B - 2 m_x) / B

and back through the window and the halvings, whose adjoints are a window and a spreading.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from trimix.distortion.constants import (
    MS_SSIM_CONTRAST_STABILIZER,
    MS_SSIM_LUMINANCE_STABILIZER,
    MS_SSIM_REACH,
    MS_SSIM_SCALE_WEIGHTS,
    MS_SSIM_SMALLEST_FACTOR,
    MS_SSIM_WINDOW,
)
from trimix.distortion.planes import Planes, by_plane, halved, library_of, padded, plane_means, spread, windowed_sums


def ms_ssim_and_slope(x: Planes, x_hat: Planes, *, with_slope: bool) -> tuple[Any, Planes | None]:
    """Multi-scale structural similarity, the mean over the channels, and its slope by ``x_hat``.

    prod_j cs_j^w_j (scales 1 .. 4) times ssim_5^w_5; cs = (2 s_xy + C2) / (s_x^2 + s_y^2 + C2),
    ssim = cs (2 m_x m_y + C1) / (m_x^2 + m_y^2 + C1), in an 11 x 11 Gaussian window of sigma 1.5 that stays inside
    the picture. Wang, Simoncelli and Bovik 2003.

    What is measured of a file counts negative factors as 0, where there is no gradient. Here a factor below 0.01 goes
    on as c -> 0.01 exp((c - 0.01) / 0.01): small, positive, and with a finite slope that leads out of there.
    Values beyond [0, 1] are taken as they are, so that the gradient leads back from there, too.

    Args:
        x: pictures in [0, 1], [... C H W], both sides at least 161 pixels.

    >>> import numpy as np
    >>> x = np.broadcast_to(np.linspace(0, 1, 161, dtype=np.float32), (1, 161, 161))
    >>> value, slope = ms_ssim_and_slope(x, x, with_slope=True)
    >>> round(float(value), 6), float(np.abs(slope).max()) < 1e-6
    (1.0, True)
    >>> round(ms_ssim_and_slope(x, np.float32(0.9) * x, with_slope=False)[0], 3)
    0.995
    """
    found = list(_similarities(x, x_hat, with_slope=with_slope))
    logarithms = sum(
        weight * _bounded_logarithm(factors) for weight, (factors, _) in zip(MS_SSIM_SCALE_WEIGHTS, found, strict=True)
    )
    values = library_of(x).exp(logarithms)
    slope = None
    for weight, (factors, of_factor) in reversed(list(zip(MS_SSIM_SCALE_WEIGHTS, found, strict=True))):
        if of_factor is not None:
            # The slope of the logarithm, or of its tangent.
            share = weight * values / values.shape[-1] / factors.clip(min=MS_SSIM_SMALLEST_FACTOR)
            own = of_factor * by_plane(share, x)
            height, width = own.shape[-2:]
            slope = own if slope is None else own + spread(slope)[..., height % 2 :, width % 2 :]
    return values.mean(axis=-1), slope


def ms_ssim_factors(x: Planes, x_hat: Planes) -> Iterator[Any]:
    """What every scale gives of each plane, finest first: cs of the first four, ssim of the last; see above."""
    return (factors for factors, _ in _similarities(x, x_hat, with_slope=False))


def _similarities(x: Planes, x_hat: Planes, *, with_slope: bool) -> Iterator[tuple[Any, Planes | None]]:
    """Of every scale, finest first: the factors of the planes, and their slopes."""
    last = len(MS_SSIM_SCALE_WEIGHTS) - 1
    for scale in range(last + 1):
        settings = {"with_luminance": scale == last, "with_slope": with_slope}
        if isinstance(x, np.ndarray):  # one plane after the other: a picture's would take three times the memory
            found = [_similarity(*pair, **settings) for pair in zip(_planes(x), _planes(x_hat), strict=True)]
            factors, slopes = zip(*found, strict=True)
            joined = np.stack(slopes).reshape(x.shape) if with_slope else None
            yield np.stack(factors).reshape(x.shape[:-2]), joined
        else:
            yield _similarity(x, x_hat, **settings)
        if scale < last:
            # An odd side is padded with a zero before its first pixel, as pytorch-msssim does.
            odd_rows, odd_columns = ((side % 2, 0) for side in x.shape[-2:])
            x, x_hat = (halved(padded(planes, odd_rows, odd_columns)) for planes in (x, x_hat))


def _planes(x: np.ndarray) -> np.ndarray:
    return x.reshape(-1, *x.shape[-2:])


def _bounded_logarithm(factor: Any) -> Any:
    """log c, and below 0.01 its tangent."""
    bounded = factor.clip(min=MS_SSIM_SMALLEST_FACTOR)
    return library_of(factor).log(bounded) + (factor - bounded) / MS_SSIM_SMALLEST_FACTOR


def _similarity(x: Planes, y: Planes, *, with_luminance: bool, with_slope: bool) -> tuple[Any, Planes | None]:
    """Mean of ssim, or of cs alone, over each plane, and the slope of that."""
    # Variances are differences of squares: about the mean of the plane these are small, and so is what rounding leaves.
    level_x, level_y = (plane.mean(axis=(-2, -1))[..., None, None] for plane in (x, y))
    x, y = x - level_x, y - level_y
    mean_x, mean_y, squares, product = (
        windowed_sums(planes, MS_SSIM_WINDOW, margin=0) for planes in (x, y, x * x + y * y, x * y)
    )
    above = 2 * (product - mean_x * mean_y) + MS_SSIM_CONTRAST_STABILIZER
    below = squares - mean_x * mean_x - mean_y * mean_y + MS_SSIM_CONTRAST_STABILIZER
    contrast = above / below
    shown_x, shown_y = mean_x + level_x, mean_y + level_y
    luminance, sum_of_squares = 1, None
    if with_luminance:
        sum_of_squares = shown_x * shown_x + shown_y * shown_y + MS_SSIM_LUMINANCE_STABILIZER
        luminance = (2 * shown_x * shown_y + MS_SSIM_LUMINANCE_STABILIZER) / sum_of_squares
    factors = plane_means(contrast * luminance)
    if not with_slope:
        return factors, None
    by_product = 2 * luminance / below
    by_square = -0.5 * by_product * contrast
    by_mean = -by_product * mean_x - 2 * by_square * mean_y
    if sum_of_squares is not None:
        by_mean += 2 * contrast * (shown_x - shown_y * luminance) / sum_of_squares
    of_product, of_square, of_mean = (
        windowed_sums(planes, MS_SSIM_WINDOW, margin=2 * MS_SSIM_REACH) for planes in (by_product, by_square, by_mean)
    )
    slope = of_product * x + 2 * of_square * y + of_mean
    slope /= math.prod(contrast.shape[-2:])
    return factors, slope
