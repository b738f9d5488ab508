"""Thawing: from the integers that are shipped to a float model that training can go on from.

The integer path is linear between its activations, which keep a factor: so the step of an activation inside can be any
number, and the weights of a layer follow. The table of the hyper-latents is fitted by the factorized prior. What the
model then computes is what the integers do, but for their rounding.
"""

from collections.abc import Sequence

import numpy as np
import torch

from trimix.architectures.building import build
from trimix.architectures.compression_model import CompressionModel
from trimix.architectures.config import read_configuration
from trimix.coding import FactorizedTable
from trimix.coding.kernels import TOTAL
from trimix.entropy_models.context import layers_of
from trimix.entropy_models.factorized import FactorizedPrior
from trimix.entropy_models.fixed_point import IntegerLayer, RequantizedActivation
from trimix.entropy_models.integer_mixture import VALUE_STEPS
from trimix.freezing.freeze import context_format, float_weights, hyper_synthesis_format, parameter_format
from trimix.freezing.integer_networks import Stage, stages_of
from trimix.frozen.model import FrozenModel
from trimix.shapes import Tensor

_FIT_STEPS = 300


def thaw(frozen: FrozenModel) -> CompressionModel:
    """The float model of a frozen one, in evaluation mode.

    Args:
        frozen: on the CPU.

    Raises:
        ModelError: its configuration is not one that can be built.
    """
    config = read_configuration(frozen.stored.configuration)
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)  # the fit starts where the prior does
        model = build(config).eval()
    model.load_state_dict(float_weights(frozen), strict=False)
    last = parameter_format(config)
    head = [] if model.head is None else stages_of(model.head)
    chain = list(zip(stages_of(model.hyper_synthesis), (one.layer for one in frozen.hyper_synthesis), strict=True))
    steps = _thaw_chain(chain, hyper_synthesis_format(model).steps, None if head else last)
    if head:
        layers = [one.layer for one in frozen.latent_model.contexts]
        if layers:
            # The head takes the features of any of them: one step for all.
            taps = [context_format(config, layer.inputs).steps for layer in layers]
            step = float(np.median([_usual_step(*pair) for pair in zip(layers, taps, strict=True)]))
            contexts = () if model.context is None else layers_of(model.context)
            for one, layer, of_taps in zip(contexts, layers, taps, strict=True):
                weight, bias = _real(layer, of_taps, np.full(layer.outputs, step))
                _put(one.weight, one.tap_weights().flatten(1), weight)
                if one.bias is not None:
                    _put(one.bias, one.bias, bias)
            steps = np.append(steps, np.full(layers[0].outputs, step))
        _thaw_chain(list(zip(head, frozen.latent_model.head, strict=True)), steps, last)
    if model.hyper_prior.medians is not None and frozen.hyper_medians is not None:
        model.hyper_prior.medians.copy_(torch.from_numpy(frozen.hyper_medians / VALUE_STEPS))
    _fit(model.hyper_prior, frozen.hyper_table)
    return model


def _thaw_chain(
    pairs: Sequence[tuple[Stage, IntegerLayer]], steps: np.ndarray, last: tuple[RequantizedActivation, Tensor] | None
) -> np.ndarray:
    """Fill the networks of a chain; returns the steps of what it gives.

    Args:
        pairs: a stage and what became of it.
        steps: real value of one step of each input channel.
        last: format of the last one's numbers and what was added to its biases; none where they go on inside.
    """
    for stage, layer in pairs:
        taps = stage.weight.shape[2] * stage.weight.shape[3]
        of_inputs = np.repeat(steps, taps)
        ends = last if stage is pairs[-1][0] else None
        steps = np.full(layer.outputs, _usual_step(layer, of_inputs)) if ends is None else ends[0].steps
        weight, bias = _real(layer, of_inputs, steps)
        if ends is not None:
            bias = bias - ends[1].numpy()
        parameters = dict(stage.module.named_parameters())
        _put(parameters["weight"], stage.weight.flatten(1), weight)
        if "bias" in parameters:
            _put(parameters["bias"], stage.bias, bias)
        steps = steps[:: stage.upscale**2]
    return steps


def _real(layer: IntegerLayer, of_inputs: np.ndarray, of_outputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights and biases of a layer, given the steps of what goes in and comes out."""
    arrays = layer.arrays
    factors = of_outputs * arrays["multiplier"] / 2.0 ** arrays["shift"]
    return factors[:, None] * arrays["weight"] / of_inputs, factors * arrays["bias"]


def _usual_step(layer: IntegerLayer, of_inputs: np.ndarray) -> float:
    """The step of outputs with which a layer's weights are as large as those that training starts from."""
    weight, _ = _real(layer, of_inputs, np.ones(layer.outputs))
    return float(1 / np.sqrt(3 * layer.inputs * np.square(weight).mean()))


def _put(parameter: Tensor, shown: Tensor, values: np.ndarray) -> None:
    """Set a parameter of which ``shown`` is made by moving and repeating its numbers, so that ``shown`` has the values.

    Its Jacobian has ones and zeros: its transpose puts the values back, summed over the places of each number.
    """
    wanted = torch.from_numpy(values).to(shown).view_as(shown)
    (sums,), (places,) = (
        torch.autograd.grad(shown, parameter, one, retain_graph=True) for one in (wanted, torch.ones_like(wanted))
    )
    with torch.no_grad():
        # Taps that are never looked at have no place.
        parameter.copy_(sums / places.clamp(min=1))


def _fit(prior: FactorizedPrior, table: FactorizedTable) -> None:
    """Fit a factorized prior to the direct values of a table, by Kullback-Leibler divergence."""
    first = int(table.offsets.min())
    values = torch.arange(first, int((table.offsets + table.lengths).max()), dtype=torch.float64)
    target = torch.zeros(prior.channels, len(values), dtype=torch.float64)
    for row, cdf, length, offset in zip(target, table.cdf, table.lengths, table.offsets, strict=True):
        place = int(offset) - first
        row[place : place + length] = torch.from_numpy(np.diff(cdf.astype(np.int64))[1 : length + 1] / TOTAL)
    grid = values.expand(1, prior.channels, 1, -1)
    if prior.medians is not None:
        grid = grid + prior.medians.double()[:, None, None]
    optimizer = torch.optim.LBFGS(prior.parameters(), max_iter=_FIT_STEPS, line_search_fn="strong_wolfe")

    def divergence() -> Tensor:
        optimizer.zero_grad()
        loss = -(target * prior.log_likelihood(grid)[0, :, 0]).sum()
        loss.backward()
        return loss

    optimizer.step(divergence)  # type: ignore[arg-type]
