"""JPEG, JPEG 2000, WebP and AVIF through Pillow."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from io import BytesIO
from typing import Any

import numpy as np
import PIL
from PIL import Image, features
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile

from trimix.errors import PictureError
from trimix.evaluation.peers.peer import Peer, QualityScale
from trimix.images import read_picture
from trimix.shapes import UInt8

_LIBRARIES = {
    "JPEG": ("jpg", "libjpeg"),
    "JPEG2000": ("jpg_2000", "OpenJPEG"),
    "WEBP": ("webp", "libwebp"),
    "AVIF": ("avif", "libavif"),
}
"""Pillow's name of the feature, and the library behind it, by format."""


@dataclass(frozen=True, kw_only=True)
class PillowPeer(Peer):
    """A format of Pillow, with further arguments of its encoder."""

    pillow_format: str
    options: Mapping[str, Any] = field(default_factory=dict, hash=False, repr=False)

    @property
    def obstacle(self) -> str | None:
        """A build of Pillow without the format."""
        if features.check(_LIBRARIES[self.pillow_format][0]):
            return None
        return (
            f"needs a Pillow that writes it, found one that does not (Pillow {PIL.__version__}); "
            "install Pillow from its wheels"
        )

    @property
    def version(self) -> str:
        """Versions of Pillow and of the library that encodes."""
        feature, name = _LIBRARIES[self.pillow_format]
        library = features.version(feature)
        # Pillow compiled against libjpeg-turbo tells its version under another name.
        if self.pillow_format == "JPEG" and (turbo := features.version("libjpeg_turbo")):
            name, library = "libjpeg-turbo", turbo
        if self.pillow_format == "AVIF":
            library = f"{library} ({_avif_encoders()})"
        return f"{name} {library}, Pillow {PIL.__version__}"

    def _encode(self, pixels: UInt8[np.ndarray, "H W C"], quality: float) -> bytes:
        image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
        buffer = BytesIO()
        try:
            image.save(buffer, self.pillow_format, **self._arguments(image, quality), **self.options)
        except (OSError, ValueError) as error:
            raise self.cannot_hold(pixels, error) from error
        return buffer.getvalue()

    def _arguments(self, image: Image.Image, quality: float) -> dict[str, Any]:
        return {"quality": quality}

    def _decode(self, data: bytes) -> UInt8[np.ndarray, "H W *C"]:
        return read_picture(data).pixels


@dataclass(frozen=True, kw_only=True)
class AvifPeer(PillowPeer):
    """AVIF at speed 6, in one tile; `tune` is what the encoder libaom aims at."""

    pillow_format: str = "AVIF"
    subsampling: str = "4:2:0"
    tune: str = "iq"

    @property
    def obstacle(self) -> str | None:
        """A build of Pillow without the format, or with an encoder that does not know the tune."""
        missing = super().obstacle
        if missing is not None or _avif_knows(self.tune):
            return missing
        return (
            f"needs an encoder with tune={self.tune}, found one without ({self.version}); "
            "install a newer Pillow from its wheels"
        )

    def _arguments(self, image: Image.Image, quality: float) -> dict[str, Any]:
        # Pillow's default is as many tiles as suit the number of cores: files would differ from machine to machine.
        arguments: dict[str, Any] = {"quality": quality, "speed": 6, "autotiling": False}
        if quality < 100 or self.tune != "iq":  # without loss that tune is refused
            arguments["advanced"] = {"tune": self.tune}
        if image.mode != "L":  # grey has no chroma, and Pillow sees that by itself
            arguments["subsampling"] = self.subsampling
        return arguments


@dataclass(frozen=True, kw_only=True)
class Jpeg2000Peer(PillowPeer):
    """JPEG 2000, whose quality is the rate that it aims at."""

    pillow_format: str = "JPEG2000"

    def _arguments(self, image: Image.Image, quality: float) -> dict[str, Any]:
        channels = len(image.getbands())
        return {
            "quality_mode": "rates",
            "quality_layers": [8 * channels / quality],  # compression ratio
            "irreversible": True,
            "mct": int(channels == 3),
            # Small pictures cannot be halved five times.
            "num_resolutions": min(6, min(image.size).bit_length()),
        }

    def _decode(self, data: bytes) -> UInt8[np.ndarray, "H W *C"]:
        try:
            # Not by Image.open, which has a limit on pixels of its own.
            with Jpeg2KImageFile(BytesIO(data)) as image:
                return np.asarray(image)
        except (OSError, SyntaxError, ValueError) as error:
            raise PictureError(
                f"a JPEG 2000 file must be whole, found {error or 'another kind of file'}; encode it again"
            ) from error


@lru_cache
def _avif_knows(tune: str) -> bool:
    """Whether the encoder takes it: it refuses names that it does not know."""
    try:
        Image.new("RGB", (8, 8)).save(BytesIO(), "AVIF", advanced={"tune": tune})
    except (OSError, ValueError):
        return False
    return True


def _avif_encoders() -> str:
    """The encoders and decoders that libavif works by; their versions decide more than its own."""
    try:
        from PIL import _avif

        return str(_avif.codec_versions())
    except (ImportError, AttributeError):  # not part of Pillow's interface
        return "encoder of unknown version"


JPEG = PillowPeer(
    key="jpeg",
    name="JPEG",
    settings="Pillow defaults: baseline, 4:2:0, standard Huffman tables",
    scale=QualityScale(1, 100),
    qualities=(5, 15, 25, 35, 45, 55, 65, 75, 85, 95),
    pillow_format="JPEG",
)
JPEG_PROGRESSIVE = replace(
    JPEG,
    key="jpeg-progressive",
    name="JPEG progressive",
    settings="progressive, 4:2:0, optimized Huffman tables",
    options={"subsampling": "4:2:0", "optimize": True, "progressive": True},
)
JPEG_444 = replace(
    JPEG,
    key="jpeg-444",
    name="JPEG 4:4:4",
    settings="progressive, 4:4:4, optimized Huffman tables",
    options={"subsampling": "4:4:4", "optimize": True, "progressive": True},
)
JPEG_2000 = Jpeg2000Peer(
    key="jpeg2000",
    name="JPEG 2000",
    settings="9/7 wavelet, multiple component transform, 4:4:4, one layer, rate asked for",
    scale=QualityScale(0.01, 24, 0.001, "bits per pixel asked for"),
    qualities=(0.1, 0.15, 0.22, 0.33, 0.5, 0.7, 1, 1.4, 2),
)
WEBP = PillowPeer(
    key="webp",
    name="WebP",
    settings="Pillow defaults: lossy, method 4, 4:2:0 (lossy WebP has no other)",
    scale=QualityScale(0, 100),
    qualities=(0, 10, 25, 45, 65, 80, 88, 93, 96),
    pillow_format="WEBP",
)
WEBP_SLOW = replace(
    WEBP, key="webp-slow", name="WebP method 6", settings="lossy, method 6, 4:2:0", options={"method": 6}
)
AVIF = AvifPeer(
    key="avif",
    name="AVIF, tune=iq",
    settings="speed 6, 4:2:0, tune=iq: defaults of Pillow with libavif 1.4; one tile",
    scale=QualityScale(0, 100),
    qualities=(18, 28, 38, 48, 58, 68, 76, 84, 90),
)
AVIF_PSNR = replace(
    AVIF,
    key="avif-psnr",
    name="AVIF, tune=psnr",
    settings="speed 6, 4:2:0, tune=psnr, one tile",
    qualities=(10, 20, 30, 40, 50, 60, 70, 80, 88),
    tune="psnr",
)
AVIF_444 = replace(
    AVIF, key="avif-444", name="AVIF 4:4:4, tune=iq", settings="speed 6, 4:4:4, tune=iq, one tile", subsampling="4:4:4"
)
