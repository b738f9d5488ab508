"""Small results and pictures for tests of the report."""

import io
import math
from dataclasses import dataclass, field
from html.parser import HTMLParser

import numpy as np
from PIL import Image

from tiny_models import tiny_frozen
from trimix.codec import Codec
from trimix.errors import UsageError
from trimix.evaluation.peers import Peer, QualityScale
from trimix.evaluation.rate_points import RatePoint
from trimix.evaluation.report.equal_size import EqualSize, compare_at_equal_size
from trimix.evaluation.results import Measurement, QualityMeans, Results
from trimix.images import Picture

HOSTILE = "</script><img src=x onerror=alert(1)>&$_{\"'"


class Elements(HTMLParser):
    """Names, attributes and texts of all elements."""

    def __init__(self, text):
        super().__init__()
        self.found, self.texts, self._open = [], {}, None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))
        self._open = (tag, dict(attributes).get("id"))

    def handle_data(self, data):
        self.texts.setdefault(self._open, []).append(data)


def results(
    name: str = "one",
    rate: float = 1.0,
    qualities: int = 5,
    data: str = "some",
    pictures: tuple[str, ...] = ("a.png", "b.png"),
    **changes,
) -> Results:
    """A codec whose files are `rate` times as large as those of another."""
    measurements = [
        Measurement(
            picture=picture,
            width=400,
            height=300,
            quality=10.0 * step,
            file_bytes=round(2000 * rate * 1.6**step * (1 + 0.1 * number)),
            payload_bytes=None,
            psnr_db=25.0 + 2.5 * step + number,
            luma_psnr_db=26.0 + 2.5 * step + number,
            ms_ssim=1 - 0.1 / 1.5**step,
            encoding_seconds=0.5,
            decoding_seconds=0.25,
            peak_memory_bytes=300 * 2**20,
            ssimulacra2=20.0 + 12 * step,
            butteraugli=4.0 / 1.5**step,
        )
        for number, picture in enumerate(pictures)
        for step in range(1, qualities + 1)
    ]
    provenance = changes.pop("provenance", {"date": "2025-01-01", "machine": {"cores": 2}})
    return Results.of_measurements(name, changes.pop("description", "made up"), data, measurements, provenance)


def means_only(name: str, data: str = "", points: int = 5) -> Results:
    """Published results: rates and PSNR, and no more."""
    means = tuple(
        QualityMeans(RatePoint(0.1 * step, 25.0 + 10 * math.log10(1 + step))) for step in range(1, points + 1)
    )
    return Results(name, "a paper", means, data)


def photograph(height: int = 192, width: int = 256, channels: int = 3, seed: int = 0) -> Picture:
    """Something smooth with some texture."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC), np.int32)
    noisy = smooth + random.integers(-12, 13, (height, width, 3))
    return Picture(np.clip(noisy, 0, 255).astype(np.uint8)[:, :, :channels])


@dataclass(frozen=True, kw_only=True)
class JpegPeer(Peer):
    """Another codec, or one that cannot."""

    key: str = "jpeg"
    name: str = "JPEG <4:2:0>"
    settings: str = "of Pillow"
    scale: QualityScale = field(default_factory=lambda: QualityScale(1, 95))
    qualities: tuple[float, ...] = (50,)
    refuses: bool = False
    obstacle = None
    version = "any"

    def _encode(self, pixels, quality: float) -> bytes:
        if self.refuses:
            raise UsageError(f"{self.name} must not be asked; ask another")
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
        return buffer.getvalue()

    def _decode(self, data: bytes) -> np.ndarray:
        return np.asarray(Image.open(io.BytesIO(data)))


def tiny_codec() -> Codec:
    return Codec(tiny_frozen())


def compared(name: str = "a.png", bits_per_pixel: float = 1.5, **size) -> EqualSize:
    peers = (JpegPeer(), JpegPeer(name="never", refuses=True))
    return compare_at_equal_size(name, photograph(**size), tiny_codec(), peers, bits_per_pixel)
