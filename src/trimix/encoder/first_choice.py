"""The symbols that an encoding begins with: the nearest ones, or ones chosen in a single run over the schedule."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from trimix.encoder.choosing import Choosing, by_position
from trimix.encoder.curvature import CHOICES, CURVATURE, Damping, curvature_along, first_damping
from trimix.encoder.picture_distortion import PictureDistortion, Slope, where_it_matters
from trimix.entropy_models.fixed_point import ACTIVATION_LIMIT
from trimix.entropy_models.passes import BitCounter, SliceWriters
from trimix.images import Picture
from trimix.latent_codec import LatentCodec, Symbols
from trimix.shapes import Float, Int16

_PARTS_SIDE = 768
"""Pixels: so much of the height and the width of a large picture says which choice is good."""
_LARGE = 4
"""Times as many pixels, 2.4 megapixels, has a large picture at least."""
_WORTH_IT = 0.01
"""Of a large picture, whose gradient takes most of the time: what a choice must save at least."""
_OF_CONTEXTS, _OF_NEAREST = 0.5, 0.001
"""Of what choosing saves, and of the nearest integers' bits: by how much less these may have in contexts of their own.
Found were 0.35 of the first at most, on photographs, screens, games and pixel art, 0.0003 where it is nothing."""


@dataclass(frozen=True)
class FirstChoice:
    """Where a search begins.

    Args:
        writers: have written the latents, if it was wanted.
        seconds: that g_a and one run over the schedule took.
        saved: share of bits and distortion that the choice saved; None where nobody looked.
    """

    symbols: Symbols
    writers: SliceWriters | None
    seconds: float
    damping: Damping
    saved: float | None = None


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
    beforehand gets the nearest integers, too. Of a large picture four parts say which run is good. The whole is run
    over once, and chosen for only where that saves enough.

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
    chooser = _Chooser(codec, picture, quality, writes=writes)
    if not chosen or not chooser.knows_curvature:
        return chooser.rounded()
    if picture.width * picture.height < _LARGE * _PARTS_SIDE**2:
        return chooser.best()
    parts = Picture(picture.pixels[np.ix_(*map(_parts, picture.pixels.shape[:2]))])
    of_parts = _Chooser(codec, parts, quality, writes=False).best()
    is_worth_it = of_parts.saved is None or of_parts.saved >= _WORTH_IT
    return chooser.chosen(of_parts.damping) if is_worth_it else chooser.nearest()


def _parts(size: int) -> np.ndarray:
    """Rows, or columns, of two parts of a side, or all where there are no more.

    >>> _parts(2048)[[0, 383, 384, 767]].tolist()
    [320, 703, 1344, 1727]
    """
    half = _PARTS_SIDE // 2
    if size <= _PARTS_SIDE:
        return np.arange(size)
    return np.concatenate([np.arange(half) + (size * quarter // 4 - half // 2) for quarter in (1, 3)])


class _Chooser:
    """Runs over the latents of one picture."""

    def __init__(self, codec: LatentCodec, picture: Picture, quality: float, *, writes: bool) -> None:
        began = time.monotonic()
        self._codec, self._writes = codec, writes
        self._latents = codec.analyze(picture, quality)
        self._analysis_seconds = time.monotonic() - began
        self._distortion = PictureDistortion(codec, picture.levels, self._latents.side_of.quality_integer)
        self._nearest_bits: float | None = None
        self.knows_curvature = self._distortion.step_weights is not None
        self._weights = np.empty(0) if self._distortion.step_weights is None else self._distortion.step_weights

    def rounded(self) -> FirstChoice:
        """The nearest integers."""
        return self._run(lambda sink: self._codec.round(self._latents, sink, self._latents.place), self._damping())

    def best(self) -> FirstChoice:
        """The first good run, or else the nearest integers."""
        around = self._nearest_integers()
        values, damping = around.transpose(2, 0, 1), self._damping()
        slope = self._distortion.slope(values)
        for _ in range(CHOICES):
            source = self._choosing(around, slope, damping)
            found = self._run_over(source, damping)
            moved = where_it_matters(self._codec.dequantize(found.symbols) - values, slope.shares)
            change = self._distortion.bits(values + moved) - slope.bits
            if self._distortion.is_squared_error:
                if damping.learn(curvature_along(change, slope.gradient, moved, self._weights, slope.shares)):
                    return found
            elif self._is_better(source, change):
                saved = source.nearest_bits - source.bits - change
                return replace(found, saved=saved / (source.nearest_bits + slope.bits))
            else:
                damping.increase()
        return replace(self._nearest(slope.shares, damping), saved=0.0)

    def chosen(self, damping: Damping) -> FirstChoice:
        """One run."""
        around = self._nearest_integers()
        slope = self._distortion.slope(around.transpose(2, 0, 1), gradient_type=np.float16)
        return self._run_over(self._choosing(around, slope, damping), damping, is_last=True)

    def nearest(self) -> FirstChoice:
        """The nearest integers, and the cheapest ones beyond the border of the picture."""
        shares = self._distortion.shares(*self._nearest_integers().shape[:2])
        return self._nearest(shares, self._damping(), is_last=True)

    def _is_better(self, source: Choosing, change: float) -> bool:
        """Whether bits and distortion are less than with the nearest integers.

        These are counted in contexts of their own, a run over the schedule, only where their bits in the contexts of
        the chosen symbols, which are more, do not decide.

        Args:
            change: of the distortion, in bits.
        """
        saved = source.nearest_bits - source.bits
        if saved <= change:
            return False
        if saved - change > _OF_CONTEXTS * abs(saved) + _OF_NEAREST * source.nearest_bits:
            return True
        if self._nearest_bits is None:
            self._codec.round(self._latents, counter := BitCounter(self._latents.by_position.shape))
            self._nearest_bits = float(counter.bits.sum())
        return source.bits + change < self._nearest_bits

    def _damping(self) -> Damping:
        return first_damping(is_squared_error=self._distortion.is_squared_error)

    def _nearest_integers(self) -> Int16[np.ndarray, "h w M"]:
        y = self._latents.by_position
        return y if y.dtype == np.int16 else np.rint(y).astype(np.int16)

    def _choosing(self, around: Int16[np.ndarray, "h w M"], slope: Slope, damping: Damping) -> Choosing:
        quadratic = CURVATURE * damping.factor * self._weights
        return Choosing(around, by_position(slope.gradient), quadratic, ACTIVATION_LIMIT, slope.shares)

    def _nearest(
        self, shares: Float[np.ndarray, "h w"] | None, damping: Damping, *, is_last: bool = False
    ) -> FirstChoice:
        y = self._latents.by_position
        beyond = np.zeros((*y.shape[:2], 1), bool) if shares is None else shares[:, :, None] == 0
        nothing = np.zeros(beyond.shape, np.float32), np.zeros(y.shape[2], np.float32)
        return self._run_over(Choosing(y, *nothing, ACTIVATION_LIMIT, shares, beyond), damping, is_last=is_last)

    def _run_over(self, source: Choosing, damping: Damping, *, is_last: bool = False) -> FirstChoice:
        latents, into = self._latents, self._latents.place if is_last else None
        return self._run(
            lambda sink: self._codec.quantize(latents.side_of, source, sink, is_sliced=latents.is_sliced, into=into),
            damping,
        )

    def _run(self, run: Callable[[SliceWriters | None], Symbols], damping: Damping) -> FirstChoice:
        began, sink = time.monotonic(), SliceWriters() if self._writes else None
        symbols = run(sink)
        return FirstChoice(symbols, sink, self._analysis_seconds + time.monotonic() - began, damping)
