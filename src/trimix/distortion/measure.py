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

from trimix.distortion.ms_ssim import MS_SSIM_MINIMUM_SIDE, ms_ssim
from trimix.distortion.ssimulacra2 import SSIMULACRA2_MINIMUM_SIDE, ssimulacra2
from trimix.images.colour import BT601_LUMA_WEIGHTS
from trimix.shapes import Float, Tensor

DistortionKind = Literal["mse", "weighted-mse", "ms-ssim", "ssimulacra2"]
_MINIMUM_SIDES: dict[DistortionKind, int] = {
    "mse": 1,
    "weighted-mse": 1,
    "ms-ssim": MS_SSIM_MINIMUM_SIDE,
    "ssimulacra2": SSIMULACRA2_MINIMUM_SIDE,
}
_HALF_A_STEP = 0.5


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

    def __call__(self, x: Float[Tensor, "N 3 H W"], x_hat: Float[Tensor, "N 3 H W"]) -> Float[Tensor, "N"]:
        """D of every picture, which can be differentiated by ``x_hat``.

        Args:
            x: pictures in [0, 1].
            x_hat: what came of them.

        >>> import torch
        >>> black = torch.zeros(1, 3, 2, 2)
        >>> round(Distortion()(black, black + 2 / 255).item(), 4)
        4.0
        """
        if self.kind == "mse":
            # A sum, not a mean: the gradient of a mean is laid out anew, channel by channel, which is slow.
            return (x_hat - x).square().sum(dim=(1, 2, 3)) * (255.0**2 / x[0].numel())
        if self.kind == "ms-ssim":
            return 1 - ms_ssim(x, x_hat)
        error = weighted_squared_error(x, x_hat, self.luma_chroma_weights)
        if self.kind == "weighted-mse":
            return error
        # A root has no slope at 0: errors that 8 bits would hide are not asked for.
        root = (error + _HALF_A_STEP**2).sqrt() - _HALF_A_STEP
        return 100 - ssimulacra2(x, x_hat, as_patches=True) + self.squared_error_weight * root


def weighted_squared_error(
    x: Float[Tensor, "N 3 H W"], x_hat: Float[Tensor, "N 3 H W"], weights: tuple[float, float, float]
) -> Float[Tensor, "N"]:
    """Weighted mean of the squared errors of Y, Cb and Cr (ITU-R BT.601, full range) on the 0..255 scale.

    Args:
        x, x_hat: pictures, white is 1.
        weights: of Y, Cb and Cr; only their ratios count.

    >>> import torch
    >>> black, grey = torch.zeros(1, 3, 2, 2), torch.full((1, 3, 2, 2), 4 / 255)
    >>> round(weighted_squared_error(black, grey, (6.0, 1.0, 1.0)).item(), 4)
    12.0
    """
    red, green, blue = (x - x_hat).unbind(dim=1)
    of_red, of_green, of_blue = BT601_LUMA_WEIGHTS
    y = of_red * red + of_green * green + of_blue * blue
    planes = (y, (blue - y) / (2 - 2 * of_blue), (red - y) / (2 - 2 * of_red))
    errors = (plane.square().mean(dim=(1, 2)) for plane in planes)
    total = sum(weight * error for weight, error in zip(weights, errors, strict=True))
    return total * (255.0**2 / sum(weights))  # type: ignore[return-value]
