"""``gllmm-lite``: CRM transforms and the GLLMM entropy model made light enough for a CPU, all rates in one model.

::

    x --g_a--> y --gain(q)--> round --> y_hat --1/gain(q)--> g_s --> x_hat
                  |                       |
                  `--h_a--> round --> z_hat --h_s--> side features --+
                                        q --'                        |--> head --> Gaussian + Laplacian + logistic
                         earlier passes of y_hat --> context ------+
"""

import torch
from torch import nn

from trimix.architectures.compression_model import Parts
from trimix.architectures.config import GllmmLiteConfig
from trimix.entropy_models.conditional import mixture_head
from trimix.entropy_models.context import CONTEXTS
from trimix.entropy_models.layout import MixtureLayout
from trimix.transforms.analysis import LiteAnalysis
from trimix.transforms.hyper import lite_hyper_analysis, lite_hyper_synthesis
from trimix.transforms.synthesis import LiteSynthesis


def gllmm_lite_parts(config: GllmmLiteConfig) -> Parts:
    """The networks of the figure at the head of this file."""
    m, z, layout = config.latent_channels, config.hyper_channels, config.head_layout
    side, context = config.side_channels, config.context_channels
    parts = Parts(
        analysis=LiteAnalysis(config.transform_widths, m, config.lapped_channels),
        synthesis=LiteSynthesis(config.synthesis_widths or config.transform_widths, m, config.lapped_channels),
        hyper_analysis=lite_hyper_analysis(m, config.hyper_analysis_width, z),
        hyper_synthesis=lite_hyper_synthesis(z + 1, config.hyper_synthesis_widths, side),
        context=CONTEXTS[config.context](m, context),
        head=mixture_head(side + context, config.head_widths, layout.numbers * m),
        hyper_sees_quality=True,
    )
    _set_scales_apart(parts.head, layout)
    return parts


@torch.no_grad()
def _set_scales_apart(head: nn.Module | None, layout: MixtureLayout) -> None:
    """Components start apart in scale, so that none of them is redundant from the first step on."""
    assert isinstance(head, nn.Sequential)
    last = head[-1]
    assert isinstance(last, nn.Conv2d) and last.bias is not None
    last.bias.zero_()
    scales = last.bias.view(layout.numbers, -1)[-layout.count :]
    scales.copy_(torch.linspace(-1.0, 1.5, layout.count)[:, None].expand_as(scales))
