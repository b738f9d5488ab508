"""From a configuration to its model."""

from trimix.architectures.attention import attention_parts
from trimix.architectures.autoregressive import autoregressive_parts
from trimix.architectures.compression_model import CompressionModel, Parts
from trimix.architectures.config import (
    AttentionConfig,
    AutoregressiveConfig,
    CompressionConfig,
    GllmmConfig,
    GllmmLiteConfig,
    HyperpriorConfig,
)
from trimix.architectures.gllmm import gllmm_parts
from trimix.architectures.gllmm_lite import gllmm_lite_parts
from trimix.architectures.hyperprior import hyperprior_parts


def parts_of(config: CompressionConfig) -> Parts:
    """The networks of a model, with random weights."""
    match config:
        case HyperpriorConfig():
            return hyperprior_parts(config)
        case AutoregressiveConfig():
            return autoregressive_parts(config)
        case AttentionConfig():
            return attention_parts(config)
        case GllmmConfig():
            return gllmm_parts(config)
        case GllmmLiteConfig():
            return gllmm_lite_parts(config)
    raise TypeError(f"no model belongs to a {type(config).__name__}: add its networks to building.py")


def build(config: CompressionConfig) -> CompressionModel:
    """The trainable model of a configuration, with random weights.

    >>> from trimix.architectures.config import HyperpriorConfig
    >>> build(HyperpriorConfig(channels=4, latent_channels=6)).config.kind
    'hyperprior'
    """
    return CompressionModel(config, parts_of(config))
