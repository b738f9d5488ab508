"""Measures of batches of torch, differentiable: what training minimizes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch.autograd.function import once_differentiable

from trimix.distortion.measure import Distortion
from trimix.distortion.slopes import distortion_and_slope
from trimix.shapes import Float, Tensor

_HALF = (torch.bfloat16, torch.float16)


@contextmanager
def single_precision(*pictures: Tensor) -> Iterator[list[Tensor]]:
    """Pictures in single precision at least, and inside no autocast around."""
    with torch.autocast(pictures[0].device.type, enabled=False):
        yield [one.float() if one.dtype in _HALF else one for one in pictures]


class _Measured(torch.autograd.Function):
    """The slope is worked out with the value, so that nothing else need be kept."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, x_hat: Tensor, measure: Callable[..., Any], with_slope: bool) -> Tensor:
        value, slope = measure(x, x_hat, with_slope=with_slope)
        ctx.save_for_backward(slope)
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (slope,) = ctx.saved_tensors
        return None, slope * gradient[:, None, None, None], None, None


def differentiable(
    measure: Callable[..., Any], x: Float[Tensor, "N 3 H W"], x_hat: Float[Tensor, "N 3 H W"]
) -> Float[Tensor, "N"]:
    """What a measure with its slope gives of every picture, in float32, also under autocast.

    Args:
        measure: x, x_hat, ``with_slope`` -> values and slope.
    """
    with single_precision(x, x_hat) as pictures:
        return _Measured.apply(*pictures, measure, torch.is_grad_enabled() and x_hat.requires_grad)  # type: ignore[return-value]


def distortion_of(
    measure: Distortion, x: Float[Tensor, "N 3 H W"], x_hat: Float[Tensor, "N 3 H W"]
) -> Float[Tensor, "N"]:
    """D of every picture of a batch, which can be differentiated by ``x_hat``.

    >>> black = torch.zeros(1, 3, 2, 2)
    >>> round(distortion_of(Distortion(), black, black + 2 / 255).item(), 4)
    4.0
    """
    return differentiable(partial(distortion_and_slope, measure), x, x_hat)
