"""The loops in C and the same loops by Numba give the same bits, whatever they are given."""

import importlib.util

import numpy as np
import pytest

from trimix.coding import FactorizedTable, compilation, kernels
from trimix.coding.float_mixture import _TAILS
from trimix.coding.range_coder import RangeDecoder, RangeEncoder
from trimix.coding.standard_tables import CDF_TABLES, INVERSE_SCALES
from trimix.distortion import planes as windows
from trimix.entropy_models import integer_kernels, integer_product
from trimix.entropy_models.integer_mixture import exponential_table
from trimix.entropy_models.integer_product import IntegerProduct

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(compilation._native is None, reason="built without a C compiler: there is Numba only"),
]
COUNT = 3000
RANDOM = np.random.default_rng(1)


@pytest.fixture
def compare(monkeypatch):
    """Call a function of a module with copies of arguments by C and by Numba; all that they may write is the same."""
    monkeypatch.setattr(compilation, "_native", None)
    monkeypatch.setattr(compilation, "_dispatchers", [])

    def compared(module, name, *arguments):
        spec = importlib.util.spec_from_file_location(module.__name__, module.__file__)
        by_numba = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(by_numba)
        native = getattr(module, name)
        assert isinstance(native, compilation.NativeKernel)
        results = []
        for function in (native, getattr(by_numba, name)):
            given = [one.copy() if isinstance(one, np.ndarray) else one for one in arguments]
            answer = function(*given) or 0
            results.append([answer, *(one.tobytes() for one in given if isinstance(one, np.ndarray))])
        assert results[0] == results[1]
        return results[0][0], given

    return compared


def mixture(components=5):
    """Arguments of a mixture: weights of 0, means of every size, all scales and families."""
    shape = (COUNT, components)
    cuts = np.sort(RANDOM.integers(0, 2**16 + 1, (COUNT, components - 1)), axis=1)
    cuts[RANDOM.random(COUNT) < 0.1] = 0
    weights = np.diff(cuts, axis=1, prepend=0, append=2**16).astype(np.int32)
    means = np.rint(RANDOM.normal(0, 64, shape) * 2.0 ** RANDOM.integers(0, 10, shape)).astype(np.int32)
    means[:20] = RANDOM.integers(-(2**31), 2**31, (20, components))
    families = RANDOM.integers(0, len(CDF_TABLES), components).astype(np.uint8)
    return families, weights, means, RANDOM.integers(0, 256, shape).astype(np.uint8), CDF_TABLES, INVERSE_SCALES


def symbols(parameters):
    """Near the means as a rule, escapes among them, both ends of all symbols, too."""
    found = (parameters[2][:, 0] // 64).clip(-32767, 32767)
    found[::7] = RANDOM.integers(-32767, 32768, len(found[::7]))
    found[:2] = -32767, 32767
    return found.astype(np.int32)


def coder():
    return RangeEncoder()._state.copy(), np.zeros(8 * COUNT + 8, np.uint16)


def table():
    frequencies = RANDOM.integers(1, 2**20, (4, 12))
    frequencies[:, 0] += 2**30 - frequencies.sum(axis=1)
    cdf = np.concatenate([np.zeros((4, 1), np.int64), frequencies.cumsum(axis=1)], axis=1).astype(np.uint32)
    return cdf, np.full(4, 10, np.int32), np.array([-5, 0, 32758, -32767], np.int32)


def finished(written):
    encoder = RangeEncoder()
    encoder._state, encoder._words = written
    decoder = RangeDecoder(encoder.finish())
    return decoder._state, decoder._words


def test_edges_and_checks_of_mixtures(compare):
    parameters = mixture()
    compare(kernels, "code_symbols", symbols(parameters), parameters, np.empty((COUNT, 3), np.int64))
    assert compare(kernels, "first_bad_weights", parameters[1])[0] == -1
    parameters[1][17, 2] -= 1
    assert compare(kernels, "first_bad_weights", parameters[1])[0] == 17


def test_mixtures_are_written_and_read_alike(compare):
    parameters = mixture()
    wanted = symbols(parameters)
    codes = np.empty((COUNT, 3), np.int64)
    kernels.code_symbols(wanted, parameters, codes)
    done, given = compare(kernels, "encode", codes, kernels.MIXTURE_ESCAPE_ORDER, 0, *coder())
    assert done == COUNT
    state, words = coder()
    assert 0 < compare(kernels, "encode", codes, kernels.MIXTURE_ESCAPE_ORDER, 0, state, words[:200].copy())[0] < COUNT
    found = np.zeros(COUNT, np.int32)
    answer, read = compare(kernels, "decode_mixture", found, parameters, *finished(given[-2:]))
    assert answer == COUNT
    assert (read[0] == wanted).all()


def test_tables_are_written_and_read_alike(compare):
    numbers = table()
    channels = RANDOM.integers(0, 4, COUNT).astype(np.int32)
    wanted = (numbers[2][channels] + RANDOM.integers(-3, 14, COUNT)).clip(-32767, 32767).astype(np.int32)
    codes = FactorizedTable(*numbers).codes(wanted, channels)
    done, given = compare(kernels, "encode", codes, kernels.FACTORIZED_ESCAPE_ORDER, 0, *coder())
    assert done == COUNT
    answer, read = compare(
        kernels, "decode_factorized", np.zeros(COUNT, np.int32), channels, *numbers, *finished(given[-2:])
    )
    assert answer == COUNT
    assert (read[0] == wanted).all()


@pytest.mark.parametrize("seed", range(20))
def test_any_words_are_read_alike(compare, seed):
    random = np.random.default_rng(seed)
    state = np.array([random.integers(0, 2**64 - 1, dtype=np.uint64), 2**64 - 1, 0], np.uint64)
    words = random.integers(0, 2**16, random.integers(0, 2000)).astype(np.uint16)
    words[random.random(len(words)) < 0.2] = random.choice([0, 2**16 - 1])
    compare(kernels, "decode_mixture", np.zeros(COUNT, np.int32), mixture(), state, words)
    channels = random.integers(0, 4, COUNT).astype(np.int32)
    compare(kernels, "decode_factorized", np.zeros(COUNT, np.int32), channels, *table(), state, words)


def test_the_integer_path(compare):
    outputs = 37
    numbers = [
        RANDOM.integers(-(2**40), 2**40, outputs),
        RANDOM.integers(0, 2**10, outputs),
        RANDOM.integers(-(2**10), 2**10, outputs),
        RANDOM.integers(1, 30, outputs),
        RANDOM.integers(-(2**15), 0, outputs),
        RANDOM.integers(0, 2**15, outputs),
    ]
    sums = RANDOM.integers(-(2**50), 2**50, (200, outputs)).astype(np.float64)
    compare(integer_kernels, "requantize", sums, *numbers, np.empty(sums.shape, np.int32))
    logits = RANDOM.integers(-(2**14), 2**14, (100, 9, 7)) // RANDOM.integers(1, 200, (100, 1, 7))
    compare(integer_kernels, "softmax", logits, exponential_table(), np.empty_like(logits))


def test_products(compare, monkeypatch):
    monkeypatch.setattr(integer_product, "is_native", lambda: True)
    product = IntegerProduct(RANDOM.integers(-(2**15) + 1, 2**15, (37, 600)).astype(np.int16), 2**15 - 1)
    rows = RANDOM.integers(-(2**15) + 1, 2**15, (7, 600)).astype(np.int16)
    given = product._weight, product._parts, product._scales, np.empty((7, 37)), 37
    compare(integer_kernels, "multiply", rows, *given, 0)


def test_floats_of_searches(compare):
    planes = [RANDOM.normal(0, 3, (9, COUNT)).astype(np.float32) for _ in range(2)]
    scales = np.exp(RANDOM.normal(0, 2, (9, COUNT))).astype(np.float32)
    values, families = RANDOM.normal(0, 5, COUNT).astype(np.float32), (np.arange(9) % 3).astype(np.uint8)
    results = [np.zeros(COUNT, np.float32), *(np.zeros((9, COUNT), np.float32) for _ in range(3))]
    compare(kernels, "information_and_derivatives", values, families, _TAILS, *planes, scales, 10, COUNT - 10, *results)
    x, window = RANDOM.normal(0, 1, (3, 40, 51)).astype(np.float32), np.array([0.1, 0.2, 0.4, 0.2, 0.1], np.float32)
    for margin in (0, 2, 4):
        result = np.empty((3, 36 + 2 * margin, 47 + 2 * margin), np.float32)
        compare(windows, "add_up", x, window, margin, np.empty(51, np.float32), result)


def test_what_is_of_another_type_is_refused():
    weights = np.ones((2, 3), np.int32)
    for wrong in (weights.astype(np.int64), weights.T):
        with pytest.raises(TypeError, match="takes contiguous int32"):
            kernels.first_bad_weights(wrong)
