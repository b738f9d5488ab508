"""Integer networks: convolutions whose result is the same on every machine, thread count, batch shape and device.

::

    int16 in --> unfold, in strips --> matrix product, exact (`IntegerProduct`) --> int64 + bias
                --> (acc * multiplier + 2^(shift - 1)) >> shift --> saturate --> int16 out

Number format. An activation is an integer times a step; a step is a real number that exists only when a model is
frozen. Weights have 16 bits and one scale an output channel, or 8 bits with a shift for each input, which makes the
file smaller. The multiplier turns ``input step * weight scale`` into the output step; a second one, for negative
values, is the leaky ReLU. Every output saturates at its declared bounds: that is part of the format.

The matrix product is exact in any order of summation, because every sum stays below 2^53; the product with the
multiplier stays below 2^63. Both are checked when a layer is made.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from trimix.entropy_models import integer_kernels as kernels
from trimix.entropy_models.integer_product import IntegerProduct
from trimix.errors import ModelError
from trimix.shapes import Float, Int

WEIGHT_LIMIT = 2**15 - 1
ACTIVATION_LIMIT = 2**15 - 1
"""Largest magnitude of an ordinary activation."""
PARAMETER_LIMIT = 2**24
"""Largest magnitude of an input or result of any layer."""
SHIFT_LIMIT = 62


@dataclass(frozen=True)
class RequantizedActivation:
    """Bounds and steps of a layer's output, from which multipliers are derived at freeze time.

    Args:
        steps: real value of one integer step, for each output channel.
        minimum: lowest integer, for each output channel.
        maximum: highest integer, for each output channel.
        negative_slope: slope of the leaky ReLU, 1 for none.
    """

    steps: np.ndarray
    minimum: np.ndarray
    maximum: np.ndarray
    negative_slope: float = 1.0


class IntegerLayer:
    """A frozen matrix product with requantization; convolutions unfold into it.

    Args:
        weight: int16 [outputs inputs].
        bias: int64 [outputs], in units of the accumulator.
        multiplier: int64 [outputs], for accumulators >= 0.
        negative_multiplier: int64 [outputs], for accumulators < 0.
        shift: int64 [outputs], 1..62.
        minimum: int64 [outputs], lower bound of the result.
        maximum: int64 [outputs], upper bound of the result.
        input_limit: int64 [inputs], largest magnitude of each input.

    Raises:
        ModelError: a sum could leave the range in which the arithmetic is exact.
    """

    NAMES = ("weight", "bias", "multiplier", "negative_multiplier", "shift", "minimum", "maximum", "input_limit")

    def __init__(self, **arrays: np.ndarray) -> None:
        self.arrays = arrays
        self._prove_bounds()
        self._products: dict[tuple[int, int], IntegerProduct] = {}
        self._numbers = tuple(np.ascontiguousarray(arrays[name]) for name in self.NAMES[1:-1])

    @property
    def inputs(self) -> int:
        """Length of an input row."""
        return self.arrays["weight"].shape[1]

    @property
    def outputs(self) -> int:
        """Length of an output row."""
        return self.arrays["weight"].shape[0]

    def _prove_bounds(self) -> None:
        # Python integers: the proof itself must not overflow.
        limits = self.arrays["input_limit"]
        # |w| <= 2^15 and at most 2^24 per input keep this matrix product below 2^63 for up to 2^24 inputs.
        if limits.max() > PARAMETER_LIMIT or limits.min() < 0:
            raise ModelError(f"integer layer: inputs must stay within 2^24, found {limits.max()}")
        weights = np.abs(self.arrays["weight"].astype(np.int64))
        totals = weights @ limits
        if self._is_far_from_bounds(totals):
            return
        numbers = {name: self.arrays[name].tolist() for name in ("bias", "shift", "multiplier", "negative_multiplier")}
        columns = zip(totals.tolist(), *numbers.values(), strict=True)
        for index, (total, bias, shift, *multipliers) in enumerate(columns):
            bound = total + abs(bias)
            if bound >= 2**53:
                raise ModelError(f"integer layer: sum of output {index} may reach {bound}, must stay < 2^53")
            if not 1 <= shift <= SHIFT_LIMIT:
                raise ModelError(f"integer layer: shift must be 1..{SHIFT_LIMIT}, found {shift}")
            if any(bound * abs(multiplier) + 2 ** (shift - 1) >= 2**63 for multiplier in multipliers):
                raise ModelError(f"integer layer: product of output {index} may reach 2^63")

    def _is_far_from_bounds(self, totals: Int[np.ndarray, "outputs"]) -> bool:
        """In floats, many at once: what they err by is far less than the hundredth that is left."""
        bias, shift, *multipliers = (
            self.arrays[name].astype(np.float64) for name in ("bias", "shift", "multiplier", "negative_multiplier")
        )
        bounds = totals + np.abs(bias)
        products = bounds * np.maximum(*map(np.abs, multipliers)) + 2.0 ** np.clip(shift, 1, SHIFT_LIMIT)
        fits = (shift >= 1) & (shift <= SHIFT_LIMIT) & (bounds < 0.99 * 2**53) & (products < 0.99 * 2**63)
        return bool(fits.all())

    def __call__(self, rows: Int[np.ndarray, "n inputs"]) -> Int[np.ndarray, "n outputs"]:
        """Apply to rows of integers.

        Inputs must respect ``input_limit``; layers saturate, so outputs of a layer do.
        """
        return self.requantize(self.accumulate(rows))

    def accumulate(self, rows: Int[np.ndarray, "n part"], first_input: int = 0) -> Float[np.ndarray, "n outputs"]:
        """The matrix product with some of the inputs; integers, so sums of parts are that of the whole.

        Args:
            rows: consecutive inputs.
            first_input: which of the layer's inputs comes first.
        """
        part = first_input, first_input + rows.shape[1]
        if part not in self._products:
            weight, limits = (self.arrays[name][..., slice(*part)] for name in ("weight", "input_limit"))
            self._products[part] = IntegerProduct(weight, int(limits.max(initial=0)))
        return self._products[part](rows)

    def requantize(self, sums: Float[np.ndarray, "n outputs"]) -> Int[np.ndarray, "n outputs"]:
        """What becomes of the matrix product with all inputs."""
        sums = np.ascontiguousarray(sums, np.float64)
        results = np.empty(sums.shape, np.int32)
        kernels.requantize(sums, *self._numbers, results)
        return results


def freeze_layer(
    weight: Float[np.ndarray, "outputs inputs"],
    bias: Float[np.ndarray, "outputs"],
    input_steps: np.ndarray,
    input_limit: np.ndarray,
    output: RequantizedActivation,
    weight_bits: int = 16,
) -> IntegerLayer:
    """Round a float layer to integers.

    Args:
        input_steps: real value of one step of each input.
        input_limit: largest magnitude of each input, in steps.
        weight_bits: 16, or 8: then each input's weights are 8-bit integers times a power of two of that input, so
            that inputs of large activations, whose weights are small, keep their resolution.
    """
    real = weight.astype(np.float64) * input_steps[None, :]
    real_bias = bias.astype(np.float64)
    weight_scale = np.maximum(np.abs(real).max(axis=1), 1e-30) / WEIGHT_LIMIT
    # A bias beyond the accumulator's range would break the proof: scale such a row by its bias instead.
    weight_scale = np.maximum(weight_scale, np.abs(real_bias) / 2**40)
    integers = np.rint(real / weight_scale[:, None]).astype(np.int64)
    if weight_bits == 8:
        integers = _round_to_8_bits(integers)
    biases = np.rint(real_bias / weight_scale).astype(np.int64)
    bounds = np.abs(integers) @ input_limit.astype(np.int64) + np.abs(biases)
    factors = weight_scale / output.steps
    multipliers, negatives, shifts = [], [], []
    for bound, factor in zip(bounds.tolist(), factors.tolist(), strict=True):
        # As many bits as the product allows, 20 at most: 2^-20 is far below the step of any output.
        bits = min(20, 61 - int(bound).bit_length())
        shift = int(np.clip(bits - 1 - int(np.floor(np.log2(factor))), 1, 60))
        multipliers.append(round(factor * 2.0**shift))
        negatives.append(round(factor * output.negative_slope * 2.0**shift))
        shifts.append(shift)
    numbers = {
        "bias": biases,
        "multiplier": multipliers,
        "negative_multiplier": negatives,
        "shift": shifts,
        "minimum": output.minimum,
        "maximum": output.maximum,
        "input_limit": input_limit,
    }
    return IntegerLayer(
        weight=integers.astype(np.int16),
        **{name: np.asarray(values, dtype=np.int64) for name, values in numbers.items()},
    )


def column_shifts(weight: np.ndarray) -> np.ndarray:
    """For each input the smallest shift that brings its weights into 8 bits: int64 [inputs]."""
    largest = np.abs(weight.astype(np.int64)).max(axis=0)
    return np.array([max(0, int(value).bit_length() - 7) for value in largest], dtype=np.int64)


def _round_to_8_bits(weight: np.ndarray) -> np.ndarray:
    step = 1 << column_shifts(weight)
    return np.clip(np.rint(weight / step), -127, 127).astype(np.int64) * step


ROWS_AT_ONCE = 2**12
"""Largest number of positions that a convolution unfolds at once; bounds memory and changes no number."""


class IntegerConvolution:
    """A frozen convolution of stride one with zero padding, and an optional depth to space after it.

    Its results are ordinary activations, within +-(2^15 - 1), or at most 2^24 where they are a model's parameters.

    Args:
        layer: its matrix; inputs are ordered channel, kernel row, kernel column, outputs channel, row, column of the
            depth to space.
        kernel: side of the kernel, odd.
        upscale: factor of the depth to space, 1 for none.

    Raises:
        ModelError: a result may be larger than an ordinary activation.
    """

    def __init__(self, layer: IntegerLayer, kernel: int, upscale: int = 1) -> None:
        largest = max(int(np.abs(layer.arrays[name]).max()) for name in ("minimum", "maximum"))
        if largest > PARAMETER_LIMIT:
            raise ModelError(f"results of a convolution must stay within {PARAMETER_LIMIT}, found {largest}")
        self._type = np.int16 if largest <= ACTIVATION_LIMIT else np.int32
        self.layer = layer
        self.kernel = kernel
        self.upscale = upscale

    @cached_property
    def _product(self) -> IntegerProduct:
        """With the inputs in the order in which pictures lie in memory: kernel row, kernel column, channel."""
        weight = self.layer.arrays["weight"].reshape(self.layer.outputs, -1, self.kernel**2)
        ordered = np.ascontiguousarray(weight.transpose(0, 2, 1)).reshape(self.layer.outputs, -1)
        return IntegerProduct(ordered, int(self.layer.arrays["input_limit"].max()))

    def __call__(self, x: Int[np.ndarray, "H W C"]) -> Int[np.ndarray, "h w D"]:
        """Apply to integers."""
        height, width, channels = x.shape
        kernel, margin, factor = self.kernel, self.kernel // 2, self.upscale
        padded = np.pad(x, ((margin, margin), (margin, margin), (0, 0)))
        depth = self.layer.outputs // factor**2
        result = np.empty((height, factor, width, factor, depth), self._type)
        step = max(1, ROWS_AT_ONCE // width)
        for top in range(0, height, step):
            rows = min(step, height - top)
            patches = np.empty((rows, width, kernel, kernel, channels), x.dtype)
            for row in range(kernel):
                for column in range(kernel):
                    patches[:, :, row, column] = padded[top + row : top + row + rows, column : column + width]
            outputs = self.layer.requantize(self._product(patches.reshape(rows * width, -1)))
            blocks = outputs.reshape(rows, width, depth, factor, factor)
            result[top : top + rows] = blocks.transpose(0, 3, 1, 4, 2)
        return result.reshape(factor * height, factor * width, depth)
