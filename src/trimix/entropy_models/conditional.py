"""The conditional entropy model of latents: side features and context -> mixture parameters.

::

    side features [S h w] --+--> concat -> 1x1 convolutions (head) -> split -> log weights, means, scales
    context       [D h w] --'
"""

import torch
from torch import nn

from trimix.layers.lower_bound import lower_bound
from trimix.layers.residual import GLLMM_SLOPE
from trimix.probability import Family, MixtureParameters
from trimix.shapes import Float, Tensor

LOG2_SCALE_MINIMUM = -4.0
"""log2 of the smallest scale that the integer coder knows."""
LOG2_SCALE_MAXIMUM = 12.0 - 1 / 16
"""log2 of the largest scale that the integer coder knows."""


def mixture_head(inputs: int, hidden: tuple[int, ...], outputs: int) -> nn.Sequential:
    """1x1 convolutions with leaky ReLU between them: [N inputs h w] -> [N outputs h w] (Fu et al. 2023, Fig. 4).

    >>> import torch
    >>> mixture_head(4, (6, 8), 10)(torch.zeros(1, 4, 2, 3)).shape
    torch.Size([1, 10, 2, 3])
    """
    layers: list[nn.Module] = []
    for width in hidden:
        layers += [nn.Conv2d(inputs, width, 1), nn.LeakyReLU(GLLMM_SLOPE)]
        inputs = width
    return nn.Sequential(*layers, nn.Conv2d(inputs, outputs, 1))


def parameters_from_head(
    raw: Float[Tensor, "N D h w"], families: tuple[Family, ...], components: int
) -> MixtureParameters:
    """Split the head's output into mixture parameters.

    Channels are ordered (weights | means | log2 scales) x family x component x latent channel. Weights are a
    softmax over families and components: the same as a softmax over the families times one inside each. Scales
    are powers of two, clamped to the coder's range with a gradient that leads back into it.

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
    n, channels, rows, columns = raw.shape
    count = len(families) * components
    if channels % (3 * count):
        raise ValueError(
            f"the head must have a multiple of 3 x {len(families)} families x {components} components = {3 * count} "
            f"channels, found {channels}: give its last layer {3 * count} channels for each latent channel"
        )
    split = raw.float().view(n, 3, len(families), components, channels // (3 * count), rows, columns)
    log_weights = torch.log_softmax(split[:, 0].flatten(1, 2), dim=1).view_as(split[:, 0])
    log2_scales = -lower_bound(-lower_bound(split[:, 2], LOG2_SCALE_MINIMUM), -LOG2_SCALE_MAXIMUM)
    return MixtureParameters(families, log_weights, split[:, 1], torch.exp2(log2_scales))
