"""BPG through its programs bpgenc and bpgdec."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trimix.evaluation.peers.peer import Peer, QualityScale, with_channels
from trimix.evaluation.peers.programs import (
    find_program,
    missing_programs,
    output_of,
    program_version,
    run_program,
)
from trimix.images import Picture, read_picture, write_picture
from trimix.shapes import UInt8

_ENCODER, _DECODER = ("bpgenc",), ("bpgdec",)


@dataclass(frozen=True, kw_only=True)
class BpgPeer(Peer):
    """BPG: intra pictures of HEVC in a small container.

    Attributes:
        chroma: ``444`` or ``420``.
        timeout_seconds: after which a program is taken for hanging.
    """

    chroma: str
    timeout_seconds: float = 600.0

    @property
    def obstacle(self) -> str | None:
        """Programs that are missing."""
        missing = missing_programs((_ENCODER, _DECODER))
        if not missing:
            return None
        return (
            f"needs bpgenc and bpgdec on the PATH, found no {missing}; build libbpg with x265, "
            "or leave this codec out"
        )

    @property
    def version(self) -> str:
        """Version of bpgenc."""
        encoder = find_program(_ENCODER)
        return f"bpgenc {'of unknown version' if encoder is None else program_version(encoder, '-h')}"

    def _encode(self, pixels: UInt8[np.ndarray, "H W C"], quality: float) -> bytes:
        encoder = find_program(_ENCODER)
        assert encoder is not None
        with tempfile.TemporaryDirectory(prefix="trimix-bpg-") as name:
            folder = Path(name)
            source, compressed = folder / "picture.png", folder / "picture.bpg"
            write_picture(Picture(pixels), source)
            arguments = ["-q", f"{quality:g}", "-f", self.chroma, "-c", "ycbcr", "-b", "8", "-e", "x265"]
            run_program(
                encoder, [*arguments, "-o", str(compressed), str(source)], folder, self.timeout_seconds
            )
            return output_of(encoder, compressed)

    def _decode(self, data: bytes, channels: int) -> Picture:
        decoder = find_program(_DECODER)
        assert decoder is not None
        with tempfile.TemporaryDirectory(prefix="trimix-bpg-") as name:
            folder = Path(name)
            compressed, decoded = folder / "picture.bpg", folder / "picture.png"
            compressed.write_bytes(data)
            run_program(decoder, ["-o", str(decoded), str(compressed)], folder, self.timeout_seconds)
            return with_channels(read_picture(output_of(decoder, decoded)).pixels, channels)


_SCALE = QualityScale(51, 0, meaning="QP")
_QUALITIES = (45, 42, 39, 36, 33, 30, 27, 24, 22)

BPG = BpgPeer(
    key="bpg",
    name="BPG",
    settings="x265, 4:4:4, 8 bits, YCbCr of BT.601, level 8 (the default)",
    scale=_SCALE,
    qualities=_QUALITIES,
    chroma="444",
)
BPG_420 = BpgPeer(
    key="bpg-420",
    name="BPG 4:2:0",
    settings="x265, 4:2:0, 8 bits, YCbCr of BT.601, level 8 (the default)",
    scale=_SCALE,
    qualities=_QUALITIES,
    chroma="420",
)
