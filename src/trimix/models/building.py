"""From a configuration to its model."""

from typing import overload

from trimix.models.attention import attention_parts
from trimix.models.autoregressive import autoregressive_parts
from trimix.models.compression_model import CompressionModel, CompressionTransforms, Parts
from trimix.models.config import (
    AttentionConfig,
    AutoregressiveConfig,
    CompressionConfig,
    GllmmConfig,
    GllmmLiteConfig,
    HyperpriorConfig,
)
from trimix.models.gllmm import gllmm_parts
from trimix.models.gllmm_lite import GllmmLite, GllmmLiteTransforms
from trimix.models.hyperprior import hyperprior_parts

TrainableModel = GllmmLite | CompressionModel
"""What training takes and freezing gives integers to."""


def parts_of(config: CompressionConfig) -> Parts:
    """The networks of a model, with random weights.

    Raises:
        TypeError: a configuration that no model belongs to.
    """
    match config:
        case HyperpriorConfig():
            return hyperprior_parts(config)
        case AutoregressiveConfig():
            return autoregressive_parts(config)
        case AttentionConfig():
            return attention_parts(config)
        case GllmmConfig():
            return gllmm_parts(config)
    raise TypeError(f"no model belongs to a {type(config).__name__}: add its networks to building.py")


@overload
def build(config: GllmmLiteConfig) -> GllmmLite: ...
@overload
def build(config: CompressionConfig) -> CompressionModel: ...
def build(config: CompressionConfig | GllmmLiteConfig) -> CompressionModel | GllmmLite:
    """The trainable model of a configuration, with random weights.

    >>> from trimix.models.config import HyperpriorConfig
    >>> build(HyperpriorConfig(channels=4, latent_channels=6)).config.kind
    'hyperprior'
    """
    if isinstance(config, GllmmLiteConfig):
        return GllmmLite(config)
    return CompressionModel(config, parts_of(config))


@overload
def build_transforms(config: GllmmLiteConfig) -> GllmmLiteTransforms: ...
@overload
def build_transforms(config: CompressionConfig) -> CompressionTransforms: ...
def build_transforms(
    config: CompressionConfig | GllmmLiteConfig,
) -> CompressionTransforms | GllmmLiteTransforms:
    """The float part alone, which a shipped model keeps, with random weights."""
    if isinstance(config, GllmmLiteConfig):
        return GllmmLiteTransforms(config)
    return CompressionTransforms(config, parts_of(config))
