"""Small models of every kind of mixture, and files of theirs, for tests of the inspection."""

import numpy as np
import torch

from evaluation.report import report_examples
from tiny_models import calibration_pictures, tiny_frozen
from trimix.architectures.building import build
from trimix.architectures.config import AttentionConfig, GllmmConfig, HyperpriorConfig
from trimix.codec import Codec
from trimix.coding import RangeDecoder
from trimix.evaluation.inspection.inspecting import Inspection, inspect_file
from trimix.freezing.freeze import freeze
from trimix.frozen.catalogue import IDENTIFIERS
from trimix.frozen.model import ModelIdentity
from trimix.images import Picture

CONFIGURATIONS = {
    "one Gaussian around its mean": HyperpriorConfig(channels=6, latent_channels=8),
    "three Gaussians": AttentionConfig(latent_channels=6, components=3, rounding="direct"),
    "three families of three": GllmmConfig(latent_channels=6, head_widths=(12, 16)),
}
KINDS = ("one of each family", *CONFIGURATIONS)


def codec_of(kind: str) -> Codec:
    """A codec of a tiny model whose latents spread over several integers."""
    if kind == KINDS[0]:
        return Codec(tiny_frozen())
    config = CONFIGURATIONS[kind]
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = build(config)
        x, quality = calibration_pictures(), torch.full((2,), 50.0)
        with torch.no_grad():
            for part, index in ((model.analysis, 0), (model.hyper_analysis, 1)):
                last = [module for module in part.modules() if isinstance(module, torch.nn.Conv2d)][-1]
                last.weight.mul_(3.0 / model.encode(x, quality)[index].std())
            head = model.hyper_synthesis if model.head is None else model.head
            last = [module for module in head.modules() if isinstance(module, torch.nn.Conv2d)][-1]
            # Scales of the size of the latents, so that no latent is a complete surprise.
            if last.bias is not None:
                last.bias.view(-1, config.latent_channels)[-model.config.head_layout.count :] += 2.0
    return Codec(freeze(model.eval(), ModelIdentity("tiny-0", IDENTIFIERS[config.kind], bytes(8), {}), x))


def photograph(height: int = 100, width: int = 140, channels: int = 3) -> Picture:
    """The sides are no multiples of the padding."""
    return report_examples.photograph(height, width, channels)


def inspection_of(kind: str, name: str = "a.tmix", **size: int) -> tuple[Codec, bytes, Inspection]:
    """A codec, a file of it, and what was seen in the file."""
    codec = codec_of(kind)
    data = codec.encode(photograph(**size), 60)
    return codec, data, inspect_file(codec, data, name)


def drawn_symbols(generator: np.random.Generator, parameters) -> np.ndarray:
    """Symbols drawn from the mixtures themselves: the decoder turns random bytes into them."""
    return RangeDecoder(generator.bytes(8 * len(parameters))).decode_mixture(parameters)
