"""The hand that chooses symbols near those of the last step."""

import numpy as np

from trimix.coding import RangeEncoder
from trimix.entropy_models.integer_mixture import VALUE_STEPS, LatentParameters
from trimix.shapes import Float, Tensor


def by_position(planes: Float[Tensor, "M h w"]) -> Float[np.ndarray, "h w M"]:
    """Planes of a latent as hands take them."""
    return np.ascontiguousarray(planes.permute(1, 2, 0).cpu().numpy())


class SearchingHand:
    """Takes for every latent the symbol of least ``bits + linear * d + quadratic * d^2``, d from its last value.

    Bits are the coder's own, with the contexts that this very walk has made. Candidates are the symbol nearest to the
    last value and its two neighbours; where a position lies wholly outside the picture, the symbol that is expected
    there, too.

    Args:
        values: of the last step, in steps of the quantizer, float32 [h w M].
        linear: bits a step, float32 [h w M].
        quadratic: bits a squared step, float32 [h w M] or [M].
        movable: which latents may leave the symbol nearest to their value, bool [h w M]; None for all.
        limit: largest magnitude of a symbol.
        encoder: takes the chosen symbols at once, so that choosing and writing share one walk.
        outside: positions wholly outside the picture, bool [h w]; None for none.
    """

    known: np.ndarray | None = None

    def __init__(
        self,
        values: np.ndarray,
        linear: np.ndarray,
        quadratic: np.ndarray,
        movable: np.ndarray | None,
        limit: int,
        encoder: RangeEncoder | None = None,
        outside: np.ndarray | None = None,
    ) -> None:
        self._values = values
        self._linear = linear
        self._quadratic = np.broadcast_to(quadratic, values.shape)
        self._movable = movable
        self._limit = limit
        self._encoder = encoder
        self._outside = outside
        self.bits = 0.0
        """Of the chosen symbols."""

    def take(self, rows: np.ndarray, columns: np.ndarray, parameters: LatentParameters) -> np.ndarray:
        """Choose the symbols at the positions."""
        values = self._values[rows, columns]
        centres: np.ndarray | float = 0.0
        if parameters.centres is not None:
            centres = parameters.centres.reshape(values.shape) * np.float32(1 / VALUE_STEPS)
        linear, quadratic = self._linear[rows, columns], self._quadratic[rows, columns]
        nearest = np.rint(values - centres)
        candidates = [nearest, nearest - 1, nearest + 1]
        movable = True if self._movable is None else self._movable[rows, columns]
        outside = None if self._outside is None else self._outside[rows, columns][:, None]
        if outside is not None and outside.any():
            candidates.append(np.where(outside, parameters.expected.reshape(values.shape), nearest))
        chosen, least = nearest, np.full(values.shape, np.inf)
        bits_of_chosen = np.zeros(values.shape)
        for index, candidate in enumerate(candidates):
            candidate = np.clip(candidate, -self._limit, self._limit)
            distance = candidate + centres - values
            bits = parameters.bits_of(candidate)
            cost = bits + linear * distance + quadratic * np.square(distance)
            better = cost < least
            if index:
                better &= movable
            least = np.where(better, cost, least)
            bits_of_chosen = np.where(better, bits, bits_of_chosen)
            chosen = np.where(better, candidate, chosen)
        self.bits += float(bits_of_chosen.sum())
        symbols = chosen.astype(np.int32).ravel()
        if self._encoder is not None:
            self._encoder.encode_mixture(symbols, parameters.mixture)
        return symbols
