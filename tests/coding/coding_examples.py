"""Random and extreme parameters, and an independent reference of the format in exact Python integers."""

import numpy as np

from trimix.coding import FactorizedTable, MixtureParameters, RangeDecoder
from trimix.coding.standard_tables import CDF_TABLES, INVERSE_SCALES

TOTAL = 2**30


def random_parameters(generator, count, components, indices=(20, 130), spread=2.0):
    families = generator.integers(0, 3, components).astype(np.uint8)
    shares = generator.dirichlet(np.ones(components), size=count)
    weights = np.floor(shares * 2**16).astype(np.int32)
    if components > 1:
        weights[generator.random((count, components)) < 0.1] = 0
    weights[:, 0] += 2**16 - weights.sum(axis=1, dtype=np.int32)
    means = np.rint(64 * generator.normal(0.0, spread, size=(count, components))).astype(np.int32)
    scale_indices = generator.integers(*indices, (count, components), endpoint=True).astype(np.uint8)
    return MixtureParameters(families, weights, means, scale_indices)


def drawn_symbols(generator, parameters):
    """Symbols drawn from the model itself: the decoder turns random bytes into them."""
    return RangeDecoder(generator.bytes(8 * len(parameters))).decode_mixture(parameters)


def random_table(generator, channels=5):
    lengths = generator.integers(1, 40, channels)
    rows = [generator.dirichlet(np.full(length, 0.3)) for length in lengths]
    return FactorizedTable.from_probabilities(rows, -(lengths // 2), np.full((channels, 2), 1e-4))


def exact_edge(parameters, row, value):
    """The CDF at the lower edge of a value, written from the page, in integers without bounds."""
    weighted = 0
    for k, family in enumerate(parameters.families.tolist()):
        inverse = int(INVERSE_SCALES[parameters.scale_indices[row, k]])
        position = (64 * value - 32 - int(parameters.means[row, k])) * inverse // 2**7
        index, fraction = divmod(position, 2**16)
        if index < -768:
            cdf = 0
        elif index >= 768:
            cdf = TOTAL
        else:
            left, right = (int(entry) for entry in CDF_TABLES[family, index + 768 : index + 770])
            cdf = left + (right - left) * fraction // 2**16
        weighted += int(parameters.weights[row, k]) * cdf
    return weighted // 2**16 * (TOTAL - 4098) // TOTAL + value + 2049


def exact_interval(parameters, row, value):
    if value < -2048:
        return 0, exact_edge(parameters, row, -2048)
    if value > 2047:
        return exact_edge(parameters, row, 2048), TOTAL
    return exact_edge(parameters, row, value), exact_edge(parameters, row, value + 1)


def exact_code(symbols, parameters):
    """The range coder with `low` as one unbounded integer: no words, no carry."""
    low, width, shifts = 0, 2**64 - 1, 0

    def narrow(start, frequency, bits):
        nonlocal low, width, shifts
        low += (width >> bits) * start
        width = (width >> bits) * frequency
        while width < 2**48:
            low, width, shifts = low << 16, width << 16, shifts + 1

    for row, value in enumerate(symbols.tolist()):
        lower, upper = exact_interval(parameters, row, value)
        narrow(lower, upper - lower, 30)
        if not -2048 <= value <= 2047:
            number = 2**8 + (-2049 - value if value < 0 else value - 2048)
            exponent = number.bit_length() - 1
            for _ in range(exponent - 8):
                narrow(0, 1, 1)
            narrow(1, 1, 1)
            narrow(number - 2**exponent, 1, exponent)
    size = 8 + 2 * shifts
    for length in range(size + 1):
        unit = 256 ** (size - length)
        last = -(-low // unit) * unit
        if last < low + width:
            return last.to_bytes(size, "big")[:length]
    raise AssertionError
