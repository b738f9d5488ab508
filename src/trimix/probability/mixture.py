"""Discretized mixtures over families and components: GLLMM and everything simpler.

::

    log weights, means, scales [N F K ...]     latent y [N ...]
            |                                     |
            |        distance |y - mean| <--------+
            v                 v
    log w + log mass_f(distance, scale)  --logsumexp over F, K-->  log p(y) [N ...]
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import cast

import torch
from torch.autograd.function import FunctionCtx, once_differentiable

from trimix.coding import Family
from trimix.shapes import Float, Tensor

_LOG_MASS_AND_SLOPES: dict[Family, Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]] = {
    family: import_module(f"trimix.probability.{family.name.lower()}").log_mass_and_slopes for family in Family
}
_COMPONENTS_AT_ONCE = 2**16
"""Of one family, on a CPU, so that what is made of them on the way stays in its cache."""


@dataclass(frozen=True)
class MixtureParameters:
    """Parameters of a mixture of ``F`` families with ``K`` components each, for every latent.

    Args:
        families: the family of each index of axis ``F``.
        log_weights: natural logarithm of the weights; their exponentials sum to 1 over F and K.
        means: in steps of the quantizer.
        scales: > 0, in steps of the quantizer; what a scale means stands in the family's file.
    """

    families: tuple[Family, ...]
    log_weights: Float[Tensor, "N F K *latent"]
    means: Float[Tensor, "N F K *latent"]
    scales: Float[Tensor, "N F K *latent"]


class _LogLikelihood(torch.autograd.Function):
    """Value and closed derivatives of latents [P M], given log weights, means and scales [P F K M].

    With r the share of a component in the likelihood p and m its mass:

        dlog p/dlog w = r     dlog p/dmean = r dlog m/dmean     dlog p/dscale = r dlog m/dscale
        dlog p/dy = - sum of dlog p/dmean
    """

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: FunctionCtx,
        families: tuple[Family, ...],
        latent: Tensor,
        log_weights: Tensor,
        means: Tensor,
        scales: Tensor,
    ) -> Tensor:
        value, by_latent = torch.empty_like(latent), torch.empty_like(latent)
        shares, by_means, by_scales = (
            torch.empty_like(array, memory_format=torch.contiguous_format) for array in (log_weights, means, scales)
        )
        for part in _parts(latent, components=means.shape[2]):
            terms: list[Tensor] = []
            for index, family in enumerate(families):
                difference = latent[part, None] - means[part, index]
                found = _LOG_MASS_AND_SLOPES[family](difference.abs(), scales[part, index])
                log_mass, by_distance, by_scales[part, index] = found
                # Mass never grows with the distance: to move the mean towards the latent never loses.
                torch.copysign(by_distance, difference, out=by_means[part, index])
                terms.append(log_mass.add_(log_weights[part, index]))
            joined = torch.cat(terms, dim=1)
            share = torch.softmax(joined, dim=1, out=shares[part].flatten(1, 2))
            # The largest has the share 1 over the sum relative to it: several times faster than logsumexp.
            value[part] = joined.amax(dim=1).sub_(share.amax(dim=1).log_())
            if joined.shape[1] == 1:
                torch.neg(by_means[part, 0, 0], out=by_latent[part])
                continue
            by_means[part] *= shares[part]
            by_scales[part] *= shares[part]
            torch.sum(by_means[part], dim=(1, 2), out=by_latent[part]).neg_()
        ctx.save_for_backward(by_latent, shares, by_means, by_scales)
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        by_latent, *others = cast(tuple[Tensor, ...], ctx.saved_tensors)  # type: ignore[attr-defined]
        return None, gradient * by_latent, *(gradient[:, None, None] * slope for slope in others)


def _parts(latent: Tensor, components: int) -> list[slice]:
    if latent.device.type != "cpu":
        return [slice(None)]
    step = max(1, _COMPONENTS_AT_ONCE // max(1, latent.shape[1] * components))
    return [slice(first, first + step) for first in range(0, len(latent), step)]


def log_likelihood(latent: Float[Tensor, "N M *rest"], parameters: MixtureParameters) -> Float[Tensor, "N M *rest"]:
    """Natural logarithm of the mass of the unit bin around each latent (Fu et al. 2023).

    ``p(y) = sum_f sum_k w_fk [F_f((y + 1/2 - mu_fk)/s_fk) - F_f((y - 1/2 - mu_fk)/s_fk)]``.
    At integers these are the probabilities of the rounded latent; in between, the density of the latent with
    uniform noise. Computed in single precision at least, whatever the precision around it; in double precision
    where the latent, in steps of the quantizer, is so. The gradient cannot be differentiated again.

    >>> import torch
    >>> one = torch.ones(1, 1, 1, 1)
    >>> p = MixtureParameters((Family.LOGISTIC,), one * 0, one * 0, one)
    >>> round(log_likelihood(torch.zeros(1, 1), p).exp().item(), 4)
    0.2449
    """
    latent = latent if latent.dtype == torch.float64 else latent.float()
    rows = latent.movedim(1, -1)
    arrays = (
        array.to(latent.dtype).movedim((1, 2, 3), (-3, -2, -1)).flatten(0, -4)
        for array in (parameters.log_weights, parameters.means, parameters.scales)
    )
    positions = rows.flatten(0, -2)
    found = cast(Tensor, _LogLikelihood.apply(parameters.families, positions, *arrays))  # pyright: ignore[reportUnknownMemberType]
    return found.view(rows.shape).movedim(-1, 1)
