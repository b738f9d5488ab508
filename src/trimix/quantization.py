"""Rounding of latents, and its stand-ins for training."""

import torch

from trimix.shapes import Float, Tensor


def add_uniform_noise(
    latent: Float[Tensor, "*shape"], generator: torch.Generator | None = None
) -> Float[Tensor, "*shape"]:
    """``y + u`` with ``u`` uniform in [-1/2, 1/2): rounding's stand-in for the rate (Ballé et al. 2017).

    Args:
        latent: any shape, in steps of the quantizer.
        generator: source of the noise, on the latent's device; torch's default generator when None.

    >>> import torch
    >>> seeded = torch.Generator().manual_seed(1)
    >>> bool((add_uniform_noise(torch.zeros(100), seeded).abs() <= 0.5).all())
    True
    """
    noise = torch.rand(latent.shape, generator=generator, device=latent.device, dtype=latent.dtype)
    return latent + (noise - 0.5)


def round_straight_through(latent: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """``round(y)`` with the gradient of the identity (Theis et al. 2017); halves go to the even integer.

    Args:
        latent: any shape, finite, in steps of the quantizer. The result is exactly an integer.

    >>> import torch
    >>> round_straight_through(torch.tensor([0.6, -1.2])).tolist()
    [1.0, -1.0]
    """
    return latent + (latent.round() - latent).detach()
