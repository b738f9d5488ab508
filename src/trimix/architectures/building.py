"""From a configuration to its model."""

from collections.abc import Callable
from typing import Any

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

_PARTS: dict[type[CompressionConfig], Callable[[Any], Parts]] = {
    HyperpriorConfig: hyperprior_parts,
    AutoregressiveConfig: autoregressive_parts,
    AttentionConfig: attention_parts,
    GllmmConfig: gllmm_parts,
    GllmmLiteConfig: gllmm_lite_parts,
}


def build(config: CompressionConfig) -> CompressionModel:
    """The trainable model of a configuration, with random weights.

    >>> from trimix.architectures.config import HyperpriorConfig
    >>> build(HyperpriorConfig(channels=4, latent_channels=6)).config.kind
    'hyperprior'
    """
    return CompressionModel(config, _PARTS[type(config)](config))
