"""Where in a picture the bits go."""

from dataclasses import dataclass

import numpy as np

from trimix.codec import Codec
from trimix.latent_codec import PICTURE_MULTIPLE, Symbols
from trimix.shapes import LATENT_STRIDE, Float

HYPER_LATENT_REACH = PICTURE_MULTIPLE // LATENT_STRIDE
"""Latents a side that share a hyper-latent."""


@dataclass(frozen=True)
class BitMap:
    """Bits of a compressed file by position, on the grid of the padded picture, with shares of the hyper-latents.

    The sizes of file and picture are in bytes and pixels.
    """

    bits: Float[np.ndarray, "h w"]
    latent_bits: float
    hyper_latent_bits: float
    file_bytes: int
    width: int
    height: int

    @property
    def bits_per_pixel(self) -> Float[np.ndarray, "h w"]:
        """Bits of every latent over the pixels that it stands for."""
        return self.bits / LATENT_STRIDE**2

    @property
    def remaining_bits(self) -> float:
        """Of the file without its symbols: header, checksums, metadata, and ends of the coder."""
        return 8 * self.file_bytes - self.latent_bits - self.hyper_latent_bits

    @property
    def padding_bits(self) -> float:
        """Bits at positions that lie wholly outside the picture."""
        rows, columns = -(-self.height // LATENT_STRIDE), -(-self.width // LATENT_STRIDE)
        return float(self.bits.sum() - self.bits[:rows, :columns].sum())


def map_bits(codec: Codec, symbols: Symbols, file_bytes: int, width: int, height: int) -> BitMap:
    """Bits of the symbols of a file under the codec's own probabilities, by position.

    The bits of a hyper-latent are spread evenly over the 4 x 4 latents that it stands for.
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
