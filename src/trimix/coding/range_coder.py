"""Range coder: symbols to bytes and back, first in, first out.

Part of the file format; the probabilities stand in `mixture_cdf`. The encoder holds an interval [low, low +
width) with 2^48 <= width < 2^64, at first [0, 2^64 - 1). A symbol with the CDF edges [a, b) out of 2^30
narrows it:

    step = width >> 30
    low = low + step * a, width = step * (b - a)
    while width < 2^48: the upper 16 bits of low are written (big-endian), low and width are shifted 16 bits
    left

A carry out of low's 64 bits goes into the words already written. k equiprobable bits of value x are coded the
same way: step = width >> k, low + step * x, width = step. As width >= 2^48, the rounding of step costs less
than 2^-18 of a symbol's probability, also for symbols of a hundredth of a bit.

At the end follow at most 8 more bytes, the fewest that name a number in the interval: the decoder reads up to
8 zero bytes past the end, never more. No symbols give no bytes. The bytes do not tell how many symbols they hold.

    >>> encoder = RangeEncoder()
    >>> encoder.encode_mixture(symbols, parameters)
    >>> data = encoder.finish()
    >>> bool((RangeDecoder(data).decode_mixture(parameters) == symbols).all())
    True

The compiled loops stand in `kernels`.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimix.coding.kernels import (
    CORRUPTED,
    FACTORIZED_ESCAPE_ORDER,
    MIXTURE_ESCAPE_ORDER,
    WORDS_PER_SYMBOL,
    decode_factorized,
    decode_mixture,
    encode,
)
from trimix.coding.mixture_cdf import FactorizedTable, MixtureParameters
from trimix.errors import CorruptedFileError

_FIRST_CAPACITY = 1024
_FULL_WIDTH = (1 << 64) - 1


class RangeEncoder:
    """Encodes symbols, in any number of calls: the bytes depend on the order of the symbols only."""

    def __init__(self) -> None:
        """Start with no symbols."""
        self._state: NDArray[np.uint64] = np.array([0, _FULL_WIDTH, 0], dtype=np.uint64)
        self._words: NDArray[np.uint16] = np.empty(_FIRST_CAPACITY, dtype=np.uint16)

    def encode_mixture(self, symbols: NDArray[np.int32], parameters: MixtureParameters) -> None:
        """Encode symbols, int32 [n], each with its row of the parameters.

        Raises ValueError, and encodes nothing, if a symbol does not lie in +-(2^15 - 1) or the type or length
        is another.
        """
        self._encode(parameters.codes(symbols), MIXTURE_ESCAPE_ORDER)

    def encode_factorized(
        self, symbols: NDArray[np.int32], channels: NDArray[np.int32], table: FactorizedTable
    ) -> None:
        """Encode symbols, int32 [n], each with the table row of its channel, int32 [n].

        Raises ValueError, and encodes nothing, if a symbol does not lie in +-(2^15 - 1), a channel not in the
        table, or a type or length is another.
        """
        self._encode(table.codes(symbols, channels), FACTORIZED_ESCAPE_ORDER)

    def _encode(self, codes: NDArray[np.int64], escape_order: int) -> None:
        done = 0
        while done < codes.shape[0]:
            done = encode(codes, escape_order, done, self._state, self._words)
            if int(self._state[2]) + WORDS_PER_SYMBOL > self._words.shape[0]:
                self._words = np.concatenate([self._words, np.empty_like(self._words)])

    def finish(self) -> bytes:
        """Return the bytes of all symbols so far, as few as possible. The encoder may go on afterwards."""
        low, width, filled = (int(part) for part in self._state)
        carry, end = _end(low, width)
        written = int.from_bytes(self._words[:filled].astype(">u2").tobytes(), "big") + carry
        # Zeros in the words stay, so that a decoder knows how far it may read.
        return written.to_bytes(2 * filled, "big") + end


def _end(low: int, width: int) -> tuple[int, bytes]:
    """The bytes after the words, the fewest that name a number in the interval; and what is carried into the words."""
    for length in range(9):
        # The smallest number >= low that ends in 8 - length zero bytes.
        mask = (1 << (64 - 8 * length)) - 1
        last = (low + mask) & ~mask
        if last < low + width:
            return last >> 64, (last & _FULL_WIDTH).to_bytes(8, "big")[:length].rstrip(b"\0")
    raise AssertionError("the interval of the range coder is empty")  # pragma: no cover  (length 8 gives low itself)


class RangeDecoder:
    """Decodes the symbols of a `RangeEncoder`: the same parameters in the same order, in any number of calls.

    Any bytes give symbols or CorruptedFileError, in bounded time. Wrong bytes or parameters mostly give wrong
    symbols: a checksum belongs around the coder.
    """

    def __init__(self, data: bytes) -> None:
        """Start at the first symbol of `data`."""
        self._data = data
        padded = data + bytes(8)
        words = np.frombuffer(padded, dtype=">u2", count=4 + len(data) // 2)
        self._words: NDArray[np.uint16] = words.astype(np.uint16)[4:]
        self._state: NDArray[np.uint64] = np.array([int.from_bytes(padded[:8], "big"), _FULL_WIDTH, 0], dtype=np.uint64)

    def decode_mixture(self, parameters: MixtureParameters) -> NDArray[np.int32]:
        """Return the next symbols, one for each row of the parameters: int32 [n].

        Raises CorruptedFileError if no symbols have these bytes.
        """
        symbols = np.empty(len(parameters), dtype=np.int32)
        answer = decode_mixture(symbols, parameters.kernel_arguments(), self._state, self._words)
        return self._checked(symbols, answer)

    def decode_factorized(self, channels: NDArray[np.int32], table: FactorizedTable) -> NDArray[np.int32]:
        """Return the next symbols, one for each channel number, int32 [n]: int32 [n].

        Raises CorruptedFileError if no symbols have these bytes, ValueError for a channel out of the table.
        """
        channels = table.checked_channels(channels, None)
        symbols = np.empty(channels.shape[0], dtype=np.int32)
        answer = decode_factorized(symbols, channels, table.cdf, table.lengths, table.offsets, self._state, self._words)
        return self._checked(symbols, answer)

    def finish(self) -> None:
        """Check that the bytes end as an encoder ends them after the symbols so far; else CorruptedFileError.

        One row of symbols has one spelling: nothing can be hidden behind it.
        """
        offset, width, used = (int(part) for part in self._state)
        rest = self._data[2 * used :]
        low = (int.from_bytes(rest[:8].ljust(8, b"\0"), "big") - offset) & _FULL_WIDTH
        if rest != (end := _end(low, width)[1]):
            raise CorruptedFileError(
                f"compressed symbols must end with {end.hex() or 'their last word'}, found {len(rest)} bytes there, "
                f"{rest[:8].hex() or 'none'}: the file is damaged, get it again"
            )

    def _checked(self, symbols: NDArray[Any], answer: int) -> NDArray[np.int32]:
        if answer == CORRUPTED:
            raise CorruptedFileError(
                "compressed symbols must be what an encoder writes, found bytes that belong to no symbol: "
                "the file is damaged, get it again"
            )
        return symbols
