"""A file of a wanted size, PSNR or SSIMULACRA2 score: trials at some qualities, and searches at the best one."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from trimix.bitstream import QUALITY_STEPS
from trimix.distortion.ssimulacra2 import ssimulacra2_of_pixels
from trimix.encoder.effort import search_steps
from trimix.encoder.search import FoundSymbols, SearchProgress, find_symbols
from trimix.encoder.targets import (
    HIGHEST,
    LOWEST,
    TRIALS,
    Target,
    TargetKind,
    Trial,
    best,
    first_guess,
    is_out_of_reach,
    nearest_quality,
    preference,
    seek,
    slope_near,
)
from trimix.entropy_models.passes import SliceWriters
from trimix.errors import OutOfReachError
from trimix.images import Picture, psnr_db
from trimix.latent_codec import LatentCodec, Symbols

_FAST_EFFORT = 2
"""The highest that takes no step: what the quality is looked for with."""
_SEARCHES = 3
"""At most so many at the wanted effort, where it takes steps: one, and two that correct the quality."""
_Result = TypeVar("_Result")
_HIGHEST_PSNR_DB = 100.0
"""Of equal pixels, so that the search for a quality has numbers to compare."""

Packing = Callable[[Picture, Symbols, SliceWriters | None], bytes]
"""Makes a file of symbols, which writers may have written already."""


@dataclass(frozen=True)
class Encoded:
    """A file, and what it took.

    Args:
        quality: the header's, 1..100.
        ended: why before all were done: ``time`` or ``interrupt``; None where all were.
        encodings: of the latents.
        measured: of the target, in its unit; None without one.
        is_met: whether the target is, within its tolerance.
        is_lossless: whether the file holds the samples themselves.
    """

    data: bytes
    quality: float
    steps: int = 0
    ended: str | None = None
    encodings: int = 1
    measured: float | None = None
    is_met: bool = True
    is_lossless: bool = False


def encode_to_target(
    codec: LatentCodec,
    pack: Packing,
    picture: Picture,
    target: Target,
    effort: int,
    time_limit_seconds: float | None,
    on_step: Callable[[SearchProgress], None],
    on_trial: Callable[[Trial], None],
) -> Encoded:
    """Compress a picture to a size or a PSNR, by the quality that meets it.

    At most ``TRIALS`` encodings of the latents. g_a runs in each of them: gllmm-lite's sees the quality. What does not
    depend on it, the pixels and the model's tables, is read and made once. An effort that takes steps is not spent on
    trials: the quality is found without steps, then searched at, then corrected by what the steps changed. Of all files
    made, one within the tolerance is taken before one that is not, a searched one before a fast one, and a size below
    the target before one above. Ctrl-C ends it; it is not raised where a file that meets the target is there.

    Args:
        picture: 8 bits, grey or RGB.
        target: bits per pixel and bytes are those of the whole file, metadata and all; PSNR is that of 8-bit pixels.
        time_limit_seconds: of all; the trials without steps take place even so.

    Raises:
        OutOfReachError: no quality meets the target.
        UsageError: the effort is out of range.
        KeyboardInterrupt: before any file met the target, or again after one interrupt.
    """
    deadline = None if time_limit_seconds is None else time.monotonic() + time_limit_seconds
    state = _TargetSearch(codec, pack, picture, target, on_step, on_trial)
    try:
        state.run(effort, deadline)
    except KeyboardInterrupt:
        state.interrupt()
    return state.encoded()


def even_if_interrupted(action: Callable[[], _Result], ended: str | None) -> tuple[_Result, str | None]:
    """The result of a last short step, which the first Ctrl-C delays and the second one prevents.

    Args:
        ended: how the search before it ended; ``interrupt`` is the first Ctrl-C.
    """
    try:
        return action(), ended
    except KeyboardInterrupt:
        if ended == "interrupt":
            raise
        return action(), "interrupt"


def _at_once(action: Callable[[], _Result], ended: str | None) -> tuple[_Result, str | None]:
    return action(), ended


@dataclass(frozen=True)
class _Attempt:
    """A file that was made on the way, or what was found where its PSNR is what counts."""

    trial: Trial
    effort: int
    steps: int
    ended: str | None
    found: FoundSymbols | None
    data: bytes | None


@dataclass(eq=False)
class _TargetSearch:
    codec: LatentCodec
    pack: Packing
    picture: Picture
    target: Target
    on_step: Callable[[SearchProgress], None]
    on_trial: Callable[[Trial], None]
    attempts: list[_Attempt] = field(default_factory=list)
    is_interrupted: bool = False
    is_late: bool = False

    def run(self, effort: int, deadline: float | None) -> None:
        takes_steps = search_steps(effort) > 0
        fast = min(effort, _FAST_EFFORT)
        if not self.codec.model.transforms.facts.all_rates:
            trials = [self._attempt(nearest_quality(50.0), fast)]
            self._search_or_refuse(trials, effort, deadline)
            return
        trials = seek(
            lambda quality: self._attempt(quality, fast).measured,
            self.target,
            first_guess(self.target, self.picture.width * self.picture.height),
            # Trials of the search are to come: nearer would be for nothing, and some must be left for them.
            near=self.target.aim.tolerance / 2 if takes_steps else None,
            trials=TRIALS - _SEARCHES if takes_steps else TRIALS,
        )
        if is_out_of_reach(trials, self.target):
            self._search_or_refuse(trials, effort, deadline)
        elif takes_steps:
            self._search(effort, fast, deadline, trials)

    def _search_or_refuse(self, trials: list[Trial], effort: int, deadline: float | None) -> None:
        """Where no quality meets the target without steps, or there is only one quality."""
        target = self.target
        nearest = best(trials, target)
        is_near = abs(target.error(nearest.measured)) <= target.aim.search_shift
        if is_near and search_steps(effort):
            self._attempt(nearest.quality_integer, effort, deadline)
        if self._has_met():
            return
        if self.is_interrupted:
            raise KeyboardInterrupt
        raise OutOfReachError(self._reach())

    def _has_met(self) -> bool:
        return any(self.target.is_met(attempt.trial.measured) for attempt in self.attempts)

    def interrupt(self) -> None:
        """Take note of Ctrl-C.

        Raises:
            KeyboardInterrupt: it is the second one, or there is no file yet that meets the target.
        """
        if self.is_interrupted or not self._has_met():
            raise KeyboardInterrupt
        self.is_interrupted = True

    def encoded(self) -> Encoded:
        """The best of what was made."""

        def order(attempt: _Attempt) -> tuple[bool, int, bool, float]:
            is_missed, is_above, distance = preference(attempt.trial.measured, self.target)
            return is_missed, -attempt.effort, is_above, distance

        chosen = min(self.attempts, key=order)
        data, found, ended = chosen.data, chosen.found, chosen.ended
        if self.is_interrupted or self.is_late:
            ended = "interrupt" if self.is_interrupted else "time"
        if data is None:
            assert found is not None
            data, ended = even_if_interrupted(partial(self.pack, self.picture, found.symbols, found.writers), ended)
        return Encoded(
            data,
            chosen.trial.quality,
            chosen.steps,
            ended,
            len(self.attempts),
            chosen.trial.measured,
            self.target.is_met(chosen.trial.measured),
        )

    def _attempt(self, quality_integer: int, effort: int, deadline: float | None = None) -> Trial:
        found = find_symbols(
            self.codec,
            self.picture,
            quality_integer / QUALITY_STEPS,
            effort,
            None if deadline is None else max(0.0, deadline - time.monotonic()),
            self.on_step,
        )
        # First of all: another Ctrl-C is the second one from here on.
        self.is_interrupted |= found.ended == "interrupt"
        data, ended, finish = None, found.ended, even_if_interrupted
        if not search_steps(effort):
            finish = _at_once
        elif not found.steps:
            effort = _FAST_EFFORT
        if self.target.is_rate:
            data, ended = finish(partial(self.pack, self.picture, found.symbols, found.writers), ended)
            measured = self._size(data)
        else:
            measured, ended = finish(partial(self._measured, found.symbols), ended)
        self.is_interrupted |= ended == "interrupt"
        trial = Trial(quality_integer, measured)
        self.attempts.append(_Attempt(trial, effort, found.steps, ended, found if data is None else None, data))
        self.on_trial(trial)
        return trial

    def _size(self, data: bytes) -> float:
        if self.target.kind is TargetKind.BYTES:
            return float(len(data))
        return 8 * len(data) / (self.picture.width * self.picture.height)

    def _measured(self, symbols: Symbols) -> float:
        picture = self.picture
        if self.target.kind is TargetKind.SSIMULACRA2:
            pixels = picture.in_8_bits().pixels
            return ssimulacra2_of_pixels(pixels, self.codec.synthesize(symbols, *pixels.shape))
        decoded = self.codec.synthesize(symbols, *picture.pixels.shape, bit_depth=picture.bit_depth)
        return min(psnr_db(picture.pixels, decoded), _HIGHEST_PSNR_DB)

    def _search(self, effort: int, fast: int, deadline: float | None, trials: list[Trial]) -> None:
        """Searches of many steps, each at a quality that is corrected by what came of the last."""
        target = self.target
        quality_integer = best(trials, target).quality_integer
        searched: list[Trial] = []
        for number in range(_SEARCHES):
            self.is_late = deadline is not None and time.monotonic() >= deadline
            if self.is_late or len(self.attempts) >= TRIALS:
                return
            part = deadline
            if deadline is not None and number == 0:
                part = (time.monotonic() + deadline) / 2  # the other half is for the correction
            trial = self._attempt(quality_integer, effort, part)
            searched.append(trial)
            error = target.error(trial.measured) + target.aim.searched_below
            if self.is_interrupted or abs(error) <= target.aim.searched_near:
                return
            slope = slope_near(trials, target, quality_integer)
            wanted = nearest_quality(trial.quality - error / slope)
            if number == 0 and wanted != quality_integer and len(self.attempts) < TRIALS - 1:
                # One more trial without steps tells the slope between here and there, and costs little.
                here = min(trials, key=lambda one: abs(one.quality_integer - quality_integer))
                there = self._attempt(wanted, fast)
                trials.append(there)
                rise = target.curve(there.measured) - target.curve(here.measured)
                between = rise / (there.quality - trial.quality)
                if between > 0:
                    wanted = nearest_quality(trial.quality - error / between)
            if number == 1:
                slope = slope_near(searched, target, quality_integer)
                wanted = nearest_quality(trial.quality - error / slope)
            if wanted == quality_integer:
                return
            quality_integer = wanted

    def _reach(self) -> str:
        target, model = self.target, self.codec.model
        has_one_rate = not model.transforms.facts.all_rates
        tried = {attempt.trial.quality_integer for attempt in self.attempts}
        for end in (LOWEST, HIGHEST):
            if end not in tried and not has_one_rate:
                self._attempt(end, _FAST_EFFORT)
        trials = sorted((attempt.trial for attempt in self.attempts), key=lambda trial: trial.measured)
        ends = [
            target.text(trial.measured) + ("" if has_one_rate else f" (quality {trial.quality:g})")
            for trial in (trials[0], trials[-1])
        ]
        return (
            f"{target.text(target.value)} is out of reach for this picture: {model.identity.name} "
            f"{'has one rate and ' * has_one_rate}gives {' to '.join(dict.fromkeys(ends))}"
        )
