"""What the coder's integers say of symbols: which component stands for them, and whether they were to be expected.

Everything is computed from the mixtures that code the symbols, in the coder's own arithmetic.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trimix.coding import (
    CDF_BITS,
    DIRECT_MAXIMUM,
    DIRECT_MINIMUM,
    MEAN_STEPS,
    WEIGHT_BITS,
    Family,
    MixtureParameters,
    scale_of_index,
)
from trimix.entropy_models.integer_mixture import LatentParameters
from trimix.shapes import Float, Int, UInt8

_DEVIATION_OF_UNIT_SCALE = np.array([family.deviation for family in Family])

TRANSFORM_BINS = 20
"""Bins of the histogram of the probability integral transform."""
DOUBT_PROBABILITY = 0.9
"""A latent is in doubt where the value nearest to the predicted mean has a probability below it."""
HISTOGRAM_BINS_MAXIMUM = 61
_HISTOGRAM_PERCENTILES = (0.1, 99.9)
"""Values outside are counted, but do not widen the histogram."""
_HISTOGRAM_MARGIN = 2
"""Values on either side that never came: what was predicted there shows, too."""


@dataclass(frozen=True)
class Shares:
    """What the components of a mixture are told apart by.

    Attributes:
        share_of_component: index of the share that a component belongs to.
        are_families: whether a share is a family; otherwise it is a component of the only family.
    """

    names: tuple[str, ...]
    share_of_component: Int[np.ndarray, "K"]
    are_families: bool

    def __len__(self) -> int:
        """Return the number of shares S."""
        return len(self.names)

    def sum(self, of_components: Float[np.ndarray, "n K"]) -> Float[np.ndarray, "n S"]:
        """Add up what belongs to the same share."""
        membership = self.share_of_component[:, None] == np.arange(len(self))
        return of_components @ membership.astype(np.float64)


def shares_of(families: UInt8[np.ndarray, "K"]) -> Shares:
    """Shares of the families; of the components where all are of one family.

    >>> shares_of(np.array([0, 0, 2], np.uint8)).names
    ('Gaussian', 'logistic')
    >>> shares_of(np.array([0, 0], np.uint8)).names
    ('Gaussian 1', 'Gaussian 2')
    """
    found = list(dict.fromkeys(families.tolist()))
    if len(found) > 1 or len(families) == 1:
        index = np.array([found.index(family) for family in families.tolist()], dtype=np.int64)
        return Shares(tuple(Family(family).label for family in found), index, are_families=True)
    name = Family(found[0]).label
    names = tuple(f"{name} {number}" for number in range(1, len(families) + 1))
    return Shares(names, np.arange(len(families)), are_families=False)


def probability_intervals(parameters: MixtureParameters, symbols: Int[np.ndarray, "n"]) -> Float[np.ndarray, "n 2"]:
    """``F(v - 1/2)`` and ``F(v + 1/2)`` of every symbol v, as coded: in 0..1, the second larger.

    Beyond the direct range, the interval is that of the escape.
    """
    return parameters.codes(symbols)[:, :2] / 2.0**CDF_BITS


def component(parameters: MixtureParameters, index: int) -> MixtureParameters:
    """One component of every mixture, alone."""
    only = slice(index, index + 1)
    return MixtureParameters(
        parameters.families[only],
        np.full((len(parameters), 1), 1 << WEIGHT_BITS, dtype=np.int32),
        np.ascontiguousarray(parameters.means[:, only]),
        np.ascontiguousarray(parameters.scale_indices[:, only]),
    )


def weights_of(parameters: MixtureParameters) -> Float[np.ndarray, "n K"]:
    """Weights as probabilities: a row sums to 1."""
    return parameters.weights / float(1 << WEIGHT_BITS)


def responsibilities(parameters: MixtureParameters, symbols: Int[np.ndarray, "n"]) -> Float[np.ndarray, "n K"]:
    """Probability that a component has drawn the symbol, now that the symbol is known.

    ``r_k = w_k p_k(v) / sum_j w_j p_j(v)``, the posterior of the component (Bishop, Pattern Recognition and Machine
    Learning, 2006, Eq. 9.13). A row sums to 1; its mean over symbols of the mixture is the weights. Beyond the direct
    range, the mass is that of the escape.
    """
    components = (component(parameters, index) for index in range(len(parameters.families)))
    masses = [alone.frequencies(symbols).astype(np.float64) for alone in components]
    joint = weights_of(parameters) * np.stack(masses, axis=1)
    # Every symbol has a frequency of at least 1, and some weight is above 0.
    return joint / joint.sum(axis=1, keepdims=True)


def means_of(parameters: MixtureParameters) -> Float[np.ndarray, "n"]:
    """Means of the mixtures, in symbols."""
    return (weights_of(parameters) * parameters.means).sum(axis=1) / MEAN_STEPS


def standard_deviations(parameters: MixtureParameters) -> Float[np.ndarray, "n"]:
    """Standard deviations of the mixtures, in symbols: ``sqrt(sum_k w_k (sigma_k^2 + mu_k^2) - mu^2)``.

    A Gaussian's sigma is its scale, a Laplacian's ``sqrt(2)`` scales, a logistic one's ``pi / sqrt(3)`` scales.
    Rounding would add about 1/12 to the variance of all; it is left out.
    """
    sigma = scale_of_index[parameters.scale_indices] * _DEVIATION_OF_UNIT_SCALE[parameters.families]
    distances = parameters.means / MEAN_STEPS - means_of(parameters)[:, None]
    return np.sqrt((weights_of(parameters) * (sigma**2 + distances**2)).sum(axis=1))


def in_doubt(parameters: MixtureParameters) -> np.ndarray:
    """Whether the value nearest to the mean has a probability below 0.9, bool [n].

    A latent that the model is sure of fits any histogram of transforms: its interval is nearly all of 0..1. This is
    known before the symbol, so that choosing by it does not bend the histogram.
    """
    nearest = np.clip(np.rint(means_of(parameters)), DIRECT_MINIMUM, DIRECT_MAXIMUM).astype(np.int32)
    return parameters.frequencies(nearest) < DOUBT_PROBABILITY * 2.0**CDF_BITS


@dataclass(frozen=True)
class ProbabilityTransform:
    """Probability integral transform of symbols: uniform if they were drawn from what was predicted.

    A symbol's transform is spread evenly over its interval ``F(v - 1/2)..F(v + 1/2)``: the expectation of the
    randomized transform, without its noise (Czado, Gneiting and Held, Predictive Model Assessment for Count Data,
    Biometrics 65, 2009, Section 2.1).

    Attributes:
        cumulative: mean share of the transforms below 0, 1/20, ..., 1.
        count: symbols.
    """

    cumulative: Float[np.ndarray, "bins_and_one"]
    count: int

    @property
    def density(self) -> Float[np.ndarray, "bins"]:
        """Height of each bin; 1 where predictions fit."""
        return np.diff(self.cumulative) * (len(self.cumulative) - 1)

    @property
    def deviation(self) -> float:
        """Kolmogorov's distance from the uniform distribution at the borders of the bins: 0 fits, 1 is the worst."""
        return float(np.abs(self.cumulative - np.linspace(0, 1, len(self.cumulative))).max())


def transform_totals(intervals: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "bins_and_one"]:
    """How much of all intervals lies below each border of a bin, every interval counting 1."""
    lower, width = intervals[:, 0], intervals[:, 1] - intervals[:, 0]
    borders = np.linspace(0, 1, TRANSFORM_BINS + 1)
    return np.array([np.clip((border - lower) / width, 0, 1).sum() for border in borders])


def transform_of_totals(totals: Float[np.ndarray, "bins_and_one"], count: int) -> ProbabilityTransform:
    """The transform of symbols by the sums of their `transform_totals`; uniform where nothing was counted."""
    return ProbabilityTransform(totals / count if count else np.linspace(0, 1, len(totals)), count)


def histogram_borders(symbols: Int[np.ndarray, "n"]) -> Int[np.ndarray, "bins_and_one"]:
    """First values of the bins of a histogram, and the value after the last: at most 61 bins of equal width.

    >>> histogram_borders(np.array([0, 0, 1], np.int32)).tolist()
    [-2, -1, 0, 1, 2, 3, 4]
    """
    low, high = np.percentile(symbols, _HISTOGRAM_PERCENTILES)
    wanted = [np.floor(low) - _HISTOGRAM_MARGIN, np.ceil(high) + _HISTOGRAM_MARGIN]
    first, last = (int(value) for value in np.clip(wanted, DIRECT_MINIMUM, DIRECT_MAXIMUM))
    width = -(-(last + 1 - first) // HISTOGRAM_BINS_MAXIMUM)
    bins = -(-(last + 1 - first) // width)
    return first + width * np.arange(bins + 1)


def observed_masses(
    symbols: Int[np.ndarray, "n"], borders: Int[np.ndarray, "bins_and_one"]
) -> Float[np.ndarray, "bins_and_two"]:
    """Number of symbols below the first border, in each bin, and from the last border on."""
    places = np.searchsorted(borders, symbols, side="right")
    return np.bincount(places, minlength=len(borders) + 1).astype(np.float64)


def predicted_masses(
    parameters: MixtureParameters, borders: Int[np.ndarray, "bins_and_one"], shares: Shares
) -> Float[np.ndarray, "bins_and_two S"]:
    """Sum of n mixtures' probabilities of the same bins, split into what each share gives; all together are n."""
    weights = weights_of(parameters)
    masses = np.zeros((len(borders) + 1, len(parameters.families)))
    inside = np.clip(borders, DIRECT_MINIMUM, DIRECT_MAXIMUM)
    for index in range(len(parameters.families)):
        alone = component(parameters, index)
        below = [np.zeros(len(alone))]
        for border, value in zip(borders.tolist(), inside.tolist(), strict=True):
            interval = probability_intervals(alone, np.full(len(alone), value, dtype=np.int32))
            below.append(interval[:, 1 if border > value else 0])
        below.append(np.ones(len(alone)))
        masses[:, index] = (weights[:, index] * np.diff(below, axis=0)).sum(axis=1)
    return shares.sum(masses)


@dataclass(frozen=True)
class ChannelHistogram:
    """Latents of one channel beside the mean of their predicted distributions: alike if predictions fit.

    Attributes:
        borders: first values of the bins, and the value after the last.
        observed: share of the latents below the first border, in each bin, and from the last border on; sums to 1.
        predicted: mean probability of the same, split by share; sums to 1.
    """

    channel: int
    borders: Int[np.ndarray, "bins_and_one"]
    observed: Float[np.ndarray, "bins_and_two"]
    predicted: Float[np.ndarray, "bins_and_two S"]

    @property
    def difference(self) -> float:
        """Total variation distance of both: half the sum of absolute differences, 0 alike, 1 nothing in common."""
        return float(np.abs(self.observed - self.predicted.sum(axis=1)).sum() / 2)

    @property
    def width(self) -> int:
        """Values of a bin."""
        return int(self.borders[1] - self.borders[0])

    @property
    def highest(self) -> float:
        """Of all bins between the borders, observed or predicted."""
        return float(max(self.observed[1:-1].max(), self.predicted[1:-1].sum(axis=1).max()))


@dataclass(frozen=True)
class LatentStatistics:
    """What is known of the latents of one file.

    Bits are sums over the channels of every position, or over the positions of every channel. Split as the predicted
    weights are, ``sum bits w``, or as the responsibilities are, ``sum bits r``, they sum to the bits over their last
    axis. Histograms are of chosen channels, transforms of all latents and of those that the model is in doubt about.

    Attributes:
        standard_deviation: predicted, mean over the channels of a position, in steps of the quantizer.
        channel_zero_share: share of the symbols of a channel that are 0.
    """

    shares: Shares
    bits: Float[np.ndarray, "h w"]
    weight_bits: Float[np.ndarray, "h w S"]
    responsibility_bits: Float[np.ndarray, "h w S"]
    channel_bits: Float[np.ndarray, "M"]
    channel_weight_bits: Float[np.ndarray, "M S"]
    channel_responsibility_bits: Float[np.ndarray, "M S"]
    standard_deviation: Float[np.ndarray, "h w"]
    channel_zero_share: Float[np.ndarray, "M"]
    histograms: tuple[ChannelHistogram, ...]
    transform: ProbabilityTransform
    doubtful_transform: ProbabilityTransform


class StatisticsSum:
    """Sink of a run over the schedule: adds up the statistics of a file, group of positions by group of positions.

    Args:
        families: of each component.
        symbols: all symbols of the file.
        histogram_channels: channels whose histograms are wanted.
    """

    def __init__(
        self, families: UInt8[np.ndarray, "K"], symbols: Int[np.ndarray, "h w M"], histogram_channels: Sequence[int]
    ) -> None:
        *size, channels = symbols.shape
        self._shares = shares_of(families)
        self._symbols = symbols
        count = len(self._shares)
        self._standard_deviation = np.zeros(size)
        self._of_positions = np.zeros(size), np.zeros((*size, count)), np.zeros((*size, count))
        self._of_channels = np.zeros(channels), np.zeros((channels, count)), np.zeros((channels, count))
        self._borders = {channel: histogram_borders(symbols[:, :, channel].ravel()) for channel in histogram_channels}
        self._predicted = {channel: np.zeros((len(borders) + 1, count)) for channel, borders in self._borders.items()}
        self._totals = np.zeros((2, TRANSFORM_BINS + 1))
        self._doubtful = 0

    def put(self, rows: np.ndarray, columns: np.ndarray, parameters: LatentParameters, symbols: np.ndarray) -> None:
        """Take what codes the symbols at some positions."""
        self.add(rows, columns, parameters.mixture)

    def add(self, rows: np.ndarray, columns: np.ndarray, parameters: MixtureParameters) -> None:
        """Take the mixtures of the latents at some positions, position by position, channels innermost."""
        symbols = np.ascontiguousarray(self._symbols[rows, columns].ravel())
        positions, channels = len(rows), self._symbols.shape[2]
        bits = parameters.information_bits(symbols)
        by_weight = bits[:, None] * self._shares.sum(weights_of(parameters))
        by_responsibility = bits[:, None] * self._shares.sum(responsibilities(parameters, symbols))
        for index, split in enumerate((bits, by_weight, by_responsibility)):
            by_channel = split.reshape(positions, channels, *split.shape[1:])
            self._of_positions[index][rows, columns] = by_channel.sum(axis=1)
            self._of_channels[index][:] += by_channel.sum(axis=0)
        deviations = standard_deviations(parameters).reshape(positions, channels)
        self._standard_deviation[rows, columns] = deviations.mean(axis=1)
        intervals = probability_intervals(parameters, symbols)
        doubtful = in_doubt(parameters)
        self._totals += [transform_totals(intervals), transform_totals(intervals[doubtful])]
        self._doubtful += int(doubtful.sum())
        for channel, borders in self._borders.items():
            of_channel = parameters.rows(np.arange(channel, len(parameters), channels))
            self._predicted[channel] += predicted_masses(of_channel, borders, self._shares)

    def result(self) -> LatentStatistics:
        """The statistics, once every position was added."""
        positions = self._standard_deviation.size
        histograms = []
        for channel, borders in self._borders.items():
            observed = observed_masses(self._symbols[:, :, channel].ravel(), borders) / positions
            histograms.append(ChannelHistogram(channel, borders, observed, self._predicted[channel] / positions))
        return LatentStatistics(
            self._shares,
            *self._of_positions,
            *self._of_channels,
            standard_deviation=self._standard_deviation,
            channel_zero_share=(self._symbols == 0).mean(axis=(0, 1)),
            histograms=tuple(histograms),
            transform=transform_of_totals(self._totals[0], self._symbols.size),
            doubtful_transform=transform_of_totals(self._totals[1], self._doubtful),
        )
