"""Context models: what already coded latents say about the next ones."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from trimix.entropy_models.schedule import (
    INTERLACED_LEVELS,
    Lattice,
    Schedule,
    checkerboard,
    interlaced,
    one_pass,
    wavefront,
)
from trimix.layers.masked_convolution import MaskedConvolution, TapConvolution
from trimix.layers.offsets import Offset, checkerboard_offsets, raster_offsets, reach_of
from trimix.shapes import Float, Tensor


def anchor_mask(rows: int, columns: int, device: torch.device | None = None) -> Float[Tensor, "1 1 h w"]:
    """One at the positions of a checkerboard's first pass, where row + column is even; zero at the others.

    >>> anchor_mask(2, 3)[0, 0].tolist()
    [[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]]
    """
    row = torch.arange(rows, device=device)[:, None]
    column = torch.arange(columns, device=device)[None, :]
    return ((row + column) % 2 == 0).float()[None, None]


class CheckerboardContext(nn.Module):
    """Features of the second pass of a checkerboard from the latents of the first (He et al. 2021).

    Zero at the positions of the first pass, and blind to the latents of the second.
    """

    def __init__(self, latent_channels: int, features: int, kernel: int = 5) -> None:
        super().__init__()
        self.convolution = MaskedConvolution(latent_channels, features, kernel, checkerboard_offsets(kernel))

    def forward(self, y_hat: Float[Tensor, "N M h w"]) -> Float[Tensor, "N D h w"]:
        """Context features of every position, given all latents or those of the first pass alone."""
        anchors = anchor_mask(*y_hat.shape[2:], device=y_hat.device).to(y_hat.dtype)
        return self.convolution(y_hat * anchors) * (1 - anchors)


class RasterContext(nn.Module):
    """Features of every position from the latents before it in raster order (Minnen et al. 2018)."""

    def __init__(self, latent_channels: int, features: int, kernel: int = 5) -> None:
        super().__init__()
        self.convolution = MaskedConvolution(latent_channels, features, kernel, raster_offsets(kernel))

    def forward(self, y_hat: Float[Tensor, "N M h w"]) -> Float[Tensor, "N D h w"]:
        """Context features of every position, given all latents."""
        return self.convolution(y_hat)


class InterlacedContext(nn.Module):
    """Features of every interlaced pass but the first, from the latents of earlier passes around each position.

    ::

        0 . 2 .     first pass: zero       a level has weights of its own; it looks at
        . 3 . 3     level 0: those at 1    0 -> 1: diagonally, 2 away    2 -> 3: diagonally, 1 away
        2 . 1 .     level 1: those at 2    0 1 -> 2: straight, 2 away    0 1 2 3 -> the rest: as a checkerboard
        . 3 . 3     ...
    """

    def __init__(self, latent_channels: int, features: int) -> None:
        super().__init__()
        self.levels = nn.ModuleList(
            TapConvolution(latent_channels, features, level.offsets) for level in INTERLACED_LEVELS
        )
        self.features = features

    def forward(self, y_hat: Float[Tensor, "N M h w"]) -> Float[Tensor, "N D h w"]:
        """Context features of every position, given all latents."""
        height, width = y_hat.shape[2:]
        places = _places(height, width)
        gathered = _Gathering.apply(y_hat, places)
        found = [convolution(taps) for convolution, taps in zip(self.levels, gathered, strict=True) if taps.numel()]
        if not found:
            return y_hat.new_zeros(len(y_hat), self.features, height, width)
        return _Spreading.apply(tuple(level for level in places if level), (height, width), *found)


@dataclass(frozen=True)
class _Place:
    """A lattice in an array of latents.

    Args:
        taps: for each offset of the level, rows and columns of what they look at, in an array with a margin.
    """

    own: tuple[slice, slice]
    shape: tuple[int, int]
    taps: tuple[tuple[slice, slice], ...]

    @property
    def count(self) -> int:
        """Its positions."""
        return math.prod(self.shape)


_Places = tuple[tuple[_Place, ...], ...]
"""For each level its lattices that have positions."""
_MARGIN = max(reach_of(level.offsets) for level in INTERLACED_LEVELS)


@lru_cache(maxsize=64)
def _places(height: int, width: int) -> _Places:
    def place(lattice: Lattice, offsets: tuple[Offset, ...]) -> _Place:
        starts, sides, step = (lattice.row, lattice.column), (height, width), lattice.stride
        shape = tuple(len(range(start, side, step)) for start, side in zip(starts, sides, strict=True))

        def seen(start: int, size: int) -> slice:
            return slice(_MARGIN + start, _MARGIN + start + step * (size - 1) + 1, step)

        return _Place(
            (slice(lattice.row, None, step), slice(lattice.column, None, step)),
            (shape[0], shape[1]),
            tuple(
                (seen(lattice.row + down, shape[0]), seen(lattice.column + right, shape[1])) for down, right in offsets
            ),
        )

    levels = ([place(lattice, level.offsets) for lattice in level.lattices] for level in INTERLACED_LEVELS)
    return tuple(tuple(one for one in level if one.count) for level in levels)


class _Gathering(torch.autograd.Function):
    """What the positions of every level look at, [N taps*M positions 1]: copies, and one sum of their gradients.

    The automatic derivative fills and adds an array of all latents for every tap.
    """

    @staticmethod
    def forward(ctx: Any, y_hat: Tensor, places: _Places) -> tuple[Tensor, ...]:
        ctx.places, ctx.shape = places, y_hat.shape
        padded = F.pad(y_hat.permute(0, 2, 3, 1), (0, 0, _MARGIN, _MARGIN, _MARGIN, _MARGIN))
        gathered = []
        for level, lattices in zip(INTERLACED_LEVELS, places, strict=True):
            count = sum(place.count for place in lattices)
            taps = padded.new_empty(len(padded), count, len(level.offsets), padded.shape[3])
            for place, part in _by_lattice(taps, lattices):
                for tap, (rows, columns) in enumerate(place.taps):
                    part[:, :, :, tap] = padded[:, rows, columns]
            gathered.append(taps.flatten(2).transpose(1, 2)[..., None])
        return tuple(gathered)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        count, channels, height, width = ctx.shape
        padded = gradients[0].new_zeros(count, height + 2 * _MARGIN, width + 2 * _MARGIN, channels)
        for lattices, gradient in zip(ctx.places, gradients, strict=True):
            taps = gradient[..., 0].transpose(1, 2).unflatten(2, (-1, channels))
            for place, part in _by_lattice(taps, lattices):
                for tap, (rows, columns) in enumerate(place.taps):
                    padded[:, rows, columns] += part[:, :, :, tap]
        inner = padded[:, _MARGIN : _MARGIN + height, _MARGIN : _MARGIN + width]
        return inner.permute(0, 3, 1, 2), None


class _Spreading(torch.autograd.Function):
    """Features of the positions of every level, [N D positions 1], at their places; zero at those of the first pass."""

    @staticmethod
    def forward(ctx: Any, places: _Places, size: tuple[int, int], *found: Tensor) -> Tensor:
        ctx.places = places
        whole = found[0].new_zeros(len(found[0]), *size, found[0].shape[1])
        for lattices, features in zip(places, found, strict=True):
            for place, part in _by_lattice(features[..., 0].transpose(1, 2), lattices):
                whole[:, place.own[0], place.own[1]] = part
        return whole.permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        rows = gradient.permute(0, 2, 3, 1)
        parts = [
            torch.cat([rows[:, place.own[0], place.own[1]].flatten(1, 2) for place in lattices], dim=1)
            for lattices in ctx.places
        ]
        return None, None, *(part.transpose(1, 2)[..., None] for part in parts)


def _by_lattice(by_position: Tensor, lattices: tuple[_Place, ...]) -> Iterator[tuple[_Place, Tensor]]:
    """The part of each lattice of an array [N positions ...], as rows and columns."""
    parts = by_position.split([place.count for place in lattices], dim=1) if lattices else ()
    for place, part in zip(lattices, parts, strict=True):
        yield place, part.unflatten(1, place.shape)


Context = CheckerboardContext | RasterContext | InterlacedContext


CONTEXTS = {"checkerboard": CheckerboardContext, "interlaced": InterlacedContext, "raster": RasterContext}
"""By the name that a configuration has."""


def layers_of(context: Context) -> tuple[MaskedConvolution | TapConvolution, ...]:
    """The layers of a context, one for each of the contexts that passes of its schedule name."""
    if isinstance(context, InterlacedContext):
        return tuple(layer for layer in context.levels if isinstance(layer, TapConvolution))
    return (context.convolution,)


def schedule_of(context: Context | None) -> Schedule:
    """The schedule that a context asks for."""
    match context:
        case None:
            return one_pass
        case CheckerboardContext():
            return checkerboard
        case InterlacedContext():
            return interlaced
        case RasterContext():
            return wavefront
