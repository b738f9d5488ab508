"""The start of a model with a linear path: that is fitted to patches before anything is trained."""

import torch
from torch import nn

from trimix.errors import ConfigurationError
from trimix.training.config import LinearPathStart
from trimix.training.patches import PatchSampler
from trimix.transforms.karhunen_loeve import LinearAnalysis, LinearSynthesis, principal_components

BLOCKS = 40_000
LinearPath = tuple[LinearAnalysis, LinearSynthesis]

_PATCHES = 64
_SIZE = 64


def start_linear_path(path: LinearPath, sampler: PatchSampler, start: LinearPathStart) -> None:
    """Set the first filters of the linear path of both transforms.

    Args:
        path: of g_a and g_s, is changed; one that starts at random is as it was made.
        sampler: gives the patches to whose blocks principal components are fitted.
        start: these, random orthonormal filters, or zeros.

    Raises:
        ConfigurationError: the model has more latent channels than a block has components.
    """
    if start == "zero":
        for transform in path:
            nn.init.zeros_(transform.weight)
    if start != "karhunen_loeve":
        return
    block, channels = path[0].block, path[0].weight.shape[0]
    if channels > 3 * block**2:
        raise ConfigurationError(
            f"model.latent_channels must not exceed {3 * block**2}, the components of {block}x{block} pixels "
            f"in three colours, found {channels}; lower it"
        )
    per_batch = _PATCHES * (_SIZE // block) ** 2
    patches = [
        sampler.batch(2**40 + index, _PATCHES, _SIZE).cpu()  # steps that no training reaches
        for index in range(BLOCKS // per_batch + 1)
    ]
    blocks = nn.functional.unfold(torch.cat(patches), block, stride=block)
    mean, basis = principal_components(blocks.transpose(1, 2).flatten(0, 1), channels)
    for transform in path:
        transform.set_basis(mean, basis)
