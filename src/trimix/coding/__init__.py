"""Integer probabilities of symbols, and the range coder that turns symbols into bytes. NumPy, and C or Numba.

`standard_tables` holds the shared numbers, `mixture_cdf` the distributions, `range_coder` the coder;
`float_mixture` is a guide for searches. Nothing is compiled before the first use.
"""

from trimix.coding.compilation import (
    COUNTING_KERNELS,
    DECODING_KERNELS,
    ENCODING_KERNELS,
    SEARCHING_KERNELS,
    compilation_is_cached,
    is_native,
)
from trimix.coding.families import Family
from trimix.coding.float_mixture import Information, information
from trimix.coding.mixture_cdf import FactorizedTable, MixtureParameters
from trimix.coding.range_coder import RangeDecoder, RangeEncoder
from trimix.coding.standard_tables import (
    CDF_BITS,
    DIRECT_MAXIMUM,
    DIRECT_MINIMUM,
    MEAN_STEPS,
    SCALE_LEVELS,
    SYMBOL_LIMIT,
    WEIGHT_BITS,
    scale_of_index,
)

__all__ = [
    "CDF_BITS",
    "COUNTING_KERNELS",
    "DECODING_KERNELS",
    "DIRECT_MAXIMUM",
    "DIRECT_MINIMUM",
    "ENCODING_KERNELS",
    "MEAN_STEPS",
    "SCALE_LEVELS",
    "SEARCHING_KERNELS",
    "SYMBOL_LIMIT",
    "WEIGHT_BITS",
    "FactorizedTable",
    "Family",
    "Information",
    "MixtureParameters",
    "RangeDecoder",
    "RangeEncoder",
    "compilation_is_cached",
    "information",
    "is_native",
    "scale_of_index",
]
