"""Freezing: from a trained float model to the integers that are shipped.

Activation ranges come from calibration pictures, with headroom. The loss is measured, not assumed: see
``measure_freezing_loss``.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from trimix.bitstream import QUALITY_STEPS
from trimix.coding import FactorizedTable
from trimix.distortion import Distortion
from trimix.entropy_models.conditional import bounded_log_likelihood
from trimix.entropy_models.context import layers_of, schedule_of
from trimix.entropy_models.factorized import FactorizedPrior
from trimix.entropy_models.fixed_point import (
    ACTIVATION_LIMIT,
    PARAMETER_LIMIT,
    RequantizedActivation,
    freeze_layer,
)
from trimix.entropy_models.integer_mixture import (
    LINEAR_SCALE_STEPS,
    LOGIT_STEPS_PER_OCTAVE,
    SCALE_INDEX_OF_ONE,
    SCALE_STEPS_PER_OCTAVE,
    VALUE_STEPS,
    IntegerContext,
    IntegerMixtureModel,
    ParameterLayout,
    ScaleReading,
)
from trimix.entropy_models.passes import VALUE_LIMIT, Rounding, run_schedule
from trimix.layers.masked_convolution import MaskedConvolution, TapConvolution
from trimix.models.building import build_transforms
from trimix.models.compression_model import CompressionModel
from trimix.models.frozen import (
    QUALITY_PLANE_STEPS,
    FrozenModel,
    ModelIdentity,
    distortion_of_lambdas,
    quality_to_integer,
)
from trimix.models.gllmm_lite import GllmmLite
from trimix.models.integer_networks import (
    TrainableModel,
    freeze_chain,
    largest_outputs,
    linear_scale_minimum,
    ordinary_activation,
    parameter_layout,
    stages_of,
)
from trimix.probability import log_likelihood
from trimix.shapes import Float, Tensor

LITE_WEIGHT_BITS = 8
"""With a shift for each input, 8 bits cost less than 0.05 % more rate than 16 (``trimix freeze`` prints the loss)."""
WEIGHT_BITS = 16
MEAN_LIMIT = 2**21
_TAIL_MASS = 2.0**-24
_CODER_MINIMUM = 2.0**-30
"""Smallest probability of the coder. Floats far out in a tail, where no trained model should be, know smaller ones."""
_HYPER_REACH = 512


@dataclass(frozen=True)
class _Format:
    """Format of the head's numbers, one row of M channels each, and what is added to their biases first."""

    output: RequantizedActivation
    bias: Float[Tensor, "D"]


def _parameter_format(model: TrainableModel) -> _Format:
    layout = parameter_layout(model)
    count = len(layout.families)
    rows: list[tuple[float, int, int, float]] = []  # step, minimum, maximum, added to the bias
    logits = len(layout.group_sizes) * layout.grouped + count * layout.has_weights
    rows += [(math.log(2) / LOGIT_STEPS_PER_OCTAVE, -ACTIVATION_LIMIT, ACTIVATION_LIMIT, 0.0)] * logits
    rows += [(1 / VALUE_STEPS, -MEAN_LIMIT, MEAN_LIMIT, 0.0)] * (count * layout.has_means)
    if layout.scale is ScaleReading.INDEX:
        # The index of scale 1 is 64: a shift of the real output by four octaves.
        shift = SCALE_INDEX_OF_ONE / SCALE_STEPS_PER_OCTAVE
        rows += [(1 / SCALE_STEPS_PER_OCTAVE, 0, 255, shift)] * count
    else:
        assert isinstance(model, CompressionModel)
        bounded = layout.scale is ScaleReading.LINEAR
        minimum = linear_scale_minimum(model.config.head_layout) if bounded else -PARAMETER_LIMIT
        rows += [(1 / LINEAR_SCALE_STEPS, minimum, PARAMETER_LIMIT, 0.0)] * count
    channels = model.config.latent_channels
    steps, minimum, maximum, bias = (
        np.repeat(np.array(column), channels) for column in zip(*rows, strict=True)
    )
    return _Format(RequantizedActivation(steps, minimum, maximum), torch.from_numpy(bias).float())


def _hyper_medians(model: TrainableModel) -> Tensor | None:
    medians = None if isinstance(model, GllmmLite) else model.hyper_prior.medians
    return None if medians is None else (medians.detach().double() * VALUE_STEPS).round().long().cpu()


def _run(model: TrainableModel, pictures: Float[Tensor, "N 3 H W"], qualities: Sequence[float]) -> None:
    for quality in qualities:
        for x in pictures.split(4):
            q = torch.full((len(x),), quality)
            y, z = model.encode(x, q)
            model.mixture_parameters(model.side_features(model.hyper_prior.round(z), q), y.round())


def freeze(
    model: TrainableModel,
    identity: ModelIdentity,
    calibration: Float[Tensor, "N 3 H W"],
    qualities: Sequence[float] = (1.0, 25.0, 50.0, 75.0, 100.0),
    distortion: Distortion | None = None,
) -> FrozenModel:
    """Freeze a trained model.

    Args:
        model: on the CPU, in float32.
        identity: its name; the hash is filled in when the weights are written.
        calibration: pictures in [0, 1], sides multiples of 64.
        qualities: at which activations are looked at.
        distortion: D of the objective it was trained for; where it is not known, what its lambdas tell.

    Raises:
        ModelError: a network that integers do not know.
    """
    model = model.eval()
    lite = isinstance(model, GllmmLite)
    weight_bits = LITE_WEIGHT_BITS if lite else WEIGHT_BITS
    chain = stages_of(model.hyper_synthesis)
    head = [] if model.head is None else stages_of(model.head)
    looking = () if model.context is None else layers_of(model.context)
    watched = [stage.module for stage in (*chain, *head)] + list(looking)
    seen = largest_outputs(watched, lambda: _run(model, calibration, qualities))
    medians = _hyper_medians(model)
    channels = model.config.hyper_channels
    steps = np.full(channels, 1.0 if medians is None else 1 / VALUE_STEPS)
    limits = np.full(channels, ACTIVATION_LIMIT)
    if lite:
        steps, limits = np.append(steps, 1 / QUALITY_PLANE_STEPS), np.append(limits, QUALITY_PLANE_STEPS)
    last = _parameter_format(model)
    ending = {} if head else {"last": last.output, "last_bias": last.bias}
    side = freeze_chain(chain, seen, steps, limits, weight_bits, **ending)
    layout = parameter_layout(model)
    contexts, layers = [], ()
    if head:
        steps, limits = side.steps, side.limits
        if looking:
            # One format for all contexts: the head takes the features of any of them.
            largest = max(seen[convolution] for convolution in looking)
            output = ordinary_activation(looking[0].out_channels, largest, 1.0)
            contexts = [_freeze_context(one, output, layout, weight_bits) for one in looking]
            steps = np.concatenate([steps, output.steps])
            limits = np.concatenate([limits, output.maximum])
        frozen_head = freeze_chain(head, seen, steps, limits, weight_bits, last.output, last.bias)
        layers = tuple(convolution.layer for convolution in frozen_head.convolutions)
    transforms = build_transforms(model.config)
    state = {name: value.half().float() for name, value in model.state_dict().items()}
    transforms.load_state_dict({name: state[name] for name in transforms.state_dict()})
    return FrozenModel(
        identity=identity,
        transforms=transforms.eval().requires_grad_(False),
        hyper_synthesis=side.convolutions,
        latent_model=IntegerMixtureModel(tuple(contexts), layers, layout, model.config.latent_channels),
        hyper_table=factorized_table(model.hyper_prior),
        schedule=schedule_of(model.context),
        hyper_medians=medians,
        sees_quality=lite,
        distortion=distortion_of_lambdas(transforms) if distortion is None else distortion,
    )


def _freeze_context(
    convolution: MaskedConvolution | TapConvolution,
    output: RequantizedActivation,
    layout: ParameterLayout,
    weight_bits: int,
) -> IntegerContext:
    taps = convolution.tap_weights().detach()
    inputs = taps[0].numel()
    bias = torch.zeros(convolution.out_channels) if convolution.bias is None else convolution.bias
    layer = freeze_layer(
        taps.flatten(1),
        bias.detach(),
        np.full(inputs, 1 / VALUE_STEPS if layout.around_mean else 1.0),
        np.full(inputs, VALUE_LIMIT if layout.around_mean else ACTIVATION_LIMIT),
        output,
        weight_bits,
    )
    return IntegerContext(layer, convolution.offsets)


def factorized_table(prior: FactorizedPrior) -> FactorizedTable:
    """Integer table of a factorized prior; direct values reach out to tails of 2^-24."""
    values = torch.arange(-_HYPER_REACH, _HYPER_REACH + 1, dtype=torch.float64)
    grid = values.expand(1, prior.channels, 1, -1)
    if prior.medians is not None:
        grid = grid + prior.medians.double()[:, None, None]
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
    model: TrainableModel,
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
            y, z = frozen.transforms.encode(x, quality)
            z_symbols = frozen.hyper_symbols(z[0])
            side = frozen.side_features(z_symbols[None], [quality_integer])[0]
            source = Rounding(y[0].permute(1, 2, 0).numpy(), ACTIVATION_LIMIT)
            found = run_schedule(frozen.latent_model, side, frozen.schedule(*side.shape[:2]), source)
            y_hat = found.values.permute(2, 0, 1)[None].float() / frozen.latent_model.value_steps
            z_hat = model.hyper_prior.round(z)
            parameters = model.mixture_parameters(model.side_features(z_hat, quality), y_hat)
            for log_likelihoods in (
                log_likelihood(y_hat, parameters),
                model.hyper_prior.log_likelihood(z_hat),
            ):
                float_nats -= float(bounded_log_likelihood(log_likelihoods, _CODER_MINIMUM).double().sum())
            symbols = found.symbols.permute(2, 0, 1)
            integer_bits += frozen.count_bits(symbols, z_symbols, quality_integer).total
    return FreezingLoss(float_nats / math.log(2), integer_bits)
