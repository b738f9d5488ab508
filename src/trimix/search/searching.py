"""The search: from the first symbols to better ones, step by step, the best so far kept."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from trimix.codec import Codec, Symbols
from trimix.coding import RangeEncoder
from trimix.entropy_models.fixed_point import ACTIVATION_LIMIT
from trimix.images import Picture
from trimix.search.curvature import half_curvatures, random_signs
from trimix.search.differentiable_path import DifferentiablePath
from trimix.search.distortion import SquaredError, measured_curvature, values_of
from trimix.search.effort import DEFAULT_EFFORT, Effort, Move, effort_of
from trimix.search.first_symbols import Start, first_symbols
from trimix.search.hands import ChoosingHand, by_position
from trimix.search.hyper_latents import HyperLatentSearch
from trimix.shapes import Float, Tensor

_SEED = 1
_PASSES_OF_A_STEP = 4
"""How many times as long as a look at the hyper-latents a step takes without any, about."""
_PASSES_OF_ENCODING = 2
"""How many times as long as such a look g_a and a walk take."""


@dataclass(frozen=True)
class Standing:
    """Where a search stands.

    Args:
        move: steps done.
        moves: steps in all.
        bits_per_pixel: of the best symbols so far, without headers.
        psnr_db: of their picture, before it is rounded to 8 bits.
    """

    move: int
    moves: int
    bits_per_pixel: float
    psnr_db: float


@dataclass(frozen=True)
class Found:
    """What a search came to.

    Args:
        symbols: the best.
        moves: steps done.
        ended: why before all were done: ``time`` or ``interrupt``; None where all were.
        latent_encoder: has written the latents already; None where nobody has.
    """

    symbols: Symbols
    moves: int
    ended: str | None = None
    latent_encoder: RangeEncoder | None = None


def search(
    codec: Codec,
    picture: Picture,
    quality: float,
    effort: int = DEFAULT_EFFORT,
    *,
    time_limit_seconds: float | None = None,
    on_standing: Callable[[Standing], None] = lambda standing: None,
) -> Found:
    """Look for symbols of a picture with the least bits + lambda * squared error.

    lambda is that of the quality, so a quality means the same at every effort. Ctrl-C ends the search, not the call.

    Args:
        codec: of the model.
        picture: 8 bits, grey or RGB.
        quality: 1..100.
        effort: 1..9, see ``effort_of``.
        time_limit_seconds: no step is begun after which the file would probably be written later. What a search begins
            with is made even so.
        on_standing: called after every step.

    Raises:
        UsageError: quality or effort are out of range.
        KeyboardInterrupt: before there was anything to keep.
    """
    began = time.monotonic()
    wanted = effort_of(effort)
    first = first_symbols(codec, picture, quality, chosen=wanted.chosen, writes=not wanted.moves)
    symbols = first.symbols
    if not wanted.moves:
        return Found(symbols, 0, latent_encoder=first.latent_encoder)
    deadline = None if time_limit_seconds is None else began + time_limit_seconds
    state = None
    try:
        # Gradients are needed whatever the caller does without.
        with torch.inference_mode(False), torch.enable_grad():
            state = _Search(codec, picture, first)
            return state.run(wanted, deadline, on_standing)
    except KeyboardInterrupt:
        if state is None:
            return Found(symbols, 0, "interrupt")
        return Found(state.best, state.moves_done, "interrupt")


class _Search:
    def __init__(self, codec: Codec, picture: Picture, start: Start) -> None:
        symbols = start.symbols
        self._codec = codec
        self._model = codec.model
        self._start = symbols
        self._error = SquaredError(codec, picture.levels, symbols.quality_integer)
        self._shares = self._error.shares(*symbols.latent.shape[1:])
        self._path = DifferentiablePath(codec.model)
        self._random = np.random.default_rng(_SEED)
        self._hyper_search = HyperLatentSearch(codec.model, self._path, symbols.quality_integer, self._random)
        self._encoding_seconds = start.seconds
        self._pass_seconds = start.seconds / _PASSES_OF_ENCODING
        self._hyper_bits = self._hyper_search.bits(symbols.hyper_latent)
        self._latent_bits = start.latent_bits
        self._damping = start.damping
        self.best = symbols
        self._encoder: RangeEncoder | None = None
        self._best_encoder: RangeEncoder | None = None
        self.moves_done = 0
        self._least = np.inf
        self._best_bits, self._best_distortion = 0.0, 0.0
        self._weights: Tensor | None = None
        self._distortion = 0.0

    def run(self, effort: Effort, deadline: float | None, on_standing: Callable[[Standing], None]) -> Found:
        symbols = self._start
        if not self._has_time_for(effort.moves[0], deadline):
            return Found(symbols, 0, "time")
        values, gradient = self._judged(symbols)
        for number, move in enumerate(effort.moves, 1):
            if not self._has_time_for(move, deadline):
                return Found(self.best, self.moves_done, "time")
            began = time.monotonic()
            # The last step is the best one as a rule: what it takes is written at once.
            self._encoder = RangeEncoder() if number == len(effort.moves) else None
            symbols = self._moved(symbols, values, gradient, move)
            if number < len(effort.moves):
                last_values, last_gradient, last_distortion = values, gradient, self._distortion
                values, gradient = self._judged(symbols)
                self._learn(self._distortion - last_distortion, last_gradient, values - last_values)
            else:
                self._note(symbols, self._error.bits(values_of(self._codec, symbols)))
            self.moves_done = number
            on_standing(self._standing(len(effort.moves)))
            self._pass_seconds = (time.monotonic() - began) / _passes(move)
        return Found(self.best, self.moves_done, latent_encoder=self._best_encoder)

    def _has_time_for(self, move: Move, deadline: float | None) -> bool:
        """Whether the file could still be written after a step, by one more walk."""
        if deadline is None:
            return True
        return time.monotonic() + _passes(move) * self._pass_seconds + self._encoding_seconds <= deadline

    def _standing(self, moves: int) -> Standing:
        return Standing(
            self.moves_done,
            moves,
            self._best_bits / self._error.pixels,
            self._error.psnr_db(self._best_distortion),
        )

    def _judged(self, symbols: Symbols) -> tuple[Float[Tensor, "M h w"], Float[Tensor, "M h w"]]:
        """Values of symbols whose bits were counted last, and the gradient of their distortion."""
        values = values_of(self._codec, symbols)
        self._distortion, gradient = self._error.gradient(values)
        self._note(symbols, self._distortion)
        return values, gradient

    def _learn(self, change: float, gradient: Float[Tensor, "M h w"], moved: Float[Tensor, "M h w"]) -> None:
        """Damp what follows more, where a step curved the distortion more than it may in a photograph."""
        assert self._weights is not None
        weights = self._weights.cpu().numpy()
        self._damping.learn(measured_curvature(change, gradient, moved, weights, self._shares))

    def _note(self, symbols: Symbols, distortion_bits: float) -> None:
        """Keep symbols whose bits were counted last if they are the best."""
        bits = self._latent_bits + self._hyper_bits
        if bits + distortion_bits < self._least:
            self._least = bits + distortion_bits
            self._best_bits, self._best_distortion = bits, distortion_bits
            self.best, self._best_encoder = symbols, self._encoder

    def _moved(
        self,
        symbols: Symbols,
        values: Float[Tensor, "M h w"],
        gradient: Float[Tensor, "M h w"],
        move: Move,
    ) -> Symbols:
        if self._weights is None:
            # Where the model does not know them, by one more gradient.
            known = self._error.step_weights
            self._weights = self._curvatures(values, gradient) if known is None else known
        device = self._model.path_device
        on_path = values.to(device)
        hyper_latent = self._hyper_search.improved(on_path, symbols.hyper_latent, move.hyper_steps)
        side = self._model.side_features(hyper_latent[None], [symbols.quality_integer])[0]
        linear = gradient + self._path.context_gradient(on_path, side.to(device)).to(gradient)
        rows = by_position(values)
        hand = ChoosingHand(
            rows,
            by_position(linear),
            self._damping.factor * move.curvature * self._weights.cpu().numpy(),
            None if move.share == 1 else self._random.random(rows.shape, np.float32) < move.share,
            ACTIVATION_LIMIT,
            self._encoder,
            self._shares,
        )
        moved = self._codec.walked(side, hyper_latent, symbols.quality_integer, hand)
        self._latent_bits, self._hyper_bits = hand.bits, self._hyper_search.bits(hyper_latent)
        return moved

    def _curvatures(
        self, values: Float[Tensor, "M h w"], gradient: Float[Tensor, "M h w"]
    ) -> Float[Tensor, "M"]:
        signs = random_signs(values.shape, _SEED).to(values)
        return half_curvatures(lambda moved: self._error.gradient(moved)[1], values, gradient, signs)


def _passes(move: Move) -> int:
    return _PASSES_OF_A_STEP + move.hyper_steps
