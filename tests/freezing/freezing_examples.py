"""Every architecture, small."""

from tiny_models import GLLMM_WITH_LINEAR_PATH, LOW_RESOLUTION
from trimix.architectures.config import AttentionConfig, AutoregressiveConfig, GllmmConfig, HyperpriorConfig
from trimix.probability import Family

CONFIGURATIONS = {
    "hyperprior": HyperpriorConfig(channels=6, latent_channels=8),
    "hyperprior of scales": HyperpriorConfig(channels=6, latent_channels=8, zero_mean=True),
    "autoregressive": AutoregressiveConfig(channels=6, latent_channels=8),
    "attention": AttentionConfig(latent_channels=6),
    "attention, three Gaussians": AttentionConfig(latent_channels=6, components=3, rounding="direct"),
    "gllmm": GllmmConfig(latent_channels=6, head_widths=(12, 16)),
    "gllmm, one Laplacian": GllmmConfig(
        latent_channels=6, head_widths=(12, 16), families=(Family.LAPLACIAN,), components=1
    ),
    "gllmm, all rates": GllmmConfig(latent_channels=6, head_widths=(12, 16), all_rates=True),
    "gllmm with a linear path": GLLMM_WITH_LINEAR_PATH,
    "gllmm at a low resolution": LOW_RESOLUTION,
}
