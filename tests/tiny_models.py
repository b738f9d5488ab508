"""Tiny models for tests: the real classes with a few channels and random weights."""

import torch

from trimix.architectures.building import build
from trimix.architectures.compression_model import CompressionModel
from trimix.architectures.config import GllmmConfig, GllmmLiteConfig
from trimix.freezing.freeze import freeze
from trimix.frozen.model import FrozenModel, ModelIdentity

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
INTERLACED = TINY.model_copy(update={"context": "interlaced"})

GLLMM_WITH_LINEAR_PATH = GllmmConfig(
    channels=8,
    latent_channels=10,
    head_widths=(12, 16),
    all_rates=True,
    linear_path=True,
    lapped_channels=2,
    quality_factors=True,
    context="interlaced",
)
LOW_RESOLUTION = GLLMM_WITH_LINEAR_PATH.model_copy(
    update={
        "channels": None,
        "low_resolution_widths": (6, 8),
        "low_resolution_blocks": (1, 2),
        "low_resolution_synthesis_widths": (4, 6),
        "low_resolution_synthesis_blocks": (2, 1),
        "narrow_hyper_channels": 4,
        "side_channels": 12,
        "context_channels": 6,
    }
)


def tiny_model(config: GllmmLiteConfig = TINY, seed: int = 0) -> CompressionModel:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = build(config)
        with torch.no_grad():
            # Random nets give hyper-latents and side features near zero; larger ones exercise more of the path.
            model.hyper_analysis[-1].weight.mul_(4)
            for path in (model.analysis.linear, model.synthesis.linear):
                if path.lapped_weight is not None:
                    path.lapped_weight.normal_(std=0.02)
            for module in model.head:
                if isinstance(module, torch.nn.Conv2d):
                    module.weight.mul_(2)
    return model.eval()


def calibration_pictures(count: int = 2, side: int = 64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    smooth = torch.rand(count, 3, 8, 8, generator=generator)
    return torch.nn.functional.interpolate(smooth, size=(side, side), mode="bilinear")


def tiny_frozen(config: GllmmLiteConfig = TINY, seed: int = 0) -> FrozenModel:
    identity = ModelIdentity("gllmm-tiny-0", 1, bytes(8), {})
    return freeze(tiny_model(config, seed), identity, calibration_pictures())


def lively(config):
    """A model of random weights whose latents, hyper-latents and scales are not all alike."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = build(config)
        x = calibration_pictures()
        quality = torch.full((len(x),), 50.0)
        with torch.no_grad():
            for weight in model.parameters():
                if weight.dim() == 4 and not weight.any():
                    weight.normal_(std=0.1)  # what starts at zero
            if model.hyper_prior.medians is not None:
                model.hyper_prior.medians.uniform_(-1.5, 1.5)
            for part, wanted in ((model.analysis, 2.0), (model.hyper_analysis, 4.0)):
                last = [m for m in part.modules() if isinstance(m, torch.nn.Conv2d)][-1]
                y, z = model.encode(x, quality)
                found = (y if part is model.analysis else z).std()
                last.weight.mul_(wanted / found)
            heads = model.hyper_synthesis if model.head is None else model.head
            last = [m for m in heads.modules() if isinstance(m, torch.nn.Conv2d)][-1]
            # Scales of the size of the latents: a float likelihood far out in a tail is nothing to compare with.
            layout, channels = model.config.head_layout, model.config.latent_channels
            last.weight.mul_(2)
            if last.bias is not None:
                last.bias.view(-1, channels)[-layout.count :] += 2.0
            else:
                last.weight.view(layout.numbers, channels, -1)[-layout.count :] *= 8
    return model.eval()
