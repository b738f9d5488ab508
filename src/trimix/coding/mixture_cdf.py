"""The integer probabilities of symbols: mixtures for the latent, fixed tables for the hyper-latent.

Part of the file format; the numbers T and inv stand in `standard_tables`. All divisions are floors (>>
shifts).

Mixture. The CDF at the lower edge v - 1/2 of symbol v, with K components of family f, weight w, mean mu and
inverse scale inv:

    position_k = ((64 v - 32 - mu_k) * inv_k) >> 7    in table steps of 1/32, with 16 fractional bits,
                                                      saturated to +-(24 * 32 * 2^16)
    index, fraction = position_k >> 16, position_k & 65535
    T_k = T[f_k][index] + (((T[f_k][index + 1] - T[f_k][index]) * fraction) >> 16)
    F_mix(v) = (sum_k w_k * T_k) >> 16                0 .. 2^30

There are 4098 symbols: the lower escape (v < -2048), the direct values -2048..2047, the upper escape (v >
2047). Every one gets a frequency of at least 1 out of 2^30:

    F(v) = ((F_mix(v) * (2^30 - 4098)) >> 30) + v + 2049          for v = -2048 .. 2048
    lower escape [0, F(-2048)), direct value [F(v), F(v + 1)), upper escape [F(2048), 2^30)

F is strictly monotone because T is monotone and weights are not negative.

Escape payload. The excess e >= 0 beyond the direct range (-2049 - v or v - 2048) in Exp-Golomb code of order
8: with n = e + 2^8 and m = floor(log2 n), m - 8 zeros and a one, bit by bit, then the lower m bits of n at
once, all equiprobable. m <= 15, and |v| < 2^15: anything else is a corrupted file.

Factorized. Channel c has the direct values offset_c .. offset_c + L_c - 1 with an escape on both sides, and
L_c + 2 frequencies that sum to 2^30. The payload is the same with order 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trimix.coding.kernels import FACTORIZED_ESCAPE_ORDER, MIXTURE_ESCAPE_ORDER, TOTAL, code_symbols, first_bad_weights
from trimix.coding.standard_tables import CDF_BITS, CDF_TABLES, INVERSE_SCALES, SYMBOL_LIMIT, WEIGHT_BITS


def plain_array(array: NDArray[Any]) -> NDArray[Any]:
    """Return the array, or a copy if it is strided or read-only: Numba would compile again for it."""
    return array if array.flags.carray else array.copy(order="C")


def checked_vector(name: str, array: NDArray[np.int32], count: int | None) -> NDArray[np.int32]:
    """Return an int32 vector as Numba wants it. Raises ValueError for another type, rank or length."""
    if array.dtype != np.int32 or array.ndim != 1 or (count is not None and array.shape[0] != count):
        wanted = "[n]" if count is None else f"[{count}]"
        raise ValueError(f"{name} must be int32 {wanted}, found {array.dtype} {list(array.shape)}")
    return plain_array(array)


def check_families(families: NDArray[np.uint8]) -> None:
    """Refuse a family that has no row of `CDF_TABLES`: a kernel would read beyond them. Raises ValueError."""
    known = len(CDF_TABLES)
    if families.max(initial=0) >= known:
        raise ValueError(
            f"families must be numbers from 0 to {known - 1}, found {families.max()}: a newer version may know it"
        )


def _checked_symbols(symbols: NDArray[np.int32], count: int | None) -> NDArray[np.int32]:
    symbols = checked_vector("symbols", symbols, count)
    if symbols.size and (symbols.min() <= -SYMBOL_LIMIT or symbols.max() >= SYMBOL_LIMIT):
        raise ValueError(f"symbols must lie in +-{SYMBOL_LIMIT - 1}: clamp them before coding")
    return symbols


def _information_bits(codes: NDArray[np.int64], escape_order: int) -> NDArray[np.float64]:
    """-log2 of the frequency of every symbol, and the bits of its escape's payload."""
    # frexp gives the exponent of an integer exactly.
    exponent = np.frexp(np.maximum(codes[:, 2], 0) + float(1 << escape_order))[1] - 1
    payload = np.where(codes[:, 2] >= 0, 2.0 * exponent - escape_order + 1, 0.0)
    return CDF_BITS - np.log2(codes[:, 1] - codes[:, 0]) + payload


@dataclass(frozen=True, eq=False)
class MixtureParameters:
    """The distributions of n symbols: mixtures of the same K components, each with its own parameters.

        families       uint8 [K]      numbers of `Family`
        weights        int32 [n, K]   0 .. 2^16, sum to 2^16 in every row; components of weight 0 cost no time
        means          int32 [n, K]   in 1/64 of a symbol; every int32 is allowed, the CDF saturates
        scale_indices  uint8 [n, K]   index of a shipped scale, see `standard_tables`

    Raises ValueError if a type, a shape or a family is another, an array is not contiguous, or weights do not
    sum to 2^16. Arrays are shared, not copied (read-only ones are copied), and must not change afterwards.

    >>> parameters = MixtureParameters(
    ...     families=np.array([Family.GAUSSIAN, Family.LAPLACIAN], np.uint8),
    ...     weights=np.array([[40000, 25536]], np.int32),
    ...     means=np.array([[64, 96]], np.int32),  # 1.0 and 1.5
    ...     scale_indices=np.array([[48, 80]], np.uint8),  # 0.5 and 2
    ... )
    >>> parameters.information_bits(np.array([1], np.int32)).round(2).tolist()
    [1.02]
    """

    families: NDArray[np.uint8]
    weights: NDArray[np.int32]
    means: NDArray[np.int32]
    scale_indices: NDArray[np.uint8]

    def __post_init__(self) -> None:
        """Check every array once; `rows` does not check again."""
        components = self.families.shape[0] if self.families.ndim == 1 else 0
        if self.families.dtype != np.uint8 or components < 1:
            raise ValueError(f"families must be uint8 [K] with K >= 1, found {self.families!r}")
        check_families(self.families)
        shape = (self.means.shape[0] if self.means.ndim else 0, components)
        for name, dtype in (("weights", np.int32), ("means", np.int32), ("scale_indices", np.uint8)):
            array: NDArray[Any] = getattr(self, name)
            if array.dtype != dtype or array.shape != shape or not array.flags.c_contiguous:
                raise ValueError(
                    f"{name} must be {np.dtype(dtype)} {list(shape)} and contiguous, "
                    f"found {array.dtype} {list(array.shape)}"
                )
            object.__setattr__(self, name, plain_array(array))
        object.__setattr__(self, "families", plain_array(self.families))
        row = first_bad_weights(self.weights)
        if row >= 0:
            found = self.weights[row].tolist()
            raise ValueError(f"weights must be >= 0 and sum to {1 << WEIGHT_BITS}, found {found} in row {row}")

    def __len__(self) -> int:
        """Return the number of symbols n."""
        return self.means.shape[0]

    def rows(self, selection: slice | NDArray[np.integer[Any]]) -> "MixtureParameters":
        """Return the distributions of some symbols: a view for a slice of step 1, a copy otherwise."""
        part = object.__new__(MixtureParameters)
        object.__setattr__(part, "families", self.families)
        for name in ("weights", "means", "scale_indices"):
            object.__setattr__(part, name, plain_array(getattr(self, name)[selection]))
        return part

    def kernel_arguments(self) -> tuple[NDArray[Any], ...]:
        """Return the arrays in the order in which the compiled functions take them."""
        return (self.families, self.weights, self.means, self.scale_indices, CDF_TABLES, INVERSE_SCALES)

    def codes(self, symbols: NDArray[np.int32]) -> NDArray[np.int64]:
        """Return the CDF at both edges of every symbol and its excess, int64 [n, 3]; see `kernels.code_symbols`.

        `symbols`: int32 [n], |symbol| < 2^15. Raises ValueError if one is out of range, or for another type or length.
        """
        symbols = _checked_symbols(symbols, len(self))
        codes = np.empty((len(self), 3), dtype=np.int64)
        code_symbols(symbols, self.kernel_arguments(), codes)
        return codes

    def frequencies(self, symbols: NDArray[np.int32]) -> NDArray[np.int64]:
        """Return the frequency out of 2^30 of every symbol; beyond the direct range, that of its escape."""
        codes = self.codes(symbols)
        return codes[:, 1] - codes[:, 0]

    def information_bits(self, symbols: NDArray[np.int32]) -> NDArray[np.float64]:
        """Return -log2 of the probability with which the coder codes every symbol, in bits, float64 [n].

        Payloads of escapes are counted. `symbols` and errors are those of `codes`.
        """
        return _information_bits(self.codes(symbols), MIXTURE_ESCAPE_ORDER)


@dataclass(frozen=True, eq=False)
class FactorizedTable:
    """The distributions of C channels, each a fixed table.

        cdf      uint32 [C, L_max + 3]  row c: 0, the upper edges of the lower escape and of the L_c direct
                                        values, 2^30; then 2^30 up to the end of the row
        lengths  int32 [C]              number L_c >= 1 of direct values
        offsets  int32 [C]              the first direct value

    Raises ValueError if a type or shape is another, a frequency is 0, or a direct value is out of +-(2^15 -
    1).

    >>> table = FactorizedTable.from_probabilities([[0.25, 0.5, 0.25]], [-1], tail_masses=[[1e-6, 1e-6]])
    >>> table.information_bits(np.array([0, 1], np.int32), np.array([0, 0], np.int32)).round(3).tolist()
    [1.0, 2.0]
    """

    cdf: NDArray[np.uint32]
    lengths: NDArray[np.int32]
    offsets: NDArray[np.int32]

    def __post_init__(self) -> None:
        """Check that every row is a strictly monotone CDF with total 2^30."""
        channels, columns = self.cdf.shape if self.cdf.ndim == 2 else (0, 0)
        for name, dtype, shape in (
            ("cdf", np.uint32, (channels, columns)),
            ("lengths", np.int32, (channels,)),
            ("offsets", np.int32, (channels,)),
        ):
            array: NDArray[Any] = getattr(self, name)
            if array.dtype != dtype or array.shape != shape:
                raise ValueError(
                    f"{name} must be {np.dtype(dtype)} {list(shape)}, found {array.dtype} {list(array.shape)}"
                )
            object.__setattr__(self, name, plain_array(array))
        if channels == 0 or self.lengths.min() < 1 or self.lengths.max() != columns - 3:
            raise ValueError("a table needs at least one channel, lengths >= 1, and a longest length of columns - 3")
        last_values = self.offsets.astype(np.int64) + self.lengths - 1
        if self.offsets.min() <= -SYMBOL_LIMIT or last_values.max() >= SYMBOL_LIMIT:
            raise ValueError(f"direct values must lie in +-{SYMBOL_LIMIT - 1}")
        steps = np.diff(self.cdf.astype(np.int64), axis=1)
        inside = np.arange(columns - 1) < self.lengths[:, None] + 2
        if self.cdf[:, 0].any() or (self.cdf[:, -1] != TOTAL).any() or ((steps > 0) != inside).any():
            raise ValueError(f"every row must rise strictly from 0 to {TOTAL} in length + 2 steps, then stay")

    @classmethod
    def from_probabilities(
        cls, probabilities: Sequence[ArrayLike], offsets: ArrayLike, tail_masses: ArrayLike
    ) -> "FactorizedTable":
        """Quantize probabilities to frequencies >= 1 that sum to 2^30. For freezing models, never for coding.

        `probabilities`: per channel the probabilities of its direct values, L_c floats >= 0. `offsets`: [C],
        the first direct values. `tail_masses`: [C, 2], the probabilities below and above the direct values.
        Each channel is normalized to sum 1. What rounding down leaves over goes to the most probable value.

        Raises ValueError for a negative or undefined probability, a sum of 0, or unequal numbers of channels.
        """
        rows = [np.asarray(row, dtype=np.float64) for row in probabilities]
        tails = np.asarray(tail_masses, dtype=np.float64)
        if tails.shape != (len(rows), 2) or any(row.ndim != 1 for row in rows):
            raise ValueError(f"tail masses must be [{len(rows)}, 2], one pair for each vector of probabilities")
        lengths = np.array([row.size for row in rows], dtype=np.int32)
        cdf = np.full((len(rows), int(lengths.max(initial=0)) + 3), TOTAL, dtype=np.uint32)
        for channel, row in enumerate(rows):
            masses = np.concatenate([tails[channel, :1], row, tails[channel, 1:]])
            total = masses.sum()
            if not (masses >= 0.0).all() or not 0.0 < total < np.inf:
                raise ValueError(f"probabilities of channel {channel} must be finite and >= 0, with a sum > 0")
            frequencies = 1 + np.floor(masses / total * (TOTAL - masses.size)).astype(np.int64)
            frequencies[masses.argmax()] += TOTAL - frequencies.sum()
            cdf[channel, 0] = 0
            cdf[channel, 1 : masses.size + 1] = np.cumsum(frequencies)
        return cls(cdf, lengths, np.asarray(offsets).astype(np.int32))

    def __len__(self) -> int:
        """Return the number of channels C."""
        return self.lengths.shape[0]

    def checked_channels(self, channels: NDArray[np.int32], count: int | None) -> NDArray[np.int32]:
        """Return channel numbers as Numba wants them. Raises ValueError for another type, length or number."""
        channels = checked_vector("channels", channels, count)
        if channels.size and (channels.min() < 0 or channels.max() >= len(self)):
            raise ValueError(f"channels must lie in 0..{len(self) - 1}")
        return channels

    def codes(self, symbols: NDArray[np.int32], channels: NDArray[np.int32]) -> NDArray[np.int64]:
        """Return the CDF at both edges of every symbol, or of its escape, and its excess, int64 [n, 3].

        `symbols`: int32 [n], |symbol| < 2^15. `channels`: int32 [n], 0 .. C - 1. The excess is negative for direct
        values. Raises ValueError if a symbol or channel is out of range, or for another type or length.
        """
        symbols = _checked_symbols(symbols, None)
        channels = self.checked_channels(channels, symbols.shape[0])
        place, lengths = symbols.astype(np.int64) - self.offsets[channels], self.lengths[channels]
        rank = np.clip(place, -1, lengths) + 1
        edges = self.cdf[channels, rank], self.cdf[channels, rank + 1]
        return np.stack([*edges, np.maximum(-1 - place, place - lengths)], axis=1, dtype=np.int64)

    def information_bits(self, symbols: NDArray[np.int32], channels: NDArray[np.int32]) -> NDArray[np.float64]:
        """Return -log2 of the probability with which the coder codes every symbol, in bits, float64 [n].

        Payloads of escapes are counted. Arguments and errors are those of `codes`.
        """
        return _information_bits(self.codes(symbols, channels), FACTORIZED_ESCAPE_ORDER)
