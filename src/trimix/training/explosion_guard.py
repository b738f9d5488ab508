"""Explosions of the loss: noticed within a few steps, and a state from before them to go back to.

::

    steps   |-------- every --------|-------- every --------|---- x x   x
            `- good: its successors  `- newest: not yet known            `- exploded: back to `good`
               went well for so long
            <-------------------- kept in memory ----------->

A step is wild where its loss is far from the usual one, or its gradients far larger, or one of them no number::

    |loss - m| > threshold * max(|m|, s)      norm > gradient_threshold * n

with m, s and n the medians of recent losses, of their distances from m, and of gradient norms. A run explodes where
three of ten steps are wild: a single one is a rare picture, whose clipped gradient does no harm.
"""

import copy
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from trimix.shapes import Float, Tensor
from trimix.training.config import GuardConfig

USUAL_STEPS = 100
"""Steps whose medians are the usual loss and the usual gradient."""
FEWEST_STEPS = 20
"""Before a phase has so many, nothing is usual: only numbers that are none are wild."""
LOOKED_AT, WILD_STEPS = 10, 3
"""Steps of which so many are an explosion."""

Contents = dict[str, object]
"""What `trimix.training.checkpoint.RunState.contents` gives."""


@dataclass(frozen=True)
class Explosion:
    """How a run looked when it exploded: its last wild step, and medians of recent ones, NaN before there were enough.

    ``noticed_at_step`` is that step, or a later one where it was checked later.
    """

    noticed_at_step: int
    loss: float
    usual_loss: float
    gradient_norm: float
    usual_gradient_norm: float

    def __str__(self) -> str:
        """In words."""
        return (
            f"the loss exploded at step {self.noticed_at_step}: {self.loss:.3g} where {self.usual_loss:.3g} is usual, "
            f"gradient norm {self.gradient_norm:.3g} where {self.usual_gradient_norm:.3g} is"
        )


class ExplosionGuard:
    """Watches losses and gradients, and keeps two states.

    What it decides is a function of the losses and norms of steps alone, whenever it checks them: a later check
    notices later, but goes back to the same state.
    """

    def __init__(self, config: GuardConfig) -> None:
        self._config = config
        self.recent: dict[str, list[float]] = {"losses": [], "gradient_norms": []}
        """Of recent steps that were not wild; part of a checkpoint."""
        self.good: Contents = {}
        """The state to go back to."""
        self._newest: Contents = {}
        self._wild: deque[bool] = deque(maxlen=LOOKED_AT)
        self._last_wild = math.nan, math.nan
        self._unread: list[Tensor] = []

    def begin(self, contents: Contents, *, anew: bool) -> None:
        """Take a copy of the state at the start of a process, or anew of a phase, for a good one.

        Losses of another phase may be of another size.
        """
        if anew:
            for numbers in self.recent.values():
                numbers.clear()
        self.good = copy.deepcopy(contents)
        self.went_back()

    def note(self, loss: Float[Tensor, ""], gradient_norm: Float[Tensor, ""]) -> None:
        """Take in a step; waits for no device."""
        self._unread.append(torch.stack([loss.float(), gradient_norm.float()]))

    def check(
        self, step: int, mean: Callable[[Float[Tensor, "n"]], Float[Tensor, "n"]] = lambda values: values
    ) -> Explosion | None:
        """Check the steps since the last check; waits for the device."""
        if not self._unread:
            return None
        rows = mean(torch.cat(self._unread)).reshape(-1, 2).tolist()
        self._unread.clear()
        for number, (loss, norm) in enumerate(rows, step - len(rows) + 1):
            self._note_step(loss, norm)
            if sum(self._wild) >= WILD_STEPS:
                return self.explosion(number)
        return None

    def explosion(self, step: int) -> Explosion:
        """How a run looked at its last wild step, noticed at a step."""
        usual = [float(np.median(numbers)) if numbers else math.nan for numbers in self.recent.values()]
        loss, norm = self._last_wild
        return Explosion(step, loss, usual[0], norm, usual[1])

    @property
    def is_calm(self) -> bool:
        """Whether none of the last steps that were checked was wild, as far as that can be said yet."""
        return len(self.recent["losses"]) < FEWEST_STEPS or not any(self._wild)

    def keep(self, contents: Contents) -> None:
        """Take a copy of the state of a calm run; the one before it has proved good."""
        self.good, self._newest = self._newest, copy.deepcopy(contents)

    def went_back(self) -> None:
        """Go on from `good`, which has been put into place."""
        self._newest = self.good
        self._unread.clear()
        self._wild.clear()

    def _note_step(self, loss: float, norm: float) -> None:
        wild = self._is_wild(loss, norm)
        self._wild.append(wild)
        if wild:
            self._last_wild = loss, norm
            return
        for numbers, number in zip(self.recent.values(), (loss, norm), strict=True):
            numbers.append(number)
            del numbers[:-USUAL_STEPS]

    def _is_wild(self, loss: float, norm: float) -> bool:
        if not math.isfinite(loss) or not math.isfinite(norm):
            return True
        losses = np.array(self.recent["losses"])
        if len(losses) < FEWEST_STEPS:
            return False
        usual = float(np.median(losses))
        size = max(abs(usual), float(np.median(np.abs(losses - usual))))
        largest_norm = self._config.gradient_threshold * float(np.median(self.recent["gradient_norms"]))
        return abs(loss - usual) > self._config.threshold * size > 0 or norm > largest_norm > 0
