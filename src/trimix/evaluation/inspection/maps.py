"""Maps over the picture, and their colours: the same in the page and in the figure."""

from dataclasses import dataclass

import numpy as np

from trimix.evaluation.drawing import upper_end
from trimix.evaluation.inspection.inspecting import Inspection
from trimix.evaluation.palette import measured_style
from trimix.shapes import LATENT_STRIDE, Float, UInt8

_CONTRAST = 2.5
"""Exponent of the shares before their colours are mixed: even mixtures stay dull, others part sooner."""
TRIANGLE_ASPECT = np.sqrt(3) / 2
"""Height over width of the legend of three shares."""


@dataclass(frozen=True)
class Maps:
    """What is known by position, which stands for `stride` pixels in either direction and may hold several latents.

    Bits are sums over the latents there, standard deviations means; shares of the families or components are weighted
    by bits and sum to 1.
    """

    stride: int
    bits: Float[np.ndarray, "h w"]
    weight_shares: Float[np.ndarray, "h w S"]
    responsibility_shares: Float[np.ndarray, "h w S"]
    standard_deviation: Float[np.ndarray, "h w"]


@dataclass(frozen=True)
class HeatMap:
    """One value at every position, as colours of a scale of Matplotlib from 0 to the highest.

    Values are by what shares are of, weights or responsibilities; by "all" where that makes no difference.
    """

    key: str
    name: str
    values: dict[str, Float[np.ndarray, "h w"]]
    highest: float
    scale: str


def maps_of(inspection: Inspection, factor: int = 1) -> Maps:
    """The maps of a file; so many positions of the latent, in either direction, are one of the map."""
    statistics = inspection.statistics
    bits = _pooled(statistics.bits, factor)
    counts = _pooled(np.ones_like(statistics.bits), factor)
    return Maps(
        stride=factor * LATENT_STRIDE,
        bits=bits,
        weight_shares=_pooled(statistics.weight_bits, factor) / bits[:, :, None],
        responsibility_shares=_pooled(statistics.responsibility_bits, factor) / bits[:, :, None],
        standard_deviation=_pooled(statistics.standard_deviation, factor) / counts,
    )


def heat_maps(maps: Maps, names: tuple[str, ...]) -> list[HeatMap]:
    """Bits per pixel, each share of these names if there are several, and standard deviations."""
    bits, deviation = maps.bits / maps.stride**2, maps.standard_deviation
    kinds = {"weights": maps.weight_shares, "responsibilities": maps.responsibility_shares}
    highest = max(map(upper_end, kinds.values()))
    return [
        HeatMap("bits", "Bits", {"all": bits}, upper_end(bits), "inferno"),
        *(
            HeatMap(
                f"share-{index}", name, {kind: found[..., index] for kind, found in kinds.items()}, highest, "viridis"
            )
            for index, name in enumerate(names if len(names) > 1 else ())
        ),
        HeatMap("deviation", "Scale", {"all": deviation}, upper_end(deviation), "cividis"),
    ]


def _pooled(values: np.ndarray, factor: int) -> np.ndarray:
    """Sums over blocks; those at the lower and right border may be smaller."""
    rows, columns = (np.arange(0, side, factor) for side in values.shape[:2])
    return np.add.reduceat(np.add.reduceat(values, rows, axis=0), columns, axis=1)


def share_colour(index: int) -> str:
    """Colour of a share, as in style sheets: that of a curve of the report; it stands on white and on nearly black."""
    return measured_style(index).light


def mixed_colours(shares: np.ndarray) -> np.ndarray:
    """Shares [... S], not negative, sums above 0, as one colour each, uint8 [... 3]: mixed with some contrast."""
    own = np.array([list(bytes.fromhex(share_colour(index)[1:])) for index in range(shares.shape[-1])])
    parts = shares**_CONTRAST
    return np.round(parts / parts.sum(axis=-1, keepdims=True) @ own).astype(np.uint8)


def triangle_colours(width: int) -> UInt8[np.ndarray, "H W 4"]:
    """Legend of three shares: a triangle with the first above, the second on the left, the third on the right.

    Outside the triangle pixels are transparent.
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
