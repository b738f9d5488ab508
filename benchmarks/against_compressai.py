"""Bytes, quality and time of trimix beside CompressAI, with the same weights, on the same picture, in one run.

    pip install compressai
    python benchmarks/against_compressai.py [--picture P.png] [--repeats 3] [--models autoregressive,attention]

Weights are random, rescaled so that the rate is one of use and probabilities fit the latents: time and bytes depend
on sizes and rates, not on what was learned. Medians of several runs, 768 x 512 pixels. "Outside synthesis" is decoding
without g_s, which both have in common: ours runs alone, theirs is what g_s leaves of decoding. The ratio is trimix over
CompressAI: below 1, trimix is better.
"""

import argparse
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from measuring import benchmark_picture, median_seconds, run
from trimix.codec import Codec
from trimix.errors import UsageError
from trimix.evaluation.metrics import psnr_db
from trimix.freezing.freeze import freeze
from trimix.frozen.catalogue import IDENTIFIERS
from trimix.frozen.model import ModelIdentity
from trimix.images import Picture, pad_to_multiple, to_pixels, to_planes
from trimix.integrations.compressai_import import model_from_state_dict

SPREAD = 1.0
"""Standard deviation of the latents in steps of the quantizer: about one bit per pixel."""
MODELS = {
    "hyperprior": ("MeanScaleHyperprior", (128, 192)),
    "autoregressive": ("JointAutoregressiveHierarchicalPriors", (192, 192)),
    "attention": ("Cheng2020Attention", (192,)),
}


@dataclass(frozen=True)
class Times:
    """Medians in seconds."""

    encoding: float
    decoding: float
    synthesis: float
    outside_synthesis: float


def their_model(name: str, x: torch.Tensor) -> Any:
    """A model of theirs, rescaled to the picture."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from compressai import models
    except ImportError as error:
        raise UsageError(f"this needs the package compressai, found none ({error}); pip install it") from error
    class_name, widths = MODELS[name]
    torch.manual_seed(0)
    model = getattr(models, class_name)(*widths).eval()

    def spread(chain: Any, run: Callable[[], torch.Tensor], wanted: float) -> None:
        last = [module for module in chain if isinstance(module, torch.nn.Conv2d)][-1]
        for _ in range(2):
            last.weight.mul_(wanted / run().std())

    with torch.no_grad():
        spread(model.g_a, lambda: model.g_a(x), SPREAD)
        y = model.g_a(x)
        spread(model.h_a, lambda: model.h_a(y), SPREAD)
        # Scales that fit the latents: the last layer gives scales first, then means.
        entropy_model = getattr(model, "entropy_parameters", None)
        last = (model.h_s if entropy_model is None else entropy_model)[-1]
        last.bias[: len(last.bias) // 2] = SPREAD
        model.update()
    return model


def compare(name: str, picture: Picture, repeats: int) -> tuple[list[str], Times, Times]:
    """Bytes and PSNR in words, then their times and ours."""
    height, width = picture.height, picture.width
    x = torch.from_numpy(to_planes(pad_to_multiple(picture.pixels, 64)))[None]
    theirs = their_model(name, x)
    ours = model_from_state_dict(theirs.state_dict())
    codec = Codec(freeze(ours, ModelIdentity("benchmark-0", IDENTIFIERS[ours.config.kind], bytes(8), {}), x, (50.0,)))
    with torch.inference_mode():
        found = theirs.compress(x)
        their_bytes = sum(len(part[0]) for part in found["strings"])
        decoded = theirs.decompress(**found)["x_hat"]
        their_psnr = psnr_db(picture.pixels, to_pixels(decoded[0].numpy())[:height, :width])
        y_hat = torch.zeros(1, codec.model.transforms.facts.latent_channels, x.shape[2] // 16, x.shape[3] // 16)
        encoding = median_seconds(repeats, lambda: theirs.compress(x))
        decoding = median_seconds(repeats, lambda: theirs.decompress(**found))
        synthesis = median_seconds(repeats, lambda: theirs.g_s(y_hat))
        their_times = Times(encoding, decoding, synthesis, decoding - synthesis)
    data = codec.encode(picture)
    our_psnr = psnr_db(picture.pixels, codec.decode(data).pixels)
    symbols = codec.unpack(data)
    our_times = Times(
        median_seconds(repeats, lambda: codec.encode(picture)),
        median_seconds(repeats, lambda: codec.decode(data)),
        median_seconds(repeats, lambda: codec.latents.synthesize(symbols, height, width)),
        median_seconds(repeats, lambda: codec.unpack(data)),
    )
    sizes = [
        f"{their_bytes:,}",
        f"{len(data):,}",
        f"{100 * (len(data) / their_bytes - 1):+.2f} %",
        f"{8 * len(data) / (height * width):.3f}",
        f"{our_psnr - their_psnr:+.4f}",
    ]
    return sizes, their_times, our_times


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--picture", type=Path, help="default: the demonstration's photograph, scaled")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--models", default=",".join(MODELS), help="with commas between (default: %(default)s)")
    parser.add_argument("--threads", type=int, help="of torch (default: one per core)")
    options = parser.parse_args(arguments)
    unknown = set(options.models.split(",")) - set(MODELS)
    if unknown:
        raise UsageError(f"--models must be of {', '.join(MODELS)}, found {', '.join(sorted(unknown))}")
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    picture = benchmark_picture(options.picture)
    sizes = Table("model", title="same weights, same picture", title_justify="left")
    for heading in ("their bytes", "our bytes", "difference", "our bpp", "PSNR difference dB"):
        sizes.add_column(heading, justify="right")
    times = Table("model", "", title=f"seconds, {torch.get_num_threads()} threads", title_justify="left")
    for heading in ("CompressAI", "trimix", "ratio", "one over"):
        times.add_column(heading, justify="right")
    for name in options.models.split(","):
        row, theirs, ours = compare(name, picture, options.repeats)
        sizes.add_row(name, *row)
        for part in ("encoding", "decoding", "synthesis", "outside_synthesis"):
            other, own = getattr(theirs, part), getattr(ours, part)
            cells = (f"{other:.3f}", f"{own:.3f}", f"{own / other:.3f}", f"{other / own:.1f}")
            times.add_row(name, part.replace("_", " "), *cells)
        times.add_section()
    console = Console()
    console.print(sizes)
    console.print(times)
    return 0


if __name__ == "__main__":
    run(main)
