"""What each effort does."""

from dataclasses import dataclass

from trimix.errors import UsageError

MINIMUM, MAXIMUM = 1, 9
EFFORT_REVISION = 3
"""Of what the efforts do: results of another one are not mixed with those of this one."""
DEFAULT_EFFORT = 2
"""Takes one gradient and one look at the picture more than plain rounding, more looks where that is misjudged."""


@dataclass(frozen=True)
class Move:
    """One step of a search.

    Args:
        curvature: of the distortion, over what it is for one latent alone. Below 1, neighbours that move at once
            overshoot: they shake the symbols out of where they are caught. At 1 a step goes downhill.
        share: of the latents that may move, drawn at random.
        hyper_steps: steps of the hyper-latents before it.
    """

    curvature: float
    share: float
    hyper_steps: int = 2


FIRST = Move(1.0, 1.0, hyper_steps=4)
DOWNHILL = Move(1.0, 1.0)


@dataclass(frozen=True)
class Effort:
    """What an effort is made of.

    Args:
        chosen: start with latents that are chosen under the coder's probabilities, not with the nearest.
        moves: steps of the search after that.
    """

    chosen: bool
    moves: tuple[Move, ...]


def effort_of(level: int) -> Effort:
    """What an effort does.

    Raises:
        UsageError: the level is not 1..9.

    >>> [len(effort_of(level).moves) for level in range(1, 10)]
    [0, 0, 1, 2, 4, 8, 16, 32, 64]
    """
    if not MINIMUM <= level <= MAXIMUM:
        raise UsageError(
            f"the effort must be from {MINIMUM} (fastest) to {MAXIMUM} (smallest file), found {level}"
        )
    return Effort(level > 1, _moves(0 if level < 3 else 2 ** (level - 3)))


def _moves(count: int) -> tuple[Move, ...]:
    """Downhill, then shaken less and less far from there, and downhill again."""
    if count <= 2:
        return (FIRST, DOWNHILL)[:count]
    last = min(2, count // 4)
    shaken = count - 1 - last
    moves = [
        Move(0.6 + 0.3 * index / max(1, shaken - 1), 0.35 + 0.15 * index / max(1, shaken - 1))
        for index in range(shaken)
    ]
    return (FIRST, *moves, *(DOWNHILL,) * last)
