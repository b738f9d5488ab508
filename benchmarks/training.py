"""How long a training step takes: with the regularizer against without, and beside CompressAI's modules.

    python benchmarks/training.py [--models hyperprior,autoregressive,attention] [--batch 8] [--patch 256] [--repeats 5]
    python benchmarks/training.py --forms [--models gllmm-lite,gllmm] [--patch 128] [--repeats 15]

--forms is the steps of recipes, on one thread, against those of the same arithmetic as its formulas are written
(plain_forms.py): forward, backward, clipping, optimiser, average of weights, in the precision of the recipe; --against
is then a CompressAI model of about that size, which has another entropy model.

All in one process on the same patches, one step of each after the other, medians: so only the ratios need be believed.
A step is what the trainer does: forward, backward, clipping, optimiser; with the regularizer also q's. CompressAI's
(pip install compressai) is the same loop around its own model and rate-distortion loss; its second optimiser, for
quantiles, is left out in its favour. --bf16 takes bfloat16 where the trainer would.
"""

import argparse
import json
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from measuring import benchmark_picture, run
from plain_forms import plain_average, plain_forms
from trimix.architectures.building import build
from trimix.architectures.config import AttentionConfig, AutoregressiveConfig, CompressionConfig, HyperpriorConfig
from trimix.errors import UsageError
from trimix.evaluation.machine import machine, versions
from trimix.images import to_planes, write_atomically
from trimix.training.config import ObjectiveConfig, PhaseConfig, RegularizerConfig, TrainingConfig, load_training_config
from trimix.training.optimizers import NonFiniteSteps, build_average, build_optimizer
from trimix.training.products import fast_products, is_fast_in_bfloat16
from trimix.training.source_entropy import source_entropy_complexity, source_entropy_config
from trimix.training.steps import Batch, PlainStep, Step, draw_quality
from trimix.training.two_stage import TwoStageStep

LAMBDA = 0.0067
"""Of CompressAI's level 3, whose channel numbers these are."""
MODELS: dict[str, tuple[CompressionConfig, str, tuple[int, ...], float]] = {
    "hyperprior": (HyperpriorConfig(rate_distortion_lambda=LAMBDA), "MeanScaleHyperprior", (128, 192), 1.195),
    "autoregressive": (
        AutoregressiveConfig(rate_distortion_lambda=LAMBDA),
        "JointAutoregressiveHierarchicalPriors",
        (192, 192),
        1.113,
    ),
    "attention": (
        AttentionConfig(latent_channels=128, rate_distortion_lambda=LAMBDA),
        "Cheng2020Attention",
        (128,),
        1.015,
    ),
}
"""Configuration, CompressAI's class and its arguments, and the ratio that the regularizer's paper has (Table 2)."""
CONFIGS = Path(__file__).parents[1] / "configs"
RECIPES = {
    "gllmm-lite": (Path("gllmm-lite.toml"), "MeanScaleHyperprior", (128, 192)),
    "gllmm": (Path("gllmm") / "gllmm-mse-all-rates.toml", "Cheng2020Attention", (128,)),
}
"""Recipe, CompressAI's class of about that size and its arguments."""
LEARNING_RATE = 1e-4
CLIP_NORM = 1.0


def updated(parameters: list[nn.Parameter], optimizer: torch.optim.Optimizer) -> None:
    """Clip and step, as the trainer does."""
    nn.utils.clip_grad_norm_(parameters, CLIP_NORM)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def our_step(
    config: CompressionConfig, x: torch.Tensor, regularizer: RegularizerConfig | None, bf16: bool
) -> Callable[[], None]:
    """One step of our trainer's."""
    torch.manual_seed(0)
    model = build(config).to(x.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    objective = ObjectiveConfig()
    step: Step = PlainStep(objective) if regularizer is None else TwoStageStep(model, objective, regularizer)
    parameters = list(model.parameters())
    optimizer = torch.optim.Adam(parameters, LEARNING_RATE, fused=True)
    quality = torch.full((len(x),), 50.0, device=x.device)
    generator = torch.Generator(x.device).manual_seed(0)
    phase = PhaseConfig(name="all", steps=1)

    def once() -> None:
        with fast_products(x.device):
            with torch.autocast(x.device.type, torch.bfloat16, enabled=bf16):
                step.backward(model, Batch(x, quality, generator), phase)
            updated(parameters, optimizer)
            if step.auxiliary is not None:
                updated(list(step.auxiliary.module.parameters()), step.auxiliary.optimizer)

    return once


def recipe_step(config: TrainingConfig, x: torch.Tensor, *, plain: bool) -> Callable[[], None]:
    """One step of a recipe's last phase but one, in which all of the model is trained."""
    torch.manual_seed(0)
    model = build(config.model).to(x.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    step = PlainStep(config.objective)
    phase, optimization = config.phases[-2], config.optimizer
    parameters = list(model.parameters())
    optimizer = build_optimizer(model, optimization)
    for group in optimizer.param_groups:
        group["lr"] = LEARNING_RATE
    non_finite = NonFiniteSteps(x.device)
    decay = optimization.average_decay
    average = plain_average(model, decay) if plain else build_average(model, decay, non_finite)
    generator = torch.Generator(x.device).manual_seed(0)
    quality = draw_quality(len(x), generator)

    def once() -> None:
        with plain_forms() if plain else fast_products(x.device):
            optimizer.zero_grad(set_to_none=True)
            halved = phase.precision == "bf16-mixed" and is_fast_in_bfloat16(x.device)
            with torch.autocast(x.device.type, torch.bfloat16, enabled=halved):
                step.backward(model, Batch(x, quality, generator), phase)
            non_finite.look([nn.utils.clip_grad_norm_(parameters, optimization.clip_norm)])
            non_finite.step(optimizer)
            average.update_parameters(model)

    return once


def their_step(class_name: str, widths: tuple[int, ...], x: torch.Tensor, bf16: bool) -> Callable[[], None]:
    """One step of the same loop around CompressAI's model."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from compressai import models
    except ImportError as error:
        raise UsageError(f"--against needs the package compressai ({error}); pip install it") from error
    torch.manual_seed(0)
    model: Any = getattr(models, class_name)(*widths).to(x.device).train()
    parameters = [value for name, value in model.named_parameters() if not name.endswith(".quantiles")]
    optimizer = torch.optim.Adam(parameters, LEARNING_RATE)
    pixels = x.shape[0] * x.shape[2] * x.shape[3]
    x = x.contiguous()

    def once() -> None:
        with torch.autocast(x.device.type, torch.bfloat16, enabled=bf16):
            found = model(x)
            rate = sum(-torch.log2(part).sum() / pixels for part in found["likelihoods"].values())
            loss = 0.0067 * 255**2 * (found["x_hat"] - x).square().mean() + rate
        loss.backward()
        updated(parameters, optimizer)

    return once


def interleaved_seconds(repeats: int, steps: Sequence[Callable[[], None]], device: torch.device) -> list[float]:
    """Median of each step, one of each after the other, after two that do not count.

    On one thread of a CPU those of the process: it may share its core.
    """
    alone = device.type == "cpu" and torch.get_num_threads() == 1
    clock = time.process_time if alone else time.perf_counter
    seconds: list[list[float]] = [[] for _ in steps]
    for index in range(repeats + 2):
        for one, found in zip(steps, seconds, strict=True):
            began = clock()
            one()
            if device.type == "cuda":
                torch.cuda.synchronize()
            if index >= 2:
                found.append(clock() - began)
    return [statistics.median(found) for found in seconds]


def patches_of(picture: Path | None, batch: int, size: int, device: torch.device) -> torch.Tensor:
    """Patches of one picture, each elsewhere as long as there is room."""
    whole = torch.from_numpy(to_planes(benchmark_picture(picture).pixels))[None]
    places = [(row, column) for row in (0, 512 - size) for column in range(0, 768 - size + 1, 64)]
    patches = [whole[..., row : row + size, column : column + size] for row, column in places]
    x = torch.cat([patches[index % len(patches)] for index in range(batch)])
    return x.to(device, memory_format=torch.channels_last)


def forms_table(
    names: Sequence[str], x: torch.Tensor, title: str, repeats: int, against: bool
) -> tuple[Table, dict[str, dict[str, float]]]:
    """Steps of recipes beside their plain forms, as a table and by name."""
    table = Table("model", title=title, title_justify="left")
    headings = ["a step", "plain forms", "its part of theirs", "CompressAI's", "s", "its time over ours"]
    for heading in headings if against else headings[:3]:
        table.add_column(heading, justify="right")
    found: dict[str, dict[str, float]] = {}
    for name in names:
        path, class_name, widths = RECIPES[name]
        config = load_training_config(CONFIGS / path)
        steps = [recipe_step(config, x, plain=plain) for plain in (False, True)]
        if against:
            steps.append(their_step(class_name, widths, x, bf16=True))
        seconds = interleaved_seconds(repeats, steps, x.device)
        found[name] = {"step": seconds[0], "plain_forms": seconds[1], "ratio": seconds[0] / seconds[1]}
        row = [*(f"{value:.3f}" for value in seconds[:2]), f"{seconds[0] / seconds[1]:.2f}"]
        if against:
            found[name][class_name] = seconds[2]
            row += [class_name, f"{seconds[2]:.3f}", f"{seconds[2] / seconds[0]:.2f}"]
        table.add_row(name, *row)
    return table, found


def regularizer_table(
    names: Sequence[str], x: torch.Tensor, title: str, repeats: int, bf16: bool, against: bool
) -> tuple[Table, dict[str, dict[str, float]]]:
    """Steps with the regularizer beside those without, as a table and by name."""
    table = Table("model", title=title, title_justify="left")
    headings = ["plain", "regularized", "ratio", "paper", "q kMAC/pixel"]
    for heading in [*headings, "CompressAI", "its time over ours"][: 7 if against else 5]:
        table.add_column(heading, justify="right")
    regularizer = RegularizerConfig(alpha=0.01)
    found: dict[str, dict[str, float]] = {}
    for name in names:
        config, class_name, widths, published = MODELS[name]
        steps = [our_step(config, x, each, bf16) for each in (None, regularizer)]
        if against:
            steps.append(their_step(class_name, widths, x, bf16))
        seconds = interleaved_seconds(repeats, steps, x.device)
        found[name] = {"plain": seconds[0], "regularized": seconds[1], "ratio": seconds[1] / seconds[0]}
        _, cost = source_entropy_complexity(source_entropy_config(config, regularizer))
        row = [
            *(f"{value:.3f}" for value in seconds[:2]),
            f"{seconds[1] / seconds[0]:.3f}",
            f"{published:.3f}",
            f"{cost / 1000:.1f}",
        ]
        if against:
            row += [f"{seconds[2]:.3f}", f"{seconds[2] / seconds[0]:.2f}"]
        table.add_row(name, *row)
    return table, found


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", help="with commas between (default: all)")
    parser.add_argument("--forms", action="store_true", help="recipes against plain forms, on one thread")
    parser.add_argument("--batch", type=int, default=8, help="patches (default: %(default)s)")
    parser.add_argument("--patch", type=int, help="pixels a side (default: 256; of --forms 128)")
    parser.add_argument("--picture", type=Path, help="default: the demonstration's photograph")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--against", action="store_true", help="CompressAI's modules, too")
    parser.add_argument("--output", type=Path, help="write the seconds and the machine to this JSON file, too")
    options = parser.parse_args(arguments)
    known = RECIPES if options.forms else MODELS
    names = options.models.split(",") if options.models else list(known)
    if unknown := set(names) - set(known):
        raise UsageError(f"--models must be of {', '.join(known)}, found {', '.join(sorted(unknown))}")
    device = torch.device(options.device)
    if options.forms:
        torch.set_num_threads(1)
    size = options.patch or (128 if options.forms else 256)
    x = patches_of(options.picture, options.batch, size, device)
    threads = f", {torch.get_num_threads()} threads" if device.type == "cpu" else ""
    title = f"seconds a step, {options.batch} x {size} x {size}, {device}{threads}"
    if options.forms:
        table, found = forms_table(names, x, title, options.repeats, options.against)
    else:
        table, found = regularizer_table(names, x, title, options.repeats, options.bf16, options.against)
    Console(width=130).print(table)
    if options.output is not None:
        contents = {"title": title, "seconds": found, "machine": machine(), **versions()}
        write_atomically(options.output, (json.dumps(contents, indent=1) + "\n").encode(), overwrite=True)
    return 0


if __name__ == "__main__":
    run(main)
