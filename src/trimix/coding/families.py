"""The families of location and scale that mixtures are made of: the one table of them.

A family is a line of this table, a row of `standard_tables.npz`, and `probability/<name>.py`, which trains it. One
fits if it is symmetric, has no shape beside location and scale, and tails so light that at 24 scales less than 2^-30 is
left: its integer CDF is a table that ends there.
"""

import math
from collections.abc import Callable
from enum import IntEnum
from typing import Any


def _gaussian(u: Any, m: Any) -> Any:
    return m.erfc(-u / m.sqrt(2)) / 2


def _laplacian(u: Any, m: Any) -> Any:
    return m.exp(u) / 2


def _logistic(u: Any, m: Any) -> Any:
    return 1 / (1 + m.exp(-u))


class Family(IntEnum):
    """A family by its number, which is part of the file format, is its row in `CDF_TABLES`, and is never reused.

    >>> Family.LAPLACIAN, Family.LAPLACIAN.label, round(Family.LAPLACIAN.deviation, 3)
    (<Family.LAPLACIAN: 1>, 'Laplacian', 1.414)
    >>> Family.LOGISTIC.lower_tail(-1.0, math)
    0.2689414213699951
    """

    label: str
    """What people call it."""
    deviation: float
    """Standard deviation of scale 1."""
    lower_tail: Callable[[Any, Any], Any]
    """F(u) for u <= 0, mean 0 and scale 1, by the functions of a module such as `math` or `mpmath`."""

    GAUSSIAN = 0, "Gaussian", 1.0, _gaussian
    LAPLACIAN = 1, "Laplacian", math.sqrt(2), _laplacian
    LOGISTIC = 2, "logistic", math.pi / math.sqrt(3), _logistic

    def __new__(cls, number: int, label: str, deviation: float, lower_tail: Callable[[Any, Any], Any]) -> "Family":
        """A member of the table."""
        member = int.__new__(cls, number)
        member._value_ = number
        member.label, member.deviation, member.lower_tail = label, deviation, lower_tail
        return member
