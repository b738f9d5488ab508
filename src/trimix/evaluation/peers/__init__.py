"""Other codecs, to compare with: real files, and names, settings and versions that are stated.

JPEG, JPEG 2000, WebP and AVIF work through Pillow, JPEG XL through imagecodecs. BPG, HM and VTM are there as published
curves, see `trimix.evaluation.rate_points`.
"""

import difflib
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from trimix.errors import UsageError
from trimix.evaluation.peers.jpeg_xl import JPEG_XL
from trimix.evaluation.peers.peer import Peer, QualityScale, SizedFile
from trimix.evaluation.peers.pillow_formats import (
    AVIF,
    AVIF_444,
    AVIF_PSNR,
    JPEG,
    JPEG_444,
    JPEG_2000,
    JPEG_PROGRESSIVE,
    WEBP,
    WEBP_SLOW,
)

__all__ = [
    "ALL_PEERS",
    "AVIF",
    "DEFAULT_PEERS",
    "JPEG_PROGRESSIVE",
    "WEBP",
    "Peer",
    "QualityScale",
    "SizedFile",
    "find_peers",
]

DEFAULT_PEERS: tuple[Peer, ...] = (JPEG, WEBP, AVIF, AVIF_PSNR, JPEG_XL)
"""As most people write these files, and AVIF for either of its aims."""
_ALL = (JPEG, JPEG_PROGRESSIVE, JPEG_444, JPEG_2000, WEBP, WEBP_SLOW, AVIF, AVIF_PSNR, AVIF_444, JPEG_XL)
ALL_PEERS: Mapping[str, Peer] = MappingProxyType({peer.key: peer for peer in _ALL})
"""By short name, whether they are available here or not."""


def find_peers(names: Sequence[str]) -> tuple[Peer, ...]:
    """Codecs by short name, a key of `ALL_PEERS`, each once.

    Raises:
        UsageError: a name that no codec has, or one that is not available here.
    """
    found = []
    for name in dict.fromkeys(names):
        if name not in ALL_PEERS:
            near = difflib.get_close_matches(name.casefold(), ALL_PEERS, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise UsageError(f"a codec must be one of {', '.join(ALL_PEERS)}, found {name!r}{hint}")
        ALL_PEERS[name].require()
        found.append(ALL_PEERS[name])
    return tuple(found)
