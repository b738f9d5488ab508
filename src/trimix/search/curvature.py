"""How curved a function of a latent is, channel by channel, from two gradients."""

from collections.abc import Callable, Sequence

import torch

from trimix.shapes import Float, Tensor

_PROBE_STEPS = 0.5
"""How far all values are moved."""
_SMALLEST = 1 / 20
"""Over the mean. Of channels that are never used nothing is known: no curvature would let them move at no cost."""


def half_curvatures(
    gradient_at: Callable[[Tensor], Tensor],
    values: Float[Tensor, "C h w"],
    gradient: Float[Tensor, "C h w"],
    signs: Float[Tensor, "C h w"],
) -> Float[Tensor, "C"]:
    """Half the second derivative in every channel, mean over the positions that matter at all.

    All values are moved, up or down at random. What the others' moves add to the change of a derivative cancels over
    the positions of a channel.

    Args:
        gradient_at: gradient of the function at other values.
        values: where.
        gradient: there.
        signs: -1 or 1, drawn at random.

    >>> values, signs = torch.zeros(2, 8, 8), random_signs((2, 8, 8), seed=1)
    >>> slopes = lambda values: values * torch.tensor([2.0, 6.0])[:, None, None] + 1  # of x^2 + x and 3 x^2 + x
    >>> half_curvatures(slopes, values, slopes(values), signs).tolist()
    [1.0, 3.0]
    """
    change = (gradient_at(values + _PROBE_STEPS * signs) - gradient) * signs
    # Latents of what pads the picture have no gradient.
    matters = (gradient != 0).any(dim=0)
    count = matters.sum().clamp(min=1)
    halves = (change * matters).sum(dim=(1, 2)) / count / _PROBE_STEPS / 2
    return halves.clamp(min=float(halves.clamp(min=0).mean()) * _SMALLEST)


def random_signs(shape: Sequence[int], seed: int) -> Tensor:
    """-1 or 1, float32."""
    generator = torch.Generator().manual_seed(seed)
    return (torch.randint(0, 2, tuple(shape), generator=generator) * 2 - 1).float()
