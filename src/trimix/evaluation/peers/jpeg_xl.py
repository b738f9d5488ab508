"""JPEG XL through imagecodecs, whose wheels bring libjxl along."""

from dataclasses import dataclass
from types import ModuleType

import numpy as np

from trimix.errors import PictureError
from trimix.evaluation.peers.peer import Peer, QualityScale
from trimix.shapes import UInt8


@dataclass(frozen=True, kw_only=True)
class JpegXlPeer(Peer):
    """JPEG XL, whose quality is the Butteraugli distance that it aims at."""

    @property
    def obstacle(self) -> str | None:
        """No imagecodecs, or one without libjxl."""
        try:
            library = _imagecodecs()
        except ImportError:
            return "needs the package imagecodecs, found none; pip install 'trimix[evaluate]'"
        if library.JPEGXL.available:
            return None
        return (
            f"needs an imagecodecs with libjxl, found one without ({library.__version__}); "
            "install imagecodecs from its wheels"
        )

    @property
    def version(self) -> str:
        """Versions of libjxl and imagecodecs."""
        return f"{_imagecodecs().jpegxl_version()}, imagecodecs {_imagecodecs().__version__}"

    def _encode(self, pixels: UInt8[np.ndarray, "H W C"], quality: float) -> bytes:
        library = _imagecodecs()
        grey_or_rgb = pixels[:, :, 0] if pixels.shape[2] == 1 else pixels
        try:
            return bytes(library.jpegxl_encode(grey_or_rgb, distance=quality, effort=7, usecontainer=False))
        except (library.JpegxlError, ValueError) as error:
            raise self.cannot_hold(pixels, error) from error

    def _decode(self, data: bytes) -> UInt8[np.ndarray, "H W *C"]:
        library = _imagecodecs()
        try:
            return library.jpegxl_decode(data)
        except (library.JpegxlError, ValueError) as error:
            raise PictureError(
                f"a JPEG XL file must be whole, found that it is not ({error}); encode it again"
            ) from error


def _imagecodecs() -> ModuleType:
    import imagecodecs

    return imagecodecs


JPEG_XL = JpegXlPeer(
    key="jxl",
    name="JPEG XL",
    settings="lossy, effort 7, XYB colours (4:4:4, lossy JPEG XL has no other), bare codestream",
    # Beyond 15 the encoder may halve the picture, and files grow again.
    scale=QualityScale(15, 0.01, 0.01, "Butteraugli distance"),
    qualities=(15, 9, 6, 4, 2.8, 2, 1.4, 1, 0.7),
)
