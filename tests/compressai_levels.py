"""Channels and trade-offs of the weights that CompressAI published, level 1 (smallest files) first."""

from trimix.architectures.config import AttentionConfig, AutoregressiveConfig, HyperpriorConfig

MSE_LAMBDAS = (0.0018, 0.0035, 0.0067, 0.0130, 0.0250, 0.0483, 0.0932, 0.1800)
_FIRST_LARGE_LEVEL = {HyperpriorConfig: 5, AutoregressiveConfig: 5, AttentionConfig: 4}


def of_level(kind, level, **form):
    """The configuration of a level."""
    large = level >= _FIRST_LARGE_LEVEL[kind] + form.get("zero_mean", False)
    if kind is AttentionConfig:
        form |= {"latent_channels": 192 if large else 128}
    else:
        small = 192 if kind is AutoregressiveConfig else 128
        form |= {"channels": 192 if large else small, "latent_channels": 320 if large else 192}
    return kind(rate_distortion_lambda=MSE_LAMBDAS[level - 1], **form)
