"""The symbols that a search begins with: the nearest ones, or ones chosen in a single walk."""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch

from trimix.codec import Codec, Latents, Symbols
from trimix.coding import RangeEncoder
from trimix.entropy_models.fixed_point import ACTIVATION_LIMIT
from trimix.entropy_models.walk import QuantizingHand
from trimix.images import Picture
from trimix.search.distortion import SquaredError, measured_curvature, shares_that_matter, values_of
from trimix.search.hands import ChoosingHand, by_position

_CURVATURE = 1.05
"""Over what it is for one latent alone: best of 0.9, 1, 1.1 and 1.2 on validation pictures, between the two best."""
TRUSTED = 1.25
"""By how much more than foreseen the distortion may have curved."""
BEYOND = 1.5
"""How far beyond the curvature that was found the next one is: fewer and surer moves curve more."""
MOST_DAMPED = 16.0
"""Beyond it nothing would move at all."""
_WALKS = 3
"""At most, the curvature corrected by what the last one found. One is enough for photographs, not for pixel art."""


@dataclass(frozen=True)
class Start:
    """Where a search begins.

    Args:
        symbols: of the whole picture.
        latent_bits: what the latents cost.
        latent_encoder: has written the latents, if it was wanted.
        took_gradient: which takes about as long as the rest.
        damping: the curvature of the distortion where many latents move, over that of a photograph.
    """

    symbols: Symbols
    latent_bits: float
    latent_encoder: RangeEncoder | None
    took_gradient: bool = False
    damping: float = 1.0


def first_symbols(codec: Codec, picture: Picture, quality: float, *, chosen: bool, writes: bool) -> Start:
    """Symbols from one walk over the latents of g_a.

    ::

        latents y --> nearest integers --> g_s --> squared error --> backwards --> what moving each changes --+
                                                                                                              v
                      coder's walk: of three candidates the least of own bits + change + curvature * move^2 --> symbols
                               ^                                                                                  |
                               '--- more curvature, where the squared error grew more than foreseen <-- g_s <-----'

    Where three walks find no curvature that foresees what happens, the symbols are the nearest integers.

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
    latents = codec.latents(picture, quality)
    return _chosen(codec, picture, latents, writes) if chosen else _nearest(codec, latents, writes)


def _nearest(codec: Codec, latents: Latents, writes: bool) -> Start:
    encoder = RangeEncoder() if writes else None
    hand = QuantizingHand(latents.by_position, ACTIVATION_LIMIT, encoder, counts=True)
    return Start(codec.quantized(latents, hand), hand.bits, encoder)


def _chosen(codec: Codec, picture: Picture, latents: Latents, writes: bool) -> Start:
    factor = codec.quality_tensor(latents.quality_integer)
    prices = codec.model.transforms.error_prices(factor)
    weights = codec.model.transforms.step_weights(factor)
    shares = shares_that_matter(picture.height, picture.width, *latents.by_position.shape[:2])

    def walked(values: np.ndarray, linear: np.ndarray, quadratic: np.ndarray) -> Start:
        encoder = RangeEncoder() if writes else None
        hand = ChoosingHand(values, linear, quadratic, None, ACTIVATION_LIMIT, encoder, shares)
        return Start(codec.quantized(latents, hand), hand.bits, encoder)

    if prices is not None:
        values = latents.by_position
        return walked(values, np.zeros_like(values), prices[0].detach().cpu().numpy())
    if weights is None:
        return _nearest(codec, latents, writes)
    weight = weights[0].detach().cpu().numpy()
    values = np.clip(np.rint(latents.by_position), -ACTIVATION_LIMIT, ACTIVATION_LIMIT)
    error = SquaredError(codec, picture.pixels, latents.quality_integer)
    # Gradients are needed whatever the caller does without.
    with torch.inference_mode(False), torch.enable_grad():
        planes = torch.from_numpy(values).permute(2, 0, 1).contiguous().to(codec.device)
        before, gradient = error.gradient(planes)
    linear = by_position(gradient)
    curvature = _CURVATURE
    for _ in range(_WALKS):
        start = walked(values, linear, curvature * weight)
        moved = values_of(codec, start.symbols).to(planes) - planes
        found = error.bits(planes + moved) - before
        measured = measured_curvature(found, gradient, moved, weight, shares)
        if not math.isfinite(measured):
            break
        if measured <= TRUSTED * curvature:
            return replace(start, took_gradient=True, damping=max(1.0, curvature / _CURVATURE))
        curvature = min(BEYOND * measured, MOST_DAMPED)
    return replace(_nearest(codec, latents, writes), took_gradient=True, damping=curvature)
