"""The simplified attention module: a trunk weighted by a learned mask.

::

    bottleneck block   x --+-> 1x1 to N/2, ReLU -> 3x3, ReLU -> 1x1 to N --(+)--> [ReLU] -->
                           `------------------------------------------------^
    attention          x --+-> 3 bottleneck blocks -> 1x1 -> sigmoid --.
                           |-> 3 bottleneck blocks -------------------(*)--(+)-->
                           `------------------------------------------------^
"""

from torch import nn

from trimix.shapes import Float, Tensor


class BottleneckBlock(nn.Module):
    """1x1 convolution to half the channels, 3x3, 1x1 back, ReLU between them, plus the input.

    Args:
        rectified: one more ReLU after the sum, as a common implementation has it.
    """

    def __init__(self, channels: int, *, rectified: bool = False) -> None:
        super().__init__()
        half = channels // 2
        self.branch = nn.Sequential(
            nn.Conv2d(channels, half, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(half, half, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(half, channels, 1),
        )
        self.activation = nn.ReLU(inplace=True) if rectified else nn.Identity()

    def forward(self, x: Float[Tensor, "N C H W"]) -> Float[Tensor, "N C H W"]:
        """Return ``x + branch(x)``, rectified where configured."""
        return self.activation(x + self.branch(x))


class Attention(nn.Module):
    """``x + mask(x) * trunk(x)`` with the mask in (0, 1), without a non-local part (Cheng et al. 2020).

    Args:
        rectified: whether every bottleneck block ends with a ReLU.
    """

    def __init__(self, channels: int, *, rectified: bool = False) -> None:
        super().__init__()
        trunk, mask = ([BottleneckBlock(channels, rectified=rectified) for _ in range(3)] for _ in range(2))
        self.trunk = nn.Sequential(*trunk)
        self.mask = nn.Sequential(*mask, nn.Conv2d(channels, channels, 1), nn.Sigmoid())

    def forward(self, x: Float[Tensor, "N C H W"]) -> Float[Tensor, "N C H W"]:
        """Return ``x + mask(x) * trunk(x)``."""
        return x + self.mask(x) * self.trunk(x)
