"""Freezing: from a trained float model to the integers that are shipped.

Activation ranges come from calibration pictures, with headroom. The loss is measured, not assumed: see
``measure_freezing_loss``.
"""

import copy
import itertools
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import NamedTuple

import numpy as np
import torch

from trimix.architectures.compression_model import CompressionModel
from trimix.architectures.config import MS_SSIM_LAMBDA_RATIO, CompressionConfig
from trimix.bitstream import QUALITY_STEPS
from trimix.coding import FactorizedTable
from trimix.distortion import Distortion
from trimix.entropy_models.conditional import bounded_log_likelihood
from trimix.entropy_models.context import layers_of, schedule_of
from trimix.entropy_models.factorized import FactorizedPrior
from trimix.entropy_models.fixed_point import (
    ACTIVATION_LIMIT,
    PARAMETER_LIMIT,
    IntegerLayer,
    RequantizedActivation,
    freeze_layer,
)
from trimix.entropy_models.integer_mixture import (
    LOGIT_STEPS_PER_OCTAVE,
    SCALE_INDEX_OF_ONE,
    SCALE_STEPS_PER_OCTAVE,
    VALUE_STEPS,
)
from trimix.entropy_models.layout import LINEAR_SCALE_STEPS, ScaleForm
from trimix.entropy_models.passes import VALUE_LIMIT, Rounding, run_schedule
from trimix.freezing.integer_networks import freeze_chain, largest_outputs, ordinary_activation, stages_of
from trimix.freezing.operations import program_of
from trimix.frozen.byte_weights import byte_tensors, is_for_bytes
from trimix.frozen.model import QUALITY_PLANE_STEPS, FrozenModel, ModelIdentity, StoredModel, quality_to_integer
from trimix.frozen.program import Normalization, Program, program_to_json
from trimix.frozen.storage import SCHEDULES, assemble, checksum_of, layout_to_json
from trimix.frozen.stored_layers import layer_tensors
from trimix.frozen.transforms import TransformFacts
from trimix.layers.gdn import PEDESTAL
from trimix.layers.masked_convolution import MaskedConvolution, TapConvolution
from trimix.probability import log_likelihood
from trimix.shapes import Float, Tensor

MEAN_LIMIT = 2**21
_TAIL_MASS = 2.0**-24
_CODER_MINIMUM = 2.0**-30
"""Smallest probability of the coder. Floats far out in a tail, where no trained model should be, know smaller ones."""
_HYPER_REACH = 512


def parameter_format(config: CompressionConfig) -> tuple[RequantizedActivation, Float[Tensor, "D"]]:
    """Format of the head's numbers, one row of M channels each, and what is added to their biases first."""
    layout = config.head_layout
    family_logits, logits, means, scales = layout.sizes
    rows: list[tuple[float, int, int, float]] = []  # step, minimum, maximum, added to the bias
    octave = math.log(2) / LOGIT_STEPS_PER_OCTAVE
    rows += [(octave, -ACTIVATION_LIMIT, ACTIVATION_LIMIT, 0.0)] * (family_logits + logits)
    rows += [(1 / VALUE_STEPS, -MEAN_LIMIT, MEAN_LIMIT, 0.0)] * means
    if layout.scale_form is ScaleForm.LOG2:
        # The index of scale 1 is 64: a shift of the real output by four octaves.
        shift = SCALE_INDEX_OF_ONE / SCALE_STEPS_PER_OCTAVE
        rows += [(1 / SCALE_STEPS_PER_OCTAVE, 0, 255, shift)] * scales
    else:
        bounded = layout.scale_form is ScaleForm.BOUNDED
        minimum = layout.integer_scale_minimum if bounded else -PARAMETER_LIMIT
        rows += [(1 / LINEAR_SCALE_STEPS, minimum, PARAMETER_LIMIT, 0.0)] * scales
    steps, minimum, maximum, bias = (
        np.repeat(np.array(column), config.latent_channels) for column in zip(*rows, strict=True)
    )
    return RequantizedActivation(steps, minimum, maximum), torch.from_numpy(bias).float()


class InputFormat(NamedTuple):
    """Real value of one step of each input of a network, and the largest magnitude in steps."""

    steps: np.ndarray
    limits: np.ndarray


def hyper_synthesis_format(model: CompressionModel) -> InputFormat:
    """Of hyper-latents, and of the quality's plane behind them."""
    channels = model.config.hyper_latent_channels
    steps = np.full(channels, 1.0 if model.hyper_prior.medians is None else 1 / VALUE_STEPS)
    limits = np.full(channels, ACTIVATION_LIMIT)
    if model.hyper_sees_quality:
        steps, limits = np.append(steps, 1 / QUALITY_PLANE_STEPS), np.append(limits, QUALITY_PLANE_STEPS)
    return InputFormat(steps, limits)


def context_format(config: CompressionConfig, inputs: int) -> InputFormat:
    """Of latents as contexts see them."""
    step, limit = (1 / VALUE_STEPS, VALUE_LIMIT) if config.head_layout.around_mean else (1.0, ACTIVATION_LIMIT)
    return InputFormat(np.full(inputs, step), np.full(inputs, limit))


def _run(model: CompressionModel, pictures: Float[Tensor, "N 3 H W"], qualities: Sequence[float]) -> None:
    for quality in qualities:
        for x in pictures.split(4):
            q = x.new_full((len(x),), quality)
            y, z = model.encode(x, q)
            model.mixture_parameters(model.side_features(model.hyper_prior.round(z), q), y.round())


@torch.autocast("cpu", enabled=False)
def freeze(
    model: CompressionModel,
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
    config = model.config
    transforms = float_programs(model)
    programs = {name: program_to_json(program) for name, program in transforms.programs.items()}
    entropy_model, tensors = _freeze_entropy_model(model, calibration, qualities)
    tensors |= transforms.stored(in_bytes=config.stored_weight_bits == 8)
    if distortion is None:
        distortion = Distortion("mse" if _lambdas(config) == _squared_error_lambdas(config) else "ms-ssim")
    program = json.dumps(asdict(transforms.facts) | {"distortion": asdict(distortion)} | programs | entropy_model)
    stored = StoredModel(program, tensors, config.model_dump_json())
    return assemble(replace(identity, weights_hash=checksum_of(program, tensors)), stored)


@dataclass(frozen=True)
class FloatPrograms:
    """The transforms of a model as programs."""

    facts: TransformFacts
    programs: dict[str, Program]
    tensors: dict[str, Tensor]

    def stored(self, *, in_bytes: bool) -> dict[str, np.ndarray]:
        """The tensors as a file has them."""
        stored: dict[str, np.ndarray] = {}
        for name, value in self.tensors.items():
            half = value.half().contiguous()
            if in_bytes and is_for_bytes(name, value.numpy()):
                stored |= byte_tensors(name, half.float().numpy())
            else:
                # Single precision is for what is computed of the weights.
                stored[name] = (half if torch.equal(half.float(), value) else value.contiguous()).numpy()
        return stored


def float_weights(frozen: FrozenModel) -> dict[str, Tensor]:
    """Weights of the transforms of a frozen model, in single precision, under the names that training has for them."""
    stored, prefix = frozen.transforms.tensors, "transforms."
    weights = {}
    for one in itertools.chain.from_iterable(frozen.transforms.programs.values()):
        for name in one.tensors:
            is_square = isinstance(one, Normalization)
            value = torch.from_numpy(stored[name])
            value = torch.sqrt(value + PEDESTAL) if is_square else value
            weights[name.removeprefix(prefix)] = value
    return weights


@torch.no_grad()
def float_programs(model: CompressionModel, *, halve: bool = True) -> FloatPrograms:
    """Programs of g_a, h_a and g_s, gains and all, of the weights in half precision.

    Raises:
        ModelError: no operations are known for a layer.
    """
    config = model.config
    if halve:
        model = copy.deepcopy(model).half().float()
    names = {id(parameter): f"transforms.{name}" for name, parameter in model.named_parameters()}
    programs, tensors = {}, {}
    for name, layers in (
        ("analysis", [model.analysis, model.gain]),
        ("hyper_analysis", [model.hyper_analysis]),
        ("synthesis", [model.inverse_gain, model.synthesis]),
    ):
        programs[name], found = program_of(layers, names)
        tensors |= found
    steps = energies = None
    if model.linear_path is not None and model.inverse_gain is not None:
        steps, energies = names[id(model.inverse_gain.log_factors)], "transforms.energies"
        # In the layout in which they run: sums of floats go by the order.
        linear = model.linear_path[1].to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        tensors[energies] = linear.energies()
    facts = TransformFacts(
        latent_channels=config.latent_channels,
        hyper_channels=config.hyper_latent_channels,
        all_rates=config.all_rates,
        halo=config.latent_halo,
        pixels_at_once=config.pixels_at_once,
        lambdas=_lambdas(config),
        squared_error_lambdas=_squared_error_lambdas(config),
        steps=steps or "",
        energies=energies or "",
    )
    return FloatPrograms(facts, programs, {name: value.detach() for name, value in tensors.items()})


def _lambdas(config: CompressionConfig) -> tuple[float, float]:
    if not config.all_rates:
        return config.rate_distortion_lambda, config.rate_distortion_lambda
    return config.lambda_minimum, config.lambda_maximum


def _squared_error_lambdas(config: CompressionConfig) -> tuple[float, float]:
    low, high = _lambdas(config)
    ratio = config.lambda_ratio
    if ratio is None:
        ratio = 1.0 if low < 1 else MS_SSIM_LAMBDA_RATIO
    exponent = 1 / config.lambda_exponent
    return (low / ratio) ** exponent, (high / ratio) ** exponent


def _freeze_entropy_model(
    model: CompressionModel, calibration: Float[Tensor, "N 3 H W"], qualities: Sequence[float]
) -> tuple[dict[str, object], dict[str, np.ndarray]]:
    """What the program says of the integer path, and its tensors."""
    config = model.config
    weight_bits = config.stored_weight_bits
    chain = stages_of(model.hyper_synthesis)
    head = [] if model.head is None else stages_of(model.head)
    looking = () if model.context is None else layers_of(model.context)
    watched = [stage.module for stage in (*chain, *head)] + list(looking)
    seen = largest_outputs(watched, lambda: _run(model, calibration, qualities))
    prior = model.hyper_prior
    medians = None if prior.medians is None else (prior.medians.double() * VALUE_STEPS).round()
    steps, limits = hyper_synthesis_format(model)
    last, last_bias = parameter_format(config)
    side = freeze_chain(chain, seen, steps, limits, weight_bits, *((None, None) if head else (last, last_bias)))
    layers = {f"hyper_synthesis.{i}": one.layer for i, one in enumerate(side.convolutions)}
    contexts, heads = {}, {}
    if head:
        steps, limits = side.steps, side.limits
        if looking:
            # One format for all contexts: the head takes the features of any of them.
            largest = max(seen[convolution] for convolution in looking)
            output = ordinary_activation(looking[0].out_channels, largest, 1.0)
            names = ["context"] if len(looking) == 1 else [f"context.{i}" for i in range(len(looking))]
            contexts = {name: _freeze_context(one, output, config) for name, one in zip(names, looking, strict=True)}
            steps = np.concatenate([steps, output.steps])
            limits = np.concatenate([limits, output.maximum])
        frozen_head = freeze_chain(head, seen, steps, limits, weight_bits, last, last_bias)
        heads = {f"head.{i}": one.layer for i, one in enumerate(frozen_head.convolutions)}
    tensors: dict[str, np.ndarray] = {}
    for name, layer in (layers | contexts | heads).items():
        tensors |= layer_tensors(name, layer)
    if medians is not None:
        tensors["hyper_medians"] = medians.to(torch.int32).numpy()
    table = factorized_table(prior)
    tensors["hyper_table.cdf"] = table.cdf.astype(np.int32)  # totals are 2^30: they fit
    tensors["hyper_table.lengths"] = table.lengths
    tensors["hyper_table.offsets"] = table.offsets
    schedule = schedule_of(model.context)
    program = {
        "hyper_synthesis": {
            "sees_quality": model.hyper_sees_quality,
            "has_medians": medians is not None,
            "operations": [
                {"operation": "integer_convolution", "layer": name, "kernel": one.kernel, "upscale": one.upscale}
                for name, one in zip(layers, side.convolutions, strict=True)
            ],
        },
        "passes": next(name for name, one in SCHEDULES.items() if one is schedule),
        "contexts": [
            {"layer": name, "taps": [list(tap) for tap in one.offsets]}
            for name, one in zip(contexts, looking, strict=True)
        ],
        "head": list(heads),
        "mixture": layout_to_json(config.head_layout),
    }
    return program, tensors


def _freeze_context(
    convolution: MaskedConvolution | TapConvolution, output: RequantizedActivation, config: CompressionConfig
) -> IntegerLayer:
    taps = convolution.tap_weights().detach()
    bias = taps.new_zeros(convolution.out_channels) if convolution.bias is None else convolution.bias
    return freeze_layer(
        taps.double().flatten(1).cpu().numpy(),
        bias.detach().double().cpu().numpy(),
        *context_format(config, taps[0].numel()),
        output,
        config.stored_weight_bits,
    )


def factorized_table(prior: FactorizedPrior) -> FactorizedTable:
    """Integer table of a factorized prior; direct values reach out to tails of 2^-24."""
    values = torch.arange(-_HYPER_REACH, _HYPER_REACH + 1, dtype=torch.float64, device="cpu")
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
@torch.autocast("cpu", enabled=False)
def measure_freezing_loss(
    model: CompressionModel,
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
        quality = pictures.new_tensor([quality_integer / QUALITY_STEPS])
        for x in pictures.split(1):
            y = frozen.transforms.encode_latent(x[0].numpy(), float(quality))
            z = frozen.transforms.hyper_analysis(y)
            z_symbols = frozen.hyper_symbols(z)
            side = frozen.side_features(z_symbols, quality_integer)
            source = Rounding(y.transpose(1, 2, 0), ACTIVATION_LIMIT)
            found = run_schedule(frozen.latent_model, side, frozen.schedule(*side.shape[:2]), source)
            values = np.ascontiguousarray(found.values.transpose(2, 0, 1), np.float32)
            y_hat = torch.from_numpy(values)[None] / frozen.latent_model.value_steps
            z_hat = model.hyper_prior.round(torch.from_numpy(z)[None])
            parameters = model.mixture_parameters(model.side_features(z_hat, quality), y_hat)
            for log_likelihoods in (log_likelihood(y_hat, parameters), model.hyper_prior.log_likelihood(z_hat)):
                float_nats -= float(bounded_log_likelihood(log_likelihoods, _CODER_MINIMUM).double().sum())
            symbols = found.symbols.transpose(2, 0, 1)
            integer_bits += frozen.count_bits(symbols, z_symbols, quality_integer).total
    return FreezingLoss(float_nats / math.log(2), integer_bits)
