"""The conditional entropy model of latents: side features and context -> mixture parameters.

::

    side features [S h w] --+--> concat -> 1x1 convolutions (head) -> split -> log weights, means, scales
    context       [D h w] --'

What the head's numbers are says a ``MixtureLayout``; a model without head has its side features for them.
"""

import math

import torch
from torch import nn

from trimix.entropy_models.layout import LOG2_SCALE_MAXIMUM, MixtureLayout, ScaleForm
from trimix.layers.lower_bound import within_bounds
from trimix.layers.pointwise import PointwiseConvolution
from trimix.layers.residual import GLLMM_SLOPE
from trimix.probability import MixtureParameters
from trimix.shapes import Float, Tensor


def mixture_head(
    inputs: int, hidden: tuple[int, ...], outputs: int, slope: float = GLLMM_SLOPE, *, last_bias: bool = True
) -> nn.Sequential:
    """1x1 convolutions with leaky ReLU between them: [N inputs h w] -> [N outputs h w] (Fu et al. 2023, Fig. 4).

    >>> import torch
    >>> mixture_head(4, (6, 8), 10)(torch.zeros(1, 4, 2, 3)).shape
    torch.Size([1, 10, 2, 3])
    """
    layers: list[nn.Module] = []
    for width in hidden:
        layers += [PointwiseConvolution(inputs, width), nn.LeakyReLU(slope)]
        inputs = width
    return nn.Sequential(*layers, PointwiseConvolution(inputs, outputs, bias=last_bias))


def read_parameters(raw: Float[Tensor, "N D h w"], layout: MixtureLayout) -> MixtureParameters:
    """Mixture parameters from the head's output, in single precision.

    A bound on a scale lets the gradient lead back.

    Args:
        raw: output of the head, ``layout.numbers`` channels for every latent channel.

    Raises:
        ValueError: the channels are not a multiple of the layout's numbers.

    >>> import torch
    >>> from trimix.probability import Family
    >>> layout = MixtureLayout((Family.GAUSSIAN, Family.LOGISTIC), components=2, two_level=True)
    >>> p = read_parameters(torch.zeros(1, 14, 2, 2), layout)
    >>> layout.sizes, p.means.shape, round(p.log_weights.exp().unique().item(), 3)
    ((2, 4, 4, 4), torch.Size([1, 2, 2, 1, 2, 2]), 0.25)
    """
    channels = raw.shape[1]
    if channels % layout.numbers:
        family_logits, component_logits, means, scales = layout.sizes
        raise ValueError(
            f"the head must have a multiple of {family_logits} + {component_logits} + {means} + {scales} = "
            f"{layout.numbers} channels (family logits, component logits, means, scales), found {channels}: give its "
            f"last layer {layout.numbers} channels for each latent channel"
        )
    # Position by position, as heads lay them out: then nothing is copied.
    numbers = raw.float().permute(0, 2, 3, 1).unflatten(3, (layout.numbers, -1))
    family_logits, logits, means, scales = numbers.split(layout.sizes, dim=3)
    return MixtureParameters(
        layout.families,
        by_component(mixture_log_weights(family_logits, logits, layout), layout),
        by_component(torch.zeros_like(scales) if layout.zero_mean else means, layout),
        by_component(_scales(scales, layout), layout),
    )


def by_component(numbers: Float[Tensor, "N h w K M"], layout: MixtureLayout) -> Float[Tensor, "N F k M h w"]:
    """Numbers of every component as ``MixtureParameters`` has them: a view."""
    return numbers.unflatten(3, (len(layout.families), layout.components)).permute(0, 3, 4, 5, 1, 2)


def mixture_log_weights(
    family_logits: Float[Tensor, "N h w _ M"], logits: Float[Tensor, "N h w _ M"], layout: MixtureLayout
) -> Float[Tensor, "N h w K M"]:
    """Natural logarithms of the weights of all components, families one after the other.

    Args:
        family_logits: as ``layout.sizes`` has them, none where the softmax has one level.
        logits: as ``layout.sizes`` has them; what a single component has says nothing.
    """
    if layout.count == 1:
        return logits.new_zeros(*logits.shape[:3], 1, logits.shape[4])
    if family_logits.shape[3] == 0:
        return torch.log_softmax(logits, dim=3)
    inside = torch.log_softmax(logits.unflatten(3, (len(layout.families), layout.components)), dim=4)
    return (inside + torch.log_softmax(family_logits, dim=3)[..., None, :]).flatten(3, 4)


def _scales(numbers: Tensor, layout: MixtureLayout) -> Tensor:
    if layout.scale_form is ScaleForm.BOUNDED:
        return within_bounds(numbers, layout.scale_minimum)
    if layout.scale_form is ScaleForm.ABSOLUTE:
        return numbers.abs() + layout.scale_minimum
    return torch.exp2(within_bounds(numbers, math.log2(layout.scale_minimum), LOG2_SCALE_MAXIMUM))


def bounded_log_likelihood(log_likelihoods: Float[Tensor, "*shape"], minimum: float) -> Float[Tensor, "*shape"]:
    """``log max(p, minimum)``, with a gradient that still raises likelihoods below the minimum.

    The bound is on the likelihood, not on its logarithm: below it the gradient of ``log p`` is shrunk by
    ``p / minimum``. So latents far from their mean, whose logarithm would pull hardest, do not rule a training step.

    Args:
        log_likelihoods: natural logarithms of likelihoods.
        minimum: in [0, 1); 0 for no bound.
    """
    return log_likelihoods if minimum == 0 else within_bounds(log_likelihoods.exp(), minimum).log()
