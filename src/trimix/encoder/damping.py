"""How much more than foreseen the squared error of a picture curves where many latents move at once."""

_TRUSTED = 1.3
"""By how much more than foreseen it may have curved: photographs do by up to 1.23, pixel art by 1.5 to 3.3."""
_BEYOND = 1.5
"""How far beyond the curvature that was found the next one is: fewer and surer moves curve more."""
_MOST = 16.0
"""Beyond it nothing would move at all."""


class Damping:
    """A factor on the curvature that is foreseen: 1 until a move shows that it is too little.

    >>> damping = Damping()
    >>> damping.learn(1.2), damping.factor
    (True, 1.0)
    >>> damping.learn(2.0), damping.factor
    (False, 3.0)
    """

    def __init__(self) -> None:
        self.factor = 1.0
        """1..16."""

    def learn(self, measured: float) -> bool:
        """Whether a move curved the error as foreseen; if not, the factor is greater from here on.

        Args:
            measured: curvature along the move, over what it is where no latent knows of another. One that is no number
                damps most.
        """
        if measured <= _TRUSTED * self.factor:
            return True
        # In this order: of what is no number the minimum is the first.
        self.factor = min(_MOST, _BEYOND * measured)
        return False
