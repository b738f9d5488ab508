"""From pixels to padded tensors and back.

pixels uint8 [H W C] -> to_tensor -> pad_to_multiple -> network -> crop -> to_pixels -> pixels uint8 [H W C]
"""

import numpy as np
import torch
from torch.nn import functional

from trimix.images.colour import replicate_grey
from trimix.shapes import Float, Tensor, UInt8


def to_tensor(pixels: UInt8[np.ndarray, "H W C"]) -> Float[Tensor, "1 3 H W"]:
    """Pixels as the network takes them.

    Args:
        pixels: 0 .. 255; one channel (grey, which is replicated) or three (RGB).

    Returns:
        float32 in [0, 1], its own memory.

    >>> to_tensor(np.full((1, 2, 1), 255, np.uint8)).shape
    torch.Size([1, 3, 1, 2])
    """
    # A new array in float32: the pixels may be read-only, and the division is in place.
    planes = np.array(pixels.transpose(2, 0, 1), dtype=np.float32, order="C")
    image = torch.from_numpy(planes).div_(255.0).unsqueeze(0)
    return replicate_grey(image) if image.shape[1] == 1 else image


def pad_to_multiple(image: Float[Tensor, "N C H W"], multiple: int) -> Float[Tensor, "N C Hp Wp"]:
    """Repeat the last row and column until height and width are multiples of `multiple`.

    Args:
        image: at least 1 x 1 pixels.
        multiple: pixels, at least 1.

    Returns:
        The picture with rows added below and columns at the right; `image` itself where none are missing.

    >>> pad_to_multiple(torch.zeros(1, 3, 1, 65), 64).shape
    torch.Size([1, 3, 64, 128])
    """
    rows, columns = (-size % multiple for size in image.shape[-2:])
    if rows == columns == 0:
        return image
    return functional.pad(image, (0, columns, 0, rows), mode="replicate")


def crop(image: Float[Tensor, "N C Hp Wp"], height: int, width: int) -> Float[Tensor, "N C H W"]:
    """The upper left `height` x `width` pixels: undoes `pad_to_multiple`.

    Args:
        image: at least as high and as wide.
        height: pixels to keep.
        width: pixels to keep.

    Raises:
        ValueError: the picture is smaller.
    """
    if height > image.shape[-2] or width > image.shape[-1]:
        raise ValueError(
            f"the part to keep must lie in {image.shape[-2]} x {image.shape[-1]} (height x width), "
            f"found {height} x {width}; give at most the picture's size"
        )
    return image[..., :height, :width]


def to_pixels(image: Float[Tensor, "1 C H W"]) -> UInt8[np.ndarray, "H W C"]:
    """Pixels of a network's output.

    Values outside [0, 1] are clamped, NaN becomes 0, then value * 255 is rounded to the nearest integer,
    halves to even.

    Args:
        image: any float type, any device.

    Returns:
        0 .. 255. Exact inverse of `to_tensor` for three channels.

    >>> to_pixels(torch.tensor([-1.0, 0.5, float("nan")]).reshape(1, 3, 1, 1)).ravel().tolist()
    [0, 128, 0]
    """
    values = image.detach()[0].to(torch.float32)
    # 127.5 is a half: to even, 128. Low-precision types are widened first, or the product would round twice.
    levels = torch.nan_to_num(values, nan=0.0).clamp(0.0, 1.0).mul(255.0).round()
    return np.ascontiguousarray(levels.to(torch.uint8).permute(1, 2, 0).cpu().numpy())
