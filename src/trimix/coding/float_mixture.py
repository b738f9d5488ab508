"""Bits of symbols under a mixture in floating point, and their derivatives: a guide for searches, never a probability.

::

    values [n] ---------------------------+--> blocks --> threads --> bits [n]
    log weights, means, scales [K, n] ----'                           derivatives by each, [K, n]
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trimix.coding import kernels
from trimix.coding.mixture_cdf import check_families
from trimix.coding.standard_tables import CDF_BITS, CDF_TABLES, TABLE_REACH, TABLE_STEPS

_LEAST_OF_A_THREAD = 2**14
_MIDDLE = TABLE_REACH * TABLE_STEPS
_MASSES = CDF_TABLES[:, _MIDDLE::-1] / 2.0**CDF_BITS
_TAILS = np.stack([_MASSES, -TABLE_STEPS * np.gradient(_MASSES, axis=1, edge_order=2)], axis=2)
"""Of each family at every table step from the mean upwards: the mass beyond, and the density."""


@dataclass(frozen=True)
class Information:
    """Bits of symbols, and how they change.

    bits                               float32 [n]     -log2 p, at most 30
    by_log_weight, by_mean, by_scale   float32 [K, n]  derivatives of the bits
    """

    bits: NDArray[np.float32]
    by_log_weight: NDArray[np.float32]
    by_mean: NDArray[np.float32]
    by_scale: NDArray[np.float32]


def information(
    values: NDArray[np.float32],
    families: Sequence[int],
    log_weights: NDArray[np.float32],
    means: NDArray[np.float32],
    scales: NDArray[np.float32],
    threads: int = 1,
) -> Information:
    """Return the bits of values under their mixtures, by the coder's own tables, and their derivatives.

    `values`: float32 [n], in steps of the quantizer. `families`: of each component. `log_weights`: float32 [K, n],
    natural logarithms of weights. `means`, `scales`: float32 [K, n], in steps; scales > 0. `threads`: how many
    work at it. Raises ValueError for a family that the tables do not have.

    >>> one = np.ones((1, 1), np.float32)
    >>> found = information(np.zeros(1, np.float32), [2], 0 * one, 0 * one, one)
    >>> round(float(found.bits[0]), 4), round(float(found.by_scale[0, 0]), 4)
    (2.0297, 1.3842)
    """
    planes = tuple(np.ascontiguousarray(plane, np.float32) for plane in (log_weights, means, scales))
    values = np.ascontiguousarray(values, np.float32)
    count = len(values)
    found = Information(np.empty(count, np.float32), *(np.empty_like(plane) for plane in planes))
    results = (found.bits, found.by_log_weight, found.by_mean, found.by_scale)
    codes = np.array(families, np.uint8)
    check_families(codes)
    parts = max(1, min(threads, count // _LEAST_OF_A_THREAD))
    edges = [count * part // parts for part in range(parts + 1)]

    def work(part: int) -> None:
        kernels.information_and_derivatives(values, codes, _TAILS, *planes, edges[part], edges[part + 1], *results)

    if parts == 1:
        work(0)
    else:
        with ThreadPoolExecutor(parts) as pool:
            list(pool.map(work, range(parts)))
    return found
