"""Bytes of files against -log2 of the float model's likelihoods of the same symbols: the cost of integers and coder.

    python benchmarks/file_size.py --data kodak [--qualities 10,50,90]

The float model is the thawed one. Fails where a file is larger than 1.005 times the likelihood plus 64 bytes.
"""

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from measuring import run
from trimix.architectures.compression_model import CompressionModel
from trimix.codec import Codec
from trimix.errors import UsageError
from trimix.freezing.thaw import thaw
from trimix.frozen.catalogue import find_model
from trimix.frozen.storage import load_frozen
from trimix.images import read_picture
from trimix.latent_codec import Symbols
from trimix.probability import log_likelihood

ALLOWED_SHARE = 0.005
ALLOWED_BYTES = 64


@torch.no_grad()
def likelihood_bytes(model: CompressionModel, symbols: Symbols, quality: float) -> float:
    """-log2 p of both latents under the float model, in bytes."""
    y_hat, z_hat = symbols.latent[None].float(), symbols.hyper_latent[None].float()
    parameters = model.mixture_parameters(model.side_features(z_hat, torch.tensor([quality])), y_hat)
    # Summed in float64: a million terms of a tenth of a bit.
    nats = log_likelihood(y_hat, parameters).double().sum()
    nats += model.hyper_prior.log_likelihood(z_hat).double().sum()
    return float(-nats) / math.log(2) / 8


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of PNG pictures")
    parser.add_argument("--model", default="gllmm-lite", help="name or weights file (default: %(default)s)")
    parser.add_argument(
        "--qualities",
        type=lambda text: tuple(float(part) for part in text.split(",")),
        default=(10.0, 50.0, 90.0),
        help="with commas between (default: 10,50,90)",
    )
    options = parser.parse_args(arguments)
    paths = sorted(options.data.glob("*.png"))
    if not paths:
        raise UsageError(f"{options.data} must hold PNG pictures, found none; check --data")
    frozen = load_frozen(find_model(options.model).path)
    codec = Codec(frozen)
    model = thaw(frozen)
    table = Table("quality", title=f"{len(paths)} pictures of {options.data.name}, {options.model}")
    for heading in ("file bytes", "likelihood bytes", "all files", "closest to the bound"):
        table.add_column(heading, justify="right")
    sound = True
    for quality in options.qualities:
        files, likelihoods, margins = 0, 0.0, []
        for path in track(paths, description=f"quality {quality:g}", transient=True):
            picture = read_picture(path).bare()
            symbols = codec.latents.round(codec.latents.analyze(picture, quality))
            size = len(codec.pack(picture, symbols))
            ideal = likelihood_bytes(model, symbols, quality)
            files, likelihoods = files + size, likelihoods + ideal
            margins.append((1 + ALLOWED_SHARE) * ideal + ALLOWED_BYTES - size)
        sound = sound and min(margins) >= 0
        table.add_row(
            f"{quality:g}",
            f"{files / len(paths):.0f}",
            f"{likelihoods / len(paths):.0f}",
            f"{100 * (files / likelihoods - 1):+.3f} %",
            f"{min(margins):.0f} bytes",
        )
    console = Console()
    console.print(table)
    console.print(f"every file within {100 * ALLOWED_SHARE:g} % + {ALLOWED_BYTES} bytes: {'yes' if sound else 'no'}")
    return 0 if sound else 1


if __name__ == "__main__":
    run(main)
