"""The search: from the first choice to better symbols, step by step, the best so far kept."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from trimix.encoder.choosing import Choosing, by_position
from trimix.encoder.curvature import curvature_along, half_curvatures, random_signs
from trimix.encoder.effort import DEFAULT_EFFORT, MAXIMUM, MINIMUM, search_steps
from trimix.encoder.first_choice import FirstChoice, first_choice
from trimix.encoder.picture_distortion import PictureDistortion, Slope
from trimix.entropy_models.fixed_point import ACTIVATION_LIMIT
from trimix.entropy_models.passes import SliceWriters
from trimix.errors import needing_torch
from trimix.frozen.model import SideFeatures
from trimix.images import Picture
from trimix.latent_codec import LatentCodec, Symbols
from trimix.shapes import Float, Rectangle

_SEED = 1
_FIRST_HYPER_STEPS, _HYPER_STEPS = 4, 2
"""Steps of the hyper-latents before the first step of the latents, and before a later one."""
_FREE_CURVATURE, _FREE_SHARE = 0.75, 0.45
"""Of a free step: less curvature, for a part of the latents that is drawn at random. Where a squared error stands for
the distortion it goes further than a step downhill; with true squared errors it does not."""
_ENDS = {search_steps(effort) for effort in range(MINIMUM, MAXIMUM + 1)}
"""Steps at which an effort ends. They go downhill, so an effort begins with exactly what the one below it does."""
_PASSES_OF_A_STEP = 4
"""How many times as long as a look at the hyper-latents a step takes without any, about."""
_PASSES_OF_ENCODING = 2
"""How many times as long as such a look g_a and a run over the schedule take."""


@dataclass(frozen=True)
class SearchProgress:
    """How far a search has come.

    Args:
        bits_per_pixel: of the best symbols so far, without headers.
        distortion: of their picture, before it is rounded to 8 bits, as people read it.
    """

    step: int
    steps: int
    bits_per_pixel: float
    distortion: str


@dataclass(frozen=True)
class FoundSymbols:
    """What a search came to.

    Args:
        ended: why before all were done: ``time`` or ``interrupt``; None where all were.
        writers: have written the latents already; None where nobody has.
    """

    symbols: Symbols
    steps: int = 0
    ended: str | None = None
    writers: SliceWriters | None = None


def find_symbols(
    codec: LatentCodec,
    picture: Picture,
    quality: float,
    effort: int = DEFAULT_EFFORT,
    time_limit_seconds: float | None = None,
    on_step: Callable[[SearchProgress], None] = lambda progress: None,
) -> FoundSymbols:
    """Look for symbols of a picture with the least bits + lambda * distortion.

    lambda is that of the quality, so a quality means the same at every effort. Ctrl-C ends the search, not the call. A
    picture that is too small for the distortion of its weights is not searched: squared errors trade other bits.

    Args:
        picture: 8 bits, grey or RGB.
        time_limit_seconds: no step is begun after which the file would probably be written later. What a search begins
            with is made even so.

    Raises:
        UsageError: quality or effort are out of range.
        MissingExtraError: an effort from 3 on without torch.
        KeyboardInterrupt: before there was anything to keep.
    """
    began, steps = time.monotonic(), search_steps(effort)
    if min(picture.width, picture.height) < codec.model.distortion.minimum_side:
        steps = 0
    if steps:  # whether there is torch shows before anything is computed
        with needing_torch("an effort from 3 on", "search"):
            import trimix.encoder.hyper_latents  # noqa: F401
    first = first_choice(codec, picture, quality, chosen=effort > 1, writes=not steps)
    if not steps:
        return FoundSymbols(first.symbols, writers=first.writers)
    deadline = None if time_limit_seconds is None else began + time_limit_seconds
    state = None
    try:
        state = _Search(codec, picture, first)
        return state.run(steps, deadline, on_step)
    except KeyboardInterrupt:
        if state is None:
            return FoundSymbols(first.symbols, ended="interrupt")
        return state.found("interrupt")


@dataclass(frozen=True)
class _Point:
    """Symbols, and all that is known of them."""

    symbols: Symbols
    values: Float[np.ndarray, "M h w"]
    bits: float
    distortion: float
    slope: Slope | None
    writers: SliceWriters | None = None

    @property
    def cost(self) -> float:
        """Bits and distortion."""
        return self.bits + self.distortion


class _Search:
    def __init__(self, codec: LatentCodec, picture: Picture, start: FirstChoice) -> None:
        from trimix.encoder.differentiable_path import DifferentiablePath
        from trimix.encoder.hyper_latents import HyperLatentSearch

        self._codec = codec
        self._model = codec.model
        self._start = start
        self._distortion = PictureDistortion(codec, picture.levels, start.symbols.quality_integer)
        self._path = DifferentiablePath(codec.model, codec.device)
        self._random = np.random.default_rng(_SEED)
        self._hyper_search = HyperLatentSearch(codec.model, self._path, start.symbols.quality_integer, self._random)
        self._damping = start.damping
        self._pass_seconds = start.seconds / _PASSES_OF_ENCODING
        self._best: _Point | None = None
        self._steps_done = 0

    def found(self, ended: str | None = None) -> FoundSymbols:
        """The best so far."""
        best = self._best
        symbols, writers = (self._start.symbols, None) if best is None else (best.symbols, best.writers)
        return FoundSymbols(symbols, self._steps_done, ended, writers)

    def run(self, steps: int, deadline: float | None, on_step: Callable[[SearchProgress], None]) -> FoundSymbols:
        point, weights = None, None
        for number in range(1, steps + 1):
            hyper_steps = _FIRST_HYPER_STEPS if number == 1 else _HYPER_STEPS
            if not self._has_time_for(hyper_steps, deadline):
                return self.found("time")
            began = time.monotonic()
            if point is None:
                symbols = self._start.symbols
                point = self._point(symbols, self._codec.count(symbols).total)
            if weights is None:
                weights = self._weights(point)
            last = point
            is_free = not self._distortion.is_squared_error and last is self._best and number not in _ENDS
            # The last step is the best one as a rule: what it takes is written at once.
            point = self._moved(last, weights, hyper_steps, is_free=is_free, is_last=number == steps)
            point = self._learned(last, point, weights)
            self._steps_done = number
            on_step(self._progress(steps))
            self._pass_seconds = (time.monotonic() - began) / (_PASSES_OF_A_STEP + hyper_steps)
        return self.found()

    def _learned(self, last: _Point, point: _Point, weights: Float[np.ndarray, "M"]) -> _Point:
        """Where to go on from. What follows is damped more where a step went too far, less where it was as foreseen."""
        if not self._distortion.is_squared_error:
            if point.cost < last.cost:
                return point
            self._damping.increase()
            return last
        if last.slope is not None and point.slope is not None:
            # Curved the distortion more than it may in a photograph.
            change, moved = point.distortion - last.distortion, point.values - last.values
            slope = last.slope
            if self._damping.learn(curvature_along(change, slope.gradient, moved, weights, slope.shares)):
                self._damping.relax()
        return point

    def _has_time_for(self, hyper_steps: int, deadline: float | None) -> bool:
        """Whether the file could still be written after a step, by one more run over the schedule."""
        if deadline is None:
            return True
        step_seconds = (_PASSES_OF_A_STEP + hyper_steps) * self._pass_seconds
        return time.monotonic() + step_seconds + self._start.seconds <= deadline

    def _progress(self, steps: int) -> SearchProgress:
        assert self._best is not None
        return SearchProgress(
            self._steps_done,
            steps,
            self._best.bits / self._distortion.pixels,
            self._distortion.text(self._best.distortion),
        )

    def _point(
        self, symbols: Symbols, bits: float, writers: SliceWriters | None = None, *, is_last: bool = False
    ) -> _Point:
        values = self._codec.dequantize(symbols)
        slope = None if is_last else self._distortion.slope(values)
        distortion = self._distortion.bits(values) if slope is None else slope.bits
        point = _Point(symbols, values, bits, distortion, slope, writers)
        if self._best is None or point.cost < self._best.cost:
            self._best = point
        return point

    def _weights(self, point: _Point) -> Float[np.ndarray, "M"]:
        """Bits of a squared step of every channel."""
        known = self._distortion.step_weights
        if known is None:
            assert point.slope is not None
            signs = random_signs(point.values.shape, _SEED)
            known = half_curvatures(
                lambda moved: self._distortion.slope(moved).gradient, point.values, point.slope.gradient, signs
            )
            if not self._distortion.is_squared_error and point.slope.shares is not None:
                known = known / float(point.slope.shares.mean())  # they have the shares of all places in them
        return known

    def _moved(
        self, point: _Point, weights: Float[np.ndarray, "M"], hyper_steps: int, *, is_free: bool, is_last: bool
    ) -> _Point:
        assert point.slope is not None
        quality_integer = point.symbols.quality_integer
        hyper_latent = self._hyper_search.improved(point.values, point.symbols.hyper_latent, hyper_steps)
        side_of = SideFeatures(self._model, hyper_latent, quality_integer)
        side = side_of(Rectangle(0, 0, *side_of.grid))
        linear = point.slope.gradient + self._path.context_gradient(point.values, side)
        around = by_position(point.values)
        source = Choosing(
            around,
            by_position(linear),
            self._damping.factor * (_FREE_CURVATURE if is_free else 1) * weights,
            ACTIVATION_LIMIT,
            point.slope.shares,
            self._random.random(around.shape, np.float32) < _FREE_SHARE if is_free else None,
        )
        sink, is_sliced = SliceWriters() if is_last else None, point.symbols.is_sliced
        symbols = self._codec.quantize(side_of, source, sink, is_sliced=is_sliced)
        bits = source.bits + self._hyper_search.bits(hyper_latent)
        return self._point(symbols, bits, sink, is_last=is_last)
