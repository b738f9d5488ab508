"""GLLMM: concatenated residual modules, and Gaussians, Laplacians and logistics mixed (Fu et al. 2023, Fig. 2-4).

::

    x --g_a--> y --> round --> y_hat --g_s--> x_hat
               |                 |
               |                 `--> context: masked 5x5, N -> 2N --+
               |                                                     |--> head: 1x1, 640, 1280, 30 N
               `--h_a--> round --> z_hat --h_s--> side, 2N ----------'      |
                                                                            v
                 3 family weights | 3 x 3 weights | 3 x 3 means | 3 x 3 scales: softmax inside each family and over them

    g_a    down, CRM, down, attention, CRM, down, CRM, conv/2, attention      CRM    concatenated residual module
    g_s    attention, CRM, up, CRM, up, attention, CRM, up, CRM, conv/2 up
    h_a, h_s    five 3x3 convolutions, two of them of stride 2

The paper's comparisons are configurations: one family instead of three (Gaussian, Laplacian, logistic), one, three or
nine components; two or three stages of a CRM, or plain residual blocks; with and without attention.

Ours, and off by default: a linear path beside g_a and g_s, with which N of the transforms and M of the latent may
differ; factors in the transforms that follow the quality; contexts that need fewer passes.
"""

from torch import nn

from trimix.entropy_models.conditional import mixture_head
from trimix.entropy_models.context import CONTEXTS
from trimix.layers.residual import GLLMM_SLOPE
from trimix.models.compression_model import Parts
from trimix.models.config import GllmmConfig
from trimix.transforms.analysis import LinearPathAnalysis, gllmm_analysis
from trimix.transforms.hyper import deep_hyper_analysis, deep_hyper_synthesis
from trimix.transforms.synthesis import LinearPathSynthesis, gllmm_synthesis


def gllmm_parts(config: GllmmConfig) -> Parts:
    """The networks of the figure at the head of this file."""
    n, m = config.transform_channels, config.latent_channels
    form = {
        "concatenated": config.concatenated,
        "attention": config.attention,
        "quality_factors": config.quality_factors,
    }
    analysis: nn.Module = gllmm_analysis(n, config.stages, **form)
    synthesis = gllmm_synthesis(n, config.stages, **form)
    if config.linear_path:
        analysis = LinearPathAnalysis(analysis, n, m, config.lapped_channels)
        synthesis = LinearPathSynthesis(synthesis, n, m, config.lapped_channels)
    return Parts(
        analysis=analysis,
        synthesis=synthesis,
        hyper_analysis=deep_hyper_analysis(m, GLLMM_SLOPE),
        hyper_synthesis=deep_hyper_synthesis(m, GLLMM_SLOPE, transposed=True),
        context=CONTEXTS[config.context](m, 2 * m),
        head=mixture_head(
            4 * m, config.head_widths, config.head_layout.numbers * m, GLLMM_SLOPE, last_bias=False
        ),
    )
