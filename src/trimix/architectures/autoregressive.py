"""Hyperprior and autoregressive context (Minnen et al. 2018, "mbt2018").

::

    x --g_a--> y --> round around m --> y_hat --g_s--> x_hat
               |                          |
               |                          `--> context: masked 5x5 --+
               |                                                     |--> head --> Gaussian: mean m | scale s
               `--h_a--> round --> z_hat --h_s--> side features -----'

    g_a, g_s    four 5x5 convolutions of stride 2, GDN          h_a, h_s    one 3x3, two 5x5 of stride 2
    context     M -> 2M                                         head        1x1: 4M -> 10/3 M -> 8/3 M -> 2M
"""

from trimix.architectures.compression_model import Parts
from trimix.architectures.config import AutoregressiveConfig
from trimix.entropy_models.conditional import mixture_head
from trimix.entropy_models.context import RasterContext
from trimix.layers.residual import SMALL_SLOPE
from trimix.transforms.analysis import gdn_analysis
from trimix.transforms.hyper import mean_scale_hyper_analysis, mean_scale_hyper_synthesis
from trimix.transforms.synthesis import gdn_synthesis


def autoregressive_parts(config: AutoregressiveConfig) -> Parts:
    """The networks of the figure at the head of this file."""
    n, m = config.channels, config.latent_channels
    outputs = config.head_layout.numbers * m
    return Parts(
        analysis=gdn_analysis(n, m),
        synthesis=gdn_synthesis(n, m),
        hyper_analysis=mean_scale_hyper_analysis(m, n),
        hyper_synthesis=mean_scale_hyper_synthesis(n, m),
        context=RasterContext(m, 2 * m),
        head=mixture_head(4 * m, (10 * m // 3, 8 * m // 3), outputs, SMALL_SLOPE),
    )
