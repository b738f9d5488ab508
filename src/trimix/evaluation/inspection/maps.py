"""Maps over the picture, and their colours: the same in the page and in the figure."""

from dataclasses import dataclass

import numpy as np

from trimix.evaluation.inspection.inspecting import Inspection
from trimix.evaluation.report.palette import measured_style
from trimix.shapes import Float, UInt8

_CONTRAST = 2.5
"""Exponent of the shares before their colours are mixed: even mixtures stay dull, others part sooner."""
TRIANGLE_ASPECT = np.sqrt(3) / 2
"""Height over width of the legend of three shares."""


@dataclass(frozen=True)
class Maps:
    """What is known by position; a position may stand for several of the latent.

    Attributes:
        stride: pixels that a position stands for, in either direction.
        bits: sum over the latents there.
        weight_shares: share of each family or component, weighted by bits; sums to 1.
        responsibility_shares: the same by responsibilities.
        standard_deviation: predicted, mean over the latents there.
    """

    stride: int
    bits: Float[np.ndarray, "h w"]
    weight_shares: Float[np.ndarray, "h w S"]
    responsibility_shares: Float[np.ndarray, "h w S"]
    standard_deviation: Float[np.ndarray, "h w"]

    @property
    def bits_per_pixel(self) -> Float[np.ndarray, "h w"]:
        """Bits over the pixels of a position."""
        return self.bits / self.stride**2


def maps_of(inspection: Inspection, factor: int = 1) -> Maps:
    """The maps of a file.

    Args:
        inspection: of the file.
        factor: positions of the latent, in either direction, that are one of the map.
    """
    statistics = inspection.statistics
    bits = _pooled(statistics.bits, factor)
    counts = _pooled(np.ones_like(statistics.bits), factor)
    return Maps(
        stride=factor * inspection.stride,
        bits=bits,
        weight_shares=_pooled(statistics.weight_bits, factor) / bits[:, :, None],
        responsibility_shares=_pooled(statistics.responsibility_bits, factor) / bits[:, :, None],
        standard_deviation=_pooled(statistics.standard_deviation, factor) / counts,
    )


def _pooled(values: np.ndarray, factor: int) -> np.ndarray:
    """Sums over blocks; those at the lower and right border may be smaller."""
    rows, columns = (np.arange(0, side, factor) for side in values.shape[:2])
    return np.add.reduceat(np.add.reduceat(values, rows, axis=0), columns, axis=1)


def share_colour(index: int) -> str:
    """Colour of a share, as in style sheets; it stands on white and on nearly black.

    Those of the report's first curves, which stay apart under the common kinds of colour blindness.
    """
    return measured_style(index).light


def mixed_colours(shares: np.ndarray) -> np.ndarray:
    """Shares as one colour each: the shares' own, mixed by them with some contrast.

    Args:
        shares: float [... S], not negative, sums above 0.

    Returns:
        uint8 [... 3].
    """
    own = np.array(
        [[int(share_colour(index)[at : at + 2], 16) for at in (1, 3, 5)] for index in range(shares.shape[-1])]
    )
    parts = shares**_CONTRAST
    return np.round(parts / parts.sum(axis=-1, keepdims=True) @ own).astype(np.uint8)


def triangle_colours(width: int) -> UInt8[np.ndarray, "H W 4"]:
    """Legend of three shares: a triangle with the first above, the second on the left, the third on the right.

    Args:
        width: pixels; outside the triangle they are transparent.
    """
    height = round(width * TRIANGLE_ASPECT)
    y, x = np.mgrid[0:height, 0:width] + 0.5
    first = 1 - y / height
    third = x / width - first / 2
    shares = np.stack([first, 1 - first - third, third], axis=-1)
    inside = np.all(shares >= 0, axis=-1, keepdims=True)
    colours = mixed_colours(np.where(inside, shares, 1 / 3))
    return np.concatenate([colours, np.where(inside, 255, 0).astype(np.uint8)], axis=-1)


def triangle_place(shares: np.ndarray) -> tuple[float, float]:
    """Where three shares lie in the legend: from its left and its upper end, in 0..1."""
    return float(shares[2] + shares[0] / 2), float(1 - shares[0])
