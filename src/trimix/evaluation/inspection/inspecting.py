"""From a compressed file to everything that its page, its figure and its numbers are made of."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trimix.bitstream import MAXIMUM_PIXELS, QUALITY_STEPS, describe
from trimix.codec import Codec
from trimix.errors import UsageError
from trimix.evaluation.inspection.statistics import LatentStatistics, StatisticsSum
from trimix.shapes import UInt8

HISTOGRAM_CHANNELS = 8
"""Channels with a histogram where none are chosen: those with most bits."""
HISTOGRAM_CHANNELS_MAXIMUM = 32
PERCENTILES = (50.0, 90.0, 99.0, 99.9)
"""Of the bits of a latent."""


@dataclass(frozen=True)
class Inspection:
    """A compressed file, looked into.

    Attributes:
        quality: 1..100.
        pixels: the decoded picture.
        header_bits: of the header and the section table.
        metadata_bits: of ICC profile, EXIF, XMP and what else is no payload.
        payload_bits: of the coded symbols, as stored.
        hyper_latent_bits: -log2 of the probability of all hyper-latents.
        latent_bits: -log2 of the probability of all latents.
        percentile_bits: percentile and bits of a latent.
        zero_share: share of the latents' symbols that are 0.
        rounded_around_mean: whether a symbol is a distance from the predicted mean, not the latent itself.
    """

    name: str
    model: str
    quality: float
    pixels: UInt8[np.ndarray, "H W C"]
    statistics: LatentStatistics
    file_bytes: int
    header_bits: int
    metadata_bits: int
    payload_bits: int
    hyper_latent_bits: float
    latent_bits: float
    percentile_bits: tuple[tuple[float, float], ...]
    maximum_bits: float
    zero_share: float
    rounded_around_mean: bool

    @property
    def height(self) -> int:
        """Of the picture, pixels."""
        return self.pixels.shape[0]

    @property
    def width(self) -> int:
        """Of the picture, pixels."""
        return self.pixels.shape[1]

    @property
    def bits_per_pixel(self) -> float:
        """Of the whole file."""
        return 8 * self.file_bytes / (self.height * self.width)

    @property
    def coder_bits(self) -> float:
        """Of the payload beyond the symbols' ideal bits: ends of the range coder, and its rounding.

        It may lie a little below 0: the coder leaves out last bytes that a reader can do without.
        """
        return self.payload_bits - self.hyper_latent_bits - self.latent_bits

    @property
    def mean_bits(self) -> float:
        """Of a latent."""
        return self.latent_bits / self.statistics.transform.count

    @property
    def weight_shares(self) -> np.ndarray:
        """Share of each family or component by predicted weights, weighted by bits; sums to 1."""
        return self.statistics.weight_bits.sum(axis=(0, 1)) / self.statistics.bits.sum()

    @property
    def responsibility_shares(self) -> np.ndarray:
        """Share of each family or component by responsibilities, weighted by bits; sums to 1."""
        return self.statistics.responsibility_bits.sum(axis=(0, 1)) / self.statistics.bits.sum()

    @property
    def channels_by_bits(self) -> np.ndarray:
        """Channels, those with most bits first."""
        return np.argsort(-self.statistics.channel_bits, kind="stable")


def inspect_file(
    codec: Codec,
    data: bytes,
    name: str = "",
    channels: Sequence[int] | None = None,
    maximum_pixels: int = MAXIMUM_PIXELS,
) -> Inspection:
    """Decode a file and look at the mixtures that coded it.

    Args:
        codec: of the file's model.
        data: the file.
        name: of the file, for people.
        channels: latent channels that get a histogram, 0..M - 1; None for the 8 with most bits.
        maximum_pixels: of the picture.

    Raises:
        CodecError: the bytes are no valid file of this model.
        PictureTooLargeError: the header claims more than ``maximum_pixels``.
        UsageError: there is no such channel, or too many are wanted.
    """
    model = codec.model.latent_model
    if len(channels or ()) > HISTOGRAM_CHANNELS_MAXIMUM:
        raise UsageError(
            f"at most {HISTOGRAM_CHANNELS_MAXIMUM} channels may have histograms, found {len(channels or ())}; "
            "name fewer"
        )
    for channel in channels or ():
        if not 0 <= channel < model.latent_channels:
            raise UsageError(f"a channel must be from 0 to {model.latent_channels - 1}, found {channel}; name another")
    symbols = codec.unpack(data, maximum_pixels)
    description = describe(data)
    counted = codec.latents.count(symbols)
    by_bits = np.argsort(-counted.latent_bits.sum(axis=(0, 1)), kind="stable")
    chosen = by_bits[:HISTOGRAM_CHANNELS].tolist() if channels is None else channels
    known = symbols.by_position
    statistics = StatisticsSum(model.families, known, list(dict.fromkeys(chosen)))
    codec.latents.put(symbols, statistics)
    header = description.header
    percentiles = np.percentile(counted.latent_bits, PERCENTILES).tolist()
    return Inspection(
        name=name,
        model=codec.model.identity.name,
        quality=header.quality / QUALITY_STEPS,
        pixels=codec.latents.synthesize(symbols, header.height, header.width, header.colour_channels),
        statistics=statistics.result(),
        file_bytes=description.file_bytes,
        header_bits=8 * description.header_bytes,
        metadata_bits=8 * description.metadata_bytes,
        payload_bits=8 * description.payload_bytes,
        hyper_latent_bits=counted.hyper_latent_bits,
        latent_bits=float(counted.latent_bits.sum()),
        percentile_bits=tuple(zip(PERCENTILES, percentiles, strict=True)),
        maximum_bits=float(counted.latent_bits.max()),
        zero_share=float((known == 0).mean()),
        rounded_around_mean=model.layout.around_mean,
    )


def numbers(inspection: Inspection) -> dict[str, object]:
    """The numbers as plain values, for JSON."""
    statistics = inspection.statistics

    def split(values: np.ndarray) -> dict[str, float]:
        return dict(zip(statistics.shares.names, values.tolist(), strict=True))

    def plain(*names: str) -> dict[str, object]:
        return {name: getattr(inspection, name) for name in names}

    return {
        "file": inspection.name,
        "model": inspection.model,
        "quality": round(inspection.quality, 2),
        "width": inspection.width,
        "height": inspection.height,
        "bytes": inspection.file_bytes,
        **plain("bits_per_pixel", "header_bits", "metadata_bits", "hyper_latent_bits", "latent_bits", "coder_bits"),
        "weight_shares": split(inspection.weight_shares),
        "responsibility_shares": split(inspection.responsibility_shares),
        "zero_share": inspection.zero_share,
        "bits_per_latent": {
            "mean": inspection.mean_bits,
            **{f"percentile_{percentile:g}": bits for percentile, bits in inspection.percentile_bits},
            "maximum": inspection.maximum_bits,
        },
        "transform_deviation": statistics.transform.deviation,
        "doubtful_transform_deviation": statistics.doubtful_transform.deviation,
        "doubtful_share": statistics.doubtful_transform.count / statistics.transform.count,
        "channels": [
            {
                "channel": channel,
                "bits": bits,
                "zero_share": float(statistics.channel_zero_share[channel]),
                "weight_shares": split(statistics.channel_weight_bits[channel] / bits),
                "responsibility_shares": split(statistics.channel_responsibility_bits[channel] / bits),
            }
            for channel in inspection.channels_by_bits.tolist()
            for bits in [float(statistics.channel_bits[channel])]
        ],
        "histogram_differences": {str(histogram.channel): histogram.difference for histogram in statistics.histograms},
    }
