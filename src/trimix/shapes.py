"""Array types whose shapes stand in the signature (jaxtyping, which checks them while tests run).

Letters of the shapes: ``N`` pictures, ``C`` channels, ``H`` ``W`` rows and columns, ``M`` latent channels,
``F`` families of a mixture, ``K`` components of a family.
"""

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

# Its import takes as long as all of NumPy's: where nobody checks shapes, they are for the reader.
if TYPE_CHECKING or "jaxtyping" in sys.modules:
    from jaxtyping import Float, Int, Int16, Int64, Shaped, UInt, UInt8
else:

    class _Unchecked:
        def __class_getitem__(cls, array_and_shape: tuple[object, str]) -> object:
            return array_and_shape[0]

    Float = Int = Int16 = Int64 = Shaped = UInt = UInt8 = _Unchecked

__all__ = [
    "HYPER_STRIDE",
    "LATENT_STRIDE",
    "Float",
    "Int",
    "Int16",
    "Int64",
    "Rectangle",
    "Shaped",
    "Tensor",
    "UInt",
    "UInt8",
]

LATENT_STRIDE = 16
"""Pixels a side of one latent position."""
HYPER_STRIDE = 4
"""Latent positions a side of one hyper-latent position."""


@dataclass(frozen=True)
class Rectangle:
    """A part of a picture, in pixels, or of a latent, in positions."""

    top: int
    left: int
    height: int
    width: int

    @property
    def positions(self) -> tuple[slice, slice]:
        """Its rows and columns."""
        return slice(self.top, self.ends[0]), slice(self.left, self.ends[1])

    @property
    def ends(self) -> tuple[int, int]:
        """The first row below it, and the first column to its right."""
        return self.top + self.height, self.left + self.width

    def within(self, other: "Rectangle") -> tuple[slice, slice]:
        """Its rows and columns, counted from where another one begins."""
        return Rectangle(self.top - other.top, self.left - other.left, self.height, self.width).positions


def __getattr__(name: str) -> object:
    """``Tensor`` is torch's: only who asks for it waits for torch."""
    if name == "Tensor":
        from torch import Tensor

        return Tensor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
