"""Latents as the encoder really writes them: each the candidate of least bits and distortion, not the nearest integer.

::

    y --> nearest --> g_s --> D --> backwards: what a step of each latent changes --+
             |                                                                      v
             `--> context, h_s --> parameters --> of nearest - 1, nearest, nearest + 1 the least of bits + change
                     ^                                                              |
                     `------------------------ once more ---------------------------'

A decoder and an entropy model that were trained on nearest integers meet other latents in files. Trained on these, with
the encoder as it is, they fit them.
"""

from collections.abc import Callable

import torch

from trimix.probability import MixtureParameters, log_likelihood
from trimix.shapes import Float, Tensor

_LOOKS = 2
"""Choices: the second one knows, in its contexts, what the first one chose."""
_STEPS = (0, -1, 1)
"""From the nearest integer, which stays where others cost the same."""


@torch.no_grad()
def chosen_latents(
    nearest: Float[Tensor, "N M h w"],
    slope: Float[Tensor, "N M h w"],
    curvature: Float[Tensor, "N M"],
    parameters_at: Callable[[Float[Tensor, "N M h w"]], MixtureParameters],
) -> Float[Tensor, "N M h w"]:
    """For every latent the integer ``nearest + s``, s in -1, 0, 1, of least ``bits + slope * s + curvature * s^2``.

    Args:
        nearest: the nearest integers.
        slope: of the distortion, in bits a step.
        curvature: of the distortion, in bits a squared step.
        parameters_at: parameters of all latents, given what stands in their contexts.

    >>> from trimix.probability import Family
    >>> shape = (1, 1, 1, 1, 1, 1)
    >>> narrow = MixtureParameters((Family.LAPLACIAN,), *(torch.full(shape, of) for of in (0.0, 0.0, 0.2)))
    >>> two, none = torch.full((1, 1, 1, 1), 2.0), torch.zeros(1, 1, 1, 1)
    >>> [chosen_latents(two, none, torch.full((1, 1), price), lambda _: narrow).item() for price in (5.0, 9.0)]
    [1.0, 2.0]
    """
    chosen = nearest
    curved = curvature[:, :, None, None]
    for _ in range(_LOOKS):
        parameters = parameters_at(chosen)
        costs = [
            log_likelihood(nearest + step, parameters) * (-1 / torch.log(nearest.new_tensor(2.0)))
            + step * slope
            + step**2 * curved
            for step in _STEPS
        ]
        steps = nearest.new_tensor(_STEPS)[torch.stack(costs).argmin(dim=0)]
        chosen = nearest + steps
    return chosen
