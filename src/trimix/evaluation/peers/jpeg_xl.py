"""JPEG XL through imagecodecs, whose wheels bring libjxl along."""

from dataclasses import dataclass
from types import ModuleType

import numpy as np

from trimix.errors import PictureError, UsageError
from trimix.evaluation.peers.peer import Peer, QualityScale, with_channels
from trimix.images import Picture
from trimix.shapes import UInt8


@dataclass(frozen=True, kw_only=True)
class JpegXlPeer(Peer):
    """JPEG XL, whose quality is the Butteraugli distance that it aims at.

    Attributes:
        effort: 1 .. 10; cjxl takes 7 where none is asked for.
    """

    effort: int = 7

    @property
    def obstacle(self) -> str | None:
        """No imagecodecs, or one without libjxl."""
        library = _imagecodecs()
        if library is None:
            return "needs the package imagecodecs, found none; pip install 'trimix[evaluate]'"
        if not library.JPEGXL.available:
            return (
                f"needs an imagecodecs with libjxl, found one without ({library.__version__}); "
                "install imagecodecs from its wheels"
            )
        return None

    @property
    def version(self) -> str:
        """Versions of libjxl and imagecodecs."""
        library = _imagecodecs()
        if library is None:
            return "of unknown version"
        return f"{library.jpegxl_version()}, imagecodecs {library.__version__}"

    def _encode(self, pixels: UInt8[np.ndarray, "H W C"], quality: float) -> bytes:
        library = _imagecodecs()
        assert library is not None
        grey_or_rgb = pixels[:, :, 0] if pixels.shape[2] == 1 else pixels
        try:
            return bytes(library.jpegxl_encode(grey_or_rgb, distance=quality, effort=self.effort, usecontainer=False))
        except (library.JpegxlError, ValueError) as error:
            raise UsageError(
                f"{self.name} must be able to hold the picture, found {pixels.shape[1]} x {pixels.shape[0]} refused: "
                f"{error}; crop the picture"
            ) from error

    def _decode(self, data: bytes, channels: int) -> Picture:
        library = _imagecodecs()
        assert library is not None
        try:
            return with_channels(library.jpegxl_decode(data), channels)
        except (library.JpegxlError, ValueError) as error:
            raise PictureError(
                f"a JPEG XL file must be whole, found that it is not ({error}); encode it again"
            ) from error


def _imagecodecs() -> ModuleType | None:
    try:
        import imagecodecs
    except ImportError:
        return None
    return imagecodecs


JPEG_XL = JpegXlPeer(
    key="jxl",
    name="JPEG XL",
    settings="lossy, effort 7, XYB colours (4:4:4, lossy JPEG XL has no other), bare codestream",
    # Beyond 15 the encoder may halve the picture, and files grow again.
    scale=QualityScale(15, 0.01, 0.01, "Butteraugli distance"),
    qualities=(15, 9, 6, 4, 2.8, 2, 1.4, 1, 0.7),
)
