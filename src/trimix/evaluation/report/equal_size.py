"""One picture through trimix and other codecs, all files of nearly one size."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

import trimix
from trimix.codec import Codec
from trimix.errors import TrimixError
from trimix.evaluation.metrics import measure_point
from trimix.evaluation.rate_points import RatePoint
from trimix.evaluation.report.bit_map import BitMap, map_bits
from trimix.images import Picture
from trimix.models.frozen import QUALITY_STEPS
from trimix.shapes import UInt8

MINIMUM_QUALITY, MAXIMUM_QUALITY = 1.0, 100.0
_CLOSE_ENOUGH = 0.99
"""Share of the target from which a file is not worth another try."""
_AIM = 0.995
"""Share of the target that is aimed at: in the middle of what is close enough."""
_FINEST_QUALITY_STEP = 0.1


@runtime_checkable
class SizedFile(Protocol):
    """A file and the quality that it was encoded with."""

    @property
    def quality(self) -> float: ...  # noqa: D102 (see above)
    @property
    def data(self) -> bytes: ...  # noqa: D102


@runtime_checkable
class Peer(Protocol):
    """What is asked of another codec: a member of `evaluation.peers`."""

    @property
    def name(self) -> str: ...  # noqa: D102 (as in tables)
    @property
    def settings(self) -> str: ...  # noqa: D102 (in words)
    @property
    def version(self) -> str: ...  # noqa: D102 (of the program or library)

    def encode_to_size(self, picture: Picture, target_bytes: int) -> SizedFile:
        """The file of the highest quality that is not larger than the target."""
        ...

    def decode(self, data: bytes, channels: int) -> Picture:
        """The picture of a file, with as many channels as the one that was encoded."""
        ...


@dataclass(frozen=True)
class Rendition:
    """A picture after a codec.

    Attributes:
        name: of the codec.
        setting: its quality, in words.
        description: other settings, and version.
        file_bytes: the whole file.
        point: rate and distortion of the whole picture.
        pixels: decoded.
    """

    name: str
    setting: str
    description: str
    file_bytes: int
    point: RatePoint
    pixels: UInt8[np.ndarray, "H W C"]


@dataclass(frozen=True)
class EqualSize:
    """A picture and what codecs made of it at equal size.

    Attributes:
        name: of the picture.
        original: pixels and profile.
        renditions: trimix first.
        bit_map: of the trimix file.
        notes: codecs that are missing and why.
    """

    name: str
    original: Picture
    renditions: tuple[Rendition, ...]
    bit_map: BitMap
    notes: tuple[str, ...] = ()


def compare_at_equal_size(
    name: str, picture: Picture, codec: Codec, peers: Sequence[Peer], bits_per_pixel: float
) -> EqualSize:
    """The picture through trimix at a rate, and through each peer at its highest quality that is not larger.

    Args:
        name: of the picture.
        picture: pixels; metadata but the colour profile are left out of all files.
        codec: trimix.
        peers: other codecs.
        bits_per_pixel: wanted of trimix; its nearest is taken where no quality reaches it.
    """
    bare = Picture(picture.pixels)
    target_bytes = max(1, int(bits_per_pixel * picture.width * picture.height / 8))
    quality, data = encode_to_size(codec, bare, target_bytes)
    symbols = codec.unpack(data)
    pixels = codec.latents.synthesize(symbols, picture.height, picture.width, picture.channels)
    identity = codec.model.identity
    description = f"trimix {trimix.__version__}, model {identity.weights_hash.hex()}"
    renditions = [_rendition(picture, identity.name, description, data, quality, pixels)]
    notes = []
    if len(data) > target_bytes:
        notes.append(
            f"{identity.name} needs {len(data)} bytes even at its lowest quality, "
            f"more than the {target_bytes} asked for"
        )
    for peer in peers:
        try:
            file = peer.encode_to_size(bare, len(data))
            decoded = peer.decode(file.data, picture.channels).pixels
            description = f"{peer.settings}; {peer.version}"
            renditions.append(
                _rendition(picture, peer.name, description, file.data, float(file.quality), decoded)
            )
        except TrimixError as error:
            # One codec that cannot is no reason to show none.
            notes.append(f"{peer.name} is left out: {error}")
    bit_map = map_bits(codec, symbols, len(data), picture.width, picture.height)
    return EqualSize(name, picture, tuple(renditions), bit_map, tuple(notes))


def encode_to_size(codec: Codec, picture: Picture, target_bytes: int) -> tuple[float, bytes]:
    """Quality and file of nearly the largest size that is not above the target.

    The logarithm of the size grows nearly evenly with the quality: the next quality is where a line through two sizes
    meets the target, kept away from both ends. The lowest quality is taken where even that is larger.
    """
    low, high = MINIMUM_QUALITY, MAXIMUM_QUALITY
    low_data, high_data = (codec.encode(picture, quality) for quality in (low, high))
    if len(high_data) <= target_bytes:
        return high, high_data
    low_size, high_size = math.log(len(low_data)), math.log(len(high_data))
    aim = math.log(_AIM * target_bytes)
    while high - low > _FINEST_QUALITY_STEP and len(low_data) < _CLOSE_ENOUGH * target_bytes:
        share = (aim - low_size) / max(high_size - low_size, 1e-9)
        quality = low + (high - low) * min(max(share, 0.1), 0.9)
        quality = round(quality * QUALITY_STEPS) / QUALITY_STEPS  # what the file can say
        data = codec.encode(picture, quality)
        if len(data) <= target_bytes:
            low, low_data, low_size = quality, data, math.log(len(data))
        else:
            high, high_size = quality, math.log(len(data))
    return low, low_data


def _rendition(
    picture: Picture, name: str, description: str, data: bytes, quality: float, pixels: np.ndarray
) -> Rendition:
    point = measure_point(picture.pixels, pixels, len(data), quality)
    return Rendition(name, f"quality {quality:.4g}", description, len(data), point, pixels)
