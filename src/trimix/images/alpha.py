"""Alpha planes: pictures on a background, and the colours that alpha hides."""

import numpy as np

from trimix.shapes import Float, UInt


def flatten(
    pixels: UInt[np.ndarray, "H W C"], alpha: UInt[np.ndarray, "H W"], background: tuple[int, ...]
) -> UInt[np.ndarray, "H W C"]:
    """Pixels on a background of 0 .. 255: `alpha * pixels + (1 - alpha) * background`, rounded."""
    peak = int(np.iinfo(pixels.dtype).max)
    behind = np.array(background, np.uint64) * np.uint64(peak // 255)
    flat = np.empty_like(pixels)
    for row, weights in enumerate(alpha[:, :, None].astype(np.uint64)):  # row by row: the products are long
        flat[row] = (pixels[row] * weights + behind * (np.uint64(peak) - weights) + np.uint64(peak // 2)) // (
            np.uint64(peak)
        )
    return flat


def fill_hidden(pixels: UInt[np.ndarray, "H W C"], alpha: UInt[np.ndarray, "H W"]) -> UInt[np.ndarray, "H W C"]:
    """Pixels with a smooth continuation of the visible colours where alpha, of their type, is 0.

    Means over ever larger squares, weighted by alpha, until each has a visible pixel ("push"), and back with what is
    missing interpolated from the next coarser ("pull"). So the hidden parts take few bits and have no edge of
    their own, and nothing foreign bleeds into the visible ones.
    """
    hidden = alpha == 0
    if not hidden.any():
        return pixels
    peak = np.iinfo(pixels.dtype).max
    if hidden.all():
        return np.full_like(pixels, peak // 2)
    smooth = _continued(pixels.astype(np.float32), alpha.astype(np.float32) / np.float32(peak))
    filled = pixels.copy()
    filled[hidden] = np.clip(np.rint(smooth[hidden]), 0, peak).astype(pixels.dtype)
    return filled


def _continued(colours: Float[np.ndarray, "H W C"], weights: Float[np.ndarray, "H W"]) -> Float[np.ndarray, "H W C"]:
    is_known = weights > 0
    if is_known.all():
        return colours
    height, width = weights.shape
    odd = ((0, height % 2), (0, width % 2))
    inner = np.pad(weights, odd)[:, :, None]
    weighted = np.pad(colours, (*odd, (0, 0))) * inner
    sums, total = (_in_squares(values) for values in (weighted, inner))
    means = np.divide(sums, total, out=np.zeros_like(sums), where=total > 0)
    coarse = _continued(means, np.minimum(total[:, :, 0], 1))
    fine = _doubled(_doubled(coarse, 0), 1)[:height, :width]
    return np.where(is_known[:, :, None], colours, fine)


def _in_squares(values: Float[np.ndarray, "H W C"]) -> Float[np.ndarray, "h w C"]:
    rows = values[0::2] + values[1::2]
    return rows[:, 0::2] + rows[:, 1::2]


def _doubled(values: np.ndarray, axis: int) -> np.ndarray:
    """Twice as many values along an axis, linearly interpolated between the centres."""
    values = np.moveaxis(values, axis, 0)
    before, after = np.concatenate([values[:1], values[:-1]]), np.concatenate([values[1:], values[-1:]])
    pairs = np.stack([0.75 * values + 0.25 * before, 0.75 * values + 0.25 * after], axis=1)
    return np.moveaxis(pairs.reshape(-1, *values.shape[1:]).astype(np.float32), 0, axis)
