"""How curved a distortion is in the latents: channel by channel from two gradients, and along a move that was made."""

from collections.abc import Callable, Sequence

import numpy as np

from trimix.shapes import Float

CURVATURE = 1.05
"""Over what it is for one latent alone: best of 0.9, 1, 1.1 and 1.2 on validation pictures, between the two best."""
CHOICES = 3
"""At most, the curvature corrected by what the last one found. One is enough for photographs, not for pixel art."""
_OF_OTHERS = 4.0
"""Times the curvature where a squared error stands for the distortion, which others' squares do not add up to: of 2, 3,
4, 5 and 6 on photographs the one that is good enough at once nearly always, and leaves least."""
_PROBE_STEPS = 0.5
"""How far all values are moved."""
_SMALLEST = 1 / 20
"""Over the mean. Of channels that are never used nothing is known: no curvature would let them move at no cost."""
_TRUSTED = 1.3
"""By how much more than foreseen it may have curved: photographs do by up to 1.23, pixel art by 1.5 to 3.3."""
_BEYOND = 1.5
"""How far beyond the curvature that was found the next one is: fewer and surer moves curve more."""
_MORE = 2.0
"""Times the factor that went too far."""
_LESS = 0.7
"""Times the factor of a step that went well: the first choice may have met what no later step meets."""
_MOST = 16.0
"""Beyond it nothing would move at all."""


def half_curvatures(
    gradient_at: Callable[[np.ndarray], np.ndarray],
    values: Float[np.ndarray, "C h w"],
    gradient: Float[np.ndarray, "C h w"],
    signs: Float[np.ndarray, "C h w"],
) -> Float[np.ndarray, "C"]:
    """Half the second derivative in every channel, mean over the positions that matter at all.

    All values are moved, up or down at random. What the others' moves add to the change of a derivative cancels over
    the positions of a channel.

    Args:
        gradient_at: gradient of the function at other values.

    >>> values, signs = np.zeros((2, 8, 8), np.float32), random_signs((2, 8, 8), seed=1)
    >>> slopes = lambda values: values * np.array([[[2.0]], [[6.0]]], np.float32) + 1  # of x^2 + x and 3 x^2 + x
    >>> half_curvatures(slopes, values, slopes(values), signs).tolist()
    [1.0, 3.0]
    """
    change = (gradient_at(values + _PROBE_STEPS * signs) - gradient) * signs
    # Latents of what pads the picture have no gradient.
    matters = (gradient != 0).any(axis=0)
    count = max(1, int(matters.sum()))
    halves = (change * matters).sum(axis=(1, 2)) / count / _PROBE_STEPS / 2
    return np.maximum(halves, halves.clip(min=0).mean() * _SMALLEST)


def random_signs(shape: Sequence[int], seed: int) -> Float[np.ndarray, "*shape"]:
    """-1 or 1, float32."""
    return (np.random.default_rng(seed).integers(0, 2, tuple(shape)) * 2 - 1).astype(np.float32)


def curvature_along(
    change: float,
    gradient: Float[np.ndarray, "M h w"],
    moved: Float[np.ndarray, "M h w"],
    weights: Float[np.ndarray, "M"],
    shares: Float[np.ndarray, "h w"] | None,
) -> float:
    """By how much more than foreseen a distortion curved along a move; 1 if nothing moved.

    ``(change - gradient * moved) / sum of weights * shares * moved^2``: foreseen is what it would be if no latent knew
    of another.

    Args:
        change: of the distortion, in bits.
        gradient: of the distortion before, in bits a step.
        moved: by how many steps.
        weights: bits of a squared step.
        shares: by which they count at a position; None for 1.

    >>> moved = np.ones((1, 2, 2), np.float32)
    >>> curvature_along(7.0, -moved, moved, np.array([2.0], np.float32), None)  # 2 bits each, foreseen were 1
    1.375
    """
    counts = 1.0 if shares is None else shares
    # One channel after the other: of all at once the products would take as much memory as a gradient.
    slopes = sum(float((of * steps).sum()) for of, steps in zip(gradient, moved, strict=True))
    squares = np.array([(np.square(steps) * counts).sum() for steps in moved], np.float64)
    foreseen = float(squares @ weights.astype(np.float64))
    return (change - slopes) / foreseen if foreseen else 1.0


class Damping:
    """A factor on the curvature that is foreseen, as in Levenberg-Marquardt: greater where a move shows it too little.

    >>> damping = Damping()
    >>> damping.learn(1.2), damping.factor
    (True, 1.0)
    >>> damping.learn(2.0), damping.factor
    (False, 3.0)
    """

    def __init__(self, factor: float = 1.0) -> None:
        self.factor = factor
        """1..16."""

    def increase(self) -> None:
        """Damp more, where all that is known is that a move went too far."""
        self.factor = min(_MOST, _MORE * self.factor)

    def relax(self) -> None:
        """Damp less, after a move that was as foreseen."""
        self.factor = max(1.0, _LESS * self.factor)

    def learn(self, measured: float) -> bool:
        """Whether a move curved the distortion as foreseen; if not, the factor is greater from here on.

        Args:
            measured: of ``curvature_along``. One that is no number damps most.
        """
        if measured <= _TRUSTED * self.factor:
            return True
        # Python's min returns its first argument where the other one is NaN.
        self.factor = min(_MOST, _BEYOND * measured)
        return False


def first_damping(*, is_squared_error: bool) -> Damping:
    """What a first choice begins with, of a distortion that is a squared error or one that has a stand-in."""
    return Damping(1.0 if is_squared_error else _OF_OTHERS)
