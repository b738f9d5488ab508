"""From chains of float modules to integer layers: what freezing any model has in common.

::

    Conv2d | ConvTranspose2d --> [PixelShuffle] --> [LeakyReLU | ReLU]     one stage
    stage, largest output seen in calibration --> IntegerLayer --> IntegerConvolution
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from trimix.entropy_models.fixed_point import ACTIVATION_LIMIT, IntegerConvolution, RequantizedActivation, freeze_layer
from trimix.errors import ModelError
from trimix.layers.resampling import subpixel_weights_of_transposed
from trimix.shapes import Float, Tensor

HEADROOM = 4.0
"""Declared range of an activation over the largest seen in calibration."""


@dataclass(frozen=True)
class Stage:
    """A convolution with what follows it up to the next one.

    Args:
        module: whose output's range decides the step.
        weight: of the convolution, or of the sub-pixel convolution equal to a transposed one.
        bias: zeros where the module has none.
        upscale: factor of the depth to space after it, 1 for none.
        negative_slope: of the activation after it, 1 for none.
    """

    module: nn.Module
    weight: Float[Tensor, "D C k k"]
    bias: Float[Tensor, "D"]
    upscale: int
    negative_slope: float

    @property
    def outputs(self) -> int:
        """Channels before the depth to space."""
        return self.weight.shape[0]


def stages_of(chain: nn.Module) -> list[Stage]:
    """The stages of a sequential network. Raises ModelError: a module that integers do not know."""
    stages: list[Stage] = []
    for module in (m for m in chain.modules() if not isinstance(m, nn.Sequential)):
        if isinstance(module, nn.Conv2d):
            bias = module.weight.new_zeros(module.out_channels) if module.bias is None else module.bias
            stages.append(Stage(module, module.weight, bias, 1, 1.0))
        elif isinstance(module, nn.ConvTranspose2d):
            weight, bias = subpixel_weights_of_transposed(module)
            stages.append(Stage(module, weight, bias, 2, 1.0))
        elif stages and isinstance(module, nn.PixelShuffle):
            stages[-1] = replace(stages[-1], upscale=module.upscale_factor)
        elif stages and isinstance(module, nn.LeakyReLU):
            stages[-1] = replace(stages[-1], negative_slope=float(module.negative_slope))
        elif stages and isinstance(module, nn.ReLU):
            stages[-1] = replace(stages[-1], negative_slope=0.0)
        else:
            raise ModelError(
                f"the integer path must consist of convolutions, depth to space and (leaky) ReLU, found "
                f"{type(module).__name__}; write it with those"
            )
    return stages


def largest_outputs(modules: Iterable[nn.Module], run: Callable[[], None]) -> dict[nn.Module, float]:
    """Largest magnitude that every module gives while ``run`` runs."""
    seen: dict[nn.Module, float] = {}

    def watch(module: nn.Module, _inputs: object, output: Tensor) -> None:
        seen[module] = max(seen.get(module, 0.0), float(output.detach().abs().max()))

    handles = [module.register_forward_hook(watch) for module in modules]
    try:
        with torch.no_grad():
            run()
    finally:
        for handle in handles:
            handle.remove()
    return seen


def ordinary_activation(outputs: int, largest: float, negative_slope: float) -> RequantizedActivation:
    """16 bits with a step that leaves headroom over the largest value seen."""
    limit = np.full(outputs, ACTIVATION_LIMIT)
    step = HEADROOM * max(largest, 1e-6) / ACTIVATION_LIMIT
    return RequantizedActivation(np.full(outputs, step), -limit, limit, negative_slope)


@dataclass(frozen=True)
class FrozenChain:
    """Integer convolutions and the format of their result.

    Args:
        steps: real value of one step of each output channel.
        limits: largest magnitude of each output channel, in steps.
    """

    convolutions: tuple[IntegerConvolution, ...]
    steps: np.ndarray
    limits: np.ndarray


def freeze_chain(
    stages: list[Stage],
    seen: dict[nn.Module, float],
    steps: np.ndarray,
    limits: np.ndarray,
    weight_bits: int,
    last: RequantizedActivation | None = None,
    last_bias: Float[Tensor, "D"] | None = None,
) -> FrozenChain:
    """Freeze the stages of a network.

    Args:
        seen: largest output of each stage's module.
        steps: real value of one step of each input channel.
        limits: largest magnitude of each input channel, in steps.
        weight_bits: 8 or 16.
        last: format of the last stage's result; an ordinary activation by default.
        last_bias: added to the last stage's bias.
    """
    convolutions = []
    for stage in stages:
        final = stage is stages[-1] and last is not None
        output = last if final else ordinary_activation(stage.outputs, seen[stage.module], stage.negative_slope)
        assert output is not None
        taps = stage.weight.shape[2] * stage.weight.shape[3]
        bias = stage.bias if last_bias is None or stage is not stages[-1] else stage.bias + last_bias
        layer = freeze_layer(
            stage.weight.detach().double().flatten(1).cpu().numpy(),
            bias.detach().double().cpu().numpy(),
            np.repeat(steps, taps),
            np.repeat(limits, taps),
            output,
            weight_bits,
        )
        convolutions.append(IntegerConvolution(layer, stage.weight.shape[2], stage.upscale))
        # A depth to space groups consecutive channels: each group must have one step, which ordinary ones do.
        group = stage.upscale**2
        steps = output.steps[::group]
        limits = np.maximum(np.abs(output.minimum), np.abs(output.maximum))[::group]
    return FrozenChain(tuple(convolutions), steps, limits)
