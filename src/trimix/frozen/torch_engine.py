"""The engine that runs programs with torch.

Values are kept only as long as an operation still needs them. Where nothing is differentiated, an operation writes into
a value that nobody else needs: at full resolution fresh memory costs more than arithmetic.
"""

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
        program: that is checked already.
        tensors: arrays or torch's, in single precision, by name.
        device: where it runs.
    """

    def __init__(self, program: Program, tensors: Mapping[str, Any], device: torch.device) -> None:
        self._inputs = inputs_of(program)
        self._last = {number: index for index, taken in enumerate(self._inputs) for number in taken}
        self._run = [_prepared(one, tensors, device) for one in program]

    def __call__(
        self, x: Float[Tensor, "N C H W"], quality: Float[Tensor, "N"] | None = None
    ) -> Float[Tensor, "N D h w"]:
        """The result for a batch, in single precision whatever autocast there is around it.

        Args:
            x: the input.
            quality: 1..100, one for each picture; none for a program that does not look at it.
        """
        values = {0: x}
        writes = not torch.is_grad_enabled()
        with torch.autocast(x.device.type, enabled=False):
            for index, (taken, run) in enumerate(zip(self._inputs, self._run, strict=True)):
                given = [values[number] for number in taken]
                over = [number for number in set(taken) if self._last[number] == index]
                own = writes and taken[0] in over and taken[0] > 0 and len(set(taken)) == len(taken)
                values[index + 1] = run(given, quality, own)
                for number in over:
                    del values[number]
        return values[len(self._run)]


_Run = Callable[[list[Tensor], Any, bool], Tensor]
"""Inputs, quality, and whether the first input may be overwritten -> result."""


def _prepared(one: Operation, tensors: Mapping[str, Any], device: torch.device) -> _Run:
    """What computes an operation."""
    on_device = {name: torch.as_tensor(tensors[name]).to(device) for name in one.tensors}

    match one:
        case Convolution():
            return _convolution(
                on_device[one.weight], None if one.bias is None else on_device[one.bias], one.stride, one.padding
            )
        case TransposedConvolution():
            return _transposed(one, on_device[one.weight], None if one.bias is None else on_device[one.bias])
        case LeakyRelu():
            return lambda given, _quality, own: F.leaky_relu(given[0], one.slope, inplace=own)
        case Sigmoid():
            return lambda given, _quality, own: given[0].sigmoid_() if own else given[0].sigmoid()
        case Absolute():
            return lambda given, _quality, own: given[0].abs_() if own else given[0].abs()
        case Affine():
            return lambda given, _quality, own: _affine(given[0], one, own)
        case Add():
            return lambda given, _quality, own: _added(given[0], given[1], own)
        case Multiply():
            return lambda given, _quality, own: given[0].mul_(given[1]) if own else given[0] * given[1]
        case QualityFactors():
            logarithms = on_device[one.logarithms]

            def scale(given: list[Tensor], quality: Tensor, own: bool) -> Tensor:
                factors = interpolated_factors(logarithms, quality)[:, :, None, None]
                return given[0].mul_(factors) if own else given[0] * factors

            return scale
        case QualityPlane():
            return lambda given, quality, _own: torch.cat([given[0], quality_plane(quality, given[0])], dim=1)
        case Normalization():
            beta, gamma = on_device[one.beta], on_device[one.gamma]
            return lambda given, _quality, _own: normalize(given[0], beta, gamma, one.inverse)
        case DepthToSpace():
            return lambda given, _quality, _own: _apart(F.pixel_shuffle(given[0], one.factor), given[0])
        case SpaceToDepth():
            return lambda given, _quality, _own: F.pixel_unshuffle(given[0], one.factor).contiguous(
                memory_format=torch.channels_last
            )
        case ReplicatePadding():
            return lambda given, _quality, _own: F.pad(given[0], (one.margin,) * 4, mode="replicate")
        case FirstChannels():
            return lambda given, _quality, _own: given[0][:, : one.channels].clone()
    raise TypeError(f"no engine for {type(one).__name__}: add it to torch_engine.py")


def _convolution(weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> _Run:
    weight = weight.contiguous(memory_format=torch.channels_last)  # faster so

    def run(given: list[Tensor], _quality: Any, _own: bool) -> Tensor:
        if stride > 1 and weight.shape[2] == 1 and padding == 0:
            # In channels_last, on a CPU, the gradient of such a convolution of three channels writes where it must
            # not (torch 2.13).
            x = given[0][:, :, ::stride, ::stride].contiguous(memory_format=torch.channels_last)
            return F.conv2d(x, weight, bias)
        return F.conv2d(given[0], weight, bias, stride, padding)

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

        def by_convolution(given: list[Tensor], _quality: Any, _own: bool) -> Tensor:
            pixels = _apart(F.pixel_shuffle(F.conv2d(given[0], of_place, by_place), stride), given[0])
            return pixels[:, :, cut:-cut, cut:-cut] if cut else pixels

        return by_convolution
    weight = weight.contiguous(memory_format=torch.channels_last)
    of_place = bias if bias is not None and bias.dim() == 3 else None
    of_channel = bias if of_place is None else None

    def run(given: list[Tensor], _quality: Any, _own: bool) -> Tensor:
        y = F.conv_transpose2d(given[0], weight, of_channel, stride, one.padding, one.output_padding)
        if of_place is not None:
            down, right = (-(-side // stride) for side in y.shape[2:])
            y = y + of_place.repeat(1, down, right)[:, : y.shape[2], : y.shape[3]]
        return y

    return run


def _affine(x: Tensor, one: Affine, own: bool) -> Tensor:
    if one.factor != 1:
        x, own = (x.mul_(one.factor) if own else x * one.factor), not torch.is_grad_enabled()
    if one.offset != 0:
        x = x.add_(one.offset) if own else x + one.offset
    return x


def _added(a: Tensor, b: Tensor, own: bool) -> Tensor:
    first = b.shape[1]
    if own:
        a[:, :first] += b
        return a
    return a + b if first == a.shape[1] else torch.cat([a[:, :first] + b, a[:, first:]], dim=1)


def _apart(result: Tensor, x: Tensor) -> Tensor:
    """The result, which may not lie in the memory of x: that may be overwritten."""
    return result.clone() if result.data_ptr() == x.data_ptr() else result


class _Arrays:
    """A network that takes and gives arrays."""

    def __init__(self, network: TorchNetwork, device: torch.device) -> None:
        self._network = network
        self._device = device

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


class TorchEngine:
    """torch on a device."""

    def __init__(self, device: str) -> None:
        self._device = torch.device(device)
        self.name = f"torch on {device}"

    def network(self, program: Program, tensors: Mapping[str, np.ndarray], channels: int) -> _Arrays:
        """A program, ready to run."""
        return _Arrays(TorchNetwork(program, tensors, self._device), self._device)
