"""A strip of a large picture with its halo has all that the transforms look at."""

import pytest
import torch

from tiny_models import GLLMM_WITH_LINEAR_PATH, LOW_RESOLUTION
from trimix.architectures.building import build
from trimix.architectures.config import (
    AttentionConfig,
    AutoregressiveConfig,
    GllmmConfig,
    GllmmLiteConfig,
    HyperpriorConfig,
)

CONFIGURATIONS = {
    "gllmm-lite": GllmmLiteConfig(latent_channels=8, transform_widths=(4, 4, 4, 4), lapped_channels=4),
    "hyperprior": HyperpriorConfig(channels=4, latent_channels=4),
    "autoregressive": AutoregressiveConfig(channels=4, latent_channels=4),
    "attention": AttentionConfig(latent_channels=4),
    "gllmm, one stage": GllmmConfig(latent_channels=4, stages=1),
    "gllmm, three stages": GllmmConfig(latent_channels=4, stages=3),
    "gllmm, plain residual modules": GllmmConfig(latent_channels=4, concatenated=False),
    "gllmm with a linear path": GLLMM_WITH_LINEAR_PATH,
    "gllmm at a low resolution": LOW_RESOLUTION,
}
ROWS = 64
MIDDLE = ROWS // 2
QUALITY = torch.full((1,), 50.0, dtype=torch.float64)


@pytest.fixture(params=CONFIGURATIONS)
def transforms(request):
    torch.manual_seed(0)
    built = build(CONFIGURATIONS[request.param]).double().requires_grad_(False)
    for parameter in built.parameters():
        if not parameter.any():
            parameter.normal_(std=0.1)  # what starts at zero looks at nothing
    return built


def seen_rows(gradient):
    """First and last row that the gradient of something is not exactly zero at."""
    rows = gradient.abs().sum(dim=(0, 1, 3)).nonzero().flatten()
    return int(rows[0]), int(rows[-1])


def test_the_halo_reaches_as_far_as_synthesis_looks(transforms):
    y = torch.randn(1, transforms.config.latent_channels, ROWS, 2, dtype=torch.float64, requires_grad=True)
    picture = transforms.synthesis(y, QUALITY)
    picture[:, :, 16 * MIDDLE : 16 * MIDDLE + 16].abs().sum().backward()
    first, last = seen_rows(y.grad)
    assert 0 < MIDDLE - first <= transforms.config.latent_halo
    assert 0 < last - MIDDLE <= transforms.config.latent_halo


def test_the_halo_reaches_as_far_as_analysis_looks(transforms):
    x = torch.rand(1, 3, 16 * ROWS, 32, dtype=torch.float64, requires_grad=True)
    transforms.analysis(x, QUALITY)[:, :, MIDDLE].abs().sum().backward()
    first, last = seen_rows(x.grad)
    assert first >= 16 * (MIDDLE - transforms.config.latent_halo)
    assert last < 16 * (MIDDLE + 1 + transforms.config.latent_halo)
