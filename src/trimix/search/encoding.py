"""From a picture to a file at an effort, at a quality or at a target."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from trimix.bitstream import QUALITY_STEPS
from trimix.codec import Codec, Symbols
from trimix.errors import UsageError
from trimix.images import Picture
from trimix.models.frozen import quality_to_integer
from trimix.search.effort import DEFAULT_EFFORT, effort_of
from trimix.search.searching import Found, Standing, search
from trimix.search.targets import (
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
from trimix.shapes import UInt8

_FAST_EFFORT = 2
"""The highest that takes no step: what the quality is looked for with."""
_SEARCHES = 3
"""At most so many at the wanted effort, where it takes steps: one, and two that correct the quality."""
_SEARCHED_NEAR = {True: 0.005, False: 0.05}
"""When a search of many steps is near enough its aim, rates and dB: another one takes as long again."""
_SEARCHED_BELOW = {True: 0.005, False: 0.0}
_PEAK = 255.0


@dataclass(frozen=True)
class Encoded:
    """A file, and what it took.

    Args:
        data: contents of a ``.tmix`` file.
        quality: the header's, 1..100.
        moves: steps of the search.
        ended: why before all were done: ``time`` or ``interrupt``; None where all were.
        encodings: of the latents.
        measured: of the target, in its unit; None without one.
        is_met: whether the target is, within its tolerance.
    """

    data: bytes
    quality: float
    moves: int = 0
    ended: str | None = None
    encodings: int = 1
    measured: float | None = None
    is_met: bool = True


def encode(
    codec: Codec,
    picture: Picture,
    quality: float = 50.0,
    effort: int = DEFAULT_EFFORT,
    *,
    time_limit_seconds: float | None = None,
    on_standing: Callable[[Standing], None] = lambda standing: None,
) -> Encoded:
    """Compress a picture at a quality; see ``search``.

    >>> data = encode(Codec.load(), Picture(np.zeros((48, 64, 3), np.uint8)), effort=3).data
    >>> Codec.for_file(data).decode(data).pixels.shape
    (48, 64, 3)
    """
    if not effort_of(effort).moves:
        return Encoded(_in_one_walk(codec, picture, quality, effort), _stored(quality))
    found = search(
        codec, picture, quality, effort, time_limit_seconds=time_limit_seconds, on_standing=on_standing
    )
    return Encoded(codec.pack(picture, found.symbols), _stored(quality), found.moves, found.ended)


def encode_to_target(
    codec: Codec,
    picture: Picture,
    target: Target,
    effort: int = DEFAULT_EFFORT,
    *,
    time_limit_seconds: float | None = None,
    on_standing: Callable[[Standing], None] = lambda standing: None,
    on_trial: Callable[[Trial], None] = lambda trial: None,
) -> Encoded:
    """Compress a picture to a size or a PSNR, by the quality that meets it.

    At most ``TRIALS`` encodings of the latents. g_a runs in each of them: gllmm-lite's sees the quality. What does not
    depend on it, the pixels and the model's tables, is read and made once. An effort that takes steps is not spent on
    trials: the quality is found without steps, then searched at, then corrected by what the steps changed. Of all files
    made, one within the tolerance is taken before one that is not, a searched one before a fast one, and a size below
    the target before one above.

    Args:
        codec: of the model.
        picture: 8 bits, grey or RGB.
        target: bits per pixel and bytes are those of the whole file, metadata and all; PSNR is that of 8-bit pixels.
        effort: 1..9.
        time_limit_seconds: of all; the trials without steps take place even so.
        on_standing: called after every step of a search.
        on_trial: called after every encoding.

    Raises:
        UsageError: the target is out of reach, or the effort out of range.
        KeyboardInterrupt: before any file met the target, or again after one interrupt.

    >>> from trimix.search.targets import TargetKind
    >>> picture = Picture(np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8))
    >>> encoded = encode_to_target(Codec.load(), picture, Target(TargetKind.BYTES, 3000))
    >>> 2940 <= len(encoded.data) <= 3000
    True
    """
    deadline = None if time_limit_seconds is None else time.monotonic() + time_limit_seconds
    state = _TargetSearch(codec, picture, target, on_standing, on_trial)
    try:
        state.run(effort, deadline)
    except KeyboardInterrupt:
        state.interrupt()
    return state.encoded()


@dataclass(frozen=True)
class _Attempt:
    """A file that was made on the way, or its symbols where their PSNR is what counts."""

    trial: Trial
    effort: int
    found: Found | None
    data: bytes | None


class _TargetSearch:
    def __init__(
        self,
        codec: Codec,
        picture: Picture,
        target: Target,
        on_standing: Callable[[Standing], None],
        on_trial: Callable[[Trial], None],
    ) -> None:
        self._codec = codec
        self._picture = picture
        self._target = target
        self._on_standing = on_standing
        self._on_trial = on_trial
        self._attempts: list[_Attempt] = []
        self._is_interrupted = False
        self._is_late = False

    def run(self, effort: int, deadline: float | None) -> None:
        takes_steps = bool(effort_of(effort).moves)
        if not self._codec.model.transforms.config.all_rates:
            self._attempt(nearest_quality(50.0), effort, deadline)
            self._refuse_what_one_rate_misses()
            return
        fast = min(effort, _FAST_EFFORT) if takes_steps else effort
        trials = seek(
            lambda quality: self._attempt(quality, fast, None).measured,
            self._target,
            first_guess(self._target, self._picture.width * self._picture.height),
            # A trial of the search is to come: nearer would be for nothing.
            near=self._target.aim.tolerance / 2 if takes_steps else None,
        )
        if is_out_of_reach(trials, self._target):
            raise UsageError(self._reach(trials))
        if takes_steps:
            self._search(effort, fast, deadline, trials)

    def interrupt(self) -> None:
        """Take note of Ctrl-C.

        Raises:
            KeyboardInterrupt: it is the second one, or there is no file yet that meets the target.
        """
        is_met = any(self._target.is_met(attempt.trial.measured) for attempt in self._attempts)
        if self._is_interrupted or not is_met:
            raise KeyboardInterrupt
        self._is_interrupted = True

    def encoded(self) -> Encoded:
        """The best of what was made."""
        chosen = min(self._attempts, key=self._preference)
        data = chosen.data
        if data is None:
            assert chosen.found is not None
            data = self._codec.pack(self._picture, chosen.found.symbols)
        moves, ended = (0, None) if chosen.found is None else (chosen.found.moves, chosen.found.ended)
        if self._is_interrupted or self._is_late:
            ended = "interrupt" if self._is_interrupted else "time"
        return Encoded(
            data,
            chosen.trial.quality,
            moves,
            ended,
            len(self._attempts),
            chosen.trial.measured,
            self._target.is_met(chosen.trial.measured),
        )

    def _preference(self, attempt: _Attempt) -> tuple[bool, int, bool, float]:
        is_missed, is_above, distance = preference(attempt.trial.measured, self._target)
        return is_missed, -attempt.effort, is_above, distance

    def _attempt(self, quality_integer: int, effort: int, deadline: float | None) -> Trial:
        picture, quality = self._picture, quality_integer / QUALITY_STEPS
        found: Found | None = None
        data: bytes | None = None
        if self._target.is_rate and not effort_of(effort).moves:
            data = _in_one_walk(self._codec, picture, quality, effort)
        else:
            limit = None if deadline is None else max(0.0, deadline - time.monotonic())
            found = search(
                self._codec,
                picture,
                quality,
                effort,
                time_limit_seconds=limit,
                on_standing=self._on_standing,
            )
            # First of all: another Ctrl-C is the second one from here on.
            self._is_interrupted |= found.ended == "interrupt"
            if self._target.is_rate:
                data = self._codec.pack(picture, found.symbols)
        trial = Trial(quality_integer, self._measured(found, data))
        self._attempts.append(_Attempt(trial, effort, found, data))
        self._on_trial(trial)
        return trial

    def _measured(self, found: Found | None, data: bytes | None) -> float:
        picture = self._picture
        if data is None:
            assert found is not None
            return self._psnr_db(found.symbols)
        if self._target.kind is TargetKind.BYTES:
            return float(len(data))
        return 8 * len(data) / (picture.width * picture.height)

    def _psnr_db(self, symbols: Symbols) -> float:
        pixels = self._picture.pixels
        decoded = self._codec.reconstruct(symbols, *pixels.shape)
        return psnr_db(pixels, decoded)

    def _search(self, effort: int, fast: int, deadline: float | None, trials: list[Trial]) -> None:
        """Searches of many steps, each at a quality that is corrected by what came of the last."""
        target = self._target
        quality_integer = best(trials, target).quality_integer
        searched: list[Trial] = []
        for number in range(_SEARCHES):
            self._is_late = deadline is not None and time.monotonic() >= deadline
            if self._is_late or len(self._attempts) >= TRIALS:
                return
            part = deadline
            if deadline is not None and number == 0:
                part = (time.monotonic() + deadline) / 2  # the other half is for the correction
            trial = self._attempt(quality_integer, effort, part)
            searched.append(trial)
            error = target.error(trial.measured) + _SEARCHED_BELOW[target.is_rate]
            if self._is_interrupted or abs(error) <= _SEARCHED_NEAR[target.is_rate]:
                return
            slope = slope_near(trials, target, quality_integer)
            wanted = nearest_quality(trial.quality - error / slope)
            if number == 0 and wanted != quality_integer and len(self._attempts) < TRIALS - 1:
                # One more trial without steps tells the slope between here and there, and costs little.
                trials.append(self._attempt(wanted, fast, None))
                between = (target.curve(trials[-1].measured) - self._curve_at(trials, quality_integer)) / (
                    trials[-1].quality - trial.quality
                )
                if between > 0:
                    wanted = nearest_quality(trial.quality - error / between)
            if number == 1:
                slope = slope_near(searched, target, quality_integer)
                wanted = nearest_quality(trial.quality - error / slope)
            if wanted == quality_integer:
                return
            quality_integer = wanted

    def _curve_at(self, trials: list[Trial], quality_integer: int) -> float:
        at = min(trials, key=lambda trial: abs(trial.quality_integer - quality_integer))
        return self._target.curve(at.measured)

    def _reach(self, trials: list[Trial]) -> str:
        by_quality = sorted(trials, key=lambda trial: trial.quality_integer)
        lowest, highest = (
            f"{self._target.text(trial.measured)} (quality {trial.quality:g})"
            for trial in (by_quality[0], by_quality[-1])
        )
        return (
            f"{self._target.text(self._target.value)} is out of reach for this picture: "
            f"{self._codec.model.identity.name} gives {lowest} to {highest}"
        )

    def _refuse_what_one_rate_misses(self) -> None:
        target, measured = self._target, self._attempts[-1].trial.measured
        if not target.is_met(measured):
            raise UsageError(
                f"{target.text(target.value)} is out of reach for this picture: {self._codec.model.identity.name} has "
                f"one rate and gives {target.text(measured)}"
            )


def psnr_db(original: UInt8[np.ndarray, "H W C"], decoded: UInt8[np.ndarray, "H W C"]) -> float:
    """PSNR of 8-bit pixels: 10 log10(255^2 / MSE); 100 at most, which equal pictures have."""
    difference = original.astype(np.int32) - decoded.astype(np.int32)
    mean = float(np.square(difference).mean(dtype=np.float64))
    return float(10 * np.log10(_PEAK**2 / max(mean, _PEAK**2 * 1e-10)))


def _in_one_walk(codec: Codec, picture: Picture, quality: float, effort: int) -> bytes:
    """The file of an effort without steps: latents are rounded, or chosen, and written at once."""
    if effort_of(effort).chosen:
        return codec.encode(picture, quality)
    return codec.encode(picture, quality, chosen=False)


def _stored(quality: float) -> float:
    return quality_to_integer(quality) / QUALITY_STEPS
