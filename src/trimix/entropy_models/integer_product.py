"""Products of integers with a matrix, exact: the sums of one are those of any other machine."""

import numpy as np

from trimix.coding.compilation import is_native
from trimix.entropy_models import integer_kernels as kernels
from trimix.shapes import Float, Int, Int16

_LANES, _INPUTS_OF_PART = 16, 512
"""Outputs that the loops in C work on together; inputs whose products with bytes 32 bits can hold the sum of."""
_LARGEST_INPUT, _MOST_INPUTS = 2**15 - 1, 2**16
_GAP = 32
"""Inputs with weights of zero that are not worth a part of their own."""
WIDEST_REGISTERS = 512
"""Bits: what the loops in C may use where there is such."""


class IntegerProduct:
    """Rows of integers times one matrix.

    ::

        weights of 16 bits = 256 high + low --> parts of at most 512 inputs: int16 * int16, sums in int32 --+--> float64
                                                                                   256, or 1, times each ---'

    Where there is no machine code of ``kernels.c``, or inputs are too large for it, the product is that of float64.
    Every sum stays below 2^53 (`IntegerLayer` proves it), so both are exact.

    Args:
        weight: int16 [outputs inputs].
        largest_input: magnitude, at most 2^24.
    """

    def __init__(self, weight: Int16[np.ndarray, "outputs inputs"], largest_input: int) -> None:
        self.outputs, inputs = weight.shape
        self._in_c = is_native() and largest_input <= _LARGEST_INPUT and inputs <= _MOST_INPUTS
        if not self._in_c:
            # Inputs first: NumPy's product is faster so.
            self._weight = np.ascontiguousarray(weight.T, np.float64)
            return
        self._is_odd = bool(inputs % 2)
        weight = np.pad(weight, ((0, -self.outputs % _LANES), (0, inputs % 2)))
        high = ((weight.astype(np.int32) + 128) >> 8).astype(np.int16)
        low = weight - 256 * high
        parts, scales, planes = [], [], []
        for plane, scale in ((high, 256.0), (low, 1.0)):
            for start, stop in _used(plane):
                parts.append((start // 2, (stop - start) // 2))
                scales.append(scale)
                planes.append(plane[:, start:stop])
        if not parts:  # sums are written by some part
            parts, scales, planes = [(0, 1)], [1.0], [low[:, :2]]
        pairs = np.concatenate(planes, axis=1).reshape(len(weight) // _LANES, _LANES, -1, 2)
        self._weight = np.ascontiguousarray(pairs.transpose(0, 2, 1, 3))
        self._parts, self._scales = np.array(parts, np.int64), np.array(scales)

    def __call__(self, rows: Int[np.ndarray, "n inputs"]) -> Float[np.ndarray, "n outputs"]:
        """The product, integers held in float64.

        >>> IntegerProduct(np.array([[300, -7]], np.int16), 10)(np.array([[10, 1]])).tolist()
        [[2993.0]]
        """
        if not self._in_c:
            return rows.astype(np.float64) @ self._weight
        rows = np.pad(rows, ((0, 0), (0, 1))) if self._is_odd else rows
        rows = np.ascontiguousarray(rows, np.int16)
        sums = np.empty((len(rows), self.outputs))
        kernels.multiply(rows, self._weight, self._parts, self._scales, sums, self.outputs, WIDEST_REGISTERS)
        return sums


def _used(plane: Int16[np.ndarray, "outputs inputs"]) -> list[tuple[int, int]]:
    """Ranges of inputs, of even length, outside of which all weights are zero.

    >>> plane = np.zeros((1, 900), np.int16)
    >>> plane[0, [3, 700, 710]] = 1
    >>> _used(plane)
    [(2, 4), (700, 712)]
    """
    used = np.flatnonzero(plane.any(axis=0)) // 2 * 2
    if not len(used):
        return []
    ends = np.flatnonzero(np.diff(used) > _GAP)
    starts, stops = used[np.concatenate([[0], ends + 1])], used[np.concatenate([ends, [len(used) - 1]])] + 2
    return [
        (at, min(at + _INPUTS_OF_PART, stop))
        for start, stop in zip(starts.tolist(), stops.tolist(), strict=True)
        for at in range(start, stop, _INPUTS_OF_PART)
    ]
