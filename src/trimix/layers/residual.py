"""Residual blocks and the concatenated residual module (CRM) of GLLMM.

::

    residual block   x --+-> conv -> LReLU -> conv -> LReLU --(+)-->
                         `------------------------------------^
    CRM, two stages  x --+-> residual block -> residual block --(+)-->
                         `---------------------------------------^
"""

from torch import nn

from trimix.shapes import Float, Tensor

GLLMM_SLOPE = 0.2
"""Negative slope of the leaky ReLU in GLLMM (Fu et al. 2023)."""


class ResidualBlock(nn.Module):
    """3x3 convolution, leaky ReLU, twice, plus the input (Fu et al. 2023, Fig. 3b).

    Args:
        channels: channels of input and output.
        slope: negative slope of the leaky ReLU.
    """

    def __init__(self, channels: int, slope: float = GLLMM_SLOPE) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.activation = nn.LeakyReLU(slope)

    def forward(self, x: Float[Tensor, "N C H W"]) -> Float[Tensor, "N C H W"]:
        """Return ``x + LReLU(conv(LReLU(conv(x))))``."""
        return x + self.activation(self.second(self.activation(self.first(x))))


class ConcatenatedResidualModule(nn.Module):
    """Residual blocks in series with one more shortcut around all of them (Fu et al. 2023, Fig. 3c, 3d).

    ``x + RB_s(... RB_1(x))``, each block keeping its own shortcut.

    Args:
        channels: channels of input and output.
        stages: number of residual blocks; the paper draws two and three.
        slope: negative slope of the leaky ReLU.
    """

    def __init__(self, channels: int, stages: int = 2, slope: float = GLLMM_SLOPE) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(ResidualBlock(channels, slope) for _ in range(stages)))

    def forward(self, x: Float[Tensor, "N C H W"]) -> Float[Tensor, "N C H W"]:
        """Return ``x + blocks(x)``."""
        return x + self.blocks(x)
