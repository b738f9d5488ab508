"""Where in a picture the bits go."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trimix.codec import Codec
from trimix.evaluation.report.heat import heat_colours, upper_end
from trimix.latent_codec import PICTURE_MULTIPLE, Symbols
from trimix.shapes import LATENT_STRIDE, Float, UInt8

HYPER_LATENT_REACH = PICTURE_MULTIPLE // LATENT_STRIDE
"""Latents a side that share a hyper-latent."""


@dataclass(frozen=True)
class BitMap:
    """Bits of a compressed file by position.

    Attributes:
        bits: at every latent, with its share of the hyper-latents; the grid covers the padded picture.
        latent_bits: sum over the latents.
        hyper_latent_bits: sum over the hyper-latents.
        file_bytes: size of the whole file.
        width: of the picture, pixels.
        height: of the picture, pixels.
    """

    bits: Float[np.ndarray, "h w"]
    latent_bits: float
    hyper_latent_bits: float
    file_bytes: int
    width: int
    height: int

    @property
    def stride(self) -> int:
        """Pixels that a latent stands for, in either direction."""
        return LATENT_STRIDE

    @property
    def bits_per_pixel(self) -> Float[np.ndarray, "h w"]:
        """Bits of every latent over the pixels that it stands for."""
        return self.bits / self.stride**2

    @property
    def remaining_bits(self) -> float:
        """Of the file without its symbols: header, checksums, metadata, and ends of the coder."""
        return 8 * self.file_bytes - self.latent_bits - self.hyper_latent_bits

    @property
    def padding_bits(self) -> float:
        """Bits at positions that lie wholly outside the picture."""
        rows, columns = -(-self.height // self.stride), -(-self.width // self.stride)
        return float(self.bits.sum() - self.bits[:rows, :columns].sum())


def map_bits(codec: Codec, symbols: Symbols, file_bytes: int, width: int, height: int) -> BitMap:
    """Bits of symbols under the codec's own probabilities, by position.

    The bits of a hyper-latent are spread evenly over the 4 x 4 latents that it stands for.

    Args:
        codec: that coded them.
        symbols: of one file.
        file_bytes: its size.
        width: of its picture, pixels.
        height: of its picture, pixels.
    """
    counted = codec.latents.count(symbols)
    z = symbols.hyper_latent
    channels = codec.model.hyper_channels_of(z.shape)
    values = z.astype(np.int32).ravel()
    hyper_bits = codec.model.hyper_table.information_bits(values, channels).reshape(tuple(z.shape)).sum(axis=0)
    spread = np.repeat(np.repeat(hyper_bits, HYPER_LATENT_REACH, axis=0), HYPER_LATENT_REACH, axis=1)
    return BitMap(
        bits=counted.latent_bits.sum(axis=2) + spread / HYPER_LATENT_REACH**2,
        latent_bits=float(counted.latent_bits.sum()),
        hyper_latent_bits=counted.hyper_latent_bits,
        file_bytes=file_bytes,
        width=width,
        height=height,
    )


def common_scale(maps: Sequence[BitMap]) -> float:
    """Bits per pixel at the upper end of a colour scale for all maps, so that colours mean the same in each."""
    return upper_end(np.concatenate([one.bits_per_pixel.ravel() for one in maps]))


def colours(one: BitMap, highest: float) -> UInt8[np.ndarray, "h w 3"]:
    """The map in colours: black for none, over red, to pale yellow for `highest` bits per pixel and more."""
    return heat_colours(one.bits_per_pixel, highest, "inferno")


def scale_colours(steps: int = 16) -> list[str]:
    """Colours of the scale from its lower to its upper end, as in style sheets."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return [to_hex(colormaps["inferno"](step / (steps - 1))) for step in range(steps)]
