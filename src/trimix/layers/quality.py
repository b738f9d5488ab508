"""Per-channel factors that follow the quality: one set of weights for all rates.

A table holds logarithms at a few anchor qualities; between anchors they are interpolated linearly, so a factor
is a continuous, piecewise exponential function of the quality (gain units, Cui et al. 2021, made continuous).
"""

from collections.abc import Iterable

import torch
from torch import nn
from torch.nn import functional as F

from trimix.shapes import Float, Tensor

QUALITY_MINIMUM = 1.0
QUALITY_MAXIMUM = 100.0


def interpolated_factors(log_factors: Float[Tensor, "anchors C"], quality: Float[Tensor, "N"]) -> Float[Tensor, "N C"]:
    """Exponentials of the rows of a table, interpolated at each quality; outside of 1..100 those of the nearest end."""
    last = log_factors.shape[0] - 1
    place = (quality.clamp(QUALITY_MINIMUM, QUALITY_MAXIMUM) - QUALITY_MINIMUM) * (
        last / (QUALITY_MAXIMUM - QUALITY_MINIMUM)
    )
    lower = place.floor().clamp(max=last - 1).long()
    fraction = (place - lower)[:, None].to(log_factors.dtype)
    below, above = (F.embedding(anchor, log_factors) for anchor in (lower, lower + 1))
    return torch.exp(torch.lerp(below, above, fraction))


class QualityFactor(nn.Module):
    """Multiply every channel by a positive factor that depends on the quality.

    Args:
        anchors: number of equally spaced qualities from 1 to 100 that carry their own factors, at least 2.

    >>> factor = QualityFactor(channels=1, anchors=2)
    >>> _ = factor.log_factors.data.copy_(torch.tensor([[0.0], [2.0]]).log1p())
    >>> [round(f, 3) for f in factor.factors(torch.tensor([1.0, 50.5, 100.0])).flatten().tolist()]
    [1.0, 1.732, 3.0]
    """

    def __init__(self, channels: int, anchors: int = 7) -> None:
        super().__init__()
        self.log_factors = nn.Parameter(torch.zeros(anchors, channels))

    def factors(self, quality: Float[Tensor, "N"]) -> Float[Tensor, "N C"]:
        """Factors of every channel at each quality in 1..100; qualities outside take the nearest end's."""
        return interpolated_factors(self.log_factors, quality)

    def forward(self, x: Float[Tensor, "N C H W"], quality: Float[Tensor, "N"]) -> Float[Tensor, "N C H W"]:
        """Return ``x * factor(quality)``, one quality for each picture."""
        return x * self.factors(quality)[:, :, None, None].to(x.dtype)


class QualitySequential(nn.Sequential):
    """Layers in series, of which the quality factors see the quality of each picture; without any it may be left out.

    Args:
        layers: None stands for one that is left out.

    >>> layers = QualitySequential(nn.Conv2d(3, 4, 1), QualityFactor(4))
    >>> layers(torch.zeros(2, 3, 8, 8), torch.tensor([1.0, 100.0])).shape
    torch.Size([2, 4, 8, 8])
    """

    def __init__(self, *layers: nn.Module | None) -> None:
        super().__init__(*(layer for layer in layers if layer is not None))

    def forward(
        self, x: Float[Tensor, "N C H W"], quality: Float[Tensor, "N"] | None = None
    ) -> Float[Tensor, "N D h w"]:
        """Apply the layers in order."""
        return in_series(self, x, quality)


def in_series(
    layers: Iterable[nn.Module], x: Float[Tensor, "N C H W"], quality: Float[Tensor, "N"] | None
) -> Float[Tensor, "N D h w"]:
    """Apply layers in order."""
    for layer in layers:
        sees_quality = isinstance(layer, QualityFactor | QualityPlane | QualitySequential)
        x = layer(x, quality) if sees_quality else layer(x)
    return x


class QualityPlane(nn.Module):
    """One more channel: see ``quality_plane``."""

    def forward(self, x: Float[Tensor, "N C H W"], quality: Float[Tensor, "N"]) -> Float[Tensor, "N D H W"]:
        """Return ``x`` and the plane."""
        return torch.cat([x, quality_plane(quality, x)], dim=1)


def quality_plane(quality: Float[Tensor, "N"], like: Float[Tensor, "N C H W"]) -> Float[Tensor, "N 1 H W"]:
    """One constant channel per picture, from -1 at quality 1 to 1 at quality 100."""
    middle = (QUALITY_MAXIMUM + QUALITY_MINIMUM) / 2
    centred = (quality - middle) / (QUALITY_MAXIMUM - middle)
    return centred.to(like.dtype)[:, None, None, None].expand(-1, 1, *like.shape[2:])
