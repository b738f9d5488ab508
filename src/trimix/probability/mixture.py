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
from enum import IntEnum

import torch

from trimix.probability import gaussian, laplacian, logistic
from trimix.shapes import Float, Tensor


class Family(IntEnum):
    """A location-scale family. The number is part of the file format."""

    GAUSSIAN = 0
    LAPLACIAN = 1
    LOGISTIC = 2


_LOG_MASS: dict[Family, Callable[[Tensor, Tensor], Tensor]] = {
    Family.GAUSSIAN: gaussian.log_mass,
    Family.LAPLACIAN: laplacian.log_mass,
    Family.LOGISTIC: logistic.log_mass,
}


@dataclass(frozen=True)
class MixtureParameters:
    """Parameters of a mixture of ``F`` families with ``K`` components each, for every latent.

    Args:
        families: the family of each index of axis ``F``.
        log_weights: natural logarithm of the weights; their exponentials sum to 1 over F and K.
        means: in steps of the quantizer.
        scales: > 0, in steps of the quantizer; what a scale means stands in the family's file.

    Raises:
        ValueError: the number of families is not the size of axis F.
    """

    families: tuple[Family, ...]
    log_weights: Float[Tensor, "N F K *latent"]
    means: Float[Tensor, "N F K *latent"]
    scales: Float[Tensor, "N F K *latent"]

    def __post_init__(self) -> None:
        """Check that every index of axis F has its family."""
        if len(self.families) != self.means.shape[1]:
            raise ValueError(
                f"axis F must have one index for each of the {len(self.families)} families, "
                f"found {self.means.shape[1]}: give as many families as the arrays hold"
            )


def log_likelihood(
    latent: Float[Tensor, "N *latent"], parameters: MixtureParameters
) -> Float[Tensor, "N *latent"]:
    """Natural logarithm of the mass of the unit bin around each latent (Fu et al. 2023).

    ``p(y) = sum_f sum_k w_fk [F_f((y + 1/2 - mu_fk)/s_fk) - F_f((y - 1/2 - mu_fk)/s_fk)]``.
    At integers these are the probabilities of the rounded latent; in between, the density of the latent with
    uniform noise. Computed in single precision at least, whatever the precision around it; in double precision
    where the latent is in double precision.

    Args:
        latent: rounded or noisy, in steps of the quantizer.
        parameters: mixture of every latent.

    >>> import torch
    >>> one = torch.ones(1, 1, 1, 1)
    >>> p = MixtureParameters((Family.LOGISTIC,), one * 0, one * 0, one)
    >>> round(log_likelihood(torch.zeros(1, 1), p).exp().item(), 4)
    0.2449
    """
    latent = latent if latent.dtype == torch.float64 else latent.float()
    # One unbind an array: its backward is one stack, where indexing would fill and add a full array per family.
    unbound = (
        array.to(latent.dtype).unbind(dim=1)
        for array in (parameters.log_weights, parameters.means, parameters.scales)
    )
    terms = [
        log_weight + _LOG_MASS[family]((latent[:, None] - mean).abs(), scale)
        for family, log_weight, mean, scale in zip(parameters.families, *unbound, strict=True)
    ]
    joined = torch.cat(terms, dim=1) if len(terms) > 1 else terms[0]
    return torch.logsumexp(joined, dim=1) if joined.shape[1] > 1 else joined[:, 0]
