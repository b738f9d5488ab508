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

from trimix.architectures.compression_model import Parts
from trimix.architectures.config import GllmmConfig
from trimix.entropy_models.conditional import mixture_head
from trimix.entropy_models.context import CONTEXTS
from trimix.layers.quality import QualitySequential
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
    side, context = config.side_channels or 2 * m, config.context_channels or 2 * m
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


def _transforms(config: GllmmConfig) -> tuple[QualitySequential, QualitySequential, tuple[int, int]]:
    """Networks of g_a and g_s, and their channels at 1/16."""
    factors = config.quality_factors
    if (widths := config.low_resolution_widths) is not None:
        up_widths = config.low_resolution_synthesis_widths or widths
        blocks = config.low_resolution_blocks
        up_blocks = config.low_resolution_synthesis_blocks or blocks
        analysis = low_resolution_analysis(widths, blocks, quality_factors=factors)
        synthesis = low_resolution_synthesis(up_widths, up_blocks, quality_factors=factors)
        return analysis, synthesis, (widths[1], up_widths[1])
    n = config.channels or config.latent_channels
    form = {"concatenated": config.concatenated, "attention": config.attention, "quality_factors": factors}
    return (gllmm_analysis(n, config.stages, **form), gllmm_synthesis(n, config.stages, **form), (n, n))
