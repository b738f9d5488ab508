"""The engine that runs programs with torch. Values are kept only as long as an operation still needs them."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from trimix.frozen.program import (
    Absolute,
    Add,
    Affine,
    Convolution,
    DepthToSpace,
    FirstChannels,
    LeakyRelu,
    Multiply,
    Normalization,
    Operation,
    Program,
    QualityFactors,
    QualityPlane,
    ReplicatePadding,
    Sigmoid,
    SpaceToDepth,
    TransposedConvolution,
    inputs_of,
)
from trimix.layers.gdn import normalize
from trimix.layers.quality import interpolated_factors, quality_plane
from trimix.shapes import Float, Tensor


class TorchNetwork:
    """A program with its tensors on a device.

    Args:
        tensors: arrays or torch's, in single precision, by name.
    """

    @torch.inference_mode(False)  # what is made inside it has no slopes
    def __init__(self, program: Program, tensors: Mapping[str, Any], device: torch.device) -> None:
        self._inputs = inputs_of(program)
        self._last = {number: index for index, taken in enumerate(self._inputs) for number in taken}
        self._run = [_prepared(one, tensors, device) for one in program]

    def __call__(
        self, x: Float[Tensor, "N C H W"], quality: Float[Tensor, "N"] | None = None
    ) -> Float[Tensor, "N D h w"]:
        """The result for a batch, in single precision whatever autocast there is around it.

        Args:
            quality: 1..100, one for each picture; none for a program that does not look at it.
        """
        values = {0: x}
        with torch.autocast(x.device.type, enabled=False):
            for index, (taken, run) in enumerate(zip(self._inputs, self._run, strict=True)):
                values[index + 1] = run(quality, *(values[number] for number in taken))
                for number in set(taken):
                    if self._last[number] == index:
                        del values[number]
        return values[len(self._run)]


_Run = Callable[..., Tensor]
"""Quality, inputs -> result."""


def _prepared(one: Operation, tensors: Mapping[str, Any], device: torch.device) -> _Run:
    """What computes an operation."""
    on_device = {name: torch.as_tensor(tensors[name], device=device) for name in one.tensors}
    match one:
        case Convolution():
            return _convolution(one, on_device[one.weight], None if one.bias is None else on_device[one.bias])
        case TransposedConvolution():
            return _transposed(one, on_device[one.weight], None if one.bias is None else on_device[one.bias])
        case LeakyRelu():
            return lambda _, x: F.leaky_relu(x, one.slope)
        case Sigmoid():
            return lambda _, x: x.sigmoid()
        case Absolute():
            return lambda _, x: x.abs()
        case Affine():
            return lambda _, x: _affine(x, one)
        case Add():
            return lambda _, a, b: _added(a, b)
        case Multiply():
            return lambda _, a, b: a * b
        case QualityFactors():
            logarithms = on_device[one.logarithms]
            return lambda quality, x: x * interpolated_factors(logarithms, quality)[:, :, None, None]
        case QualityPlane():
            return lambda quality, x: torch.cat([x, quality_plane(quality, x)], dim=1)
        case Normalization():
            beta, gamma = on_device[one.beta], on_device[one.gamma]
            return lambda _, x: normalize(x, beta, gamma, one.inverse)
        case DepthToSpace():
            return lambda _, x: F.pixel_shuffle(x, one.factor)
        case SpaceToDepth():
            return lambda _, x: F.pixel_unshuffle(x, one.factor).contiguous(memory_format=torch.channels_last)
        case ReplicatePadding():
            return lambda _, x: F.pad(x, (one.margin,) * 4, mode="replicate")
        case FirstChannels():
            return lambda _, x: x[:, : one.channels]
    raise TypeError(f"no engine for {type(one).__name__}: add it to torch_engine.py")


def _convolution(one: Convolution, weight: Tensor, bias: Tensor | None) -> _Run:
    weight, stride = weight.contiguous(memory_format=torch.channels_last), one.stride  # faster so

    def run(_quality: Any, x: Tensor) -> Tensor:
        if stride > 1 and weight.shape[2] == 1 and one.padding == 0:
            # In channels_last, on a CPU, the gradient of such a convolution of three channels writes where it must
            # not (torch 2.13).
            x = x[:, :, ::stride, ::stride].contiguous(memory_format=torch.channels_last)
            return F.conv2d(x, weight, bias)
        return F.conv2d(x, weight, bias, stride, one.padding)

    return run


def _transposed(one: TransposedConvolution, weight: Tensor, bias: Tensor | None) -> _Run:
    stride, kernel = one.stride, weight.shape[2]
    blocks = kernel // stride
    outside = (blocks - 1) * stride
    cut = one.padding - outside
    of_blocks = kernel % stride == 0 and one.output_padding == 0 and cut >= 0
    if of_blocks and (bias is None or bias.dim() == 1 or cut % stride == 0):
        # A convolution that gives all pixels of a block is three times as fast.
        by_block = weight.unflatten(3, (blocks, stride)).unflatten(2, (blocks, stride)).flip(2, 4)
        of_place = by_block.permute(1, 3, 5, 0, 2, 4).flatten(0, 2)
        of_place = of_place.contiguous(memory_format=torch.channels_last)
        by_place = None if bias is None else bias.view(len(bias), -1).expand(-1, stride**2).flatten()

        def by_convolution(_quality: Any, x: Tensor) -> Tensor:
            pixels = F.pixel_shuffle(F.conv2d(x, of_place, by_place), stride)
            return pixels[:, :, cut:-cut, cut:-cut] if cut else pixels

        return by_convolution
    weight = weight.contiguous(memory_format=torch.channels_last)
    of_place = bias if bias is not None and bias.dim() == 3 else None
    of_channel = bias if of_place is None else None

    def run(_quality: Any, x: Tensor) -> Tensor:
        y = F.conv_transpose2d(x, weight, of_channel, stride, one.padding, one.output_padding)
        if of_place is not None:
            down, right = (-(-side // stride) for side in y.shape[2:])
            y = y + of_place.repeat(1, down, right)[:, : y.shape[2], : y.shape[3]]
        return y

    return run


def _affine(x: Tensor, one: Affine) -> Tensor:
    x = x if one.factor == 1 else x * one.factor
    return x if one.offset == 0 else x + one.offset


def _added(a: Tensor, b: Tensor) -> Tensor:
    first = b.shape[1]
    return a + b if first == a.shape[1] else torch.cat([a[:, :first] + b, a[:, first:]], dim=1)


class TorchArrays:
    """A network that takes and gives arrays."""

    def __init__(self, program: Program, tensors: Mapping[str, np.ndarray], device: str) -> None:
        self._device = torch.device(device)
        self._network = TorchNetwork(program, tensors, self._device)

    def __call__(self, x: Float[np.ndarray, "C H W"], quality: float | None = None) -> Float[np.ndarray, "D h w"]:
        """The result."""
        with torch.inference_mode():
            return self._network(self._batch(x), self._quality(quality))[0].cpu().numpy()

    def with_adjoint(
        self, x: Float[np.ndarray, "C H W"], quality: float | None = None
    ) -> tuple[Float[np.ndarray, "D h w"], Callable[[np.ndarray], np.ndarray]]:
        """The result, and what turns a slope of the result into one of the input."""
        with torch.inference_mode(False), torch.enable_grad():
            given = self._batch(x).requires_grad_(True)
            result = self._network(given, self._quality(quality))

        def adjoint(slope: np.ndarray) -> np.ndarray:
            return torch.autograd.grad(result, given, self._batch(slope))[0][0].cpu().numpy()

        return result[0].detach().cpu().numpy(), adjoint

    def _batch(self, x: np.ndarray) -> Tensor:
        # A copy: an array that may not be written is nothing for torch.
        return torch.from_numpy(np.array(x, np.float32))[None].to(self._device)

    def _quality(self, quality: float | None) -> Tensor | None:
        return None if quality is None else torch.tensor([quality], dtype=torch.float32, device=self._device)
