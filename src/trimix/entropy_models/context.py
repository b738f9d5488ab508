"""Context models: what already coded latents say about the next ones."""

import torch
from torch import nn

from trimix.layers.masked_convolution import MaskedConvolution, checkerboard_offsets, raster_offsets
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
