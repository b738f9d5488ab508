"""D of the objective R + lambda * D. Units are stated here once.

R is in bits per pixel (latents and hyper-latents), and D one of

============  ============================================================================================
mse           mean squared error over pixels and channels, on the 0..255 scale
weighted-mse  the same with weights of Y, Cb and Cr, divided by their sum
ms-ssim       1 - MS-SSIM
ssimulacra2   points of SSIMULACRA2 lost, 100 - score, plus squared_error_weight times the root of weighted-mse
============  ============================================================================================

Where the rate doubles the root shrinks about as much as the points lost: its part in the last is much the same at all
rates. It holds what the score hardly sees, colour that drifts and flat areas that are no longer flat.
"""

from dataclasses import dataclass
from typing import Literal

from trimix.distortion.constants import MS_SSIM_MINIMUM_SIDE, SSIMULACRA2_MINIMUM_SIDE

DistortionKind = Literal["mse", "weighted-mse", "ms-ssim", "ssimulacra2"]
_MINIMUM_SIDES: dict[DistortionKind, int] = {
    "mse": 1,
    "weighted-mse": 1,
    "ms-ssim": MS_SSIM_MINIMUM_SIDE,
    "ssimulacra2": SSIMULACRA2_MINIMUM_SIDE,
}


@dataclass(frozen=True)
class Distortion:
    """Which D.

    Args:
        kind: see the table at the head of this file.
        luma_chroma_weights: of the squared errors of Y, Cb and Cr, where they are weighted; only their ratios count.
        squared_error_weight: with ssimulacra2: points for each step of 8 bits by which values are off.
    """

    kind: DistortionKind = "mse"
    luma_chroma_weights: tuple[float, float, float] = (6.0, 1.0, 1.0)
    squared_error_weight: float = 1.0

    @property
    def minimum_side(self) -> int:
        """Pixels that both sides of a picture must have."""
        return _MINIMUM_SIDES[self.kind]
