"""Alpha planes: their lossless form in a file, and the colours that they hide."""

import io

import numpy as np
from PIL import Image

from trimix.errors import CorruptedFileError
from trimix.images.limits import without_pillow_limits
from trimix.shapes import Float, UInt

_WEBP_SIDE_MAXIMUM = 16383


def encode_alpha(alpha: UInt[np.ndarray, "H W"]) -> bytes:
    """The plane, uint8 or uint16, as a lossless picture file: WebP, or PNG where WebP cannot hold it.

    >>> plane = np.arange(6, dtype=np.uint8).reshape(2, 3)
    >>> (decode_alpha(encode_alpha(plane), 2, 3, 8) == plane).all().item()
    True
    """
    image, buffer = Image.fromarray(alpha), io.BytesIO()
    if alpha.dtype == np.uint8 and max(alpha.shape) <= _WEBP_SIDE_MAXIMUM:
        image.convert("RGB").save(buffer, "WEBP", lossless=True, quality=80, method=4)
    else:
        image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def decode_alpha(data: bytes, height: int, width: int, bit_depth: int) -> UInt[np.ndarray, "H W"]:
    """The plane of `encode_alpha` for a picture of 8 or 16 bits; CorruptedFileError if the bytes are none."""
    modes = {"WEBP": "RGB", "PNG": "L"} if bit_depth == 8 else {"PNG": "I;16"}
    try:
        if webp_size(data) not in (None, (width, height)):
            raise ValueError("another size")
        with without_pillow_limits():
            image = Image.open(io.BytesIO(data), formats=("PNG", "WEBP"))
        if image.size != (width, height) or image.mode != modes.get(image.format or ""):
            raise ValueError(f"{image.format} {image.mode} {image.width}x{image.height}")
        plane = np.asarray(image)
    except Exception as error:  # Pillow meets damage with OSError, SyntaxError, ValueError and more
        raise CorruptedFileError(
            f"alpha must be a lossless plane of {width}x{height} samples of {bit_depth} bits, found none "
            f"({error}); write the file again"
        ) from error
    return np.ascontiguousarray(plane if plane.ndim == 2 else plane[:, :, 0])


def webp_size(data: bytes) -> tuple[int, int] | None:
    """Width and height that a WebP file claims, known before Pillow allocates them; None for another file."""
    if len(data) < 30 or data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        return None
    match data[12:16]:
        case b"VP8X":
            return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
        case b"VP8L":
            bits = int.from_bytes(data[21:25], "little")
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8 ":
            width, height = (int.from_bytes(data[at : at + 2], "little") for at in (26, 28))
            return width & 0x3FFF, height & 0x3FFF
        case _:
            return None


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
