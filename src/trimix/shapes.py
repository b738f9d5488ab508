"""Array types whose shapes stand in the signature (jaxtyping).

Letters of the shapes: ``N`` pictures, ``C`` channels, ``H`` ``W`` rows and columns, ``M`` latent channels,
``F`` families of a mixture, ``K`` components of a family.
"""

from jaxtyping import Float, Int, Int16, Int64, Shaped, UInt, UInt8
from torch import Tensor

__all__ = [
    "HYPER_STRIDE",
    "LATENT_STRIDE",
    "Float",
    "Int",
    "Int16",
    "Int64",
    "Shaped",
    "Tensor",
    "UInt",
    "UInt8",
]

LATENT_STRIDE = 16
"""Pixels a side of one latent position."""
HYPER_STRIDE = 4
"""Latent positions a side of one hyper-latent position."""
