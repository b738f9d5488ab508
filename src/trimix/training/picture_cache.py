"""Pictures in memory as bytes, on the host or on a device, and patches cut, scaled down and flipped there.

Both scale as Pillow does, bicubic with antialiasing, in whole numbers with rows and columns rounded to 8 bits one after
the other. So a patch is the same bytes whichever others it is cut with; between host and device it may differ by one
step of 255.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch.nn import functional

from trimix.shapes import Float, Tensor, UInt8

_CUBIC = -0.5
"""Slope of the bicubic kernel at 1: Keys 1981, and Pillow."""
_CUBIC_REACH = 2
_WEIGHT_BITS = 14
"""Sums of 8-bit pixels times such weights stay below 2^24: exact in float32, in any order."""


@dataclass(frozen=True)
class Cut:
    """Where a patch comes from.

    Args:
        picture: index of it.
        top, left: first row and column.
        side: pixels a side, before scaling.
        upside_down, mirrored: flips.
    """

    picture: int
    top: int
    left: int
    side: int
    upside_down: bool
    mirrored: bool


class PictureCache(Protocol):
    """Cuts patches out of the pictures that it holds."""

    def patches(self, cuts: Sequence[Cut], size: int) -> UInt8[Tensor, "N H W 3"]:
        """One patch of ``size`` x ``size`` pixels for each cut."""
        ...


class HostCache:
    """Pictures in the memory of the host; one patch after the other.

    Args:
        pictures: uint8 arrays [H W 3]; not copied.
    """

    def __init__(self, pictures: Sequence[UInt8[np.ndarray, "_ _ 3"]]) -> None:
        self._pictures = pictures

    def patches(self, cuts: Sequence[Cut], size: int) -> UInt8[Tensor, "N H W 3"]:
        """One patch of ``size`` x ``size`` pixels for each cut."""
        patches = np.empty((len(cuts), size, size, 3), dtype=np.uint8)
        for patch, cut in zip(patches, cuts, strict=True):
            rows, columns = slice(cut.top, cut.top + cut.side), slice(cut.left, cut.left + cut.side)
            window = self._pictures[cut.picture][rows, columns]
            if cut.side != size:
                planes = torch.from_numpy(window.copy()).permute(2, 0, 1)[None]
                scaled = functional.interpolate(planes, (size, size), mode="bicubic", antialias=True)
                window = scaled[0].permute(1, 2, 0).numpy()
            patch[:] = window[:: -1 if cut.upside_down else 1, :: -1 if cut.mirrored else 1]
        return torch.from_numpy(patches)


class DeviceCache:
    """Pictures in the memory of a device; all patches in a few calls of it, without waiting for it.

    Args:
        pictures: uint8 arrays [H W 3]; copied to the device one by one.
        device: where they go.
    """

    def __init__(self, pictures: Sequence[UInt8[np.ndarray, "_ _ 3"]], device: torch.device) -> None:
        areas = [picture.shape[0] * picture.shape[1] for picture in pictures]
        self._columns = [picture.shape[1] for picture in pictures]
        self._firsts = [0, *np.cumsum(areas).tolist()]
        self._pixels = torch.empty(self._firsts[-1], 3, dtype=torch.uint8, device=device)
        for picture, first, area in zip(pictures, self._firsts, areas, strict=False):
            # A copy, since decoded pictures are read-only and torch warns of such.
            self._pixels[first : first + area] = torch.from_numpy(picture.reshape(-1, 3).copy()).to(device)

    @torch.no_grad()
    def patches(self, cuts: Sequence[Cut], size: int) -> UInt8[Tensor, "N H W 3"]:
        """One patch of ``size`` x ``size`` pixels for each cut."""
        device = self._pixels.device
        geometry = torch.tensor(
            [
                (
                    self._firsts[cut.picture] + cut.top * self._columns[cut.picture] + cut.left,
                    self._columns[cut.picture],
                    cut.side,
                    cut.upside_down,
                    cut.mirrored,
                )
                for cut in cuts
            ],
            dtype=torch.int64,
            pin_memory=device.type == "cuda",
        )
        first, columns, side, upside_down, mirrored = geometry.to(device, non_blocking=True).split(1, dim=1)
        # All windows are gathered as large as the largest; what that repeats of the smaller ones has weight 0.
        place = torch.arange(max(cut.side for cut in cuts), device=device).minimum(side - 1)
        row = torch.where(upside_down.bool(), side - 1 - place, place)
        column = torch.where(mirrored.bool(), side - 1 - place, place)
        if all(cut.side == size for cut in cuts):
            return self._pixels[(first + row * columns)[:, :, None] + column[:, None, :]]
        # Columns come first, since they are scaled first: a matrix product takes its left-most place.
        windows = self._pixels[(first + row * columns)[:, None, :] + column[:, :, None]]
        with torch.autocast(device.type, enabled=False):
            weights = _scaling_weights(side, place.shape[1], size)
            return _scaled(weights, _scaled(weights, windows).transpose(1, 2))


def _scaling_weights(side: Tensor, widest: int, size: int) -> Float[Tensor, "N H h"]:
    """Whole numbers that sum to about 2^14: what each of ``size`` pixels takes of each of ``side``."""
    stretch = side[:, :, None].float() / size
    place = torch.arange(widest, device=side.device)
    centre = (torch.arange(size, device=side.device)[:, None] + 0.5) * stretch
    weights = _cubic((place + 0.5 - centre) / stretch.clamp(min=1)) * (place < side[:, :, None])
    # Whole numbers also before they are divided by their sum: it is then the same however many zeros follow.
    weights = (weights * 2**_WEIGHT_BITS).round()
    return (weights / weights.sum(dim=2, keepdim=True) * 2**_WEIGHT_BITS).round()


def _cubic(distance: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    x = distance.abs()
    near = ((_CUBIC + 2) * x - (_CUBIC + 3)) * x.square() + 1
    far = (((x - 5) * x + 8) * x - 4) * _CUBIC
    return torch.where(x < 1, near, torch.where(x < _CUBIC_REACH, far, 0.0))


def _scaled(weights: Float[Tensor, "N h H"], x: UInt8[Tensor, "N H W 3"]) -> UInt8[Tensor, "N h W 3"]:
    sums = weights @ x.float().flatten(2)
    return (sums / 2**_WEIGHT_BITS).round().clamp(0, 255).byte().unflatten(2, (-1, 3))
