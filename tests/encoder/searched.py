"""Tiny models of every kind of context, and pictures, for tests of the search."""

from functools import cache

import numpy as np
import torch

from nearest import nearest_symbols
from tiny_models import GLLMM_WITH_LINEAR_PATH, INTERLACED, TINY, calibration_pictures, lively, tiny_frozen, tiny_model
from trimix.architectures.config import AutoregressiveConfig, GllmmConfig, HyperpriorConfig
from trimix.codec import Codec
from trimix.encoder.picture_distortion import PictureDistortion
from trimix.freezing.freeze import freeze
from trimix.frozen.catalogue import IDENTIFIERS
from trimix.frozen.model import FrozenModel, ModelIdentity
from trimix.images import Picture, to_planes
from trimix.latent_codec import Symbols
from trimix.transforms.karhunen_loeve import principal_components

CONFIGURATIONS = {
    "hyperprior": HyperpriorConfig(channels=6, latent_channels=8),
    "autoregressive": AutoregressiveConfig(channels=6, latent_channels=8),
    "gllmm": GllmmConfig(latent_channels=6, head_widths=(12, 16)),
    "gllmm with a linear path": GLLMM_WITH_LINEAR_PATH,
}
LITE = {"gllmm-lite": TINY, "gllmm-lite, interlaced": INTERLACED.model_copy(update={"lapped_channels": 3})}
FOR_MS_SSIM = "gllmm-lite for MS-SSIM"
FITTED = "gllmm-lite, its synthesis the transpose of its analysis"
MODELS = (*LITE, *CONFIGURATIONS)
WITH_LINEAR_PATH = (*LITE, "gllmm with a linear path")
WITHOUT_LINEAR_PATH = tuple(name for name in CONFIGURATIONS if name not in WITH_LINEAR_PATH)


@cache
def tiny_codec(name: str) -> Codec:
    """A codec of random weights."""
    if name in LITE:
        return Codec(tiny_frozen(LITE[name]))
    if name == FOR_MS_SSIM:
        lambdas = {"lambda_ratio": 1200.0, "lambda_minimum": 0.36, "lambda_maximum": 240.0}
        return Codec(tiny_frozen(TINY.model_copy(update=lambdas)))
    if name == FITTED:
        return Codec(_fitted())
    config = CONFIGURATIONS[name]
    identity = ModelIdentity("tiny-0", IDENTIFIERS[config.kind], bytes(8), {})
    return Codec(freeze(lively(config), identity, calibration_pictures()))


def _fitted() -> FrozenModel:
    """A linear codec with a random entropy model: PSNR grows with the quality."""
    model = tiny_model()
    pictures = [smooth_picture(64, 64, seed=seed) for seed in range(64)]
    x = torch.from_numpy(np.stack([to_planes(picture.pixels) for picture in pictures]))
    blocks = torch.nn.functional.unfold(x, 16, stride=16).transpose(1, 2).flatten(0, 1)
    mean, basis = principal_components(blocks, TINY.latent_channels)
    with torch.no_grad():
        for path in (model.analysis.linear, model.synthesis.linear):
            path.set_basis(mean, basis)
        for branch in (model.analysis.to_latent, model.synthesis.to_picture):
            for parameter in branch.parameters():
                parameter.zero_()
    return freeze(model, ModelIdentity("gllmm-tiny-0", 1, bytes(8), {}), x[:2])


def smooth_picture(height: int = 100, width: int = 150, seed: int = 0) -> Picture:
    """Soft clouds of colour."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, height // 64 + 2, width // 64 + 2, generator=generator)
    clouds = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bicubic")
    return Picture((255 * clouds[0].clamp(0, 1)).round().byte().permute(1, 2, 0).contiguous().numpy())


def some_picture(height: int = 100, width: int = 150, channels: int = 3, seed: int = 0) -> Picture:
    """Patches of colour with noise."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (height // 8 + 1, width // 8 + 1, channels))
    smooth = np.kron(coarse, np.ones((8, 8, 1)))[:height, :width]
    return Picture((smooth + random.normal(scale=6, size=smooth.shape)).clip(0, 255).astype(np.uint8))


def drawn_picture(side: int, seed: int) -> Picture:
    """Waves of colour and discs, with noise: smooth parts, edges and texture, as photographs have."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] / side
    waves = [128 + 90 * np.sin(6 * (x * random.normal() + y * random.normal()) + random.uniform(0, 6)) for _ in "RGB"]
    pixels = np.stack(waves, axis=-1)
    for _ in range(5):
        left, top, radius = random.uniform(0, 1, 3)
        pixels[(x - left) ** 2 + (y - top) ** 2 < (radius / 3) ** 2] = random.uniform(0, 255, 3)
    return Picture((pixels + random.normal(scale=6, size=pixels.shape)).clip(0, 255).astype(np.uint8))


def cost(codec: Codec, picture: Picture, symbols: Symbols) -> float:
    """Bits and lambda times distortion, by the coder's own count."""
    distortion = PictureDistortion(codec.latents, picture.pixels, symbols.quality_integer)
    return codec.latents.count(symbols).total + distortion.bits(codec.latents.dequantize(symbols))


def shaken(codec: Codec, picture: Picture, quality: float = 50.0) -> Symbols:
    """Symbols of a picture, a third of them moved by one."""
    symbols = nearest_symbols(codec, picture, quality)
    random = np.random.default_rng(3)
    steps = random.integers(-1, 2, symbols.latent.shape) * (random.random(symbols.latent.shape) < 0.5)
    return Symbols((symbols.latent + steps).astype(np.int16), symbols.hyper_latent, symbols.quality_integer)
