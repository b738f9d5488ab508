"""Residual blocks, attention and autoregressive context (Cheng et al. 2020), with one Gaussian or several.

::

    x --g_a--> y --> round --> y_hat --g_s--> x_hat
               |                 |
               |                 `--> context: masked 5x5 -----------+
               |                                                     |--> head --> K Gaussians: weights | means | scales
               `--h_a--> round --> z_hat --h_s--> side features -----'

    g_a    down, RB, down, [attention], RB, down, RB, conv/2, [attention]     RB      residual block, 3x3
    g_s    [attention], RB, up, RB, up, [attention], RB, up, RB, conv/2 up    head    1x1, two hidden layers
    h_a, h_s    five 3x3 convolutions, two of them of stride 2                context N -> 2N

Without what stands in brackets it is the paper's anchor. One Gaussian is rounded around its mean; several, as the paper
has them, directly.
"""

from trimix.architectures.compression_model import Parts
from trimix.architectures.config import AttentionConfig
from trimix.entropy_models.conditional import mixture_head
from trimix.entropy_models.context import RasterContext
from trimix.layers.residual import SMALL_SLOPE
from trimix.transforms.analysis import residual_analysis
from trimix.transforms.hyper import deep_hyper_analysis, deep_hyper_synthesis
from trimix.transforms.synthesis import residual_synthesis


def attention_parts(config: AttentionConfig) -> Parts:
    """The networks of the figure at the head of this file."""
    n = config.latent_channels
    outputs = config.head_layout.numbers * n
    return Parts(
        analysis=residual_analysis(n, attention=config.attention),
        synthesis=residual_synthesis(n, attention=config.attention),
        hyper_analysis=deep_hyper_analysis(n, SMALL_SLOPE),
        hyper_synthesis=deep_hyper_synthesis(n, SMALL_SLOPE, transposed=False),
        context=RasterContext(n, 2 * n),
        head=mixture_head(4 * n, config.hidden_widths, outputs, SMALL_SLOPE),
    )
