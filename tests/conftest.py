"""What holds for all tests."""

import os
import signal

# Tiny tensors gain nothing from threads, and lose much where cores are shared. Before torch is imported, and for
# the commands that tests start; tests of threads ask for them.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
from hypothesis import settings

# Where the suite runs in the background, Ctrl-C may be ignored, and by all that tests start: some send it.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A shared machine may pause a test for long: no deadline per example. Examples are the same in every run.
settings.register_profile("trimix", deadline=None, derandomize=True)
settings.load_profile("trimix")


@pytest.fixture(scope="session", autouse=True)
def compiled_coder() -> None:
    """Every kernel of the coder is compiled and cached, as after the first use.

    Otherwise the first tests on a new machine would wait for it, and find commands that speak of it.
    """
    from trimix.coding import (
        DECODING_KERNELS,
        SEARCHING_KERNELS,
        WEIGHT_BITS,
        FactorizedTable,
        MixtureParameters,
        RangeDecoder,
        RangeEncoder,
        compilation_is_cached,
        information,
    )

    kernels = (*SEARCHING_KERNELS, *DECODING_KERNELS)
    if compilation_is_cached(kernels):
        return
    symbols = np.zeros(1, np.int32)
    mixture = MixtureParameters(
        np.array([0], np.uint8),
        np.full((1, 1), 2**WEIGHT_BITS, np.int32),
        np.zeros((1, 1), np.int32),
        np.full((1, 1), 64, np.uint8),
    )
    table = FactorizedTable.from_probabilities([[0.5, 0.5]], [0], [[0.0, 0.0]])
    encoder = RangeEncoder()
    encoder.encode_mixture(symbols, mixture)
    encoder.encode_factorized(symbols, symbols, table)
    decoder = RangeDecoder(encoder.finish())
    decoder.decode_mixture(mixture)
    decoder.decode_factorized(symbols, table)
    mixture.information_bits(symbols)
    plane = np.ones((1, 1), np.float32)
    information(np.zeros(1, np.float32), [0], 0 * plane, 0 * plane, plane)
    assert compilation_is_cached(kernels)
