from itertools import pairwise

import numpy as np
import pytest
from coding_examples import drawn_symbols, exact_code, random_parameters, random_table
from hypothesis import given, settings
from hypothesis import strategies as st

from trimix.coding import FactorizedTable, MixtureParameters, RangeDecoder, RangeEncoder, kernels
from trimix.errors import CorruptedFileError

INTEGERS = st.integers(0, 2**32 - 1)


def encoded(symbols, parameters):
    encoder = RangeEncoder()
    encoder.encode_mixture(symbols, parameters)
    return encoder.finish()


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    seed=INTEGERS,
    count=st.integers(0, 300),
    components=st.integers(1, 9),
    spread=st.sampled_from([0.1, 5.0, 3000.0, 30000.0]),
    reach=st.sampled_from([0, 3, 2100, 32767]),
)
def test_every_symbol_comes_back_and_the_bytes_are_those_of_the_page(seed, count, components, spread, reach):
    generator = np.random.default_rng(seed)
    parameters = random_parameters(generator, count, components, (0, 255), spread)
    symbols = generator.integers(-reach, reach, count, endpoint=True).astype(np.int32)
    data = encoded(symbols, parameters)
    assert data == exact_code(symbols, parameters)
    assert (RangeDecoder(data).decode_mixture(parameters) == symbols).all()
    assert 8 * len(data) <= parameters.information_bits(symbols).sum() * 1.001 + 64


@settings(max_examples=25, deadline=None, derandomize=True)
@given(seed=INTEGERS, parts=st.lists(st.tuples(st.booleans(), st.integers(0, 40)), max_size=12))
def test_mixtures_and_tables_interleave_in_any_number_of_calls(seed, parts):
    generator = np.random.default_rng(seed)
    table = random_table(generator)
    encoder = RangeEncoder()
    written = []
    for is_mixture, count in parts:
        reach = int(generator.choice([2, 50, 32767]))
        symbols = generator.integers(-reach, reach, count, endpoint=True).astype(np.int32)
        channels = generator.integers(0, len(table), count).astype(np.int32)
        parameters = random_parameters(generator, count, 3)
        written.append((is_mixture, symbols, channels, parameters))
        if is_mixture:
            encoder.encode_mixture(symbols, parameters)
        else:
            encoder.encode_factorized(symbols, channels, table)
    decoder = RangeDecoder(encoder.finish())
    for is_mixture, symbols, channels, parameters in written:
        found = decoder.decode_mixture(parameters) if is_mixture else decoder.decode_factorized(channels, table)
        assert found.dtype == np.int32 and (found == symbols).all()


def test_many_calls_give_the_bytes_of_one():
    generator = np.random.default_rng(1)
    parameters = random_parameters(generator, 2000, 9)
    symbols = drawn_symbols(generator, parameters)
    data = encoded(symbols, parameters)
    encoder, decoder = RangeEncoder(), RangeDecoder(data)
    borders = [0, *np.sort(generator.integers(0, 2001, 300)).tolist(), 2000]
    for start, stop in pairwise(borders):
        part = parameters.rows(slice(start, stop))
        encoder.encode_mixture(symbols[start:stop], part)
        assert (decoder.decode_mixture(part) == symbols[start:stop]).all()
    assert encoder.finish() == data == encoder.finish()


def test_no_symbols_give_no_bytes():
    assert RangeEncoder().finish() == b""
    assert encoded(np.zeros(0, np.int32), random_parameters(np.random.default_rng(2), 0, 3)) == b""
    assert RangeDecoder(b"").decode_mixture(random_parameters(np.random.default_rng(2), 0, 3)).size == 0


def test_one_probable_symbol_needs_one_byte_at_most():
    parameters = MixtureParameters(
        np.zeros(1, np.uint8), np.full((1, 1), 2**16, np.int32), np.zeros((1, 1), np.int32), np.zeros((1, 1), np.uint8)
    )
    assert len(encoded(np.zeros(1, np.int32), parameters)) <= 1


def test_a_carry_runs_through_many_words():
    table = random_table(np.random.default_rng(3), 1)
    encoder = RangeEncoder()
    encoder._words[:5] = [7, 0xFFFE, 0xFFFF, 0xFFFF, 0xFFFF]
    encoder._state[:] = [2**64 - 1, 2**60, 5]
    encoder.encode_factorized(np.full(1, 32767, np.int32), np.zeros(1, np.int32), table)
    assert encoder._words[:5].tolist() == [7, 0xFFFF, 0, 0, 0]


def test_the_end_may_carry_and_leave_out_zeros():
    encoder = RangeEncoder()
    encoder._words[:3] = [7, 0xFF, 0xFFFF]
    encoder._state[:] = [2**64 - 2, 2**48, 3]
    assert encoder.finish() == bytes([0, 7, 1, 0, 0, 0])
    encoder._words[:3] = [7, 0, 0]
    encoder._state[:] = [0, 2**60, 3]
    assert encoder.finish() == bytes([0, 7, 0, 0, 0, 0])


@pytest.mark.parametrize("count", [0, 1, 5, 200])
def test_a_decoder_that_wants_more_than_was_written_stops(count):
    generator = np.random.default_rng(12)
    parameters = random_parameters(generator, count, 3)
    data = encoded(drawn_symbols(generator, parameters), parameters)
    decoder = RangeDecoder(data)
    decoder.decode_mixture(parameters)
    # Past the end at most 8 zero bytes are read: 64 bits, which hold no thousand symbols of a bit each.
    many = 1000
    half = np.full(many, 2**16, np.int32)[:, None]
    scales = np.full((many, 1), 80, np.uint8)
    more = MixtureParameters(np.zeros(1, np.uint8), half, np.zeros((many, 1), np.int32), scales)
    with pytest.raises(CorruptedFileError):
        decoder.decode_mixture(more)
    with pytest.raises(CorruptedFileError):
        RangeDecoder(b"").decode_factorized(np.zeros(many, np.int32), random_table(generator))


def test_the_buffer_grows():
    generator = np.random.default_rng(10)
    parameters = random_parameters(generator, 5000, 1)
    symbols = generator.integers(-32767, 32768, 5000).astype(np.int32)
    data = encoded(symbols, parameters)
    assert len(data) > 10_000
    assert (RangeDecoder(data).decode_mixture(parameters) == symbols).all()


def test_the_size_is_within_a_thousandth_of_the_information():
    generator = np.random.default_rng(4)
    parameters = random_parameters(generator, 50_000, 9)
    symbols = drawn_symbols(generator, parameters)
    bits = parameters.information_bits(symbols).sum()
    assert 8 * len(encoded(symbols, parameters)) <= 1.001 * bits + 64
    table = random_table(generator)
    channels = generator.integers(0, 5, 20_000).astype(np.int32)
    symbols = RangeDecoder(generator.bytes(100_000)).decode_factorized(channels, table)
    encoder = RangeEncoder()
    encoder.encode_factorized(symbols, channels, table)
    assert 8 * len(encoder.finish()) <= 1.001 * table.information_bits(symbols, channels).sum() + 64


@pytest.mark.parametrize("components", [1, 9])
def test_cheap_symbols_stay_cheap(components):
    generator = np.random.default_rng(5)
    parameters = random_parameters(generator, 200_000, components, (5, 24), 0.02)  # scales 0.08 to 0.18
    symbols = drawn_symbols(generator, parameters)
    bits = parameters.information_bits(symbols).sum()
    assert 0.05 < bits / len(symbols) < 0.3
    assert 8 * len(encoded(symbols, parameters)) <= 1.0005 * bits + 64


def test_frozen_words():
    # These bytes are the file format. If they change, old files are lost.
    parameters = MixtureParameters(
        np.array([0, 1, 2], np.uint8),
        np.array([[30000, 20000, 15536], [65536, 0, 0], [0, 65535, 1], [1, 1, 65534]] * 3, np.int32),
        np.array([[0, 10, -70], [640, 0, 0], [-6400, 5, 7], [130000, -130000, 33]] * 3, np.int32),
        np.array([[64, 70, 40], [0, 1, 2], [100, 255, 3], [9, 120, 200]] * 3, np.uint8),
    )
    symbols = np.array([0, 10, -100, 3, -1, 9, 2048, -2049, 5, 10, -32767, 32767], np.int32)
    table = frozen_table()
    encoder = RangeEncoder()
    encoder.encode_mixture(symbols, parameters)
    channels = np.array([0, 1, 0, 1, 1], np.int32)
    encoder.encode_factorized(np.array([0, -3, 7, 1, -20], np.int32), channels, table)
    assert encoder.finish().hex() == FROZEN


def frozen_table():
    cdf = np.array([[0, 1000, 2**29, 2**30 - 7, 2**30, 2**30], [0, 5, 2**20, 2**28, 2**29, 2**30]], np.uint32)
    return FactorizedTable(cdf, np.array([2, 3], np.int32), np.array([0, -3], np.int32))


FROZEN = "950ca229f71306f3691563b2cb55c3e5342e4b4bf324fa020ac3080085"


@settings(max_examples=150, deadline=None, derandomize=True)
@given(data=st.binary(max_size=80), seed=INTEGERS, spread=st.sampled_from([1.0, 3000.0, 40000.0]))
def test_any_bytes_give_symbols_or_the_corruption_error(data, seed, spread):
    generator = np.random.default_rng(seed)
    parameters = random_parameters(generator, 200, 3, (0, 255), spread)
    table = random_table(generator)
    for decode in (
        lambda decoder: decoder.decode_mixture(parameters),
        lambda decoder: decoder.decode_factorized(generator.integers(0, 5, 200).astype(np.int32), table),
    ):
        decoder = RangeDecoder(data)
        for _ in range(2):  # also after an error
            try:
                symbols = decode(decoder)
            except CorruptedFileError:
                continue
            assert symbols.dtype == np.int32 and np.abs(symbols).max() < 2**15


def test_all_ones_are_no_encoding():
    with pytest.raises(CorruptedFileError, match="damaged"):
        RangeDecoder(b"\xff" * 8).decode_mixture(random_parameters(np.random.default_rng(6), 1, 1))


def test_truncated_and_altered_bytes_end_well():
    generator = np.random.default_rng(7)
    parameters = random_parameters(generator, 300, 3, (0, 255), 1000.0)
    symbols = generator.integers(-32767, 32768, 300).astype(np.int32)
    data = encoded(symbols, parameters)
    damaged = [data[:length] for length in range(0, len(data), 7)]
    damaged += [data[:place] + bytes([data[place] ^ 0x41]) + data[place + 1 :] for place in range(0, len(data), 5)]
    wrong = 0
    for bytes_found in damaged:
        try:
            wrong += bool((RangeDecoder(bytes_found).decode_mixture(parameters) != symbols).any())
        except CorruptedFileError:
            wrong += 1
    assert wrong == len(damaged)


def test_refused_arguments_leave_the_encoder_as_it_was():
    generator = np.random.default_rng(8)
    parameters, table = random_parameters(generator, 3, 2), random_table(generator)
    encoder = RangeEncoder()
    right = np.array([1, 2, 3], np.int32)
    encoder.encode_mixture(right, parameters)
    before = encoder.finish()
    zeros = np.zeros(3, np.int32)
    for wrong in (np.array([0, 0, 2**15], np.int32), np.array([0, -(2**31), 0], np.int32)):
        with pytest.raises(ValueError, match="clamp"):
            encoder.encode_mixture(wrong, parameters)
        with pytest.raises(ValueError, match="clamp"):
            encoder.encode_factorized(wrong, zeros, table)
        with pytest.raises(ValueError, match="clamp"):
            parameters.information_bits(wrong)
    for channels in (zeros - 1, zeros + 5):
        with pytest.raises(ValueError, match="channels"):
            encoder.encode_factorized(right, channels, table)
        with pytest.raises(ValueError, match="channels"):
            RangeDecoder(before).decode_factorized(channels, table)
    with pytest.raises(ValueError, match="int32"):
        encoder.encode_mixture(right[:2], parameters)
    assert encoder.finish() == before


def test_strided_and_read_only_arrays_do_not_compile_again():
    generator = np.random.default_rng(9)
    parameters = random_parameters(generator, 4, 3)
    symbols = np.arange(8, dtype=np.int32)[::2]
    data = encoded(symbols, parameters)
    frozen = symbols.copy()
    frozen.flags.writeable = False
    means = parameters.means.copy()
    means.flags.writeable = False
    same = MixtureParameters(parameters.families, parameters.weights, means, parameters.scale_indices)
    assert encoded(frozen, same) == data
    assert len(getattr(kernels.encode, "signatures", ["of C"])) == 1
