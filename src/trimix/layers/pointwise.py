"""Layers that look at one position, or one block, at a time: matrix products of one row for each."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from trimix.shapes import Float, Tensor


def product_settings() -> Any:
    """Those of oneDNN's products; None in a PyTorch that has none."""
    return getattr(torch.backends.mkldnn, "matmul", None) if torch.backends.mkldnn.is_available() else None


@contextmanager
def bfloat16_factors(enabled: bool = True) -> Iterator[None]:
    """Inside, a CPU may round the factors of single-precision products to bfloat16; sums and results keep theirs.

    For what autocast must leave alone because its results may not be rounded.
    """
    settings = product_settings()
    if settings is None or not enabled:
        yield
        return
    before = settings.fp32_precision
    settings.fp32_precision = "bf16"
    try:
        yield
    finally:
        settings.fp32_precision = before


class _Product(torch.autograd.Function):
    """As ``linear``, but its gradient has the precision of its product, whatever autocast there is around it."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(rows, weight)
        settings = product_settings()
        ctx.may_round = settings is not None and settings.fp32_precision == "bf16"
        return F.linear(rows, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        rows, weight = ctx.saved_tensors
        of_rows, of_weight, of_bias = ctx.needs_input_grad
        with torch.autocast(gradient.device.type, enabled=False), bfloat16_factors(ctx.may_round):
            return (
                gradient @ weight if of_rows else None,
                gradient.T @ rows if of_weight else None,
                gradient.sum(dim=0) if of_bias else None,
            )


def product_of_rows(
    rows: Float[Tensor, "*positions C"], weight: Float[Tensor, "D C"], bias: Float[Tensor, "D"] | None = None
) -> Float[Tensor, "*positions D"]:
    """``weight row + bias`` for every row; its gradient cannot be differentiated again.

    >>> product_of_rows(torch.ones(2, 5, 3), torch.ones(4, 3)).shape
    torch.Size([2, 5, 4])
    """
    # In two dimensions: of more, not lying in order, torch makes many small products.
    flat = rows.flatten(0, -2)
    if torch.is_autocast_enabled(rows.device.type):
        found = F.linear(flat, weight, bias)
    else:
        found = cast(Tensor, _Product.apply(flat, weight, bias))
    return found.unflatten(0, rows.shape[:-1])


class PointwiseConvolution(nn.Conv2d):
    """A 1x1 convolution as the matrix product that it is: [N inputs h w] -> [N outputs h w].

    On one thread in single precision torch's 1x1 convolution takes a general path of less than half the speed. What
    lies position by position (``torch.channels_last``) is not copied, and the result does.

    >>> PointwiseConvolution(4, 8)(torch.zeros(1, 4, 2, 3)).shape
    torch.Size([1, 8, 2, 3])
    """

    def __init__(self, inputs: int, outputs: int, *, bias: bool = True) -> None:
        super().__init__(inputs, outputs, 1, bias=bias)

    def forward(self, x: Float[Tensor, "N C h w"]) -> Float[Tensor, "N D h w"]:
        """Return ``weight x + bias`` at every position."""
        return product_of_rows(x.permute(0, 2, 3, 1), self.weight.flatten(1), self.bias).permute(0, 3, 1, 2)
