"""Looks for hyper-latents that make the latents cheap: h_a only guesses them."""

import numpy as np
import torch
from torch.nn import functional as F

from trimix.encoder.curvature import half_curvatures
from trimix.encoder.differentiable_path import DifferentiablePath
from trimix.frozen.model import FrozenModel
from trimix.shapes import Float, Int16, Tensor

_SHARE = 0.5
"""Of the positions that propose a change in one step: neighbours' changes add up, and what each did is not known."""
_PROBED_POSITIONS = 48
"""At how many positions the curvature is measured, about, in a band across the middle: all would cost a step."""
_REACH = 3
"""Positions across, about, in which a hyper-latent changes bits."""


class HyperLatentSearch:
    """Changes symbols of the hyper-latents, one at a position and step, where the latents' bits and theirs get fewer.

    ::

        gradient, curvature --> the most promising change of +-1 at half the positions --> bits around each
              ^                                                                                  |
              +---- what is known there now <---- kept where bits got fewer, taken back elsewhere +
    """

    def __init__(
        self, model: FrozenModel, path: DifferentiablePath, quality_integer: int, random: np.random.Generator
    ) -> None:
        self._model = model
        self._path = path
        self._quality_integer = quality_integer
        self._random = random
        self._curvature: np.ndarray | None = None

    def bits(self, hyper_latent: Int16[np.ndarray, "Z hh hw"]) -> float:
        """Of symbols, by the coder's table."""
        return float(self._table_bits(hyper_latent.astype(np.int32)).sum())

    def improved(
        self, latents: Float[np.ndarray, "M h w"], hyper_latent: Int16[np.ndarray, "Z hh hw"], steps: int
    ) -> Int16[np.ndarray, "Z hh hw"]:
        """Better hyper-latents for latents that stay."""
        if not steps:
            return hyper_latent
        with torch.inference_mode(False), torch.no_grad():
            values = torch.from_numpy(latents).to(self._path.device)
            looking = self._path.looking_planes(*values.shape[1:])
            context = self._path.context_features(values[None], looking)
        symbols = hyper_latent.astype(np.int32)
        bits, gradient = self._latent_bits(values, context, symbols)
        if self._curvature is None:
            self._curvature = self._curvatures(values, context, symbols, gradient)
        own_bits = self._table_bits(symbols)
        for left in reversed(range(steps)):
            change = self._proposal(symbols, own_bits, gradient)
            if not change.any():
                break
            changed = symbols + change
            # After the last one nothing follows that would need a gradient.
            new_bits, new_gradient = self._latent_bits(values, context, changed, differentiate=left > 0)
            new_own_bits = self._table_bits(changed)
            difference = _around(new_bits - bits) + (new_own_bits - own_bits).sum(axis=0)
            is_changed = change.any(axis=0)
            is_refused = is_changed & (difference >= 0)
            symbols = np.where(is_refused, symbols, changed)
            own_bits = np.where(is_refused, own_bits, new_own_bits)
            # Of those taken back what was known before is the better guess; a new count would cost as much as a step.
            bits = np.where(is_refused, bits, new_bits)
            gradient = np.where(is_refused, gradient, new_gradient)
        return symbols.astype(np.int16)

    def _proposal(self, symbols: np.ndarray, own_bits: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        """At some positions the one change that promises most."""
        assert self._curvature is not None
        limit = self._model.hyper_latent_limit
        promised, change = np.zeros(symbols.shape), np.zeros(symbols.shape, np.int32)
        for step in (-1, 1):
            moved = np.clip(symbols + step, -limit, limit)
            expected = (
                self._table_bits(moved) - own_bits + gradient * (moved - symbols) + self._curvature[:, None, None]
            )
            is_better = (expected < promised) & (moved != symbols)
            promised = np.where(is_better, expected, promised)
            change = np.where(is_better, step, change)
        is_first = np.arange(len(symbols))[:, None, None] == promised.argmin(axis=0)
        is_drawn = self._random.random(symbols.shape[1:]) < _SHARE
        if not (change != 0)[:, is_drawn].any():
            is_drawn = ~is_drawn  # there may be few that promise anything, all in the other half
        return np.where(is_first & is_drawn, change, 0)

    def _latent_bits(
        self,
        values: Float[Tensor, "M h w"],
        context: Float[Tensor, "1 C h w"],
        symbols: np.ndarray,
        *,
        differentiate: bool = True,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Bits of the latents by position of the hyper-latents, and how they change with each, if wanted."""
        hyper_latent = torch.from_numpy(symbols).to(values)
        bits, gradient = self._path.hyper_gradient(
            values, context, hyper_latent, self._quality_integer, differentiate=differentiate
        )
        rows, columns = symbols.shape[1:]
        size = (bits.shape[0] // rows, bits.shape[1] // columns)
        bits = F.avg_pool2d(bits[None, None], size, divisor_override=1)[0, 0]
        return bits.double().cpu().numpy(), gradient.double().cpu().numpy()

    def _curvatures(
        self,
        values: Float[Tensor, "M h w"],
        context: Float[Tensor, "1 C h w"],
        symbols: np.ndarray,
        gradient: np.ndarray,
    ) -> np.ndarray:
        _, rows, columns = symbols.shape
        count = min(rows, -(-_PROBED_POSITIONS // columns))
        first = (rows - count) // 2
        band = slice(first, first + count)
        # What a row changes reaches so far, and what decides the bits there as far again.
        margin = 2 * self._path.hyper_margin
        top, bottom = max(0, first - margin), min(rows, first + count + margin)
        scale = values.shape[1] // rows
        wide = slice(scale * top, scale * bottom)

        def gradient_at(moved: np.ndarray) -> np.ndarray:
            around = symbols[:, top:bottom].astype(np.float64)
            around[:, first - top : first - top + count] = moved
            found = self._latent_bits(values[:, wide], context[:, :, wide], around)[1]
            return found[:, first - top : first - top + count]

        at = symbols[:, band].astype(np.float64)
        signs = self._random.integers(0, 2, at.shape) * 2.0 - 1
        return half_curvatures(gradient_at, at, gradient[:, band], signs)

    def _table_bits(self, symbols: np.ndarray) -> np.ndarray:
        of = self._model.hyper_channels_of(symbols.shape)
        flat = np.ascontiguousarray(symbols, np.int32).ravel()
        return self._model.hyper_table.information_bits(flat, of).reshape(symbols.shape)


def _around(bits: np.ndarray) -> np.ndarray:
    """Sums over the neighbourhood of every position."""
    plane = torch.from_numpy(bits)[None, None]
    return F.avg_pool2d(plane, _REACH, 1, _REACH // 2, divisor_override=1)[0, 0].numpy()
