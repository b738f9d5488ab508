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
from functools import partial

import torch

from trimix.architectures.compression_model import CompressionModel
from trimix.distortion import Distortion
from trimix.distortion.differentiable import distortion_of
from trimix.distortion.slopes import stand_in
from trimix.encoder.curvature import CHOICES, CURVATURE, first_damping
from trimix.frozen.transforms import step_weights
from trimix.images import PEAK
from trimix.probability import MixtureParameters, log_likelihood
from trimix.shapes import LATENT_STRIDE, Float, Tensor

_CHANNELS = 3
_LOOKS = 2
"""Choices: the second one knows, in its contexts, what the first one chose."""
_STEPS = (0, -1, 1)
"""From the nearest integer, which stays where others cost the same."""


def encoder_latents(
    model: CompressionModel, x: Float[Tensor, "N 3 H W"], quality: Float[Tensor, "N"], measure: Distortion
) -> tuple[Float[Tensor, "N M h w"], Float[Tensor, "N Z hh hw"]]:
    """Latents that the encoder writes for pictures, and hyper-latents before rounding.

    A choice that does not make ``R + lambda D`` of a picture less is made again as if distortion curved more; a picture
    for which none does keeps its nearest integers.

    Args:
        model: has a linear path, whose filters tell how distortion curves.
    """
    assert model.linear_path is not None and model.inverse_gain is not None
    with torch.no_grad():
        y, z = model.encode(x, quality)
        side = model.side_features(model.hyper_prior.round(z), quality)
        nearest = y.round()
        error_lambda = model.squared_error_lambda(quality)[:, None]
        weights = step_weights(model.linear_path[1].energies(), error_lambda, model.inverse_gain.factors(quality))
        curvature = weights[:, :, None, None]
    with torch.enable_grad():
        values = nearest.clone().requires_grad_(True)
        x_hat = model.decode(values, quality).clamp(0, 1)
        shown = x_hat.detach().requires_grad_(True)
        trade_off = model.rate_distortion_lambda(quality) * x[0, 0].numel()
        own = torch.autograd.grad((trade_off * distortion_of(measure, x, shown)).sum(), shown)[0]
        if measure.kind != "mse":
            height, width = nearest.shape[2:]
            own, weights = stand_in(shown.detach() - x, own, LATENT_STRIDE, (height, width))
            curvature = curvature * weights[:, None] / (error_lambda / _CHANNELS * PEAK**2)[:, :, None, None]
        slope = torch.autograd.grad(x_hat, values, own)[0]
    parameters_at = partial(model.mixture_parameters, side)

    @torch.no_grad()
    def cost(latents: Float[Tensor, "N M h w"]) -> Float[Tensor, "N"]:
        """R + lambda D of every picture, R of the latents alone."""
        output = model(x, quality, rounding="round", latents=(latents, z))
        lost = model.rate_distortion_lambda(quality) * distortion_of(measure, x, output.reconstruction.clamp(0, 1))
        return output.latent_bits / x[0, 0].numel() + lost

    least, taken = cost(nearest), nearest
    waiting = torch.ones_like(least, dtype=torch.bool)
    damping = first_damping(is_squared_error=measure.kind == "mse")
    for _ in range(CHOICES):
        chosen = chosen_latents(nearest, slope, CURVATURE * damping.factor * curvature, parameters_at)
        better = waiting & (cost(chosen) < least)
        taken = torch.where(better[:, None, None, None], chosen, taken)
        waiting &= ~better
        if not waiting.any():
            break
        damping.increase()
    return taken, z


@torch.no_grad()
def chosen_latents(
    nearest: Float[Tensor, "N M h w"],
    slope: Float[Tensor, "N M h w"],
    curvature: Float[Tensor, "N M #h #w"],
    parameters_at: Callable[[Float[Tensor, "N M h w"]], MixtureParameters],
) -> Float[Tensor, "N M h w"]:
    """For every latent the integer ``nearest + s``, s in -1, 0, 1, of least ``bits + slope * s + curvature * s^2``.

    Args:
        slope: of the distortion, in bits a step.
        curvature: of the distortion, in bits a squared step.
        parameters_at: parameters of all latents, given what stands in their contexts.
    """
    chosen = nearest
    for _ in range(_LOOKS):
        parameters = parameters_at(chosen)
        costs = [
            log_likelihood(nearest + step, parameters) * (-1 / torch.log(nearest.new_tensor(2.0)))
            + step * slope
            + step**2 * curvature
            for step in _STEPS
        ]
        steps = nearest.new_tensor(_STEPS)[torch.stack(costs).argmin(dim=0)]
        chosen = nearest + steps
    return chosen
