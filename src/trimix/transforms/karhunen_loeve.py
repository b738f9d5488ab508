"""The block Karhunen-Loève transform: the linear path of ``gllmm-lite`` and its starting point.

A stride-16 convolution whose filters are the first M principal components of 16x16 colour blocks of training
pictures, and its transpose. Orthonormal rows, so the reconstruction error is the truncated energy.

The first channels, which carry what is smooth, may also have filters of twice the side around the block: starting at
zero, training makes a lapped transform of them, without the grid that blocks leave at low rates.

All of it is matrix products, of one row a block::

    picture --> blocks [N h w (row column colour)] --weight--> coefficients [N h w M] --weight--> blocks --> picture

A filter of twice the side is four of one block, which look at the four blocks under it on a grid that is shifted by
half a block.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

from trimix.layers.pointwise import product_of_rows
from trimix.shapes import Float, Tensor


def log_linear_path_step(squared_error_lambda: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """Natural logarithm of the quantizer step that suits an orthonormal 16x16x3 transform, in 8-bit units.

    At high rate, bits and lambda times the mean squared error balance at ``step^2 = 6 * 768 / (256 ln 2 lambda)``.

    >>> round(log_linear_path_step(torch.tensor(0.01)).exp().item(), 2)
    50.96
    """
    return 0.5 * torch.log(6 * 768 / (256 * math.log(2) * squared_error_lambda))


def principal_components(
    blocks: Float[Tensor, "B D"], count: int
) -> tuple[Float[Tensor, "D"], Float[Tensor, "count D"]]:
    """Mean and first ``count`` principal components (orthonormal rows) of the blocks, strongest first.

    Args:
        blocks: one flattened block a row; at least D of them for a full basis.
        count: components to keep, <= D.
    """
    mean = blocks.double().mean(dim=0)
    centred = blocks.double() - mean
    _, vectors = torch.linalg.eigh(centred.T @ centred / len(blocks))
    return mean.to(blocks.dtype), vectors.flip(1)[:, :count].T.to(blocks.dtype).contiguous()


class LinearAnalysis(nn.Module):
    """Blocks to coefficients: ``c = B (x - mean)``.

    Args:
        latent_channels: coefficients kept, M <= 3 * block^2.
        block: side of a block in pixels; even.
        lapped_channels: coefficients with another filter of twice the side, <= M.
    """

    def __init__(self, latent_channels: int, block: int = 16, lapped_channels: int = 0) -> None:
        super().__init__()
        self.block = block
        self.weight = nn.Parameter(torch.empty(latent_channels, 3, block, block))
        self.bias = nn.Parameter(torch.zeros(latent_channels))
        self.lapped_weight = _lapped_weight(lapped_channels, block)
        nn.init.orthogonal_(self.weight.view(latent_channels, -1))

    def set_basis(self, mean: Float[Tensor, "D"], basis: Float[Tensor, "M D"]) -> None:
        """Take a fitted basis."""
        with torch.no_grad():
            self.weight.copy_(basis.view_as(self.weight))
            self.bias.copy_(-(basis @ mean))

    def forward(self, x: Float[Tensor, "N 3 H W"]) -> Float[Tensor, "N M h w"]:
        """Return the coefficients of every block, in single precision: half precision would round pixels."""
        with torch.autocast(x.device.type, enabled=False):
            x = x.float()
            if torch.is_grad_enabled():
                filters = _rows(self.weight.float()).flatten(1)
                coefficients = _planes(product_of_rows(_blocks(x, self.block), filters, self.bias.float()))
            else:
                # The convolution forward is fast, too, and needs no blocks; it is its gradients that are slow.
                coefficients = F.conv2d(x, self.weight.float(), self.bias.float(), stride=self.block)
            if self.lapped_weight is None:
                return coefficients
            lapped = self._lapped(x, self.lapped_weight.float())
            count = lapped.shape[1]
            return torch.cat([coefficients[:, :count] + lapped, coefficients[:, count:]], dim=1)

    def _lapped(self, x: Float[Tensor, "N 3 H W"], weight: Float[Tensor, "L 3 B B"]) -> Float[Tensor, "N L h w"]:
        surrounded = F.pad(x, (self.block // 2,) * 4, mode="replicate")
        if not torch.is_grad_enabled():
            return F.conv2d(surrounded, weight, stride=self.block)
        parts = product_of_rows(_blocks(surrounded, self.block), _quadrants(weight).flatten(0, 1)).unflatten(3, (4, -1))
        upper_left, upper_right, lower_left, lower_right = parts.unbind(3)
        upper = upper_left[:, :-1, :-1] + upper_right[:, :-1, 1:]
        return _planes(upper + lower_left[:, 1:, :-1] + lower_right[:, 1:, 1:])


class LinearSynthesis(nn.Module):
    """Coefficients to blocks: ``x = B^T c + mean``.

    Args: see ``LinearAnalysis``.
    """

    def __init__(self, latent_channels: int, block: int = 16, lapped_channels: int = 0) -> None:
        super().__init__()
        self.block = block
        self.weight = nn.Parameter(torch.empty(latent_channels, 3, block, block))
        self.mean = nn.Parameter(torch.full((3, block, block), 0.5))
        self.lapped_weight = _lapped_weight(lapped_channels, block)
        nn.init.orthogonal_(self.weight.view(latent_channels, -1))

    def set_basis(self, mean: Float[Tensor, "D"], basis: Float[Tensor, "M D"]) -> None:
        """Take a fitted basis."""
        with torch.no_grad():
            self.weight.copy_(basis.view_as(self.weight))
            self.mean.copy_(mean.view_as(self.mean))

    def energies(self) -> Float[Tensor, "M"]:
        """Sum of squares of the picture that a coefficient of one makes, 1 where the filters are orthonormal.

        >>> LinearSynthesis(5, block=4).energies().round(decimals=4).tolist()
        [1.0, 1.0, 1.0, 1.0, 1.0]
        """
        energies = self.weight.float().square().sum((1, 2, 3))
        if self.lapped_weight is None:
            return energies
        lapped, margin = self.lapped_weight.float(), self.block // 2
        block = self.weight.float()[: len(lapped)]
        whole = lapped + F.pad(block, (margin, margin, margin, margin))
        return torch.cat([whole.square().sum((1, 2, 3)), energies[len(lapped) :]])

    def forward(self, c: Float[Tensor, "N M h w"]) -> Float[Tensor, "N 3 H W"]:
        """Return the picture that the coefficients describe, in single precision."""
        with torch.autocast(c.device.type, enabled=False):
            filters = _rows(self.weight.float()).flatten(1)
            blocks = product_of_rows(_rows(c.float()), filters.T, _rows(self.mean.float()[None]).flatten())
            pixels = _picture(blocks, self.block)
            if self.lapped_weight is None:
                return pixels
            return pixels + self._lapped(c.float(), self.lapped_weight.float())

    def _lapped(self, c: Float[Tensor, "N M h w"], weight: Float[Tensor, "L 3 B B"]) -> Float[Tensor, "N 3 H W"]:
        # A block at the border has neighbours like itself; what it and they write outside is cut off.
        around = _rows(F.pad(c[:, : weight.shape[0]], (1, 1, 1, 1), mode="replicate"))
        upper, lower = around[:, 1:], around[:, :-1]
        # What lies between two blocks gets the upper half of the lower one's filter, and the lower half of the upper's.
        parts = [upper[:, :, 1:], upper[:, :, :-1], lower[:, :, 1:], lower[:, :, :-1]]
        shifted = product_of_rows(torch.cat(parts, dim=3), _quadrants(weight).flatten(0, 1).T)
        margin = self.block // 2
        return _picture(shifted, self.block)[:, :, margin:-margin, margin:-margin]


def _rows(planes: Float[Tensor, "N C h w"]) -> Float[Tensor, "N h w C"]:
    """Without a copy, as are its results where they lie in rows already (``torch.channels_last``)."""
    return planes.permute(0, 2, 3, 1)


def _planes(rows: Float[Tensor, "N h w C"]) -> Float[Tensor, "N C h w"]:
    return rows.permute(0, 3, 1, 2)


def _blocks(x: Float[Tensor, "N 3 H W"], side: int) -> Float[Tensor, "N h w D"]:
    """One row a block, its numbers in the order row, column, colour."""
    cut = x.unflatten(3, (-1, side)).unflatten(2, (-1, side))
    return cut.permute(0, 2, 4, 3, 5, 1).flatten(3)


def _picture(blocks: Float[Tensor, "N h w D"], side: int) -> Float[Tensor, "N 3 H W"]:
    cut = blocks.unflatten(3, (side, side, 3))
    return _planes(cut.transpose(2, 3).flatten(3, 4).flatten(1, 2))


def _quadrants(weight: Float[Tensor, "L 3 B B"]) -> Float[Tensor, "4 L D"]:
    """The four quarters of every filter, upper left, upper right, lower left, lower right, each as one row."""
    side = weight.shape[2] // 2
    cut = _rows(weight).unflatten(2, (2, side)).unflatten(1, (2, side))
    return cut.permute(1, 3, 0, 2, 4, 5).flatten(3).flatten(0, 1)


def _lapped_weight(channels: int, block: int) -> nn.Parameter | None:
    return nn.Parameter(torch.zeros(channels, 3, 2 * block, 2 * block)) if channels else None
