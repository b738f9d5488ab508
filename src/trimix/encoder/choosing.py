"""The source that chooses symbols near given values."""

from copy import copy
from dataclasses import dataclass, field

import numpy as np

from trimix.entropy_models.integer_mixture import VALUE_STEPS, LatentParameters
from trimix.shapes import Float


def by_position(planes: Float[np.ndarray, "M h w"]) -> Float[np.ndarray, "h w M"]:
    """Planes of a latent as sources take them."""
    return np.ascontiguousarray(planes.transpose(1, 2, 0))


@dataclass(eq=False)
class Choosing:
    """Takes for every latent the symbol of least ``bits + linear * d + quadratic * d^2``, d from a given value.

    Bits are the coder's own, with the contexts that this very run has made. Candidates are the symbol nearest to the
    value and its two neighbours. Where a position does not matter to the picture, also the symbol that is expected
    there, by its bits alone: it may be too far for a linear term to be true.

    Args:
        values: around which is chosen, in steps of the quantizer, float32 or int16 [h w M].
        linear: bits a step, float32 or float16 [h w M].
        quadratic: bits a squared step, float32 [M].
        shares: by which the quadratic term counts at a position, float32 [h w], 0 where it does not matter to the
            picture; None for 1 everywhere.
        movable: which latents may leave the symbol nearest to their value, bool [h w M or 1]; None for all.
    """

    values: np.ndarray
    linear: np.ndarray
    quadratic: np.ndarray
    limit: int
    shares: np.ndarray | None = None
    movable: np.ndarray | None = None
    known: np.ndarray | None = field(default=None, init=False)
    _own_bits: float = field(default=0.0, init=False)
    _own_nearest_bits: float = field(default=0.0, init=False)
    _slices: list["Choosing"] = field(default_factory=list, init=False)

    def of_slice(self, number: int) -> "Choosing":
        """One that counts its own bits: sums are the same whoever is first."""
        part = copy(self)
        part._own_bits, part._own_nearest_bits, part._slices = 0.0, 0.0, []
        self._slices.append(part)
        return part

    @property
    def bits(self) -> float:
        """Of the chosen symbols."""
        return sum((one.bits for one in self._slices), self._own_bits)

    @property
    def nearest_bits(self) -> float:
        """Of the symbols nearest to the values, in the contexts of the chosen ones."""
        return sum((one.nearest_bits for one in self._slices), self._own_nearest_bits)

    def take(self, rows: np.ndarray, columns: np.ndarray, parameters: LatentParameters) -> np.ndarray:
        """Choose the symbols at the positions."""
        values = self.values[rows, columns].astype(np.float32, copy=False)
        centres: np.ndarray | float = 0.0
        if parameters.centres is not None:
            centres = parameters.centres.reshape(values.shape) * np.float32(1 / VALUE_STEPS)
        linear, quadratic = self.linear[rows, columns].astype(np.float32, copy=False), self.quadratic
        outside = None
        if self.shares is not None:
            shares = self.shares[rows, columns][:, None]
            quadratic, outside = shares * quadratic, shares == 0
        nearest = np.rint(values - centres)
        chosen = np.clip(nearest, -self.limit, self.limit)
        bits = parameters.bits_of(chosen)
        self._own_nearest_bits += float(bits.sum())
        distance = chosen + centres - values
        least = bits + linear * distance + quadratic * np.square(distance)
        movable = True if self.movable is None else self.movable[rows, columns]
        for step in (-1, 1) if np.any(movable) else ():
            candidate = np.clip(nearest + step, -self.limit, self.limit)
            distance = candidate + centres - values
            bits_there = parameters.bits_of(candidate)
            cost = bits_there + linear * distance + quadratic * np.square(distance)
            better = (cost < least) & movable
            least = np.where(better, cost, least)
            bits = np.where(better, bits_there, bits)
            chosen = np.where(better, candidate, chosen)
        if outside is not None and outside.any():
            expected = np.clip(parameters.expected.reshape(values.shape), -self.limit, self.limit)
            bits_there = parameters.bits_of(expected)
            better = (bits_there < bits) & outside & movable
            bits = np.where(better, bits_there, bits)
            chosen = np.where(better, expected, chosen)
        self._own_bits += float(bits.sum())
        return chosen.astype(np.int32).ravel()
