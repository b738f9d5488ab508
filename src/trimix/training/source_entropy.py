"""The conditional source entropy model q(x | x_hat): what a reconstruction leaves open about its source.

::

    x_hat [3 H W] --> 3x3 -> LReLU -> 3x3 -> LReLU [-> 1x1 -(+)-> LReLU] -> 1x1 --> mixture of every pixel's colours
                |                                          ^                               ^
    x [3 H W] --|-> [masked 5x5: earlier pixels] ----------'                               |
                `--------------------------------------------------------------> means -(+)'

q is built as the codec models its latents: the same families and components, and a masked convolution over x where the
codec has one over its latents ("aligned"). What stands in brackets is there with a context. Means are those of x_hat,
corrected; scales are powers of two. At the start q is one wide bell around x_hat.
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import nn
from torch._subclasses import FakeTensorMode

from trimix.architectures.complexity import multiply_accumulates
from trimix.architectures.config import CompressionConfig
from trimix.entropy_models.conditional import by_component, mixture_log_weights
from trimix.entropy_models.layout import LOG2_SCALE_MAXIMUM, LOG2_SCALE_MINIMUM, MixtureLayout
from trimix.layers.masked_convolution import MaskedConvolution
from trimix.layers.offsets import raster_offsets
from trimix.probability import Family, MixtureParameters, log_likelihood
from trimix.shapes import Float, Tensor
from trimix.training.config import RegularizerConfig, SourceEntropyUnit

COLOURS = 3
CONTEXT_KERNEL = 5
SLOPE = 0.01
EIGHT_BIT_PEAK = 255.0
_START_SCALE = 0.25
"""Of the range of x: wide enough for the first reconstructions of an untrained codec."""
_MEAN_STEP = 1 / 16
"""Of the range of x: what one unit of the network corrects."""


@dataclass(frozen=True)
class SourceEntropyConfig:
    """The form of q.

    Args:
        context: whether earlier pixels of x are looked at.
        has_means: whether the mean of x_hat is corrected.
        peak: x in [0, 1] is multiplied by it, then bins have width 1: 255 is the grid of 8 bits.
    """

    families: tuple[Family, ...] = (Family.GAUSSIAN,)
    components: int = 1
    context: bool = False
    has_means: bool = True
    features: int = 32
    peak: float = EIGHT_BIT_PEAK

    @property
    def layout(self) -> MixtureLayout:
        """What the network's numbers are."""
        return MixtureLayout(self.families, self.components, two_level=True, zero_mean=not self.has_means)

    @property
    def name(self) -> str:
        """In words, for people."""
        count = len(self.families) * self.components
        names = ", ".join(family.name.capitalize() for family in self.families)
        parts = [f"{count} component{'s' if count > 1 else ''} ({names})"]
        parts.append("context" if self.context else "no context")
        if not self.has_means:
            parts.append("means of x_hat itself")
        return ", ".join(parts)


def peak_of(unit: SourceEntropyUnit) -> float:
    """What x in [0, 1] is multiplied by, so that bins have width 1."""
    return 1.0 if unit == "unit_range" else EIGHT_BIT_PEAK


def source_entropy_config(model: CompressionConfig, regularizer: RegularizerConfig) -> SourceEntropyConfig:
    """The form of q beside a codec, whose entropy model is mirrored.

    ============  =========================================  ========================================
    strength      codec without context                      codec with context
    ============  =========================================  ========================================
    stronger      with context                               three times the components
    aligned       means and scales from x_hat                also context over x
    weaker        scales from x_hat, means x_hat itself      without context
    ============  =========================================  ========================================

    >>> from trimix.architectures.config import AttentionConfig
    >>> source_entropy_config(AttentionConfig(), RegularizerConfig(alpha=1)).context
    True
    """
    layout, peak = model.head_layout, peak_of(regularizer.unit)
    form = SourceEntropyConfig(
        layout.families, layout.components, model.has_context, features=regularizer.features, peak=peak
    )
    match regularizer.strength, form.context:
        case "stronger", False:
            return replace(form, context=True)
        case "stronger", True:
            return replace(form, components=3 * form.components)
        case "weaker", False:
            return replace(form, has_means=False)
        case "weaker", True:
            return replace(form, context=False)
    return form


class SourceEntropyModel(nn.Module):
    """-log q(x | x_hat) of every colour of every pixel, in nats; see the diagram at the head of this file.

    ``q(x | x_hat) = prod_i sum_k w_ik [F((x_i + 1/2 - mu_ik) / s_ik) - F((x_i - 1/2 - mu_ik) / s_ik)]`` with x on the
    grid that ``peak`` says (regularizer paper, Eq. 29 to 31).

    >>> q = SourceEntropyModel(SourceEntropyConfig())
    >>> x = torch.rand(1, 3, 8, 8)
    >>> q(x, x).shape
    torch.Size([1, 3, 8, 8])
    """

    def __init__(self, config: SourceEntropyConfig) -> None:
        super().__init__()
        self.config = config
        layout, features = config.layout, config.features
        numbers = layout.numbers * COLOURS
        self.features = nn.Sequential(
            nn.Conv2d(COLOURS, features, 3, padding=1),
            nn.LeakyReLU(SLOPE, inplace=True),
            nn.Conv2d(features, features, 3, padding=1),
            nn.LeakyReLU(SLOPE, inplace=True),
        )
        self.context = self.mixing = None
        if config.context:
            # Two linear maps without anything between them are one: a 1x1 convolution of both, side by side, is the
            # sum of one of the features and a masked one of x.
            self.mixing = nn.Conv2d(features, features, 1, bias=False)
            self.activation = nn.LeakyReLU(SLOPE, inplace=True)
            self.context = MaskedConvolution(COLOURS, features, CONTEXT_KERNEL, raster_offsets(CONTEXT_KERNEL))
        last = nn.Conv2d(features, numbers, 1)
        # One wide bell around x_hat, whatever the weights before: the mixture's components differ by their bias.
        nn.init.zeros_(last.weight)
        self.head = last

    def forward(self, x: Float[Tensor, "N 3 H W"], x_hat: Float[Tensor, "N 3 H W"]) -> Float[Tensor, "N 3 H W"]:
        """Nats of every colour of every pixel."""
        features = self.features(x_hat - 0.5)
        if self.context is not None and self.mixing is not None:
            features = self.activation(self.mixing(features).add_(self.context(x - 0.5)))
        raw = self.head(features)
        with torch.autocast(x.device.type, enabled=False):
            # The distance from x_hat, not x itself, is asked for: so all means are corrections.
            distance = self.config.peak * (x.float() - x_hat.float())
            return -log_likelihood(distance, self._mixture(raw.float()))

    def _mixture(self, raw: Float[Tensor, "N D H W"]) -> MixtureParameters:
        config, layout = self.config, self.config.layout
        numbers = raw.permute(0, 2, 3, 1).unflatten(3, (layout.numbers, COLOURS))
        family_logits, logits, means, scales = numbers.split(layout.sizes, dim=3)
        corrections = means * (_MEAN_STEP * config.peak) if config.has_means else torch.zeros_like(scales)
        return MixtureParameters(
            layout.families,
            by_component(mixture_log_weights(family_logits, logits, layout), layout),
            by_component(corrections, layout),
            by_component(_scales(scales, _START_SCALE * config.peak), layout),
        )


def _scales(raw: Float[Tensor, "*shape"], start: float) -> Float[Tensor, "*shape"]:
    """Scales, ``start`` where raw is 0, smoothly within the range that the mixture knows.

    A hard bound would let gradients pass by their sign, and then that of -H were not that of H reversed.
    """
    span = LOG2_SCALE_MAXIMUM - LOG2_SCALE_MINIMUM
    share = (math.log2(start) - LOG2_SCALE_MINIMUM) / span
    return torch.exp2(torch.sigmoid(raw + math.log(share / (1 - share))) * span + LOG2_SCALE_MINIMUM)


def source_entropy_complexity(config: SourceEntropyConfig) -> tuple[int, float]:
    """Parameters of a form of q, and multiplications with additions for each pixel in a forward pass.

    >>> source_entropy_complexity(SourceEntropyConfig())
    (10342, 10272.0)
    """
    side = 256
    with FakeTensorMode(), torch.no_grad():
        model = SourceEntropyModel(config)
        x = torch.empty(1, COLOURS, side, side)
        counted = multiply_accumulates(lambda: model(x, x))
    return sum(p.numel() for p in model.parameters()), counted / side**2
