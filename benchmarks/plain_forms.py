"""The arithmetic of a training step as its formulas are written: convolutions, slices and automatic derivatives.

What the package does faster it must do equally; tests compare the two, and ``training.py`` times them.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

import torch
from torch import nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel

from trimix import probability
from trimix.architectures import compression_model
from trimix.entropy_models.context import InterlacedContext
from trimix.entropy_models.schedule import INTERLACED_LEVELS
from trimix.layers import residual
from trimix.layers.gdn import GeneralizedDivisiveNormalization
from trimix.layers.offsets import reach_of
from trimix.layers.pointwise import PointwiseConvolution
from trimix.layers.resampling import SubpixelConvolution
from trimix.probability import MixtureParameters
from trimix.transforms.karhunen_loeve import LinearAnalysis, LinearSynthesis

Tensor = torch.Tensor


def linear_analysis(path: LinearAnalysis, x: Tensor) -> Tensor:
    """Convolutions whose stride is the side of a block."""
    with torch.autocast(x.device.type, enabled=False):
        side = path.block
        coefficients = F.conv2d(x.float(), path.weight.float(), path.bias.float(), stride=side)
        if path.lapped_weight is None:
            return coefficients
        surrounded = F.pad(x.float(), (side // 2,) * 4, mode="replicate")
        lapped = F.conv2d(surrounded, path.lapped_weight.float(), stride=side)
        count = lapped.shape[1]
        return torch.cat([coefficients[:, :count] + lapped, coefficients[:, count:]], dim=1)


def linear_synthesis(path: LinearSynthesis, c: Tensor) -> Tensor:
    """Their transposes."""
    with torch.autocast(c.device.type, enabled=False):
        side = path.block
        pixels = F.conv_transpose2d(c.float(), path.weight.float(), stride=side)
        if path.lapped_weight is not None:
            surrounded = F.pad(c.float()[:, : len(path.lapped_weight)], (1, 1, 1, 1), mode="replicate")
            weight, cut = path.lapped_weight.float(), side + side // 2
            pixels = pixels + F.conv_transpose2d(surrounded, weight, stride=side, padding=cut)
        return pixels + path.mean.float().repeat(1, *c.shape[2:])


def interlaced_context(context: InterlacedContext, y_hat: Tensor) -> Tensor:
    """Slices of what each lattice of positions looks at, a convolution of them, a slice of the result."""
    whole = y_hat.new_zeros(len(y_hat), context.features, *y_hat.shape[2:])
    margin = max(reach_of(level.offsets) for level in INTERLACED_LEVELS)
    padded = F.pad(y_hat, (margin,) * 4)
    for level, layer in zip(INTERLACED_LEVELS, context.levels, strict=True):
        for lattice in level.lattices:
            own = whole[:, :, lattice.row :: lattice.stride, lattice.column :: lattice.stride]
            if not own.numel():
                continue
            rows, columns = (lattice.stride * (size - 1) + 1 for size in own.shape[2:])
            taps = []
            for down, right in level.offsets:
                top, left = margin + lattice.row + down, margin + lattice.column + right
                within = padded[:, :, top : top + rows, left : left + columns]
                taps.append(within[:, :, :: lattice.stride, :: lattice.stride])
            own.copy_(layer(torch.cat(taps, dim=1)))
    return whole


def normalization(layer: GeneralizedDivisiveNormalization, x: Tensor) -> Tensor:
    """GDN as its formula."""
    with torch.autocast(x.device.type, enabled=False):
        beta, gamma = layer.coefficients()
        values = x.to(torch.promote_types(x.dtype, beta.dtype))
        energy = F.conv2d(values.square(), gamma[:, :, None, None], beta)
        return (values * (energy.sqrt() if layer.inverse else energy.rsqrt())).to(x.dtype)


def log_likelihood(latent: Tensor, parameters: MixtureParameters) -> Tensor:
    """``log sum w m``, each family's mass by itself."""
    unbound = (array.unbind(dim=1) for array in (parameters.log_weights, parameters.means, parameters.scales))
    terms = []
    for family, log_weight, mean, scale in zip(parameters.families, *unbound, strict=True):
        distance, ones = (latent[:, None] - mean).abs(), (1, 1, 1)
        flat = [array.reshape(-1, *ones) for array in (torch.zeros_like(scale), torch.zeros_like(scale), scale)]
        mass = probability.log_likelihood(distance.reshape(-1, 1), MixtureParameters((family,), *flat))
        terms.append(log_weight + mass.view(distance.shape))
    return torch.logsumexp(torch.cat(terms, dim=1), dim=1)


def plain_average(model: nn.Module, decay: float) -> AveragedModel:
    """The moving average of weights in three passes over memory."""

    def update(averaged: Tensor, current: Tensor, count: Tensor) -> Tensor:
        weight = 1 - min(decay, (1 + int(count)) / (10 + int(count)))
        return averaged + weight * (current - averaged)

    return AveragedModel(model, avg_fn=update)


@contextmanager
def plain_forms() -> Iterator[None]:
    """All of them in place of the package's, inside.

    The moving average of weights is no part of it: see ``plain_average``.
    """
    replacements = (
        (LinearAnalysis, "forward", linear_analysis),
        (LinearSynthesis, "forward", linear_synthesis),
        (InterlacedContext, "forward", interlaced_context),
        (GeneralizedDivisiveNormalization, "forward", normalization),
        (PointwiseConvolution, "forward", nn.Conv2d.forward),
        (SubpixelConvolution, "forward", nn.Sequential.forward),
        (residual, "every_second", lambda x: x[:, :, ::2, ::2]),
        (compression_model, "log_likelihood", log_likelihood),
    )
    with ExitStack() as stack:
        for place, name, plain in replacements:
            stack.enter_context(patch.object(place, name, plain))
        yield
