"""What a training step gets from any model."""

from dataclasses import dataclass
from typing import Literal

from trimix.shapes import Float, Tensor

Rounding = Literal["noise", "round"]
"""What bits are counted on: latents with uniform noise, or rounded latents."""


@dataclass(frozen=True)
class TrainingOutput:
    """What a training step needs of one batch.

    Args:
        reconstruction: x_hat, nominally in [0, 1], not clamped.
        latent_bits: -log2 p(y_hat | z_hat), bits per picture.
        hyper_latent_bits: -log2 p(z_hat), bits per picture.
    """

    reconstruction: Float[Tensor, "N 3 H W"]
    latent_bits: Float[Tensor, "N"]
    hyper_latent_bits: Float[Tensor, "N"]
