"""The symbols that an encoding begins with: the nearest ones, or ones chosen in a single run over the schedule."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

from trimix.encoder.choosing import Choosing, by_position
from trimix.encoder.curvature import CHOICES, CURVATURE, Damping, curvature_along, first_damping
from trimix.encoder.picture_distortion import PictureDistortion, where_it_matters
from trimix.entropy_models.fixed_point import ACTIVATION_LIMIT
from trimix.entropy_models.passes import BitCounter, SliceWriters
from trimix.images import Picture
from trimix.latent_codec import LatentCodec, Symbols

_OF_CONTEXTS, _OF_NEAREST = 0.5, 0.001
"""Of what choosing saves, and of the nearest integers' bits: by how much less these may have in contexts of their own.
Found were 0.35 of the first at most, on photographs, screens, games and pixel art, 0.0003 where it is nothing."""


@dataclass(frozen=True)
class FirstChoice:
    """Where a search begins.

    Args:
        writers: have written the latents, if it was wanted.
        seconds: that g_a and one run over the schedule took.
    """

    symbols: Symbols
    writers: SliceWriters | None
    seconds: float
    damping: Damping


def first_choice(codec: LatentCodec, picture: Picture, quality: float, *, chosen: bool, writes: bool) -> FirstChoice:
    """Symbols from one run over the latents of g_a.

    ::

        latents y --> nearest integers --> g_s --> distortion --> backwards --> what moving each changes --+
                                                                                                           v
              one run of Choosing: of three candidates the least of own bits + change + curvature * move^2 --> symbols
                           ^                                                                                  |
                           '--- more curvature, where the distortion grew more than foreseen <-- g_s <--------'

    Where a squared error stands for the distortion (see ``picture_distortion``), a run is good if it makes bits and
    distortion together less than the nearest integers have. Where none of three runs is good, the symbols are the
    nearest integers, and the cheapest ones beyond the border of the picture. A model that does not know the curvature
    beforehand gets the nearest integers, too.

    Args:
        picture: 8 bits, grey or RGB.
        chosen: otherwise the nearest.
        writes: whether the run writes the latents, too.

    Raises:
        UsageError: the quality is out of range.

    >>> from trimix.codec import Codec
    >>> picture = Picture(np.zeros((48, 64, 3), np.uint8))
    >>> first_choice(Codec.load().latents, picture, 50, chosen=True, writes=False).symbols.latent.shape[1:]
    (4, 4)
    """
    began = time.monotonic()
    latents = codec.analyze(picture, quality)
    analysis_seconds = time.monotonic() - began
    distortion = PictureDistortion(codec, picture.levels, latents.quality_integer)
    damping = first_damping(is_squared_error=distortion.is_squared_error)

    def run(source: Choosing | None) -> FirstChoice:
        began = time.monotonic()
        sink = SliceWriters() if writes else None
        if source is None:
            symbols = codec.round(latents, sink)
        else:
            of, quality_integer, is_sliced = latents.hyper_latent, latents.quality_integer, latents.is_sliced
            symbols = codec.quantize(latents.side, of, quality_integer, source, sink, is_sliced=is_sliced)
        return FirstChoice(symbols, sink, analysis_seconds + time.monotonic() - began, damping)

    if not chosen or distortion.step_weights is None:
        return run(None)
    nearest = np.clip(np.rint(latents.by_position), -ACTIVATION_LIMIT, ACTIVATION_LIMIT)
    values = np.ascontiguousarray(nearest.transpose(2, 0, 1))
    slope = distortion.slope(values)
    weights = distortion.step_weights
    around, linear = by_position(values), by_position(slope.gradient)

    @cache
    def nearest_bits() -> float:
        codec.round(latents, counter := BitCounter(latents.by_position.shape))
        return float(counter.bits.sum())

    for _ in range(CHOICES):
        quadratic = CURVATURE * damping.factor * weights
        source = Choosing(around, linear, quadratic, ACTIVATION_LIMIT, slope.shares)
        found = run(source)
        moved = where_it_matters(codec.dequantize(found.symbols) - values, slope.shares)
        change = distortion.bits(values + moved) - slope.bits
        if distortion.is_squared_error:
            if damping.learn(curvature_along(change, slope.gradient, moved, weights, slope.shares)):
                return found
        elif _is_better(source, change, nearest_bits):
            return found
        else:
            damping.increase()
    y = latents.by_position
    beyond = np.zeros((*y.shape[:2], 1), bool) if slope.shares is None else slope.shares[:, :, None] == 0
    nothing = np.zeros_like(y), np.zeros_like(weights)
    return run(Choosing(y, *nothing, ACTIVATION_LIMIT, slope.shares, beyond))


def _is_better(source: Choosing, change: float, nearest_bits: Callable[[], float]) -> bool:
    """Whether bits and distortion are less than with the nearest integers.

    These are counted in contexts of their own, a run over the schedule, only where their bits in the contexts of the
    chosen symbols, which are more, do not decide.

    Args:
        change: of the distortion, in bits.
    """
    saved = source.nearest_bits - source.bits
    if saved <= change:
        return False
    is_sure = saved - change > _OF_CONTEXTS * abs(saved) + _OF_NEAREST * source.nearest_bits
    return bool(is_sure or source.bits + change < nearest_bits())
