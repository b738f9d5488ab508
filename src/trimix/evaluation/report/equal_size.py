"""One picture through trimix and other codecs, all files of nearly one size."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

import trimix
from trimix.codec import Codec
from trimix.encoder.targets import Target, TargetKind
from trimix.errors import OutOfReachError, TrimixError
from trimix.evaluation.drawing import upper_end
from trimix.evaluation.metrics import measure_point
from trimix.evaluation.peers import Peer
from trimix.evaluation.rate_points import RatePoint
from trimix.evaluation.report.bit_map import BitMap, map_bits
from trimix.images import Picture
from trimix.shapes import UInt8

MINIMUM_QUALITY, MAXIMUM_QUALITY = 1.0, 100.0


@dataclass(frozen=True)
class Rendition:
    """A picture after a codec, with its rate and distortion as a whole; settings and version are the description."""

    name: str
    description: str
    file_bytes: int
    point: RatePoint
    pixels: UInt8[np.ndarray, "H W C"]


@dataclass(frozen=True)
class EqualSize:
    """A picture and what codecs made of it at equal size, trimix first; notes tell which are missing and why."""

    name: str
    original: Picture
    renditions: tuple[Rendition, ...]
    bit_map: BitMap
    notes: tuple[str, ...] = ()


def compare_at_equal_size(
    name: str, picture: Picture, codec: Codec, peers: Sequence[Peer], bits_per_pixel: float
) -> EqualSize:
    """The picture through trimix at a rate, and through each peer at its highest quality that is not larger.

    Metadata are left out of all files. Where no quality of trimix reaches the rate, its nearest is taken.
    """
    bare = Picture(picture.pixels)
    target_bytes = max(1, int(bits_per_pixel * picture.width * picture.height / 8))
    quality, data = encode_to_size(codec, bare, target_bytes)
    symbols = codec.unpack(data)
    identity = codec.model.identity

    def rendition(name: str, description: str, data: bytes, quality: float, pixels: np.ndarray) -> Rendition:
        point = measure_point(picture.pixels, pixels, len(data), float(quality))
        return Rendition(name, description, len(data), point, pixels)

    description = f"trimix {trimix.__version__}, model {identity.weights_hash.hex()}"
    pixels = codec.latents.synthesize(symbols, picture.height, picture.width, picture.channels)
    renditions = [rendition(identity.name, description, data, quality, pixels)]
    notes = []
    if quality == MINIMUM_QUALITY and len(data) > target_bytes:
        notes.append(
            f"{identity.name} needs {len(data)} bytes even at its lowest quality, "
            f"more than the {target_bytes} asked for"
        )
    for peer in peers:
        try:
            file = peer.encode_to_size(bare, len(data))
            decoded = peer.decode(file.data, picture.channels).pixels
            renditions.append(rendition(peer.name, peer.description, file.data, file.quality, decoded))
        except TrimixError as error:
            # One codec that cannot is no reason to show none.
            notes.append(f"{peer.name} is left out: {error}")
    bit_map = map_bits(codec, symbols, len(data), picture.width, picture.height)
    return EqualSize(name, picture, tuple(renditions), bit_map, tuple(notes))


def encode_to_size(codec: Codec, picture: Picture, target_bytes: int) -> tuple[float, bytes]:
    """Quality and file of a size; those of the nearest end of the scale where no quality reaches it."""
    try:
        found = codec.encode_to(picture, Target(TargetKind.BYTES, target_bytes))
    except OutOfReachError:
        ends = [(quality, codec.encode(picture, quality)) for quality in (MINIMUM_QUALITY, MAXIMUM_QUALITY)]
        return min(ends, key=lambda end: abs(len(end[1]) - target_bytes))
    if found.ended == "interrupt":
        raise KeyboardInterrupt
    return found.quality, found.data


def common_scale(compared: Sequence[EqualSize]) -> float:
    """Bits per pixel at the upper end of a colour scale for all maps, so that colours mean the same in each."""
    return upper_end(np.concatenate([one.bit_map.bits_per_pixel.ravel() for one in compared]))
