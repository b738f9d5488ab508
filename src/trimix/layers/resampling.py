"""Convolutions that halve or double the resolution."""

from typing import Any, cast

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from trimix.shapes import Float, Tensor


def strided_convolution(inputs: int, outputs: int, kernel: int = 5, *, bias: bool = True) -> nn.Conv2d:
    """Convolution of stride two, odd kernel: [N inputs H W] -> [N outputs H/2 W/2], for even H and W."""
    return nn.Conv2d(inputs, outputs, kernel, stride=2, padding=kernel // 2, bias=bias)


class _EverySecond(torch.autograd.Function):
    """The automatic derivative would lay the gradient out channel by channel, and all that follow are slow."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.shape = x.shape
        return x[:, :, ::2, ::2].contiguous(memory_format=torch.channels_last)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        count, channels, rows, columns = ctx.shape
        by_x = gradient.new_zeros(count, rows, columns, channels).permute(0, 3, 1, 2)
        by_x[:, :, ::2, ::2] = gradient
        return by_x


def every_second(x: Float[Tensor, "N C H W"]) -> Float[Tensor, "N C h w"]:
    """Every second row and column, from the first on; position by position in memory (``torch.channels_last``).

    >>> every_second(torch.arange(16.0).view(1, 1, 4, 4)).flatten().tolist()
    [0.0, 2.0, 8.0, 10.0]
    """
    return cast(Tensor, _EverySecond.apply(x))


class _WholeChannelsToSpace(torch.autograd.Function):
    """Depth to space where the four places of a square come before the channels: [N 4 D h w] -> [N D 2h 2w].

    A function of its own, since its result may be changed in place, which of a view costs another copy.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        count, channels, rows, columns = x.shape
        shape = (count, channels // 4, 2 * rows, 2 * columns)
        result = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
        _by_place(result.permute(0, 2, 3, 1)).copy_(x.permute(0, 2, 3, 1).unflatten(3, (2, -1)))
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _by_place(gradient.permute(0, 2, 3, 1)).flatten(3).permute(0, 3, 1, 2)


def _by_place(rows: Float[Tensor, "N H W D"]) -> Float[Tensor, "N h w 2 E"]:
    """Two rows of squares, each with both of its columns one after the other."""
    return rows.unflatten(2, (-1, 2)).flatten(3).unflatten(1, (-1, 2)).transpose(2, 3)


class SubpixelConvolution(nn.Sequential):
    """Convolution of odd kernel to four times the channels, then depth to space: [N inputs H W] -> [N outputs 2H 2W].

    >>> SubpixelConvolution(8, 3)(torch.zeros(1, 8, 4, 4)).shape
    torch.Size([1, 3, 8, 8])
    """

    def __init__(self, inputs: int, outputs: int, kernel: int = 3) -> None:
        super().__init__(nn.Conv2d(inputs, 4 * outputs, kernel, padding=kernel // 2), nn.PixelShuffle(2))

    def forward(self, x: Float[Tensor, "N C H W"]) -> Float[Tensor, "N D h w"]:
        """Return the result at twice the resolution."""
        convolution = self[0]
        assert isinstance(convolution, nn.Conv2d) and convolution.bias is not None
        positions, weights = x.numel() // x.shape[1], convolution.weight[0].numel()
        if not torch.is_grad_enabled() or positions < 4 * weights:
            return super().forward(x)
        # With the four places of a square before the channels, depth to space moves whole channels: to order the
        # weights so takes less time than it takes to order the results, and their gradients.
        outputs = len(convolution.bias) // 4
        by_tap = convolution.weight.permute(0, 2, 3, 1).unflatten(0, (outputs, 4))
        weight = by_tap.transpose(0, 1).flatten(0, 1).permute(0, 3, 1, 2)
        bias = convolution.bias.view(outputs, 4).T.flatten()
        return cast(Tensor, _WholeChannelsToSpace.apply(F.conv2d(x, weight, bias, padding=convolution.padding)))


def transposed_convolution(inputs: int, outputs: int, kernel: int = 5) -> nn.ConvTranspose2d:
    """Transpose of a convolution of stride two, odd kernel: [N inputs H W] -> [N outputs 2H 2W]."""
    return nn.ConvTranspose2d(inputs, outputs, kernel, stride=2, padding=kernel // 2, output_padding=1)


def subpixel_weights_of_transposed(module: nn.ConvTranspose2d) -> tuple[Float[Tensor, "D C k k"], Float[Tensor, "D"]]:
    """Weight and bias of the sub-pixel convolution that equals a transposed convolution, up to and at the borders.

    Row ``2 i + r`` of the result sees ``w[r + p - 2 d]`` at row ``i + d`` of the input, with padding p = kernel // 2;
    the same holds for columns. So each of the four places ``(r, c)`` of a square has its own small kernel of taps d,
    and depth to space (``nn.PixelShuffle(2)``) puts the four together.

    Returns:
        D = 4 x output channels, and k = 2 ((kernel // 2 + 1) // 2) + 1: 3 for kernels of 3 and of 5. The bias is zero
        where the module has none.

    >>> weight, bias = subpixel_weights_of_transposed(transposed_convolution(8, 3, kernel=5))
    >>> weight.shape, bias.shape
    (torch.Size([12, 8, 3, 3]), torch.Size([12]))
    """
    side = module.kernel_size[0]
    padding = side // 2
    reach = (padding + 1) // 2
    inputs, outputs = module.weight.shape[:2]
    weight = module.weight.new_zeros(outputs, 2, 2, inputs, 2 * reach + 1, 2 * reach + 1)
    taps = [
        (place, reach + offset, place + padding - 2 * offset)
        for place in (0, 1)
        for offset in range(-reach, reach + 1)
        if 0 <= place + padding - 2 * offset < side
    ]
    for row, row_to, row_from in taps:
        for column, column_to, column_from in taps:
            weight[:, row, column, :, row_to, column_to] = module.weight[:, :, row_from, column_from].T
    bias = module.weight.new_zeros(outputs) if module.bias is None else module.bias
    return weight.reshape(4 * outputs, inputs, *weight.shape[4:]), bias.repeat_interleave(4)
