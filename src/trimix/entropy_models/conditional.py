"""The conditional entropy model of latents: side features and context -> mixture parameters.

::

    side features [S h w] --+--> concat -> 1x1 convolutions (head) -> split -> log weights, means, scales
    context       [D h w] --'

What the head's numbers are says a ``HeadLayout``; a model without head has its side features for them.
"""

import math
from dataclasses import dataclass
from enum import Enum

import torch
from torch import nn

from trimix.layers.lower_bound import lower_bound, within_bounds
from trimix.layers.pointwise import PointwiseConvolution
from trimix.layers.residual import GLLMM_SLOPE
from trimix.probability import Family, MixtureParameters
from trimix.shapes import Float, Tensor

LOG2_SCALE_MINIMUM = -4.0
"""log2 of the smallest scale that the integer coder knows."""
LOG2_SCALE_MAXIMUM = 12.0 - 1 / 16
"""log2 of the largest scale that the integer coder knows."""


class ScaleForm(Enum):
    """How a number of the head becomes a scale."""

    LOG2 = "log2"
    """2 to its power, clamped to the scales from the minimum to the largest that the integer coder knows."""
    BOUNDED = "bounded"
    """The number, or the minimum where that is larger."""
    ABSOLUTE = "absolute"
    """Its magnitude plus the minimum."""


@dataclass(frozen=True)
class HeadLayout:
    """What the numbers are that a head gives for every latent.

    Channels are ordered (family logits | component logits | means | scales) x component x latent channel; components
    of one family stand together. What a layout does not need is absent: logits of a single component, family logits
    unless the softmax has two levels, means of a zero-mean model.

    Args:
        families: the families of the mixture.
        components: K, components of each family.
        two_level: a softmax inside each family and one over the families, which then have logits too (Fu et al.
            2023); otherwise one softmax over all. Where there is one family, or one component of each, these are the
            same, and there are no logits but those of the components.
        scale_form: how scales are given.
        scale_minimum: smallest scale, in steps of the quantizer; see ``ScaleForm``.
        zero_mean: means are zero and not given.
        likelihood_minimum: a likelihood counts as at least this much; 0 for no bound.

    Raises:
        ValueError: no family, no component, or a bound out of its range.
    """

    families: tuple[Family, ...]
    components: int = 1
    two_level: bool = False
    scale_form: ScaleForm = ScaleForm.LOG2
    scale_minimum: float = 2.0**LOG2_SCALE_MINIMUM
    zero_mean: bool = False
    likelihood_minimum: float = 0.0

    def __post_init__(self) -> None:
        """Check that there is a mixture and that its bounds make sense."""
        if not self.families or self.components < 1:
            raise ValueError(
                f"a mixture must have at least one family of one component, found {len(self.families)} families of "
                f"{self.components} components: give both"
            )
        if not 0 < self.scale_minimum < 2.0**LOG2_SCALE_MAXIMUM or not 0 <= self.likelihood_minimum < 1:
            raise ValueError(
                f"scales must have a minimum in (0, {2.0**LOG2_SCALE_MAXIMUM:g}) and likelihoods one in [0, 1), found "
                f"{self.scale_minimum:g} and {self.likelihood_minimum:g}: correct them"
            )

    @property
    def count(self) -> int:
        """Components of all families."""
        return len(self.families) * self.components

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        """Family logits, component logits, means and scales of one latent; 0 for what is absent."""
        several = len(self.families) > 1 and self.components > 1
        return (
            len(self.families) if self.two_level and several else 0,
            self.count if self.count > 1 else 0,
            0 if self.zero_mean else self.count,
            self.count,
        )

    @property
    def numbers(self) -> int:
        """Numbers for one latent."""
        return sum(self.sizes)


def mixture_head(
    inputs: int,
    hidden: tuple[int, ...],
    outputs: int,
    slope: float = GLLMM_SLOPE,
    *,
    last_bias: bool = True,
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


def read_parameters(raw: Float[Tensor, "N D h w"], layout: HeadLayout) -> MixtureParameters:
    """Mixture parameters from the head's output, in single precision.

    A bound on a scale lets the gradient lead back.

    Args:
        raw: output of the head, ``layout.numbers`` channels for every latent channel.
        layout: what the channels are.

    Raises:
        ValueError: the channels are not a multiple of the layout's numbers.

    >>> import torch
    >>> layout = HeadLayout((Family.GAUSSIAN, Family.LOGISTIC), components=2, two_level=True)
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


def by_component(numbers: Float[Tensor, "N h w K M"], layout: HeadLayout) -> Float[Tensor, "N F k M h w"]:
    """Numbers of every component as ``MixtureParameters`` has them: a view."""
    return numbers.unflatten(3, (len(layout.families), layout.components)).permute(0, 3, 4, 5, 1, 2)


def mixture_log_weights(
    family_logits: Float[Tensor, "N h w _ M"], logits: Float[Tensor, "N h w _ M"], layout: HeadLayout
) -> Float[Tensor, "N h w K M"]:
    """Natural logarithms of the weights of all components, families one after the other.

    Args:
        family_logits: as ``layout.sizes`` has them, none where the softmax has one level.
        logits: as ``layout.sizes`` has them, none for a single component.
        layout: says which there are.
    """
    if layout.count == 1:
        return logits.new_zeros(*logits.shape[:3], 1, logits.shape[4])
    if family_logits.shape[3] == 0:
        return torch.log_softmax(logits, dim=3)
    inside = torch.log_softmax(logits.unflatten(3, (len(layout.families), layout.components)), dim=4)
    return (inside + torch.log_softmax(family_logits, dim=3)[..., None, :]).flatten(3, 4)


def _scales(numbers: Tensor, layout: HeadLayout) -> Tensor:
    if layout.scale_form is ScaleForm.BOUNDED:
        return lower_bound(numbers, layout.scale_minimum)
    if layout.scale_form is ScaleForm.ABSOLUTE:
        return numbers.abs() + layout.scale_minimum
    return torch.exp2(within_bounds(numbers, math.log2(layout.scale_minimum), LOG2_SCALE_MAXIMUM))


def parameters_from_head(
    raw: Float[Tensor, "N D h w"], families: tuple[Family, ...], components: int
) -> MixtureParameters:
    """Mixture parameters in the layout of ``gllmm-lite``: one softmax over all components, scales as powers of two.

    Channels are ordered (weights | means | log2 scales) x family x component x latent channel. Unlike in a
    ``HeadLayout``, a single component has a weight, too.

    Args:
        raw: output of the head, D = 3 F K M channels.
        families: the family of each index of axis F.
        components: K, components of each family.

    Raises:
        ValueError: the channels are not a multiple of 3 F K.

    >>> import torch
    >>> p = parameters_from_head(torch.zeros(1, 12, 2, 2), (Family.GAUSSIAN, Family.LOGISTIC), components=2)
    >>> p.means.shape, p.scales.unique().item(), round(p.log_weights.exp().unique().item(), 3)
    (torch.Size([1, 2, 2, 1, 2, 2]), 1.0, 0.25)
    """
    layout = HeadLayout(families, components)
    channels = raw.shape[1]
    if channels % (3 * layout.count):
        raise ValueError(
            f"the head must have a multiple of 3 x {len(families)} families x {components} components = "
            f"{3 * layout.count} channels, found {channels}: give its last layer {3 * layout.count} channels for each "
            "latent channel"
        )
    if layout.count == 1:
        raw = raw[:, channels // 3 :]
    return read_parameters(raw, layout)


def bounded_log_likelihood(
    log_likelihoods: Float[Tensor, "*shape"], minimum: float
) -> Float[Tensor, "*shape"]:
    """``log max(p, minimum)``, with a gradient that still raises likelihoods below the minimum.

    The bound is on the likelihood, not on its logarithm: below it the gradient of ``log p`` is shrunk by
    ``p / minimum``. So latents far from their mean, whose logarithm would pull hardest, do not rule a training step.

    Args:
        log_likelihoods: natural logarithms of likelihoods.
        minimum: in [0, 1); 0 for no bound.
    """
    return log_likelihoods if minimum == 0 else lower_bound(log_likelihoods.exp(), minimum).log()
