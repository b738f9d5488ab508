"""A time limit: the run ends in time, with a checkpoint, wherever it is.

::

    |--- steps, validations, checkpoints ---| last steps at a falling rate |- reserve -|
                                            `- cool-down, if there is one              `- ends_at
"""

import time
from collections import deque
from dataclasses import dataclass

ENDING_SECONDS = 2.0
"""From the last checkpoint to the end of the process, and what could not be foreseen."""
_SAFETY = 3.0
"""Times the longest save so far: what the last is given. The first has no moments of Adam yet: it is half as large."""
_STEPS = 20
"""Of late, of which the longest shows how long the last may be."""


class TimeIsUpError(Exception):
    """The time limit of a run is reached; it was saved. Never leaves the loop."""


@dataclass
class TimeLimit:
    """When a run must be over.

    Args:
        ends_at: of ``time.monotonic()``, everything included.
        cool_down_seconds: in which the learning rate falls linearly, so that it is at its end where steps end.
        final_rate: learning rate at the end of them.
    """

    ends_at: float
    cool_down_seconds: float = 0.0
    final_rate: float = 0.0

    def __post_init__(self) -> None:
        """Nothing has been measured."""
        self._longest_save_seconds = 0.0
        self._step_seconds = deque([0.0], maxlen=_STEPS)
        self.has_saved = False

    def note_save(self, seconds: float) -> None:
        """Take in how long a checkpoint took."""
        self._longest_save_seconds = max(self._longest_save_seconds, seconds)
        self.has_saved = True

    def note_step(self, seconds: float) -> None:
        """Take in how long a step took; not of one that compiles."""
        self._step_seconds.append(seconds)

    @property
    def reserve_seconds(self) -> float:
        """What is kept for the last checkpoint and the end; a step that is begun is done, too."""
        return ENDING_SECONDS + _SAFETY * self._longest_save_seconds + max(self._step_seconds)

    @property
    def seconds_left(self) -> float:
        """For steps."""
        return self.ends_at - self.reserve_seconds - time.monotonic()

    @property
    def is_up(self) -> bool:
        """Whether it is time for the last checkpoint."""
        return self.seconds_left <= 0

    def cooled(self, rate: float) -> float:
        """A learning rate, lowered in the last part of the time.

        >>> limit = TimeLimit(time.monotonic() + ENDING_SECONDS + 5, cool_down_seconds=10, final_rate=1e-5)
        >>> round(limit.cooled(1e-3), 4)
        0.0005
        """
        if self.seconds_left >= self.cool_down_seconds or rate <= self.final_rate:
            return rate
        share = max(0.0, self.seconds_left) / self.cool_down_seconds
        return self.final_rate + share * (rate - self.final_rate)
