"""Every compiled loop of the coder. The formulas stand in `mixture_cdf` and `range_coder`.

All compiled functions stand in this one file on purpose: Numba's cache notices when the file of a function
changes, but not when the file of a function that it calls does.

Types: positions, edges and symbols are int64, which holds every product below (bounds in the comments). The
state of the coder is uint64 throughout, with constants of that type: Numba turns uint64 with int64 into
float64.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimix.coding.compilation import inlined, kernel
from trimix.coding.standard_tables import (
    CDF_BITS,
    DIRECT_MAXIMUM,
    DIRECT_MINIMUM,
    INVERSE_SCALE_BITS,
    MEAN_STEPS,
    SYMBOL_LIMIT,
    TABLE_REACH,
    TABLE_STEPS,
    WEIGHT_BITS,
)

# Numba infers the types; annotations are for the reader.
Array = NDArray[Any]
Mixture = tuple[Array, Array, Array, Array, Array, Array]
"""Families, weights, means, scale indices, CDF tables, inverse scales: see `mixture_cdf`."""
Integer = Any
Unsigned = Any

TOTAL = 1 << CDF_BITS
# 4096 direct symbols and two escapes, each with a frequency of at least 1.
SYMBOLS = DIRECT_MAXIMUM - DIRECT_MINIMUM + 3
SPREAD = TOTAL - SYMBOLS

# A position in a CDF table, in table steps with 16 fractional bits, is
# (edge - mean) * inverse_scale / (64 * 2^22) * 32 * 2^16.
FRACTION_BITS = 16
FRACTION_MASK = (1 << FRACTION_BITS) - 1
POSITION_SHIFT = INVERSE_SCALE_BITS + 6 - 5 - FRACTION_BITS
POSITION_LIMIT = (TABLE_REACH * TABLE_STEPS) << FRACTION_BITS
assert MEAN_STEPS == 1 << 6
assert TABLE_STEPS == 1 << 5

MIXTURE_ESCAPE_ORDER = 8
FACTORIZED_ESCAPE_ORDER = 0
# An excess is below 2^16 - 1 (a factorized table whose direct range lies at one end of all symbols), so the
# number that Exp-Golomb writes is below 2^16.
EXPONENT_LIMIT = 15

# A symbol of 30 bits writes at most 2 words, an escape's payload of at most 31 bits 2 more.
WORDS_PER_SYMBOL = 8

WORD_BITS = np.uint64(16)
TOP_SHIFT = np.uint64(48)
WIDTH_MINIMUM = np.uint64(1 << 48)
TOTAL_BITS = np.uint64(CDF_BITS)
ZERO = np.uint64(0)
ONE = np.uint64(1)

CORRUPTED = -1
"""Answer of a decoder; otherwise it returns how many symbols are done."""


# -------------------------------------------------------------------------------------------------------
# Mixture CDF


@inlined
def _table_value(tables: Array, family: Integer, position: Integer) -> Integer:
    # Saturation: the table is exactly 0 and 2^30 at its ends, so F stays monotone and continuous there.
    position = min(max(position, -POSITION_LIMIT), POSITION_LIMIT) + POSITION_LIMIT
    index = np.uint64(position >> FRACTION_BITS)
    lower = np.int64(tables[family, index])
    upper = np.int64(tables[family, index + ONE])
    return lower + (((upper - lower) * (position & FRACTION_MASK)) >> FRACTION_BITS)


@inlined
def _squeezed(weighted_sum: Integer, value: Integer) -> Integer:
    mixture = weighted_sum >> WEIGHT_BITS
    return ((mixture * SPREAD) >> CDF_BITS) + (value - DIRECT_MINIMUM + 1)


@inlined
def _edge(value: Integer, row: Integer, mixture: Mixture) -> Integer:
    families, weights, means, scale_indices, tables, inverse_scales = mixture
    # Bounds, for every int32 mean: |edge - mean| < 2^32, inverse scale <= 2^26, sum of weight * T <= 2^46.
    total = np.int64(0)
    edge = np.int64(value) * MEAN_STEPS - MEAN_STEPS // 2
    for component in range(families.shape[0]):
        weight = np.int64(weights[row, component])
        if weight == 0:
            continue
        inverse = np.int64(inverse_scales[scale_indices[row, component]])
        position = ((edge - np.int64(means[row, component])) * inverse) >> POSITION_SHIFT
        total += weight * _table_value(tables, families[component], position)
    return _squeezed(total, value)


@inlined
def _edge_pair(value: Integer, row: Integer, mixture: Mixture) -> tuple[Integer, Integer]:
    families, weights, means, scale_indices, tables, inverse_scales = mixture
    # Both edges of one symbol: the same as _edge at value and value + 1, with the parameters read once.
    lower_total = np.int64(0)
    upper_total = np.int64(0)
    edge = np.int64(value) * MEAN_STEPS - MEAN_STEPS // 2
    for component in range(families.shape[0]):
        weight = np.int64(weights[row, component])
        if weight == 0:
            continue
        inverse = np.int64(inverse_scales[scale_indices[row, component]])
        product = (edge - np.int64(means[row, component])) * inverse
        family = families[component]
        lower_total += weight * _table_value(tables, family, product >> POSITION_SHIFT)
        upper_total += weight * _table_value(tables, family, (product + MEAN_STEPS * inverse) >> POSITION_SHIFT)
    return _squeezed(lower_total, value), _squeezed(upper_total, value + 1)


@kernel
def code_symbols(symbols: Array, mixture: Mixture, codes: Array) -> None:
    """Write, of every symbol, the integer CDF at both edges and the excess beyond the direct range to `codes` [n, 3].

    Every value below (above) the direct range has the edges of the lower (upper) escape; inside the excess is negative.
    """
    for row in range(symbols.shape[0]):
        value = np.int64(symbols[row])
        lower, upper = _edge_pair(min(max(value, DIRECT_MINIMUM), DIRECT_MAXIMUM), row, mixture)
        if value < DIRECT_MINIMUM:
            lower, upper = np.int64(0), lower
        elif value > DIRECT_MAXIMUM:
            lower, upper = upper, np.int64(TOTAL)
        codes[row, 0] = lower
        codes[row, 1] = upper
        codes[row, 2] = max(DIRECT_MINIMUM - 1 - value, value - DIRECT_MAXIMUM - 1)


@kernel
def first_bad_weights(weights: Array) -> Integer:
    """Return the first row whose weights are negative or do not sum to 2^16, or -1."""
    for row in range(weights.shape[0]):
        total = np.int64(0)
        signs = np.int64(0)
        for component in range(weights.shape[1]):
            weight = np.int64(weights[row, component])
            total += weight
            signs |= weight
        if signs < 0 or total != (1 << WEIGHT_BITS):
            return row
    return -1


# -------------------------------------------------------------------------------------------------------
# The mixture in floating point, with derivatives. It guides a search; no symbol is coded with it.

LOG2_E = 1 / math.log(2)
SHARE = SPREAD / TOTAL
FLOOR = 1 / TOTAL
LAST_STEP = TABLE_REACH * TABLE_STEPS


@inlined
def _tail(tails: Array, family: Integer, distance: float) -> tuple[float, float]:
    # Mass beyond a distance >= 0 in scales, and the density there, both on straight lines between the table's points.
    position = min(distance * TABLE_STEPS, float(LAST_STEP))
    index = min(int(position), LAST_STEP - 1)
    share = position - index
    at, after = tails[family, index], tails[family, index + 1]
    return at[0] + share * (after[0] - at[0]), at[1] + share * (after[1] - at[1])


@kernel
def information_and_derivatives(
    values: Array,
    families: Array,
    tails: Array,
    log_weights: Array,
    means: Array,
    scales: Array,
    first: Integer,
    last: Integer,
    information: Array,
    by_log_weight: Array,
    by_mean: Array,
    by_scale: Array,
) -> None:
    """Write -log2 p and its derivatives for the values `first` to `last`; planes are [K, n], component first."""
    for index in range(first, last):
        value = float(values[index])
        probability = 0.0
        for component in range(families.shape[0]):
            inverse = 1.0 / float(scales[component, index])
            signed = value - float(means[component, index])
            distance = abs(signed)
            a, b = (distance - 0.5) * inverse, (distance + 0.5) * inverse
            beyond_a, at_a = _tail(tails, families[component], abs(a))
            beyond_b, at_b = _tail(tails, families[component], b)
            mass = beyond_a - beyond_b if a > 0 else 1 - beyond_a - beyond_b
            weight = math.exp(float(log_weights[component, index]))
            probability += weight * mass
            by_log_weight[component, index] = weight * mass
            # dP/dmean is odd in the distance, and in units of 1/scale; dP/dscale is even.
            slope = weight * (at_a - at_b) * inverse
            by_mean[component, index] = slope if signed > 0 else -slope
            by_scale[component, index] = weight * (a * at_a - b * at_b) * inverse
        # As the coder has it: the rest of all probability is a floor under every symbol.
        probability = probability * SHARE + FLOOR
        information[index] = -math.log2(probability)
        factor = -LOG2_E * SHARE / probability
        for component in range(families.shape[0]):
            by_log_weight[component, index] *= factor
            by_mean[component, index] *= factor
            by_scale[component, index] *= factor


# -------------------------------------------------------------------------------------------------------
# Range encoder. State: low, width, number of words written.


@inlined
def _narrow(
    low: Unsigned, width: Unsigned, filled: Integer, words: Array, start: Unsigned, frequency: Unsigned, bits: Unsigned
) -> tuple[Unsigned, Unsigned, Integer]:
    # The interval becomes its part [start, start + frequency) out of 2^bits.
    step = width >> bits
    moved = low + step * start
    if moved < low:  # overflow: one is carried into the words already written
        carry = filled - 1
        while words[carry] == np.uint16(0xFFFF):
            words[carry] = np.uint16(0)
            carry -= 1
        words[carry] += np.uint16(1)
    low = moved
    width = step * frequency
    while width < WIDTH_MINIMUM:
        words[filled] = np.uint16(low >> TOP_SHIFT)
        filled += 1
        low = low << WORD_BITS
        width = width << WORD_BITS
    return low, width, filled


@inlined
def _write_excess(
    excess: Integer, order: Integer, low: Unsigned, width: Unsigned, filled: Integer, words: Array
) -> tuple[Unsigned, Unsigned, Integer]:
    number = np.uint64(excess) + (ONE << np.uint64(order))
    exponent = np.uint64(order)
    while (number >> exponent) > ONE:
        low, width, filled = _narrow(low, width, filled, words, ZERO, ONE, ONE)
        exponent += ONE
    low, width, filled = _narrow(low, width, filled, words, ONE, ONE, ONE)
    remainder = number - (ONE << exponent)
    return _narrow(low, width, filled, words, remainder, ONE, exponent)


@kernel
def encode(codes: Array, escape_order: Integer, first: Integer, state: Array, words: Array) -> Integer:
    """Encode symbols from index `first` on; return how many are done (fewer than all: `words` must grow)."""
    low, width, filled = state[0], state[1], np.int64(state[2])
    last = words.shape[0] - WORDS_PER_SYMBOL
    row = np.int64(first)
    while row < codes.shape[0] and filled <= last:
        lower, upper = np.uint64(codes[row, 0]), np.uint64(codes[row, 1])
        low, width, filled = _narrow(low, width, filled, words, lower, upper - lower, TOTAL_BITS)
        if codes[row, 2] >= 0:
            low, width, filled = _write_excess(codes[row, 2], escape_order, low, width, filled, words)
        row += 1
    state[0], state[1], state[2] = low, width, np.uint64(filled)
    return row


# -------------------------------------------------------------------------------------------------------
# Range decoder. State: offset of the code in the interval, width of the interval, number of words read.
# It holds offset < width at all times, whatever the words are. A decoder needs no more words than the encoder
# has written, so a short file that claims many symbols ends at once.


@inlined
def _take(
    offset: Unsigned, width: Unsigned, used: Integer, words: Array, start: Unsigned, frequency: Unsigned, step: Unsigned
) -> tuple[Unsigned, Unsigned, Integer]:
    offset -= step * start
    width = step * frequency
    while width < WIDTH_MINIMUM:
        word = ZERO
        if used < words.shape[0]:
            word = np.uint64(words[used])
        used += 1  # past the end of the words the caller refuses the symbol
        offset = (offset << WORD_BITS) | word
        width = width << WORD_BITS
    return offset, width, used


@inlined
def _take_bits(
    offset: Unsigned, width: Unsigned, used: Integer, words: Array, bits: Unsigned
) -> tuple[Unsigned, Unsigned, Unsigned, Integer]:
    step = width >> bits
    # An encoder never leaves the code in the rest of the width, which belongs to no value: value >= 2^bits
    # tells.
    value = offset // step
    if value >> bits != ZERO:
        return value, offset, width, used
    offset, width, used = _take(offset, width, used, words, value, ONE, step)
    return value, offset, width, used


@inlined
def _read_excess(
    order: Integer, offset: Unsigned, width: Unsigned, used: Integer, words: Array
) -> tuple[Integer, Unsigned, Unsigned, Integer]:
    # A longer prefix belongs to no symbol.
    exponent = np.uint64(order)
    value, offset, width, used = _take_bits(offset, width, used, words, ONE)
    while value == ZERO:
        exponent += ONE
        if exponent > np.uint64(EXPONENT_LIMIT):
            return np.int64(CORRUPTED), offset, width, used
        value, offset, width, used = _take_bits(offset, width, used, words, ONE)
    if value > ONE:
        return np.int64(CORRUPTED), offset, width, used
    value, offset, width, used = _take_bits(offset, width, used, words, exponent)
    if value >> exponent != ZERO:
        return np.int64(CORRUPTED), offset, width, used
    number = (ONE << exponent) + value
    return np.int64(number - (ONE << np.uint64(order))), offset, width, used


@kernel
def decode_mixture(symbols: Array, mixture: Mixture, state: Array, words: Array) -> Integer:
    """Decode as many symbols as `symbols` holds; return their number, or CORRUPTED."""
    families, weights, means, _, _, _ = mixture
    offset, width, used = state[0], state[1], np.int64(state[2])
    for row in range(symbols.shape[0]):
        step = width >> TOTAL_BITS
        if offset >= step << TOTAL_BITS:
            return CORRUPTED
        # Start at the weighted mean. Which way the search goes decides its speed only.
        mean_sum = np.int64(0)
        for component in range(families.shape[0]):
            mean_sum += np.int64(weights[row, component]) * np.int64(means[row, component])
        guess = ((mean_sum >> WEIGHT_BITS) + MEAN_STEPS // 2) // MEAN_STEPS
        guess = min(max(guess, DIRECT_MINIMUM), DIRECT_MAXIMUM)
        lower, upper = _edge_pair(guess, row, mixture)
        # The code lies in [edge of low_value, edge of high_value). Edges are compared as step * edge with the
        # offset, which saves the division offset / step.
        low_value, low_edge = np.int64(DIRECT_MINIMUM - 1), np.int64(0)
        high_value, high_edge = np.int64(DIRECT_MAXIMUM + 2), np.int64(TOTAL)
        down = offset < step * np.uint64(lower)
        if down:
            high_value, high_edge = guess, lower
        else:
            low_value, low_edge = guess, lower
            if offset < step * np.uint64(upper):
                high_value, high_edge = guess + 1, upper
            else:
                low_value, low_edge = guess + 1, upper
        # Gallop away from the guess with doubled strides until the code lies between, then bisect.
        stride = np.int64(1)
        while high_value - low_value > 1:
            probe = high_value - stride if down else low_value + stride
            stride *= 2
            if probe <= low_value or probe >= high_value:
                probe = (low_value + high_value) >> 1
            edge = _edge(probe, row, mixture)
            if offset < step * np.uint64(edge):
                high_value, high_edge = probe, edge
                if not down:
                    stride = np.int64(1 << 20)
            else:
                low_value, low_edge = probe, edge
                if down:
                    stride = np.int64(1 << 20)
        offset, width, used = _take(
            offset, width, used, words, np.uint64(low_edge), np.uint64(high_edge - low_edge), step
        )
        value = low_value
        if value < DIRECT_MINIMUM or value > DIRECT_MAXIMUM:
            excess, offset, width, used = _read_excess(MIXTURE_ESCAPE_ORDER, offset, width, used, words)
            value = value - excess if value < 0 else value + excess
            if excess < 0 or abs(value) >= SYMBOL_LIMIT:
                return CORRUPTED
        if used > words.shape[0]:
            return CORRUPTED
        symbols[row] = value
    state[0], state[1], state[2] = offset, width, np.uint64(used)
    return symbols.shape[0]


@kernel
def decode_factorized(
    symbols: Array, channels: Array, cdf: Array, lengths: Array, offsets: Array, state: Array, words: Array
) -> Integer:
    """Decode as many symbols as `symbols` holds; return their number, or CORRUPTED."""
    offset, width, used = state[0], state[1], np.int64(state[2])
    for row in range(symbols.shape[0]):
        step = width >> TOTAL_BITS
        if offset >= step << TOTAL_BITS:
            return CORRUPTED
        channel = channels[row]
        length = np.int64(lengths[channel])
        low_rank, high_rank = np.int64(0), length + 2
        while high_rank - low_rank > 1:
            probe = (low_rank + high_rank) >> 1
            if offset < step * np.uint64(cdf[channel, probe]):
                high_rank = probe
            else:
                low_rank = probe
        lower = np.uint64(cdf[channel, low_rank])
        upper = np.uint64(cdf[channel, high_rank])
        offset, width, used = _take(offset, width, used, words, lower, upper - lower, step)
        value = np.int64(offsets[channel]) + low_rank - 1
        if low_rank == 0 or low_rank == length + 1:
            excess, offset, width, used = _read_excess(FACTORIZED_ESCAPE_ORDER, offset, width, used, words)
            value = value - excess if low_rank == 0 else value + excess
            if excess < 0 or abs(value) >= SYMBOL_LIMIT:
                return CORRUPTED
        if used > words.shape[0]:
            return CORRUPTED
        symbols[row] = value
    state[0], state[1], state[2] = offset, width, np.uint64(used)
    return symbols.shape[0]
