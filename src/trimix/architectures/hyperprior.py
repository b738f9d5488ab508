"""Mean and scale hyperprior (Minnen et al. 2018, "mbt2018-mean"), and of scales alone (Ballé et al. 2018).

::

    x --g_a--> y --> round around m --> y_hat --g_s--> x_hat
               |          ^      |
               |          m      `-- Gaussian of mean m and scale s: bits of y_hat
               |          |      |
               |          `--+---'
               |             | means | scales
               `--h_a--> round --> z_hat --h_s--'

    g_a, g_s    four 5x5 convolutions of stride 2, GDN          h_a, h_s    one 3x3, two 5x5 of stride 2

Of scales alone ("bmshj2018-hyperprior"): h_a sees |y|, m = 0, and ReLU stands for leaky ReLU.
"""

from trimix.architectures.compression_model import Parts
from trimix.architectures.config import HyperpriorConfig
from trimix.transforms.analysis import gdn_analysis
from trimix.transforms.hyper import (
    mean_scale_hyper_analysis,
    mean_scale_hyper_synthesis,
    scale_hyper_analysis,
    scale_hyper_synthesis,
)
from trimix.transforms.synthesis import gdn_synthesis


def hyperprior_parts(config: HyperpriorConfig) -> Parts:
    """The networks of the figure at the head of this file."""
    n, m = config.channels, config.latent_channels
    hyper_analysis = scale_hyper_analysis if config.zero_mean else mean_scale_hyper_analysis
    hyper_synthesis = scale_hyper_synthesis if config.zero_mean else mean_scale_hyper_synthesis
    return Parts(
        analysis=gdn_analysis(n, m),
        synthesis=gdn_synthesis(n, m),
        hyper_analysis=hyper_analysis(m, n),
        hyper_synthesis=hyper_synthesis(n, m),
    )
