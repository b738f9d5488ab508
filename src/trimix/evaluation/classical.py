"""JPEG, WebP and AVIF through Pillow, to compare with: names, settings and versions are stated."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from types import MappingProxyType
from typing import Any

import numpy as np
import PIL
from PIL import Image, features

from trimix.errors import UsageError
from trimix.images import Picture, read_picture


@dataclass(frozen=True)
class ClassicalCodec:
    """One codec with fixed settings; only the quality is free.

    Attributes:
        name: as in tables.
        pillow_format: Pillow's name of the format.
        settings: in words, for tables and reports.
        options: further arguments of Pillow's encoder.
        quality_minimum: lowest integer quality; the highest is 100.
    """

    name: str
    pillow_format: str
    settings: str
    options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    quality_minimum: int = 0

    @property
    def available(self) -> bool:
        """Whether this build of Pillow can write the format."""
        return bool(features.check(_FEATURES[self.pillow_format]))

    @property
    def version(self) -> str:
        """Versions of Pillow and of the library that encodes."""
        # Pillow compiled against libjpeg-turbo tells its version under another name.
        library = features.version("libjpeg_turbo") if self.pillow_format == "JPEG" else None
        name = "libjpeg-turbo" if library else _LIBRARIES[self.pillow_format]
        library = library or features.version(_FEATURES[self.pillow_format]) or "of unknown version"
        return f"{name} {library}, Pillow {PIL.__version__}"

    def encode(self, picture: Picture, quality: int) -> bytes:
        """A whole file of the format; pixels only, without metadata.

        Args:
            picture: grey or RGB.
            quality: integer, `quality_minimum` .. 100, on the scale of the codec.

        Raises:
            UsageError: a quality outside the range, or a Pillow without the format.
        """
        if not self.quality_minimum <= quality <= 100:
            raise UsageError(
                f"the quality of {self.name} must be {self.quality_minimum} .. 100, found {quality}; change it"
            )
        if not self.available:
            raise UsageError(
                f"{self.name} needs a Pillow that writes it, found one that does not "
                f"(Pillow {PIL.__version__}); install Pillow from its wheels"
            )
        pixels = np.ascontiguousarray(picture.pixels[:, :, 0] if picture.channels == 1 else picture.pixels)
        buffer = BytesIO()
        Image.fromarray(pixels).save(buffer, self.pillow_format, quality=quality, **self.options)
        return buffer.getvalue()

    def decode(self, data: bytes, channels: int) -> Picture:
        """The picture of a file that `encode` wrote.

        Args:
            data: the file.
            channels: of the picture that was encoded; formats without grey (WebP) come back as RGB otherwise.
        """
        picture = read_picture(data)
        if picture.channels == channels:
            return picture
        # Luma is the channel such a format kept the grey in; R, G and B are equal up to rounding.
        return Picture(np.asarray(Image.fromarray(picture.pixels).convert("L"))[:, :, None])

    def encode_to_size(self, picture: Picture, target_bytes: int) -> "SizedFile":
        """The file of the highest quality that is not larger than the target, by bisection.

        Args:
            picture: grey or RGB.
            target_bytes: largest size that is accepted.

        Raises:
            UsageError: even the lowest quality is larger, or a Pillow without the format.
        """
        lowest, highest = self.quality_minimum, 100
        best = SizedFile(lowest, self.encode(picture, lowest))
        if len(best.data) > target_bytes:
            raise UsageError(
                f"{self.name} must fit into {target_bytes} bytes, found {len(best.data)} at its lowest quality; "
                "allow more"
            )
        # Sizes grow with the quality, but for rare steps: the file found fits, the next quality does not.
        while lowest < highest:
            middle = (lowest + highest + 1) // 2
            data = self.encode(picture, middle)
            if len(data) <= target_bytes:
                lowest, best = middle, SizedFile(middle, data)
            else:
                highest = middle - 1
        return best


@dataclass(frozen=True)
class SizedFile:
    """A file and the quality that it was encoded with."""

    quality: int
    data: bytes = field(repr=False)


_FEATURES = {"JPEG": "jpg", "WEBP": "webp", "AVIF": "avif"}
_LIBRARIES = {"JPEG": "libjpeg", "WEBP": "libwebp", "AVIF": "libavif"}


def _fixed(**options: Any) -> Mapping[str, Any]:
    return MappingProxyType(options)


JPEG = ClassicalCodec(
    "JPEG", "JPEG", "Pillow defaults: baseline, 4:2:0, standard Huffman tables", quality_minimum=1
)
JPEG_PROGRESSIVE = ClassicalCodec(
    "JPEG progressive",
    "JPEG",
    "progressive, 4:2:0, optimized Huffman tables",
    _fixed(subsampling="4:2:0", optimize=True, progressive=True),
    quality_minimum=1,
)
JPEG_444 = ClassicalCodec(
    "JPEG 4:4:4",
    "JPEG",
    "progressive, 4:4:4, optimized Huffman tables",
    _fixed(subsampling="4:4:4", optimize=True, progressive=True),
    quality_minimum=1,
)
WEBP = ClassicalCodec("WebP", "WEBP", "Pillow defaults: lossy, method 4, 4:2:0 (lossy WebP has no other)")
WEBP_SLOW = ClassicalCodec("WebP method 6", "WEBP", "lossy, method 6, 4:2:0", _fixed(method=6))
AVIF = ClassicalCodec("AVIF", "AVIF", "Pillow defaults: speed 6, 4:2:0")
AVIF_444 = ClassicalCodec("AVIF 4:4:4", "AVIF", "speed 6, 4:4:4", _fixed(subsampling="4:4:4"))

DEFAULT_CODECS = (JPEG, WEBP, AVIF)
"""As most people write these files."""
ALL_CODECS = (JPEG, JPEG_PROGRESSIVE, JPEG_444, WEBP, WEBP_SLOW, AVIF, AVIF_444)
