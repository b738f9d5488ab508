"""Speed, overhead and compile time of the range coder.

    python benchmarks/range_coder.py [--symbols 500000] [--repeats 5]

Megasymbols a second are the best of several runs on one core, after a warm-up. `random` symbols have random
mixtures of all three families (scales 0.1 to 10); `cheap` ones cost 0.05 to 0.2 bit, as most symbols of a
picture do.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time

import numpy as np

from trimix.coding import MixtureParameters, RangeDecoder, RangeEncoder


def draw_parameters(
    generator: np.random.Generator, count: int, components: int, scales: tuple[float, float], spread: float
) -> MixtureParameters:
    """Random mixtures: scales uniform in the logarithm, component means within `spread` of a common one."""
    families = (np.arange(components) % 3).astype(np.uint8)
    shares = generator.dirichlet(np.ones(components), size=count)
    weights = np.floor(shares * 2**16).astype(np.int32)
    weights[:, 0] += 2**16 - weights.sum(axis=1, dtype=np.int32)
    center = generator.normal(0.0, 5 * spread, size=(count, 1))
    means = np.rint(64 * (center + generator.normal(0.0, spread, size=(count, components)))).astype(np.int32)
    logarithms = generator.uniform(*np.log(scales), size=(count, components))
    return MixtureParameters(families, weights, means(np.exp(logarithms)))


def draw_symbols(generator: np.random.Generator, parameters: MixtureParameters) -> np.ndarray:
    """Symbols of the model itself: the decoder turns random bytes into them."""
    return RangeDecoder(generator.bytes(8 * len(parameters))).decode_mixture(parameters)


def best_seconds(repeats: int, action) -> float:
    """The shortest of several runs."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def measure(name: str, parameters: MixtureParameters, symbols: np.ndarray, repeats: int) -> None:
    """Print one row."""

    def encode() -> bytes:
        encoder = RangeEncoder()
        encoder.encode_mixture(symbols, parameters)
        return encoder.finish()

    def decode() -> np.ndarray:
        return RangeDecoder(data).decode_mixture(parameters)

    data = encode()
    assert (decode() == symbols).all()
    encoding, decoding = (best_seconds(repeats, action) for action in (encode, decode))
    bits = parameters.information_bits(symbols).sum()
    encoding, decoding = len(symbols) / encoding / 1e6, len(symbols) / decoding / 1e6
    print(
        f"{name:<8} {len(parameters.families):>2} {encoding:>9.1f} {decoding:>9.1f} "
        f"{bits / len(symbols):>12.3f} {100 * (8 * len(data) / bits - 1):>11.4f}"
    )


def measure_calls(generator: np.random.Generator, repeats: int) -> None:
    """Print the cost of a call with one symbol, the price of a wavefront pass."""
    parameters = draw_parameters(generator, 2000, 9, (0.1, 10.0), 1.0)
    symbols = draw_symbols(generator, parameters)
    parts = [(symbols[i : i + 1], parameters.rows(slice(i, i + 1))) for i in range(len(symbols))]

    def encode() -> bytes:
        encoder = RangeEncoder()
        for symbol, part in parts:
            encoder.encode_mixture(symbol, part)
        return encoder.finish()

    def decode() -> None:
        decoder = RangeDecoder(data)
        for _, part in parts:
            decoder.decode_mixture(part)

    data = encode()
    encoding, decoding = (best_seconds(repeats, action) / len(parts) * 1e6 for action in (encode, decode))
    print(f"\none symbol a call: {encoding:.1f} us encoding, {decoding:.1f} us decoding")


FIRST_USE = """
import time
start = time.perf_counter()
import numpy as np
from trimix.coding import FactorizedTable, MixtureParameters, RangeDecoder, RangeEncoder
from trimix.coding import compilation_is_cached
imported = time.perf_counter()
cached = compilation_is_cached()
one = np.ones((1, 1), np.int32)
parameters = MixtureParameters(np.zeros(1, np.uint8), one * 65536, one, np.ones((1, 1), np.uint8))
table = FactorizedTable.from_probabilities([[1.0]], [0], [[0.0, 0.0]])
parameters.information_bits(one[0])
encoder = RangeEncoder()
encoder.encode_mixture(one[0], parameters)
encoder.encode_factorized(one[0], one[0] * 0, table)
decoder = RangeDecoder(encoder.finish())
decoder.decode_mixture(parameters)
decoder.decode_factorized(one[0] * 0, table)
ready = time.perf_counter()
print(f"import {imported - start:.2f} s, first use {ready - imported:.2f} s, was cached: {cached}")
"""


def measure_compilation() -> None:
    """Print the time to readiness with an empty cache, and again with the filled one."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "NUMBA_CACHE_DIR": folder}
        for name in ("empty cache", "filled cache"):
            command = [sys.executable, "-c", FIRST_USE]
            result = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
            print(f"{name}: {result.stdout.strip()}")


def main() -> None:
    """Print the whole report."""
    parser = argparse.ArgumentParser(description="Speed, overhead and compile time of the range coder.")
    parser.add_argument("--symbols", type=int, default=500_000, help="symbols per row (default 500000)")
    parser.add_argument("--repeats", type=int, default=5, help="runs of which the best counts (default 5)")
    arguments = parser.parse_args()
    generator = np.random.default_rng(0)
    print("symbols   K  Msym/s encoding, decoding  bit/symbol  overhead %")
    for name, scales, spread in (("random", (0.1, 10.0), 1.0), ("cheap", (0.08, 0.16), 0.02)):
        for components in (1, 3, 9):
            parameters = draw_parameters(generator, arguments.symbols, components, scales, spread)
            measure(name, parameters, draw_symbols(generator, parameters), arguments.repeats)
    measure_calls(generator, arguments.repeats)
    measure_compilation()


if __name__ == "__main__":
    main()
