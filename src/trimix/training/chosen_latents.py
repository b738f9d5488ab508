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
        x: pictures in [0, 1].
        quality: 1..100, one for each picture.
        measure: what the model is trained for.
    """
    assert model.linear_path is not None and model.inverse_gain is not None
    with torch.no_grad():
        y, z = model.encode(x, quality)
        side = model.side_features(model.hyper_prior.round(z), quality)
        nearest = y.round()
        energies = model.linear_path[1].energies()
        error_price = model.squared_error_lambda(quality) / _CHANNELS
        steps = model.inverse_gain.factors(quality)
        curvature = (energies * error_price[:, None] * steps.square())[:, :, None, None]
    with torch.enable_grad():
        values = nearest.clone().requires_grad_(True)
        x_hat = model.decode(values, quality).clamp(0, 1)
        shown = x_hat.detach().requires_grad_(True)
        trade_off = model.rate_distortion_lambda(quality) * x[0, 0].numel()
        own = torch.autograd.grad((trade_off * distortion_of(measure, x, shown)).sum(), shown)[0]
        if measure.kind != "mse":
            height, width = nearest.shape[2:]
            own, weights = stand_in(shown.detach() - x, own, LATENT_STRIDE, (height, width))
            curvature = curvature * weights[:, None] / (error_price * PEAK**2)[:, None, None, None]
        slope = torch.autograd.grad(x_hat, values, own)[0]
    parameters_at = partial(model.mixture_parameters, side)
    least, taken = _cost(model, x, quality, measure, (nearest, z)), nearest
    waiting = torch.ones_like(least, dtype=torch.bool)
    damping = first_damping(is_squared_error=measure.kind == "mse")
    for _ in range(CHOICES):
        chosen = chosen_latents(nearest, slope, CURVATURE * damping.factor * curvature, parameters_at)
        better = waiting & (_cost(model, x, quality, measure, (chosen, z)) < least)
        taken = torch.where(better[:, None, None, None], chosen, taken)
        waiting &= ~better
        if not waiting.any():
            break
        damping.increase()
    return taken, z


@torch.no_grad()
def _cost(
    model: CompressionModel,
    x: Float[Tensor, "N 3 H W"],
    quality: Float[Tensor, "N"],
    measure: Distortion,
    latents: tuple[Float[Tensor, "N M h w"], Float[Tensor, "N Z hh hw"]],
) -> Float[Tensor, "N"]:
    """R + lambda D of every picture, R of the latents alone."""
    output = model(x, quality, rounding="round", latents=latents)
    lost = model.rate_distortion_lambda(quality) * distortion_of(measure, x, output.reconstruction.clamp(0, 1))
    return output.latent_bits / x[0, 0].numel() + lost


@torch.no_grad()
def chosen_latents(
    nearest: Float[Tensor, "N M h w"],
    slope: Float[Tensor, "N M h w"],
    curvature: Float[Tensor, "N M #h #w"],
    parameters_at: Callable[[Float[Tensor, "N M h w"]], MixtureParameters],
) -> Float[Tensor, "N M h w"]:
    """For every latent the integer ``nearest + s``, s in -1, 0, 1, of least ``bits + slope * s + curvature * s^2``.

        Args:
            nearest: the nearest integers.
            slope: of the distortion, in bits a step.
            curvature: of the distortion, in bits a squared step.
            parameters_at: parameters of all latents, given what stands in their contexts.

        >>> from trimix.images import PEAK
    from trimix.probability import Family
        >>> shape = (1, 1, 1, 1, 1, 1)
        >>> narrow = MixtureParameters((Family.LAPLACIAN,), *(torch.full(shape, of) for of in (0.0, 0.0, 0.2)))
        >>> prices = (torch.full((1, 1, 1, 1), price) for price in (5.0, 9.0))
        >>> two, none = torch.full((1, 1, 1, 1), 2.0), torch.zeros(1, 1, 1, 1)
        >>> [chosen_latents(two, none, price, lambda _: narrow).item() for price in prices]
        [1.0, 2.0]
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
