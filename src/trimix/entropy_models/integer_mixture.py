"""The frozen entropy model of latents: integer context and head, and from their output the coder's parameters.

::

    y_hat (known part) --> gather taps --> a context ------+
                                                           |--> head layers --> logits | means | scales
    side features at the positions ------------------------+    integer softmax --> weights of sum 2^16
                                                                table search    --> scale indices

A model without context leaves the upper branch out; one without head has its side features for parameters.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import isqrt

import numpy as np

from trimix.coding import WEIGHT_BITS, MixtureParameters
from trimix.entropy_models import integer_kernels as kernels
from trimix.entropy_models.fixed_point import IntegerLayer
from trimix.entropy_models.layout import MixtureLayout, ScaleForm
from trimix.errors import ModelError
from trimix.layers.offsets import Offset, reach_of
from trimix.shapes import Int, Int64, Shaped

LOGIT_STEPS_PER_OCTAVE = 256
"""A logit is an integer in steps of 1/256 of a doubling of the weight."""
WEIGHT_TOTAL = 2**16
VALUE_STEPS = 64
"""Steps of a mean, and of a latent that is rounded around its mean, in one step of the quantizer."""
SCALE_STEPS_PER_OCTAVE = 16
SCALE_INDEX_OF_ONE = 64
"""Index of the coder's table whose scale is 1."""
_EXPONENT_BITS = 24


@lru_cache(maxsize=1)
def exponential_table() -> Int64[np.ndarray, "256"]:
    """``floor(2^(24 - i/256))`` for i in 0..255, by integer square roots only: no float decides a probability.

    >>> int(exponential_table()[0]) == 2**24
    True
    """
    table = []
    for index in range(LOGIT_STEPS_PER_OCTAVE):
        root = 1 << (_EXPONENT_BITS * LOGIT_STEPS_PER_OCTAVE - index)
        for _ in range(8):  # the 256th root: 256 = 2^8
            root = isqrt(root)
        table.append(root)
    return np.array(table, dtype=np.int64)


def integer_softmax(logits: Int64[np.ndarray, "n K M"]) -> Int64[np.ndarray, "n K M"]:
    """Weights proportional to ``2^(logit / 256)`` along K, integers that sum to 2^16 exactly.

    Rounded down, the remainder goes to the first of the largest.

    >>> integer_softmax(np.array([[[0], [256]]])).ravel().tolist()
    [21845, 43691]
    """
    weights = np.empty(logits.shape, np.int64)
    kernels.softmax(np.ascontiguousarray(logits, np.int64), exponential_table(), weights)
    return weights


def integer_softmax_of_groups(
    group_logits: Int64[np.ndarray, "n G M"], logits: Int64[np.ndarray, "n K M"], sizes: tuple[int, ...]
) -> Int64[np.ndarray, "n K M"]:
    """A softmax inside each group of consecutive components times one over the groups, sum 2^16 exactly.

    Rounded down, the remainder goes to the first of the largest.

    >>> one = np.zeros((1, 1, 1), np.int64)
    >>> integer_softmax_of_groups(one.repeat(2, axis=1), one.repeat(3, axis=1), (1, 2)).ravel().tolist()
    [32768, 16384, 16384]
    """
    groups = integer_softmax(group_logits)
    parts = np.split(logits, np.cumsum(sizes)[:-1], axis=1)
    weights = np.concatenate(
        [(integer_softmax(part) * groups[:, [index]]) >> 16 for index, part in enumerate(parts)], axis=1
    )
    missing = WEIGHT_TOTAL - weights.sum(axis=1, keepdims=True)
    largest = weights.argmax(axis=1)[:, None]
    np.put_along_axis(weights, largest, np.take_along_axis(weights, largest, 1) + missing, 1)
    return weights


@lru_cache(maxsize=1)
def scale_thresholds() -> Int64[np.ndarray, "255"]:
    """``floor(4096 * 2^(-4 + (i + 1/2)/16))`` for i in 0..254, by integer square roots only.

    A linear scale has the index of how many of them it exceeds: the nearest in the logarithm.

    >>> scale_thresholds()[:2].tolist()
    [261, 273]
    """
    table = []
    for index in range(255):
        root = 1 << (32 * 8 + 2 * index + 1)
        for _ in range(5):  # the 32nd root: 32 = 2^5
            root = isqrt(root)
        table.append(root)
    return np.array(table, dtype=np.int64)


@dataclass(frozen=True)
class LatentParameters:
    """What the coder and the rounding need of a group of latents, row by row.

    Args:
        centres: mean that a latent is rounded around, in steps of 1/64, int32 [n * M]; None where latents are
            rounded as they are. The mixture's own mean is then zero.
    """

    mixture: MixtureParameters
    centres: np.ndarray | None = None

    @property
    def expected(self) -> np.ndarray:
        """Symbols nearest to the mixtures' means, float64 [n * M]."""
        means = self.mixture.means.astype(np.float64) * self.mixture.weights
        return np.rint(means.sum(axis=1) / (VALUE_STEPS << WEIGHT_BITS))

    def bits_of(self, symbols: np.ndarray) -> np.ndarray:
        """Information of symbols, whole numbers of any type and shape, under the coder's own probabilities."""
        return self.mixture.information_bits(symbols.astype(np.int32).ravel()).reshape(symbols.shape)


@dataclass(frozen=True)
class IntegerContext:
    """What already coded latents around a position say about it.

    Args:
        layer: over the gathered taps, ordered tap, channel.
        offsets: the taps, relative to the position.
    """

    layer: IntegerLayer
    offsets: tuple[Offset, ...]

    @property
    def margin(self) -> int:
        """How far the taps reach."""
        return reach_of(self.offsets)


class IntegerMixtureModel:
    """Integer parameters of latents at any set of positions.

    Args:
        contexts: as passes name them, all of equally many features; none for a model without context.
        head: layers over side features and context features; none where the side features are the parameters.
        layout: what the last layer's numbers are, each over all latent channels.

    Raises:
        ModelError: sizes do not fit.
    """

    def __init__(
        self,
        contexts: tuple[IntegerContext, ...],
        head: tuple[IntegerLayer, ...],
        layout: MixtureLayout,
        latent_channels: int,
    ) -> None:
        self.contexts = contexts
        self.head = head
        self.layout = layout
        self.families = np.array(layout.component_families, dtype=np.uint8)
        self.latent_channels = latent_channels
        self.margin = max((context.margin for context in contexts), default=0)
        outputs = layout.numbers * latent_channels
        features = contexts[0].layer.outputs if contexts else 0
        self.side_channels = (head[0].inputs if head else outputs) - features
        for context in contexts:
            inputs = len(context.offsets) * latent_channels
            if (context.layer.inputs, context.layer.outputs) != (inputs, features):
                raise ModelError(
                    f"context layer must take {inputs} inputs and give {features} features, found "
                    f"{context.layer.inputs} and {context.layer.outputs}"
                )
        if contexts and not head:
            raise ModelError("a model with context must have a head, found none")
        if head and head[-1].outputs != outputs:
            raise ModelError(f"head must give {outputs} outputs, found {head[-1].outputs}")

    @property
    def value_steps(self) -> int:
        """Steps of a latent's value in one step of the quantizer."""
        return VALUE_STEPS if self.layout.around_mean else 1

    def prepare(self, side: Int[np.ndarray, "n S"]) -> Shaped[np.ndarray, "n D"]:
        """What side features add to the first layer of the head, for ``parameters``: once instead of in every pass.

        Side features themselves where there is no head.
        """
        return self.head[0].accumulate(side) if self.head else side

    def parameters(
        self,
        prepared: Shaped[np.ndarray, "n D"],
        padded: Int[np.ndarray, "h w M"],
        rows: Int64[np.ndarray, "n"],
        columns: Int64[np.ndarray, "n"],
        *,
        context: int | None,
    ) -> LatentParameters:
        """Parameters of all channels at the given positions, position by position, channels innermost.

        Args:
            padded: values of the latents, with ``margin`` zeros around them.
            context: which of the contexts looks at its taps; features are zero without.
        """
        if not self.head:
            return self._read(prepared.astype(np.int64))
        first = self.head[0]
        if context is not None and self.contexts:
            looking = self.contexts[context]
            width = padded.shape[1]
            places = (rows + self.margin) * width + columns + self.margin
            steps = np.array([r * width + c for r, c in looking.offsets])
            taps = padded.reshape(-1, self.latent_channels)[places[:, None] + steps]
            found = looking.layer(taps.reshape(len(rows), -1))
            prepared = prepared + first.accumulate(found, self.side_channels)
        features = first.requantize(prepared)
        for layer in self.head[1:]:
            features = layer(features)
        return self._read(features.astype(np.int64))

    def _read(self, raw: Int64[np.ndarray, "n D"]) -> LatentParameters:
        layout = self.layout
        numbers = raw.reshape(len(raw), layout.numbers, self.latent_channels)
        group_logits, logits, means, scales = np.split(numbers, np.cumsum(layout.sizes)[:-1], axis=1)
        if layout.sizes[0]:
            sizes = (layout.components,) * len(layout.families)
            weights = integer_softmax_of_groups(group_logits, logits, sizes)
        elif layout.has_weights:
            weights = integer_softmax(logits)
        else:
            weights = np.full_like(scales, WEIGHT_TOTAL)
        centres = means[:, 0].astype(np.int32).ravel() if layout.around_mean else None
        if layout.zero_mean or layout.around_mean:
            means = np.zeros_like(scales)
        if layout.scale_form is not ScaleForm.LOG2:
            if layout.scale_form is ScaleForm.ABSOLUTE:
                scales = np.abs(scales) + layout.integer_scale_minimum
            scales = np.searchsorted(scale_thresholds(), scales)
        rows = len(raw) * self.latent_channels
        weights, means, scales = (
            np.ascontiguousarray(part.astype(np.int32).transpose(0, 2, 1)).reshape(rows, -1)
            for part in (weights, means, scales)
        )
        mixture = MixtureParameters(self.families, weights, means, scales.astype(np.uint8))
        return LatentParameters(mixture, centres)
