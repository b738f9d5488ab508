"""Tiny models for tests: the real classes with a few channels and random weights."""

import torch

from trimix.models.config import GllmmLiteConfig
from trimix.models.freeze import freeze
from trimix.models.frozen import FrozenModel, ModelIdentity
from trimix.models.gllmm_lite import GllmmLite

TINY = GllmmLiteConfig(
    latent_channels=8,
    side_channels=16,
    context_channels=8,
    transform_widths=(4, 4, 6, 8),
    hyper_channels=4,
    hyper_analysis_width=6,
    hyper_synthesis_widths=(4, 6),
    head_widths=(12, 12),
)


def tiny_model(config: GllmmLiteConfig = TINY, seed: int = 0) -> GllmmLite:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = GllmmLite(config)
        with torch.no_grad():
            # Random nets give hyper-latents and side features near zero; larger ones exercise more of the path.
            model.hyper_analysis[-1].weight.mul_(4)
            for module in model.head:
                if isinstance(module, torch.nn.Conv2d):
                    module.weight.mul_(2)
    return model.eval()


def calibration_pictures(count: int = 2, side: int = 64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    smooth = torch.rand(count, 3, 8, 8, generator=generator)
    return torch.nn.functional.interpolate(smooth, size=(side, side), mode="bilinear")


def tiny_frozen(seed: int = 0) -> FrozenModel:
    identity = ModelIdentity("gllmm-tiny-0", 1, bytes(8), {})
    return freeze(tiny_model(seed=seed), identity, calibration_pictures())
