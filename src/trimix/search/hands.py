"""The hand that chooses symbols near those of the last step."""

import numpy as np

from trimix.coding import RangeEncoder
from trimix.entropy_models.integer_mixture import VALUE_STEPS, LatentParameters


class SearchingHand:
    """Takes for every latent the symbol of least ``bits + linear * d + quadratic * d^2``, d from its last value.

    Bits are the coder's own, with the contexts that this very walk has made. Candidates are the symbol nearest to the
    last value and its two neighbours.

    Args:
        values: of the last step, in steps of the quantizer, float32 [h w M].
        linear: bits a step, float32 [h w M].
        quadratic: bits a squared step, float32 [h w M] or [M].
        movable: which latents may leave the symbol nearest to their value, bool [h w M]; None for all.
        limit: largest magnitude of a symbol.
        encoder: takes the chosen symbols at once, so that choosing and writing share one walk.
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
    ) -> None:
        self._values = values
        self._linear = linear
        self._quadratic = np.broadcast_to(quadratic, values.shape)
        self._movable = movable
        self._limit = limit
        self._encoder = encoder
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
        chosen, least = nearest, None
        bits_of_chosen = np.zeros(values.shape)
        for move in (0, -1, 1):
            candidate = np.clip(nearest + move, -self._limit, self._limit)
            distance = candidate + centres - values
            bits = parameters.bits_of(candidate)
            cost = bits + linear * distance + quadratic * np.square(distance)
            if least is None:
                least, bits_of_chosen, chosen = cost, bits, candidate
                continue
            better = cost < least
            if self._movable is not None:
                better &= self._movable[rows, columns]
            least = np.where(better, cost, least)
            bits_of_chosen = np.where(better, bits, bits_of_chosen)
            chosen = np.where(better, candidate, chosen)
        self.bits += float(bits_of_chosen.sum())
        symbols = chosen.astype(np.int32).ravel()
        if self._encoder is not None:
            self._encoder.encode_mixture(symbols, parameters.mixture)
        return symbols
