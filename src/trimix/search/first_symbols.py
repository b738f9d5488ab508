"""The symbols that a search begins with: the nearest ones, or ones chosen in a single walk."""

from dataclasses import dataclass

import numpy as np
import torch

from trimix.codec import Codec, Latents, Symbols
from trimix.coding import RangeEncoder
from trimix.entropy_models.fixed_point import ACTIVATION_LIMIT
from trimix.entropy_models.walk import QuantizingHand
from trimix.images import Picture, shares_in_picture
from trimix.search.distortion import SquaredError
from trimix.search.effort import Effort
from trimix.search.hands import SearchingHand, by_position
from trimix.transforms.analysis import LATENT_STRIDE

_CURVATURE = 1.05
"""Over what it is for one latent alone: all move at once."""


@dataclass(frozen=True)
class First:
    """Where a search begins.

    Args:
        symbols: of the whole picture.
        latent_bits: what the latents cost.
        latent_encoder: has written the latents, if it was wanted.
        passes: how much was done: a gradient takes about as long as the rest.
    """

    symbols: Symbols
    latent_bits: float
    latent_encoder: RangeEncoder | None
    passes: int


def first_symbols(codec: Codec, picture: Picture, quality: float, effort: Effort, *, writes: bool) -> First:
    """Symbols from one walk over the latents of g_a.

    ::

        latents y --> nearest integers --> g_s --> squared error --> backwards --> what moving each changes --+
                                                                                                              v
                      coder's walk: of three candidates the least of own bits + change + curvature * move^2 --> symbols

    A model that does not know the curvature beforehand gets the nearest integers. In one that was trained for another
    distortion, each latent is chosen by itself, at the model's price of a squared rounding error.

    Args:
        codec: of the model.
        picture: 8 bits, grey or RGB.
        quality: 1..100.
        effort: whether latents are chosen.
        writes: whether the walk writes the latents, too.

    Raises:
        UsageError: the quality is out of range.
    """
    latents = codec.latents(picture, quality)
    encoder = RangeEncoder() if writes else None
    hand = _choosing_hand(codec, picture, latents, encoder) if effort.chosen else None
    hand = hand or QuantizingHand(latents.by_position, ACTIVATION_LIMIT, encoder, counts=not writes)
    with torch.inference_mode():
        symbols = codec.quantized(latents, hand)
    return First(symbols, hand.bits, encoder, 1 if isinstance(hand, QuantizingHand) else 2)


def _choosing_hand(
    codec: Codec, picture: Picture, latents: Latents, encoder: RangeEncoder | None
) -> SearchingHand | None:
    values = latents.by_position
    prices = codec.model.transforms.error_prices(codec.quality_tensor(latents.quality_integer))
    if prices is not None:
        linear, weights = np.zeros_like(values), prices[0].cpu().numpy()
    else:
        error = SquaredError(codec, picture.pixels, latents.quality_integer)
        if error.step_weights is None:
            return None
        weights = _CURVATURE * error.step_weights.cpu().numpy()
        values = np.clip(np.rint(values), -ACTIVATION_LIMIT, ACTIVATION_LIMIT)
        planes = torch.from_numpy(values).permute(2, 0, 1).contiguous().to(codec.device)
        # Gradients are needed whatever the caller does without.
        with torch.inference_mode(False), torch.enable_grad():
            linear = by_position(error.gradient(planes.clone())[1])
    shares = shares_in_picture(picture.height, picture.width, LATENT_STRIDE, *values.shape[:2])
    return SearchingHand(
        values,
        linear,
        weights if shares is None else shares[:, :, None] * weights,
        None,
        ACTIVATION_LIMIT,
        encoder,
        None if shares is None else shares == 0,
    )
