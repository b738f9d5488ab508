"""Gradients of convolutions' weights as matrix products, where a CPU's own kernels for them are slow.

oneDNN has kernels for the gradient of a weight in ``channels_last`` for AVX-512; with AVX2 it takes a general one, at a
third of the speed or less for large pictures::

    picture [N C H W]  --> padded, one plane for each position within the stride --> rows [N h w, C] --+
    gradient [N D h w] --> padded likewise with zeros ---------------------------> rows [N h w, D] ----+--> a product
    what a tap sees is the same rows, moved: no copy is made for it                                         for each tap
"""

import math
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.nn.grad import conv2d_input
from torch.overrides import TorchFunctionMode

from trimix.shapes import Float, Tensor

_FEWEST_POSITIONS = 24 * 24
"""Of a result, from which on the products are faster: up to three times, for 3x3 taps and 128 channels."""
_LARGEST_KERNEL = 3
_FEWEST_CHANNELS = 32


def fast_weight_gradients(device: torch.device) -> AbstractContextManager[object]:
    """Inside, convolutions in single precision have weight gradients by products, where the device is faster so."""
    slow = device.type == "cpu" and torch.backends.cpu.get_cpu_capability() == "AVX2"
    return _ByProducts() if slow else nullcontext()


class _ByProducts(TorchFunctionMode):
    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is F.conv2d and torch.is_grad_enabled() and (found := _by_products(*args, **kwargs or {})) is not None:
            return found
        return func(*args, **kwargs or {})


def _by_products(
    input: Tensor,  # noqa: A002 - the names that PyTorch has
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] | str = 0,
    dilation: int | tuple[int, int] = 1,
    groups: int = 1,
) -> Tensor | None:
    """The convolution, where products are faster for its gradient."""
    kernel, strides = weight.shape[-1], {stride} if isinstance(stride, int) else set(stride)
    paddings = {padding} if isinstance(padding, int | str) else set(padding)
    is_faster = (
        weight.requires_grad
        and not torch.is_autocast_enabled("cpu")
        and input.dtype == weight.dtype == torch.float32
        and input.ndim == 4
        and weight.shape[-2] == kernel
        and 1 < kernel <= _LARGEST_KERNEL
        and min(weight.shape[:2]) >= _FEWEST_CHANNELS
        and groups == 1
        and dilation in (1, (1, 1))
        and len(strides) == len(paddings) == 1
        and math.prod(input.shape[-2:]) >= _FEWEST_POSITIONS * max(strides) ** 2
    )
    (padded,) = paddings if len(paddings) == 1 else ("",)
    if not is_faster or isinstance(padded, str):
        return None
    return cast(Tensor, _Convolution.apply(input, weight, bias, max(strides), padded))


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return F.conv2d(x, weight, bias, stride, padding)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None, None]:
        x, weight = ctx.saved_tensors
        of_x = of_bias = None
        if ctx.needs_input_grad[0]:
            of_x = conv2d_input(x.shape, weight, gradient, ctx.stride, ctx.padding)
        if ctx.needs_input_grad[2]:
            of_bias = gradient.sum(dim=(0, 2, 3))
        of_weight = weight_gradient(x, gradient, weight.shape[-1], ctx.stride, ctx.padding)
        return of_x, of_weight, of_bias, None, None


def weight_gradient(
    x: Float[Tensor, "N C H W"], gradient: Float[Tensor, "N D h w"], kernel: int, stride: int, padding: int
) -> Float[Tensor, "D C k k"]:
    """Gradient of the weight of ``conv2d(x, weight, stride=stride, padding=padding)``, in ``channels_last``.

    Args:
        x: what is convolved.
        gradient: of the result.
        kernel: k, taps a side.

    >>> x, weight = torch.randn(1, 4, 9, 9), torch.randn(5, 4, 3, 3, requires_grad=True)
    >>> result = F.conv2d(x, weight, stride=2, padding=1)
    >>> (expected,) = torch.autograd.grad(result.sum(), weight)
    >>> torch.allclose(weight_gradient(x, torch.ones_like(result), 3, 2, 1), expected, atol=1e-5)
    True
    """
    (pictures, inputs, height, width), (_, outputs, rows, columns) = x.shape, gradient.shape
    reach = (kernel - 1) // stride
    rows_padded, columns_padded = rows + reach, columns + reach
    padded = x.new_zeros(pictures, rows_padded * stride, columns_padded * stride, inputs)
    height, width = (min(height, rows_padded * stride - padding), min(width, columns_padded * stride - padding))
    padded[:, padding : padding + height, padding : padding + width] = x.permute(0, 2, 3, 1)[:, :height, :width]
    of_result = gradient.new_zeros(pictures, rows_padded, columns_padded, outputs)
    of_result[:, :rows, :columns] = gradient.permute(0, 2, 3, 1)
    of_result = of_result.view(-1, outputs)
    found = x.new_empty(kernel, kernel, outputs, inputs)
    for above in range(min(stride, kernel)):
        for left in range(min(stride, kernel)):
            plane = padded[:, above::stride, left::stride].reshape(-1, inputs)
            for row in range(above, kernel, stride):
                for column in range(left, kernel, stride):
                    moved = row // stride * columns_padded + column // stride
                    torch.mm(of_result[: len(plane) - moved].T, plane[moved:], out=found[row, column])
    return found.permute(2, 3, 0, 1).contiguous(memory_format=torch.channels_last)
