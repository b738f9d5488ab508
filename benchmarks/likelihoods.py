"""Which mixture codes the same latents in fewer bits: short trainings of the entropy model alone, all else equal.

    python benchmarks/likelihoods.py --training pictures/train --validation pictures/validation [--steps 1500]
    python benchmarks/likelihoods.py --show results/likelihoods.json

Transforms are those of the released gllmm-lite and stay as they are, so every mixture is asked for the probabilities of
the same latents of the same pictures. Hyperprior, context and head start at random and are trained for equally many
steps on the same patches in the same order. Seeds are paired: of one seed, every mixture has the same patches, noise
and qualities. Printed are bits per pixel on rounded latents of the validation crops, means over seeds, and the
difference from one Gaussian, mean over qualities, for each seed, too.
"""

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from measuring import read_record, run
from trimix.architectures.building import build
from trimix.architectures.compression_model import CompressionModel
from trimix.architectures.config import CompressionConfig, read_configuration
from trimix.errors import UsageError
from trimix.freezing.freeze import float_weights
from trimix.frozen.catalogue import find_model
from trimix.frozen.storage import load_frozen
from trimix.probability import Family, log_likelihood
from trimix.training.patches import PatchSampler, validation_crops
from trimix.training.picture_files import load_pictures

PATCH_SIZE, BATCH_SIZE = 128, 8
CROP_SIZE = 256
QUALITIES = (5.0, 20.0, 35.0, 50.0, 65.0, 80.0, 95.0)
LEARNING_RATE = 1e-3
ALL_FAMILIES = (Family.GAUSSIAN, Family.LAPLACIAN, Family.LOGISTIC)


@dataclass(frozen=True)
class Mixture:
    """One of the mixtures compared."""

    name: str
    families: tuple[Family, ...]
    components: int


MIXTURES = (
    Mixture("Gaussian, K = 1", (Family.GAUSSIAN,), 1),
    Mixture("Gaussian, K = 3", (Family.GAUSSIAN,), 3),
    Mixture("Gaussian, K = 9", (Family.GAUSSIAN,), 9),
    Mixture("GLLMM, one of each", ALL_FAMILIES, 1),
    Mixture("GLLMM, three of each", ALL_FAMILIES, 3),
)


def start(
    mixture: Mixture, config: CompressionConfig, transforms: dict[str, torch.Tensor], seed: int
) -> CompressionModel:
    """The model with given transforms and the rest at random."""
    torch.manual_seed(seed)
    model = build(config.model_copy(update={"families": mixture.families, "components": mixture.components}))
    model.load_state_dict(model.state_dict() | transforms)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name not in transforms)
    return model


def bits(model: CompressionModel, y: torch.Tensor, z: torch.Tensor, quality: torch.Tensor) -> torch.Tensor:
    """Bits of rounded latents of each picture; hyper-latents with noise while training, as in every training here."""
    z_hat, y_hat = z.round(), y.round()
    counted_z = z + torch.rand_like(z) - 0.5 if model.training else z_hat
    counted_y = y + torch.rand_like(y) - 0.5 if model.training else y_hat
    parameters = model.mixture_parameters(model.side_features(z_hat, quality), y_hat)
    nats = log_likelihood(counted_y, parameters).sum(dim=(1, 2, 3))
    nats = nats + model.hyper_prior.log_likelihood(counted_z).sum(dim=(1, 2, 3))
    return nats * (-1 / torch.log(torch.tensor(2.0)))


def train(model: CompressionModel, sampler: PatchSampler, steps: int, description: str) -> float:
    """Train what is not fixed; returns the seconds it took."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=LEARNING_RATE, fused=True)
    began = time.perf_counter()
    model.train()
    for step in track(range(steps), description=description, transient=True):
        for group in optimizer.param_groups:
            # Warm up, then fall to zero.
            group["lr"] = LEARNING_RATE * min(1.0, (step + 1) / 100) * (1 - step / steps)
        x = sampler.batch(step, BATCH_SIZE, PATCH_SIZE)
        quality = 1 + 99 * (torch.arange(BATCH_SIZE) + torch.rand(1)) / BATCH_SIZE
        with torch.no_grad():
            y, z = model.encode(x, quality)
        found = bits(model, y, z, quality) / (PATCH_SIZE * PATCH_SIZE)
        # As in training all of the model: rates count by their ratio.
        loss = (found / (model.rate_distortion_lambda(quality) / 0.016) ** 0.45).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
    return time.perf_counter() - began


@torch.no_grad()
def measure(model: CompressionModel, crops: torch.Tensor) -> list[float]:
    """Mean bits per pixel of the crops at each quality."""
    model.eval()
    means = []
    for quality in QUALITIES:
        found = []
        for x in crops.split(8):
            qualities = torch.full((len(x),), quality)
            found.append(bits(model, *model.encode(x, qualities), qualities) / (x.shape[2] * x.shape[3]))
        means.append(float(torch.cat(found).mean()))
    return means


@dataclass(frozen=True)
class Record:
    """What was found: bits per pixel of every mixture, seed and quality; seconds a step of its last training."""

    model: str
    steps: int
    bits_per_pixel: dict[str, list[list[float]]]
    seconds_per_step: dict[str, float]


def show(record: Record) -> None:
    """Print the table."""
    table = Table(
        "mixture",
        title=f"bits per pixel at equal distortion, {record.model}, {record.steps} steps",
        title_justify="left",
    )
    for heading in (*(f"q {quality:g}" for quality in QUALITIES), "against K = 1", "seeds", "s/step"):
        table.add_column(heading, justify="right")
    base = record.bits_per_pixel[MIXTURES[0].name]
    for name, rates in record.bits_per_pixel.items():
        means = [statistics.fmean(column) for column in zip(*rates, strict=True)]
        changes = [
            statistics.fmean(100 * (own / other - 1) for own, other in zip(row, reference, strict=True))
            for row, reference in zip(rates, base, strict=True)
        ]
        table.add_row(
            name,
            *(f"{mean:.4f}" for mean in means),
            f"{statistics.fmean(changes):+.2f} %",
            " ".join(f"{change:+.2f}" for change in changes),
            f"{record.seconds_per_step[name]:.3f}",
        )
    Console(width=150).print(table)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, measure, print; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--training", type=Path, nargs="+", help="folders or tars of pictures")
    parser.add_argument("--validation", type=Path, nargs="+", help="folders or tars of pictures")
    parser.add_argument("--show", type=Path, metavar="FILE", help="print what an earlier run has found, only")
    parser.add_argument("--model", default="gllmm-lite", help="gives the transforms (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=1500, help="of each training (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=2, help="trainings of each mixture (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("runs/likelihoods.json"))
    options = parser.parse_args(arguments)
    if options.show is not None:
        show(read_record(options.show, lambda value: Record(**value)))
        return 0
    if not options.training or not options.validation:
        raise UsageError("--training and --validation must be given, found one or none; or --show a file")
    frozen = load_frozen(find_model(options.model).path)
    config = read_configuration(frozen.stored.configuration)
    if config.kind != "gllmm-lite":
        raise UsageError(f"--model must be a gllmm-lite, found {config.kind}")
    training = load_pictures(options.training, PATCH_SIZE)
    crops = validation_crops(load_pictures(options.validation, CROP_SIZE), CROP_SIZE)
    found: dict[str, list[list[float]]] = {mixture.name: [] for mixture in MIXTURES}
    seconds: dict[str, float] = {}
    for seed in range(1, options.seeds + 1):
        for mixture in MIXTURES:
            model = start(mixture, config, float_weights(frozen), seed)
            torch.manual_seed(seed)  # the same qualities and noise for every mixture
            sampler = PatchSampler(training, seed, 0.5, 0.5)
            seconds[mixture.name] = train(model, sampler, options.steps, f"{mixture.name}, seed {seed}")
            found[mixture.name].append(measure(model, crops))
            print(
                f"{mixture.name}, seed {seed}: " + " ".join(f"{rate:.4f}" for rate in found[mixture.name][-1]),
                flush=True,
            )
    record = Record(
        frozen.identity.name, options.steps, found, {name: total / options.steps for name, total in seconds.items()}
    )
    show(record)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(asdict(record), indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    run(main)
