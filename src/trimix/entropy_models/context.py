"""Context models: what already coded latents say about the next ones."""

import torch
from torch import nn
from torch.nn import functional as F

from trimix.entropy_models.schedule import (
    INTERLACED_LEVELS,
    Schedule,
    checkerboard,
    interlaced,
    one_pass,
    wavefront,
)
from trimix.layers.masked_convolution import (
    MaskedConvolution,
    TapConvolution,
    checkerboard_offsets,
    raster_offsets,
    reach_of,
)
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

    Args:
        latent_channels: M.
        features: channels of the result.
        kernel: side of the window, odd.
    """

    def __init__(self, latent_channels: int, features: int, kernel: int = 5) -> None:
        super().__init__()
        self.convolution = MaskedConvolution(latent_channels, features, kernel, checkerboard_offsets(kernel))

    def forward(self, y_hat: Float[Tensor, "N M h w"]) -> Float[Tensor, "N D h w"]:
        """Context features of every position, given all latents or those of the first pass alone."""
        anchors = anchor_mask(*y_hat.shape[2:], device=y_hat.device).to(y_hat.dtype)
        return self.convolution(y_hat * anchors) * (1 - anchors)


class RasterContext(nn.Module):
    """Features of every position from the latents before it in raster order (Minnen et al. 2018).

    Args:
        latent_channels: M.
        features: channels of the result.
        kernel: side of the window, odd.
    """

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

    Args:
        latent_channels: M.
        features: channels of the result.
    """

    def __init__(self, latent_channels: int, features: int) -> None:
        super().__init__()
        self.levels = nn.ModuleList(
            TapConvolution(latent_channels, features, level.offsets) for level in INTERLACED_LEVELS
        )
        self.features = features

    def forward(self, y_hat: Float[Tensor, "N M h w"]) -> Float[Tensor, "N D h w"]:
        """Context features of every position, given all latents."""
        count, _, height, width = y_hat.shape
        found = y_hat.new_zeros(count, self.features, height, width)
        margin = max(reach_of(level.offsets) for level in INTERLACED_LEVELS)
        padded = F.pad(y_hat, (margin,) * 4)
        for level, convolution in zip(INTERLACED_LEVELS, self.levels, strict=True):
            for lattice in level.lattices:
                own = found[:, :, lattice.row :: lattice.stride, lattice.column :: lattice.stride]
                if not own.numel():
                    continue
                rows, columns = (lattice.stride * (size - 1) + 1 for size in own.shape[2:])
                taps = []
                for down, right in level.offsets:
                    top, left = margin + lattice.row + down, margin + lattice.column + right
                    within = padded[:, :, top : top + rows, left : left + columns]
                    taps.append(within[:, :, :: lattice.stride, :: lattice.stride])
                own.copy_(convolution(torch.cat(taps, dim=1)))
        return found


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
