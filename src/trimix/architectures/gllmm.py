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
differ; factors in the transforms that follow the quality; networks at 1/8 and 1/16 of the resolution alone in place of
the paper's; narrow hyper transforms; contexts that need fewer passes.
"""

from torch import nn

from trimix.architectures.compression_model import Parts
from trimix.architectures.config import GllmmConfig
from trimix.entropy_models.conditional import mixture_head
from trimix.entropy_models.context import CONTEXTS
from trimix.layers.residual import GLLMM_SLOPE
from trimix.transforms.analysis import NetworkAnalysis, gllmm_analysis, low_resolution_analysis
from trimix.transforms.hyper import deep_hyper_analysis, deep_hyper_synthesis, lite_hyper_analysis, lite_hyper_synthesis
from trimix.transforms.synthesis import NetworkSynthesis, gllmm_synthesis, low_resolution_synthesis


def gllmm_parts(config: GllmmConfig) -> Parts:
    """The networks of the figure at the head of this file."""
    m = config.latent_channels
    analysis, synthesis, channels = _transforms(config)
    if config.linear_path:
        analysis = NetworkAnalysis(analysis, channels[0], m, config.lapped_channels)
        synthesis = NetworkSynthesis(synthesis, channels[1], m, config.lapped_channels)
    side, context = config.side_features, config.context_features
    if (z := config.narrow_hyper_channels) is None:
        hyper_analysis = deep_hyper_analysis(m, GLLMM_SLOPE)
        hyper_synthesis = deep_hyper_synthesis(m, GLLMM_SLOPE, transposed=True)
    else:
        hyper_analysis = lite_hyper_analysis(m, 5 * z // 4, z)
        hyper_synthesis = lite_hyper_synthesis(z, (z, 3 * z // 2), side)
    outputs = config.head_layout.numbers * m
    return Parts(
        analysis=analysis,
        synthesis=synthesis,
        hyper_analysis=hyper_analysis,
        hyper_synthesis=hyper_synthesis,
        context=CONTEXTS[config.context](m, context),
        head=mixture_head(side + context, config.head_widths, outputs, GLLMM_SLOPE, last_bias=False),
    )


def _transforms(config: GllmmConfig) -> tuple[nn.Module, nn.Sequential, tuple[int, int]]:
    """Networks of g_a and g_s, and their channels at 1/16."""
    if (widths := config.low_resolution_widths) is not None:
        synthesis_widths = config.low_resolution_synthesis_widths or widths
        blocks = config.low_resolution_blocks
        return (
            low_resolution_analysis(widths, blocks, quality_factors=config.quality_factors),
            low_resolution_synthesis(
                synthesis_widths,
                config.low_resolution_synthesis_blocks or blocks,
                quality_factors=config.quality_factors,
            ),
            (widths[1], synthesis_widths[1]),
        )
    n = config.transform_channels
    form = {
        "concatenated": config.concatenated,
        "attention": config.attention,
        "quality_factors": config.quality_factors,
    }
    return (gllmm_analysis(n, config.stages, **form), gllmm_synthesis(n, config.stages, **form), (n, n))
