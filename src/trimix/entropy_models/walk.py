"""ONE walk over the passes of a schedule: it encodes, decodes and counts, depending on the hand that it is given.

::

    for each group of passes:   positions --> IntegerMixtureModel.parameters --> hand.take --> symbols --> latents

A hand that knows all latents beforehand (encoding, counting) lets passes be merged into large groups: that is the
dense form, the same integers by the same code in fewer, larger matrix products. A decoding hand gets one pass at a
time. Groups are bounded, and memory with them.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import torch

from trimix.coding import MixtureParameters, RangeDecoder, RangeEncoder
from trimix.entropy_models.integer_mixture import IntegerMixtureModel
from trimix.entropy_models.schedule import Pass
from trimix.shapes import Int16, Tensor

POSITIONS_AT_ONCE = 2048
"""Largest group of positions; bounds memory and changes no number."""


@runtime_checkable
class Hand(Protocol):
    """Takes the parameters of a group of latents and gives their values."""

    known: np.ndarray | None
    """All latents beforehand, int32 [h w M], if the hand has them."""

    def take(self, rows: np.ndarray, columns: np.ndarray, parameters: MixtureParameters) -> np.ndarray:
        """Handle the latents at the positions; return them, int32 [n * M], channels innermost."""
        ...


class EncodingHand:
    """Writes known latents into a range coder.

    Args:
        latents: int32 [h w M].
        encoder: takes the symbols.
    """

    def __init__(self, latents: np.ndarray, encoder: RangeEncoder) -> None:
        self.known: np.ndarray | None = latents
        self._latents = latents
        self._encoder = encoder

    def take(self, rows: np.ndarray, columns: np.ndarray, parameters: MixtureParameters) -> np.ndarray:
        """Encode the latents at the positions."""
        symbols = self._latents[rows, columns].ravel()
        self._encoder.encode_mixture(symbols, parameters)
        return symbols


class DecodingHand:
    """Reads latents out of a range coder.

    Args:
        decoder: gives the symbols.
    """

    known: np.ndarray | None = None

    def __init__(self, decoder: RangeDecoder) -> None:
        self._decoder = decoder

    def take(self, rows: np.ndarray, columns: np.ndarray, parameters: MixtureParameters) -> np.ndarray:
        """Decode the latents at the positions."""
        return self._decoder.decode_mixture(parameters)


class QuantizingHand:
    """Rounds latents where bits and error together are least: each to its nearest or second nearest integer.

    Minimises ``bits(v) + price * (v - y)^2`` for every latent alone, under the coder's own probabilities. A later
    pass sees what was chosen in an earlier one.

    Args:
        latents: before rounding, float32 [h w M].
        prices: bits that a squared error of one step is worth, float32 [M].
        limit: largest magnitude of a symbol.
        encoder: takes the chosen symbols at once, so that choosing and writing share one walk.
    """

    known: np.ndarray | None = None

    def __init__(
        self, latents: np.ndarray, prices: np.ndarray, limit: int, encoder: RangeEncoder | None = None
    ) -> None:
        self._latents = latents
        self._prices = prices
        self._limit = limit
        self._encoder = encoder

    def take(self, rows: np.ndarray, columns: np.ndarray, parameters: MixtureParameters) -> np.ndarray:
        """Choose the latents at the positions."""
        y = self._latents[rows, columns]
        nearest = np.clip(np.rint(y), -self._limit, self._limit)
        second = np.clip(nearest + np.where(y > nearest, 1, -1), -self._limit, self._limit)
        costs = [
            parameters.information_bits(choice.astype(np.int32).ravel())
            + (self._prices * np.square(choice - y)).ravel()
            for choice in (nearest, second)
        ]
        symbols = np.where(costs[1] < costs[0], second.ravel(), nearest.ravel()).astype(np.int32)
        if self._encoder is not None:
            self._encoder.encode_mixture(symbols, parameters)
        return symbols


class CountingHand:
    """Adds up -log2 of the coder's integer probabilities of known latents.

    Args:
        latents: int32 [h w M].
    """

    def __init__(self, latents: np.ndarray) -> None:
        self.known: np.ndarray | None = latents
        self._latents = latents
        self.bits = np.zeros(latents.shape, dtype=np.float64)
        """Bits of every latent, [h w M]."""

    def take(self, rows: np.ndarray, columns: np.ndarray, parameters: MixtureParameters) -> np.ndarray:
        """Count the latents at the positions."""
        symbols = self._latents[rows, columns].ravel()
        self.bits[rows, columns] = parameters.information_bits(symbols).reshape(len(rows), -1)
        return symbols


def _groups(passes: Sequence[Pass], *, merged: bool) -> Iterator[Pass]:
    waiting: list[Pass] = []
    for one in passes:
        for start in range(0, len(one.rows), POSITIONS_AT_ONCE):
            part = slice(start, start + POSITIONS_AT_ONCE)
            piece = Pass(one.rows[part], one.columns[part], one.has_context)
            total = sum(len(other.rows) for other in waiting) + len(piece.rows)
            fits = merged and total <= POSITIONS_AT_ONCE and waiting
            if waiting and not (fits and waiting[0].has_context == piece.has_context):
                yield _joined(waiting)
                waiting = []
            waiting.append(piece)
    if waiting:
        yield _joined(waiting)


def _joined(passes: list[Pass]) -> Pass:
    if len(passes) == 1:
        return passes[0]
    return Pass(
        np.concatenate([p.rows for p in passes]),
        np.concatenate([p.columns for p in passes]),
        passes[0].has_context,
    )


def walk(
    model: IntegerMixtureModel,
    side: Int16[Tensor, "h w S"],
    passes: Sequence[Pass],
    hand: Hand,
    *,
    merged: bool = True,
) -> Int16[Tensor, "h w M"]:
    """Go through all positions of a latent and return its values.

    Args:
        model: gives the parameters.
        side: side features.
        passes: the schedule; every position once.
        hand: encodes, decodes or counts.
        merged: merge passes where the hand knows the latents; the stream is the same either way.
    """
    height, width, _ = side.shape
    margin = model.margin
    padded = side.new_zeros(height + 2 * margin, width + 2 * margin, model.latent_channels)
    inner = padded[margin : margin + height, margin : margin + width]
    if hand.known is not None:
        inner.copy_(torch.from_numpy(hand.known))
    for group in _groups(passes, merged=merged and hand.known is not None):
        rows = torch.from_numpy(group.rows).to(side.device)
        columns = torch.from_numpy(group.columns).to(side.device)
        parameters = model.parameters(
            side[rows, columns], padded, rows, columns, has_context=group.has_context
        )
        symbols = hand.take(group.rows, group.columns, parameters)
        if hand.known is None:
            values = torch.from_numpy(symbols).view(len(rows), -1)
            inner[rows, columns] = values.to(padded.device, padded.dtype)
    return inner
