"""Freezing: from a trained float model to the integers that are shipped.

Activation ranges come from calibration pictures, with headroom. The loss is measured, not assumed: see
``measure_freezing_loss``.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from trimix.bitstream import QUALITY_STEPS
from trimix.coding import FactorizedTable
from trimix.entropy_models.factorized import FactorizedPrior
from trimix.entropy_models.fixed_point import (
    ACTIVATION_LIMIT,
    IntegerConvolution,
    IntegerLayer,
    RequantizedActivation,
    freeze_layer,
)
from trimix.entropy_models.integer_mixture import LOGIT_STEPS_PER_OCTAVE, IntegerMixtureModel, ParameterLayout
from trimix.entropy_models.schedule import checkerboard
from trimix.models.frozen import QUALITY_PLANE_STEPS, FrozenModel, ModelIdentity, quality_to_integer
from trimix.models.gllmm_lite import GllmmLite, GllmmLiteTransforms
from trimix.probability import log_likelihood
from trimix.quantization import round_straight_through
from trimix.shapes import Float, Tensor

HEADROOM = 4.0
"""Declared range of an activation over the largest seen in calibration."""
WEIGHT_BITS = 8
"""With a shift for each input, 8 bits cost less than 0.05 % more rate than 16 (``trimix freeze`` prints the loss)."""
MEAN_STEPS = 64
MEAN_LIMIT = 2**21
SCALE_STEPS_PER_OCTAVE = 16
SCALE_INDEX_OF_ONE = 64
_TAIL_MASS = 2.0**-24
_HYPER_REACH = 512


def _largest_outputs(
    model: GllmmLite, pictures: Float[Tensor, "N 3 H W"], qualities: Sequence[float]
) -> dict[nn.Module, float]:
    """Largest magnitude that every layer of h_s, context and head gave on the calibration pictures."""
    seen: dict[nn.Module, float] = {}

    def watch(module: nn.Module, _inputs: object, output: Tensor) -> None:
        seen[module] = max(seen.get(module, 0.0), float(output.detach().abs().max()))

    watched = [
        m for m in (*model.hyper_synthesis.modules(), *model.head.modules()) if isinstance(m, nn.Conv2d)
    ]
    handles = [m.register_forward_hook(watch) for m in (*watched, model.context.convolution)]
    try:
        with torch.no_grad():
            for quality in qualities:
                for x in pictures.split(4):
                    q = torch.full((len(x),), quality)
                    y, z = model.encode(x, q)
                    side = model.side_features(round_straight_through(z), q)
                    model.mixture_parameters(side, round_straight_through(y))
    finally:
        for handle in handles:
            handle.remove()
    return seen


def _ordinary(outputs: int, largest: float, slope: float) -> RequantizedActivation:
    limit = np.full(outputs, ACTIVATION_LIMIT)
    step = HEADROOM * max(largest, 1e-6) / ACTIVATION_LIMIT
    return RequantizedActivation(np.full(outputs, step), -limit, limit, slope)


def _slope_after(sequence: nn.Sequential, convolution: nn.Module) -> float:
    # The activation that follows a convolution, looking past a depth to space.
    flat = [m for m in sequence.modules() if not isinstance(m, nn.Sequential)]
    following = flat[flat.index(convolution) + 1 :]
    for module in following:
        if isinstance(module, nn.LeakyReLU):
            return float(module.negative_slope)
        if isinstance(module, nn.Conv2d):
            break
    return 1.0


def _freeze_hyper_synthesis(
    model: GllmmLite, seen: dict[nn.Module, float]
) -> tuple[tuple[IntegerConvolution, ...], np.ndarray]:
    channels = model.config.hyper_channels
    steps = np.append(np.ones(channels), 1 / QUALITY_PLANE_STEPS)
    limits = np.append(np.full(channels, ACTIVATION_LIMIT), QUALITY_PLANE_STEPS)
    layers = []
    flat = [m for m in model.hyper_synthesis.modules() if not isinstance(m, nn.Sequential)]
    for index, module in enumerate(flat):
        if not isinstance(module, nn.Conv2d):
            continue
        taps = module.kernel_size[0] ** 2
        shuffled = isinstance(flat[index + 1], nn.PixelShuffle) if index + 1 < len(flat) else False
        output = _ordinary(module.out_channels, seen[module], _slope_after(model.hyper_synthesis, module))
        layer = freeze_layer(
            module.weight.flatten(1),
            _bias(module),
            np.repeat(steps, taps),
            np.repeat(limits, taps),
            output,
            WEIGHT_BITS,
        )
        layers.append(IntegerConvolution(layer, module.kernel_size[0], 2 if shuffled else 1))
        remaining = module.out_channels // (4 if shuffled else 1)
        steps = np.full(remaining, output.steps[0])
        limits = np.full(remaining, ACTIVATION_LIMIT)
    return tuple(layers), steps


def _bias(module: nn.Conv2d) -> Tensor:
    return module.bias if module.bias is not None else torch.zeros(module.out_channels)


def _freeze_latent_model(
    model: GllmmLite, seen: dict[nn.Module, float], side_steps: np.ndarray
) -> IntegerMixtureModel:
    convolution = model.context.convolution
    taps = convolution.tap_weights()
    context_output = _ordinary(convolution.out_channels, seen[convolution], 1.0)
    context = freeze_layer(
        taps.flatten(1),
        _bias(convolution),
        np.ones(taps[0].numel()),
        np.full(taps[0].numel(), ACTIVATION_LIMIT),
        context_output,
        WEIGHT_BITS,
    )
    steps = np.concatenate([side_steps, context_output.steps])
    limits = np.full(len(steps), ACTIVATION_LIMIT)
    head: list[IntegerLayer] = []
    layers = [m for m in model.head if isinstance(m, nn.Conv2d)]
    for module in layers[:-1]:
        output = _ordinary(module.out_channels, seen[module], _slope_after(model.head, module))
        head.append(freeze_layer(module.weight.flatten(1), _bias(module), steps, limits, output, WEIGHT_BITS))
        steps, limits = output.steps, np.full(len(output.steps), ACTIVATION_LIMIT)
    last = layers[-1]
    third = last.out_channels // 3
    part = lambda *values: np.repeat(np.array(values), third)  # noqa: E731
    output = RequantizedActivation(
        steps=part(np.log(2) / LOGIT_STEPS_PER_OCTAVE, 1 / MEAN_STEPS, 1 / SCALE_STEPS_PER_OCTAVE),
        minimum=part(-ACTIVATION_LIMIT, -MEAN_LIMIT, 0),
        maximum=part(ACTIVATION_LIMIT, MEAN_LIMIT, 255),
    )
    # The index of scale 1 is 64: a shift of the real output by four octaves.
    octaves = torch.from_numpy(part(0.0, 0.0, SCALE_INDEX_OF_ONE / SCALE_STEPS_PER_OCTAVE)).to(last.weight)
    bias = _bias(last) + octaves
    head.append(freeze_layer(last.weight.flatten(1), bias, steps, limits, output, WEIGHT_BITS))
    families = tuple(int(family) for family in model.config.families for _ in range(model.config.components))
    return IntegerMixtureModel(
        context, convolution.offsets, tuple(head), ParameterLayout(families), model.config.latent_channels
    )


def factorized_table(prior: FactorizedPrior) -> FactorizedTable:
    """Integer table of a factorized prior; direct values reach out to tails of 2^-24."""
    values = torch.arange(-_HYPER_REACH, _HYPER_REACH + 1, dtype=torch.float64)
    grid = values.expand(1, prior.channels, 1, -1)
    with torch.no_grad():
        masses = prior.log_likelihood(grid).exp()[0, :, 0].cpu().numpy()
    probabilities, offsets, tails = [], [], []
    for row in masses:
        below, above = np.cumsum(row), np.cumsum(row[::-1])[::-1]
        kept = np.flatnonzero((below >= _TAIL_MASS) & (above >= _TAIL_MASS))
        first, last = int(kept[0]), int(kept[-1])
        probabilities.append(row[first : last + 1])
        offsets.append(first - _HYPER_REACH)
        tails.append((row[:first].sum(), row[last + 1 :].sum()))
    return FactorizedTable.from_probabilities(probabilities, offsets, tails)


def freeze(
    model: GllmmLite,
    identity: ModelIdentity,
    calibration: Float[Tensor, "N 3 H W"],
    qualities: Sequence[float] = (1.0, 25.0, 50.0, 75.0, 100.0),
) -> FrozenModel:
    """Freeze a trained model.

    Args:
        model: on the CPU, in float32.
        identity: its name; the hash is filled in when the weights are written.
        calibration: pictures in [0, 1], sides multiples of 64.
        qualities: at which activations are looked at.
    """
    model = model.eval()
    seen = _largest_outputs(model, calibration, qualities)
    hyper_synthesis, side_steps = _freeze_hyper_synthesis(model, seen)
    transforms = GllmmLiteTransforms(model.config)
    state = {name: value.half().float() for name, value in model.state_dict().items()}
    transforms.load_state_dict({name: state[name] for name in transforms.state_dict()})
    return FrozenModel(
        identity=identity,
        transforms=transforms.eval().requires_grad_(False),
        hyper_synthesis=hyper_synthesis,
        latent_model=_freeze_latent_model(model, seen, side_steps),
        hyper_table=factorized_table(model.hyper_prior),
        schedule=checkerboard,
    )


@dataclass(frozen=True)
class FreezingLoss:
    """Bits of the same symbols under the float model and under the integers.

    Args:
        float_bits: -log2 likelihood of the float model.
        integer_bits: information under the coder's integers.
    """

    float_bits: float
    integer_bits: float

    @property
    def percent(self) -> float:
        """By how much the integers cost more, in percent."""
        return 100 * (self.integer_bits / self.float_bits - 1)


@torch.no_grad()
def measure_freezing_loss(
    model: GllmmLite,
    frozen: FrozenModel,
    pictures: Float[Tensor, "N 3 H W"],
    qualities: Sequence[float] = (10.0, 50.0, 90.0),
) -> FreezingLoss:
    """Count the symbols of the frozen model's transforms twice: under the float model, and under the integers.

    Args:
        model: what was frozen, on the CPU, in float32.
        frozen: what became of it, on the CPU.
        pictures: in [0, 1], sides multiples of 64.
        qualities: at which the pictures are encoded; all count together.
    """
    model = model.eval()
    float_nats = integer_bits = 0.0
    for quality_integer in map(quality_to_integer, qualities):
        quality = torch.tensor([quality_integer / QUALITY_STEPS])
        for x in pictures.split(1):
            y_hat, z_hat = (
                latent.round().clamp(-ACTIVATION_LIMIT, ACTIVATION_LIMIT)
                for latent in frozen.transforms.encode(x, quality)
            )
            parameters = model.mixture_parameters(model.side_features(z_hat, quality), y_hat)
            float_nats -= float(log_likelihood(y_hat, parameters).double().sum())
            float_nats -= float(model.hyper_prior.log_likelihood(z_hat).double().sum())
            integer_bits += frozen.count_bits(y_hat.short()[0], z_hat.short()[0], quality_integer).total
    return FreezingLoss(float_nats / math.log(2), integer_bits)
