"""The numbers that every encoder and decoder shares. They are part of the file format.

Probabilities are integers out of 2^30. Symbols are integers v with |v| < 2^15. A mean is a fixed-point number
in steps of 1/64. A scale is an index i in 0..255 that stands for 2^(-4 + i/16): 16 levels an octave.
The data file `standard_tables.npz` holds integers only and is never recomputed at run time:

    cdf               uint32 [F, 1537]  F(u) * 2^30 for u = -24, -24 + 1/32, ..., 24; the first and last
                                        entries of a row are 0 and 2^30, and T(-u) + T(u) = 2^30
    inverse_scales    int32 [256]       round(2^22 / scale)

The rows of `cdf` are the families of `families.py`, with mean 0 and scale 1.
`tools/make_standard_tables.py` made the file.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

CDF_BITS = 30
MEAN_STEPS = 64
WEIGHT_BITS = 16
SCALE_LEVELS = 256
DIRECT_MINIMUM = -2048
DIRECT_MAXIMUM = 2047
SYMBOL_LIMIT = 2**15

TABLE_STEPS = 32
TABLE_REACH = 24
INVERSE_SCALE_BITS = 22


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    array.flags.writeable = False
    return array


with np.load(Path(__file__).with_name("standard_tables.npz"), allow_pickle=False) as _data:
    # One more column: interpolation at the very last entry reads its neighbour, with factor 0.
    CDF_TABLES: NDArray[np.uint32] = _read_only(np.pad(_data["cdf"], ((0, 0), (0, 1)), mode="edge"))
    """uint32 [F, 1538]: F(u) * 2^30 by family and step; the last column repeats the one before it."""
    INVERSE_SCALES: NDArray[np.int32] = _read_only(_data["inverse_scales"])
    """int32 [256]: round(2^22 / scale) by scale index."""

scale_of_index: NDArray[np.float64] = _read_only(2.0 ** (-4.0 + np.arange(SCALE_LEVELS) / 16.0))
"""float64 [256]: the scale that an index stands for. For information: coding uses `INVERSE_SCALES`."""
