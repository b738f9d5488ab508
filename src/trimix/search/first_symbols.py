"""The symbols that a search begins with: the nearest ones, or ones chosen in a single walk."""

from dataclasses import dataclass

import numpy as np
import torch

from trimix.codec import Codec, Latents, Symbols
from trimix.coding import RangeEncoder
from trimix.entropy_models.fixed_point import ACTIVATION_LIMIT
from trimix.entropy_models.walk import QuantizingHand
from trimix.images import Picture
from trimix.search.distortion import SquaredError, shares_that_matter
from trimix.search.hands import ChoosingHand, by_position

_CURVATURE = 1.05
"""Over what it is for one latent alone: best of 0.9, 1, 1.1 and 1.2 on validation pictures, between the two best."""


@dataclass(frozen=True)
class Start:
    """Where a search begins.

    Args:
        symbols: of the whole picture.
        latent_bits: what the latents cost.
        latent_encoder: has written the latents, if it was wanted.
        took_gradient: which takes about as long as the rest.
    """

    symbols: Symbols
    latent_bits: float
    latent_encoder: RangeEncoder | None
    took_gradient: bool


def first_symbols(codec: Codec, picture: Picture, quality: float, *, chosen: bool, writes: bool) -> Start:
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
        chosen: otherwise the nearest.
        writes: whether the walk writes the latents, too.

    Raises:
        UsageError: the quality is out of range.

    >>> picture = Picture(np.zeros((48, 64, 3), np.uint8))
    >>> first_symbols(Codec.load(), picture, 50, chosen=True, writes=False).symbols.latent.shape[1:]
    torch.Size([4, 4])
    """
    latents = codec.latents(picture, quality)
    encoder = RangeEncoder() if writes else None
    hand, took_gradient = None, False
    if chosen:
        factor = codec.quality_tensor(latents.quality_integer)
        prices = codec.model.transforms.error_prices(factor)
        weights = codec.model.transforms.step_weights(factor)
        if prices is not None:
            linear = np.zeros_like(latents.by_position)
            hand = _hand(picture, latents.by_position, linear, prices[0].detach().cpu().numpy(), encoder)
        elif weights is not None:
            nearest = np.clip(np.rint(latents.by_position), -ACTIVATION_LIMIT, ACTIVATION_LIMIT)
            linear = _gradient(codec, picture, latents, nearest)
            weight = _CURVATURE * weights[0].detach().cpu().numpy()
            hand, took_gradient = _hand(picture, nearest, linear, weight, encoder), True
    if hand is None:
        hand = QuantizingHand(latents.by_position, ACTIVATION_LIMIT, encoder, counts=True)
    return Start(codec.quantized(latents, hand), hand.bits, encoder, took_gradient)


def _gradient(codec: Codec, picture: Picture, latents: Latents, values: np.ndarray) -> np.ndarray:
    error = SquaredError(codec, picture.pixels, latents.quality_integer)
    # Gradients are needed whatever the caller does without.
    with torch.inference_mode(False), torch.enable_grad():
        planes = torch.from_numpy(values).permute(2, 0, 1).contiguous().to(codec.device)
        return by_position(error.gradient(planes)[1])


def _hand(
    picture: Picture,
    values: np.ndarray,
    linear: np.ndarray,
    quadratic: np.ndarray,
    encoder: RangeEncoder | None,
) -> ChoosingHand:
    shares = shares_that_matter(picture.height, picture.width, *values.shape[:2])
    return ChoosingHand(values, linear, quadratic, None, ACTIVATION_LIMIT, encoder, shares)
