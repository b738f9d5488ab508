"""What each effort does."""

from trimix.errors import UsageError

MINIMUM, MAXIMUM = 1, 9
EFFORT_REVISION = 6
"""Of what the efforts do: results of another one are not mixed with those of this one."""
DEFAULT_QUALITY = 70.0
"""Gives photographs about 76 points of SSIMULACRA2."""
DEFAULT_EFFORT = 2
"""Takes one gradient and one look at the picture more than plain rounding, more looks where that is misjudged."""


def search_steps(effort: int) -> int:
    """Steps of the search after the first choice of symbols; effort 1 rounds, all others choose.

    Raises:
        UsageError: the effort is not 1..9.

    >>> [search_steps(effort) for effort in range(1, 10)]
    [0, 0, 1, 2, 4, 8, 16, 32, 64]
    """
    if not MINIMUM <= effort <= MAXIMUM:
        raise UsageError(f"the effort must be from {MINIMUM} (fastest) to {MAXIMUM} (smallest file), found {effort}")
    return 0 if effort < 3 else 2 ** (effort - 3)
