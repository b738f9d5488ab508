"""Compiled loops of the integer path. What they compute stands in `fixed_point` and `integer_mixture`."""

from typing import Any

from trimix.coding.compilation import kernel

Array = Any  # Numba infers the types; annotations are for the reader


@kernel
def multiply(
    rows: Array, weights: Array, parts: Array, scales: Array, sums: Array, outputs: int, widest_registers: int
) -> int:
    """Rows times a matrix, part by part of the inputs.

    Args:
        weights: by block of outputs, pair of inputs, output of the block, input of the pair.
        parts: the first pair of each, and how many.

    Returns:
        Of the loops in C how wide registers they used, in bits; 0 for none.
    """
    lanes = weights.shape[2]
    for row in range(rows.shape[0]):
        for output in range(outputs):
            total, pair = 0.0, 0
            for part in range(parts.shape[0]):
                found = 0
                for at in range(parts[part, 0], parts[part, 0] + parts[part, 1]):
                    two = weights[output // lanes, pair, output % lanes]
                    found += int(two[0]) * int(rows[row, 2 * at]) + int(two[1]) * int(rows[row, 2 * at + 1])
                    pair += 1
                total += scales[part] * found
            sums[row, output] = total
    return 0


@kernel
def requantize(
    sums: Array,
    bias: Array,
    multiplier: Array,
    negative_multiplier: Array,
    shift: Array,
    minimum: Array,
    maximum: Array,
    results: Array,
) -> None:
    """Rows of integers held in float64 -> accumulators -> results."""
    for row in range(sums.shape[0]):
        for output in range(sums.shape[1]):
            accumulator = int(sums[row, output]) + bias[output]
            factor = negative_multiplier[output] if accumulator < 0 else multiplier[output]
            value = (accumulator * factor + (1 << (shift[output] - 1))) >> shift[output]
            results[row, output] = min(max(value, minimum[output]), maximum[output])


@kernel
def softmax(logits: Array, table: Array, weights: Array) -> None:
    """``weights[n, k, m]``, proportional to ``2^(logits[n, k, m] / 256)`` along k, of sum 2^16."""
    rows, components, channels = logits.shape
    for row in range(rows):
        for channel in range(channels):
            largest = logits[row, 0, channel]
            for k in range(1, components):
                largest = max(largest, logits[row, k, channel])
            total = 0
            for k in range(components):
                below = largest - logits[row, k, channel]
                exponential = table[below & 255] >> min(below >> 8, 63)
                weights[row, k, channel] = exponential
                total += exponential
            left, which = 1 << 16, 0
            for k in range(components):
                weight = (weights[row, k, channel] << 16) // total
                weights[row, k, channel] = weight
                left -= weight
                if weight > weights[row, which, channel]:
                    which = k
            weights[row, which, channel] += left
