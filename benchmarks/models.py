"""Every architecture on real pictures: are symbols exact, do bytes equal likelihoods, how long does it take.

    python benchmarks/models.py --data kodak [--models gllmm,attention] [--repeats 3]

Weights are random, rescaled so that rates are of use and probabilities fit the latents (of the released model:
benchmarks/file_size.py and speed.py). Symbols are the nearest ones, as at effort 1. Of every picture: the whole, with
odd sides (511 x 769 of 512 x 768), grey.
"Path" is decoding without g_s: file, hyperprior, context, mixture, range coder. Fails where a symbol differs, or a file
is larger than 1.005 times the float model's likelihood plus 64 bytes.
"""

import argparse
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from measuring import median_seconds, run
from trimix.architectures.building import build
from trimix.architectures.compression_model import CompressionModel
from trimix.architectures.config import (
    AttentionConfig,
    AutoregressiveConfig,
    CompressionConfig,
    GllmmConfig,
    HyperpriorConfig,
)
from trimix.codec import Codec
from trimix.errors import UsageError
from trimix.evaluation.data_sets import data_roots, find_pictures
from trimix.freezing.freeze import freeze
from trimix.frozen.catalogue import IDENTIFIERS
from trimix.frozen.model import ModelIdentity
from trimix.images import Picture, read_picture, to_planes
from trimix.latent_codec import Symbols
from trimix.probability import log_likelihood

MODELS: dict[str, CompressionConfig] = {
    "hyperprior": HyperpriorConfig(),
    "autoregressive": AutoregressiveConfig(),
    "attention": AttentionConfig(),
    "attention, three Gaussians": AttentionConfig(latent_channels=128, components=3, rounding="direct"),
    "gllmm, N = 128": GllmmConfig(latent_channels=128),
    "gllmm, N = 256": GllmmConfig(latent_channels=256),
}
ALLOWED_SHARE, ALLOWED_BYTES = 0.005, 64
LATENT_SPREAD = 0.35
"""Standard deviation of the latents in steps of the quantizer: 0.3 to 1 bit per pixel."""


@torch.no_grad()
def rescaled_model(config: CompressionConfig, x: torch.Tensor) -> CompressionModel:
    """Random weights whose latents spread over few integers, and whose scales and means fit them."""
    torch.manual_seed(0)
    model = build(config).eval()
    quality = torch.full((len(x),), 50.0)
    for part, wanted in ((model.analysis, LATENT_SPREAD), (model.hyper_analysis, 1.0)):
        # What follows the last step down is nearly linear: an attention at most.
        last = [module for module in part.modules() if isinstance(module, torch.nn.Conv2d) and module.stride[0] == 2][
            -1
        ]
        y, z = model.encode(x, quality)
        factor = wanted / (y if part is model.analysis else z).std()
        last.weight.mul_(factor)
        if last.bias is not None:
            last.bias.mul_(factor)
    chain = model.hyper_synthesis if model.head is None else model.head
    last = [module for module in chain.modules() if isinstance(module, torch.nn.Conv2d)][-1]
    *_, means, scales = (size * config.latent_channels for size in config.head_layout.sizes)
    y, z = model.encode(x, quality)
    features = model.side_features(model.hyper_prior.round(z), quality)
    if model.context is not None:
        features = torch.cat([features, model.context(y.round())], dim=1)
    numbers = features if model.head is None else model.head(features)
    last.weight[-scales - means : -scales] *= 0.2 * LATENT_SPREAD / numbers[:, -scales - means : -scales].std()
    if last.bias is not None:
        last.bias[-scales:] = LATENT_SPREAD
    else:
        last.weight[-scales:] *= LATENT_SPREAD / numbers[:, -scales:].abs().mean()
    return model


@torch.no_grad()
def likelihood_bytes(model: CompressionModel, symbols: Symbols) -> float:
    """-log2 of the float model's likelihoods of both latents, in bytes."""
    latent = symbols.latent[None].float()
    values = latent if symbols.values is None else symbols.values[None].float() / 64
    medians = model.hyper_prior.medians
    z_hat = symbols.hyper_latent[None].float()
    if medians is not None:
        z_hat = z_hat + torch.round(64 * medians)[:, None, None] / 64
    quality = torch.full((1,), 50.0)
    parameters = model.mixture_parameters(model.side_features(z_hat, quality), values)
    if symbols.values is not None:
        # The symbol is the distance from the mean: of equal likelihood, and not rounded to 1/64.
        values = latent
        parameters = replace(parameters, means=torch.zeros_like(parameters.means))
    nats = log_likelihood(values, parameters).clamp(min=math.log(2.0**-30)).double().sum()
    nats += model.hyper_prior.log_likelihood(z_hat).clamp(min=math.log(2.0**-30)).double().sum()
    return float(-nats) / math.log(2) / 8


def variants(picture: Picture) -> Iterator[tuple[str, Picture]]:
    """The picture, a crop of odd sides, and grey."""
    pixels = picture.pixels
    yield "whole", picture
    longer = np.pad(pixels, ((0, 1), (0, 1), (0, 0)), "edge")
    longer = longer[:511] if picture.width > picture.height else longer[:, :511]
    yield "odd sides", Picture(np.ascontiguousarray(longer))
    yield "grey", Picture(np.ascontiguousarray(pixels[:, :, 1:2]))


def check_files(name: str, model: CompressionModel, codec: Codec, pictures: dict[str, Picture], table: Table) -> int:
    """Add a row for every variant of every picture; returns how many failed."""
    failures = 0
    for file_name, picture in pictures.items():
        for variant, shown in variants(picture):
            symbols = codec.latents.round(codec.latents.analyze(shown, 50))
            data = codec.encode(shown, 50, 1)
            read = codec.unpack(data)
            exact = torch.equal(read.latent, symbols.latent)
            exact &= torch.equal(read.hyper_latent, symbols.hyper_latent)
            ideal = likelihood_bytes(model, symbols)
            fits = len(data) <= ideal * (1 + ALLOWED_SHARE) + ALLOWED_BYTES
            failures += not (exact and fits)
            table.add_row(
                name,
                f"{file_name}, {variant}",
                f"{8 * len(data) / (shown.width * shown.height):.3f}",
                f"{len(data):,}",
                f"{ideal:,.0f}",
                f"{100 * (len(data) / ideal - 1):+.3f} %{'' if fits else ' too large'}",
                "exact" if exact else "differ",
            )
    return failures


def measure_times(codec: Codec, picture: Picture, repeats: int) -> list[str]:
    """Seconds to encode, to decode, and of that outside g_s and in it."""
    data = codec.encode(picture, 50, 1)
    symbols = codec.unpack(data)
    actions = (
        lambda: codec.encode(picture, 50, 1),
        lambda: codec.decode(data),
        lambda: codec.unpack(data),
        lambda: codec.latents.synthesize(symbols, picture.height, picture.width),
    )
    return [f"{median_seconds(repeats, action):.3f}" for action in actions]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="kodak", help="folder of pictures or named set (default: kodak)")
    parser.add_argument("--data-root", type=Path, help="folder with named sets (default: TRIMIX_DATA)")
    parser.add_argument("--numbers", default="1,4", help="which pictures, counted from 1 (default: 1,4)")
    parser.add_argument("--models", default="", help="only those whose name contains one of these words")
    parser.add_argument("--repeats", type=int, default=3, help="of the times (default: %(default)s)")
    options = parser.parse_args(arguments)
    found = find_pictures(options.data, data_roots(options.data_root), None)
    try:
        paths = [found.paths[int(number) - 1] for number in options.numbers.split(",")]
    except (ValueError, IndexError) as error:
        raise UsageError(f"--numbers must be 1 to {len(found.paths)}, found {options.numbers!r}") from error
    pictures = {path.name: read_picture(path).bare() for path in paths}
    first = next(iter(pictures.values()))
    words = options.models.split(",")
    codes = Table("model", "picture", title="files against likelihoods", title_justify="left")
    times = Table("model", title=f"seconds, {first.width} x {first.height}", title_justify="left")
    for heading in ("bpp", "bytes", "likelihood", "difference", "symbols"):
        codes.add_column(heading, justify="right")
    for heading in ("encode", "decode", "of it path", "of it g_s"):
        times.add_column(heading, justify="right")
    failures = 0
    for name, config in MODELS.items():
        if not any(word in name for word in words):
            continue
        planes = torch.from_numpy(to_planes(first.pixels))[None]
        x = planes[:, :, : first.height // 64 * 64, : first.width // 64 * 64]
        model = rescaled_model(config, x)
        identity = ModelIdentity("benchmark-0", IDENTIFIERS[config.kind], bytes(8), {})
        codec = Codec(freeze(model, identity, x, (50.0,)))
        failures += check_files(name, model, codec, pictures, codes)
        times.add_row(name, *measure_times(codec, first, options.repeats))
    console = Console()
    console.print(codes)
    console.print(times)
    console.print(f"{failures} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    run(main)
