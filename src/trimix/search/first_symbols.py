"""The symbols that a search begins with: the nearest ones, or ones chosen in a single walk."""

import time
from dataclasses import dataclass

import numpy as np
import torch

from trimix.codec import Codec, Latents, Symbols
from trimix.coding import RangeEncoder
from trimix.entropy_models.fixed_point import ACTIVATION_LIMIT
from trimix.entropy_models.walk import QuantizingHand
from trimix.images import Picture
from trimix.search.damping import Damping
from trimix.search.distortion import (
    SquaredError,
    measured_curvature,
    shares_that_matter,
    values_of,
    where_it_matters,
)
from trimix.search.hands import ChoosingHand, by_position

_CURVATURE = 1.05
"""Over what it is for one latent alone: best of 0.9, 1, 1.1 and 1.2 on validation pictures, between the two best."""
_WALKS = 3
"""At most, the curvature corrected by what the last one found. One is enough for photographs, not for pixel art."""


@dataclass(frozen=True)
class Start:
    """Where a search begins.

    Args:
        symbols: of the whole picture.
        latent_bits: what the latents cost.
        latent_encoder: has written the latents, if it was wanted.
        seconds: that g_a and one walk took.
        damping: what was learned of the curvature.
    """

    symbols: Symbols
    latent_bits: float
    latent_encoder: RangeEncoder | None
    seconds: float
    damping: Damping


def first_symbols(codec: Codec, picture: Picture, quality: float, *, chosen: bool, writes: bool) -> Start:
    """Symbols from one walk over the latents of g_a.

    ::

        latents y --> nearest integers --> g_s --> squared error --> backwards --> what moving each changes --+
                                                                                                              v
                      coder's walk: of three candidates the least of own bits + change + curvature * move^2 --> symbols
                               ^                                                                                  |
                               '--- more curvature, where the squared error grew more than foreseen <-- g_s <-----'

    Where three walks find no curvature that foresees what happens, the symbols are the nearest integers, and the
    cheapest ones beyond the border of the picture.

    A model that does not know the curvature beforehand gets the nearest integers. In one that was trained for another
    distortion, each latent is chosen by itself, at the model's price of a squared rounding error.

    Args:
        codec: of the model.
        picture: 8 bits, grey or RGB.
        quality: 1..100.
        chosen: otherwise the nearest.
        writes: whether the walk writes the latents, too.

    Raises:
        UsageError: the quality is out of range.

    >>> picture = Picture(np.zeros((48, 64, 3), np.uint8))
    >>> first_symbols(Codec.load(), picture, 50, chosen=True, writes=False).symbols.latent.shape[1:]
    torch.Size([4, 4])
    """
    began = time.monotonic()
    latents = codec.latents(picture, quality)
    seconds = time.monotonic() - began
    if chosen:
        return _chosen(codec, picture, latents, writes, seconds)
    return _nearest(codec, latents, writes, seconds)


def _nearest(codec: Codec, latents: Latents, writes: bool, seconds: float) -> Start:
    encoder = RangeEncoder() if writes else None
    hand = QuantizingHand(latents.by_position, ACTIVATION_LIMIT, encoder, counts=True)
    return _taken(codec, latents, hand, encoder, seconds, Damping())


def _taken(
    codec: Codec,
    latents: Latents,
    hand: QuantizingHand | ChoosingHand,
    encoder: RangeEncoder | None,
    seconds: float,
    damping: Damping,
) -> Start:
    """What a hand takes, and how long it took beside the seconds of g_a."""
    began = time.monotonic()
    symbols = codec.quantized(latents, hand)
    return Start(symbols, hand.bits, encoder, seconds + time.monotonic() - began, damping)


def _chosen(codec: Codec, picture: Picture, latents: Latents, writes: bool, seconds: float) -> Start:
    factor = codec.quality_tensor(latents.quality_integer)
    prices = codec.model.transforms.error_prices(factor)
    weights = codec.model.transforms.step_weights(factor)
    if prices is None and weights is None:
        return _nearest(codec, latents, writes, seconds)
    shares = shares_that_matter(picture.height, picture.width, *latents.by_position.shape[:2])
    damping = Damping()

    def walked(
        values: np.ndarray, linear: np.ndarray, quadratic: np.ndarray, movable: np.ndarray | None = None
    ) -> Start:
        encoder = RangeEncoder() if writes else None
        hand = ChoosingHand(values, linear, quadratic, movable, ACTIVATION_LIMIT, encoder, shares)
        return _taken(codec, latents, hand, encoder, seconds, damping)

    if prices is not None:
        values = latents.by_position
        return walked(values, np.zeros_like(values), prices[0].detach().cpu().numpy())
    assert weights is not None
    weight = weights[0].detach().cpu().numpy()
    values = np.clip(np.rint(latents.by_position), -ACTIVATION_LIMIT, ACTIVATION_LIMIT)
    error = SquaredError(codec, picture.levels, latents.quality_integer)
    # Gradients are needed whatever the caller does without.
    with torch.inference_mode(False), torch.enable_grad():
        planes = torch.from_numpy(values).permute(2, 0, 1).contiguous().to(codec.device)
        before, gradient = error.gradient(planes)
    linear = by_position(gradient)
    for _ in range(_WALKS):
        start = walked(values, linear, _CURVATURE * damping.factor * weight)
        moved = where_it_matters(values_of(codec, start.symbols).to(planes) - planes, shares)
        found = error.bits(planes + moved) - before
        if damping.learn(measured_curvature(found, gradient, moved, weight, shares)):
            return start
    values = latents.by_position
    beyond = np.zeros((*values.shape[:2], 1), bool) if shares is None else shares[:, :, None] == 0
    return walked(values, np.zeros_like(values), np.zeros_like(weight), beyond)
