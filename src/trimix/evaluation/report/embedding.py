"""Pictures and programs as text inside a page."""

import base64
import gzip
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from PIL import Image, features

from trimix.shapes import UInt8


@dataclass(frozen=True)
class EmbeddedPicture:
    """A picture file that stands in the page."""

    media_type: str
    data: bytes

    @property
    def source(self) -> str:
        """As the address of an image."""
        return f"data:{self.media_type};base64,{base64.b64encode(self.data).decode()}"


def embed_lossless(pixels: UInt8[np.ndarray, "H W C"], icc_profile: bytes = b"") -> EmbeddedPicture:
    """WebP without loss or PNG, whichever is smaller."""
    image = _image(pixels)
    profile = {"icc_profile": icc_profile} if icc_profile else {}
    candidates = [EmbeddedPicture("image/png", _saved(image, "PNG", **profile))]
    if features.check("webp"):
        webp = _saved(image, "WEBP", lossless=True, quality=80, method=4, **profile)
        candidates.append(EmbeddedPicture("image/webp", webp))
    return min(candidates, key=lambda candidate: len(candidate.data))


def estimate_lossless_bytes(pixels: UInt8[np.ndarray, "H W C"]) -> int:
    """About what `embed_lossless` needs, rather more, in a tenth of its time."""
    if not features.check("webp"):
        return len(_saved(_image(pixels), "PNG"))
    return len(_saved(_image(pixels), "WEBP", lossless=True, quality=0, method=0))


def embed_preview(pixels: UInt8[np.ndarray, "H W C"], longest_side: int = 1024) -> EmbeddedPicture:
    """A picture to recognize, not to judge: made smaller, and lossy."""
    image = _image(pixels)
    factor = min(1.0, longest_side / max(image.size))
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    small = image.resize(size, Image.Resampling.LANCZOS)
    return EmbeddedPicture("image/jpeg", _saved(small, "JPEG", quality=80, optimize=True))


def embed_program(text: str) -> str:
    """A program as base64 of gzip; the same text gives the same characters."""
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()


def _image(pixels: UInt8[np.ndarray, "H W C"]) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels))


def _saved(image: Image.Image, pillow_format: str, **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, pillow_format, **options)
    return buffer.getvalue()
