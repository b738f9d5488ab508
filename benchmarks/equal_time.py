"""What each choice of gllmm-lite is worth in the same time: many short trainings from scratch, alike but for one thing.

    python benchmarks/equal_time.py --training TRAIN --validation VALIDATION --only-times
    python benchmarks/equal_time.py --training TRAIN --validation VALIDATION --variants base,gaussian --seeds 1
    python benchmarks/equal_time.py --training TRAIN --validation VALIDATION --minutes 20 --variants \\
        base,soap,gllmm,gllmm-narrow,low-resolution,low-resolution-narrow,gllmm-lite-1
    python benchmarks/equal_time.py --show results/equal_time.json

::

    every variant in turns, on an idle machine     seconds a step of each of its phases
    minutes of each phase / seconds a step         its number of steps
    training, one variant and seed after another   bits per pixel and PSNR of the validation crops at seven qualities
    BD-rate against the base of the same seed      the table

The time is turned into steps before anything is trained, so a training may share the machine with others, be stopped
and go on, and be repeated bit for bit. One thread each, as the released model was trained. What stands in the output
already is not measured again.
"""

import argparse
import hashlib
import itertools
import json
import math
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from measuring import bd_rate_or_none, explained, percent_text, read_record, run
from trimix.architectures.complexity import complexity
from trimix.architectures.compression_model import CompressionModel
from trimix.errors import UsageError
from trimix.evaluation.bd_rate import BdRate
from trimix.evaluation.machine import machine
from trimix.evaluation.rate_points import RateCurve, RatePoint
from trimix.images import write_atomically
from trimix.shapes import Float, Tensor
from trimix.training.checkpoint import load_checkpoint, run_of
from trimix.training.config import PhaseConfig, TrainingConfig
from trimix.training.loop import Trainer
from trimix.training.patches import validation_crops
from trimix.training.picture_files import load_pictures, no_source
from trimix.training.steps import Batch, Step, StepReport
from trimix.training.validation import VALIDATION_SIZE, validate

BASE = "base"
MINUTES = 8.0
TIMED_STEPS, UNTIMED_STEPS = 12, 3
ROUNDS = 2
IDLE_LOAD = 0.5
CROPS = 32


@dataclass(frozen=True)
class Phase:
    """A phase, and the share of the time that it gets."""

    name: str
    share: float
    settings: dict[str, Any] = field(default_factory=dict)


_USUAL = {"batch_size": 8, "patch_size": 128, "learning_rate": 5e-4, "precision": "bf16-mixed"}
_LINEAR = Phase("linear", 0.1, {"patch_size": 256, "learning_rate": 1e-3, "linear_only": True})
_ALL = Phase("all", 0.55)
_COOL_DOWN = Phase("cool-down", 0.35, {"learning_rate_final": 1e-5, "schedule": "linear"})
_PLAIN = (_LINEAR, _ALL, _COOL_DOWN)


def _with_rate(rate: float) -> tuple[Phase, ...]:
    changed = (Phase(one.name, one.share, one.settings | {"learning_rate": rate}) for one in _PLAIN[1:])
    return (_LINEAR, *changed)


def _with_patches(*sizes: tuple[int, int]) -> tuple[Phase, ...]:
    # Equal shares of what the base does on patches of one size.
    small, middle, large = ({"patch_size": size, "batch_size": batch} for size, batch in sizes)
    return (
        _LINEAR,
        Phase("small", 0.3, small),
        Phase("middle", 0.3, middle),
        Phase("cool-down", 0.3, _COOL_DOWN.settings | large),
    )


@dataclass(frozen=True)
class Variant:
    """One choice.

    Args:
        question: it answers with others.
        name: of the answer.
        run: settings of the run that differ from the base, table by table.
        phases: in their order; shares sum to one.
    """

    question: str
    name: str
    run: dict[str, Any] = field(default_factory=dict)
    phases: tuple[Phase, ...] = _PLAIN


_HEAVY, _LIGHT = (32, 56, 96, 192), (16, 40, 64, 120)
_WITHOUT_LINEAR = (Phase("all", 0.65), _COOL_DOWN)
_SLOWLY_THEN_ROUNDED = (
    _LINEAR,
    _ALL,
    Phase("cool-down", 0.3, _COOL_DOWN.settings),
    Phase(
        "rounded",
        0.05,
        {
            "learning_rate": 1e-4,
            "learning_rate_final": 5e-6,
            "schedule": "linear",
            "rounding": "round",
            "encoder": "fixed",
        },
    ),
)
ARCHITECTURES = ("optimiser", "architecture")
"""Questions of the other study, which a training of eight minutes does not answer."""
_SOAP = {"kind": "soap", "second_moment_decay": 0.99}


def _at_once(rate: float) -> tuple[Phase, ...]:
    return tuple(Phase(one.name, one.share, one.settings | {"learning_rate": rate}) for one in _WITHOUT_LINEAR)


_WITH_LINEAR_PATH = {
    "kind": "gllmm",
    "latent_channels": 192,
    "linear_path": True,
    "lapped_channels": 0,
    "quality_factors": True,
    "all_rates": True,
}
_PAPERS = _WITH_LINEAR_PATH | {"channels": 128, "context": "raster"}
_NARROW = {
    "narrow_hyper_channels": 64,
    "side_channels": 384,
    "context_channels": 192,
    "head_widths": [224, 224],
    "context": "interlaced",
}
_LOW_RESOLUTION = _WITH_LINEAR_PATH | {"low_resolution_widths": [160, 256], "context": "raster"}


def _architecture(name: str, **model: Any) -> Variant:
    return Variant("architecture", name, {"model": model, "optimizer": _SOAP}, _at_once(1.5e-3))


VARIANTS = {
    BASE: Variant("", "gllmm-lite"),
    "soap": Variant("optimiser", "SOAP at 1.5e-3", {"optimizer": _SOAP}, _at_once(1.5e-3)),
    "gllmm": _architecture("GLLMM, N = 128, linear path of 192", **_PAPERS),
    "gllmm-adam": Variant("architecture", "the same, Adam at 7e-4", {"model": _PAPERS}, _at_once(7e-4)),
    "gllmm-one-of-each": _architecture("the same, one component of each family", **_PAPERS, components=1),
    "gllmm-interlaced": _architecture("the same, interlaced context", **_PAPERS | {"context": "interlaced"}),
    "gllmm-narrow": _architecture("the same, narrow entropy model, interlaced", **_PAPERS | _NARROW),
    "low-resolution": _architecture("networks at 1/8 and 1/16, 160 and 256 channels", **_LOW_RESOLUTION),
    "low-resolution-narrow": _architecture("the same, narrow entropy model, interlaced", **_LOW_RESOLUTION | _NARROW),
    "gllmm-lite-1": _architecture(
        "gllmm-lite 1.0",
        **_WITH_LINEAR_PATH
        | _NARROW
        | {
            "latent_channels": 256,
            "components": 1,
            "low_resolution_widths": [192, 256],
            "low_resolution_synthesis_widths": [144, 256],
            "low_resolution_synthesis_blocks": [2, 3],
            "head_widths": [320, 320],
        },
    ),
    "no-linear-phase": Variant("start", "fitted, but all is trained at once", phases=_WITHOUT_LINEAR),
    "random": Variant("start", "random orthonormal filters", {"linear_path_start": "random"}, _WITHOUT_LINEAR),
    "zero": Variant(
        "start",
        "no linear path",
        {"linear_path_start": "zero", "optimizer": {"linear_path_ratio": 1.0}},
        _WITHOUT_LINEAR,
    ),
    "not-lapped": Variant("linear path", "blocks that do not overlap", {"model": {"lapped_channels": 0}}),
    "encoder-heavy": Variant(
        "balance", "wide g_a, narrow g_s", {"model": {"transform_widths": _HEAVY, "synthesis_widths": _LIGHT}}
    ),
    "decoder-heavy": Variant(
        "balance", "narrow g_a, wide g_s", {"model": {"transform_widths": _LIGHT, "synthesis_widths": _HEAVY}}
    ),
    "wide": Variant("balance", "both wide", {"model": {"transform_widths": _HEAVY}}),
    "latent-192": Variant("latent channels", "192", {"model": {"latent_channels": 192}}),
    "latent-384": Variant("latent channels", "384", {"model": {"latent_channels": 384}}),
    "checkerboard": Variant("order of coding", "two passes", {"model": {"context": "checkerboard"}}),
    "raster": Variant("order of coding", "wavefronts, 5x5 raster context", {"model": {"context": "raster"}}),
    "gaussian": Variant("mixture", "one Gaussian", {"model": {"families": ["gaussian"]}}),
    "three-gaussians": Variant("mixture", "three Gaussians", {"model": {"families": ["gaussian"], "components": 3}}),
    "three-of-each": Variant("mixture", "three of each family", {"model": {"components": 3}}),
    "progressive": Variant(
        "patches", "32 of 64, 8 of 128, 2 of 256", phases=_with_patches((64, 32), (128, 8), (256, 2))
    ),
    "larger-at-the-end": Variant(
        "patches", "8 of 128, 8 of 128, 4 of 192", phases=_with_patches((128, 8), (128, 8), (192, 4))
    ),
    "half-rate": Variant("learning rate", "2.5e-4", phases=_with_rate(2.5e-4)),
    "double-rate": Variant("learning rate", "1e-3", phases=_with_rate(1e-3)),
    "fourfold-rate": Variant("learning rate", "2e-3", phases=_with_rate(2e-3)),
    "rounded": Variant("last phase", "rounded latents, encoder fixed", phases=_SLOWLY_THEN_ROUNDED),
    "regularized": Variant("objective", "regularizer, rho = 0.03", {"regularizer": {"rho": 0.03}}),
}


@dataclass(frozen=True)
class Point:
    """Means over the validation crops at one quality, on rounded latents."""

    quality: float
    bits_per_pixel: float
    psnr_db: float


@dataclass(frozen=True)
class Result:
    """One training.

    Args:
        variant: its key.
        seed: of weights, patches and noise.
        steps: of all phases.
        pixels: of all patches that were seen.
        points: of the averaged weights at the end, one for each quality.
        averages: of the base, "averaged" and "last" weights at two moments.
    """

    variant: str
    seed: int
    steps: int
    pixels: int
    points: list[Point]
    averages: dict[str, dict[str, list[Point]]]


@dataclass
class Record:
    """What was measured.

    Args:
        minutes: of every training, on one thread.
        machine: on which a step was timed, in words.
        seconds_per_step: of every phase of every variant; the shortest of all turns, which other load disturbed least.
        results: in the order they were made.
        pictures: fingerprints of those for "training" and "validation"; empty where they were not kept.
    """

    minutes: float
    machine: Mapping[str, Any]
    seconds_per_step: dict[str, dict[str, float]] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)
    pictures: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> "Record":
        return read_record(path, cls._of)

    @classmethod
    def _of(cls, value: dict[str, Any]) -> "Record":
        results = [
            Result(
                **one
                | {
                    "points": _points(one["points"]),
                    "averages": {
                        moment: {name: _points(points) for name, points in both.items()}
                        for moment, both in one["averages"].items()
                    },
                }
            )
            for one in value["results"]
        ]
        return cls(**value | {"results": results})

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, (json.dumps(asdict(self), indent=1) + "\n").encode(), overwrite=True)


def _points(values: list[dict[str, float]]) -> list[Point]:
    return [Point(**value) for value in values]


def fingerprint(sources: Sequence[Path]) -> str:
    """SHA-256 of names and sizes, hexadecimal: reading gigabytes of pictures twice would take minutes."""
    digest = hashlib.sha256()
    for source in sources:
        if not source.exists():
            raise no_source(source)
        for file in sorted(source.rglob("*")) if source.is_dir() else [source]:
            if file.is_file():
                digest.update(f"{file.name} {file.stat().st_size}\n".encode())
    return digest.hexdigest()


def begun(options: argparse.Namespace) -> Record:
    """The record that is there, or a new one."""
    pictures = {name: fingerprint(getattr(options, name)) for name in ("training", "validation")}
    if not options.output.exists():
        return Record(options.minutes, machine(), pictures=pictures)
    found = Record.read(options.output)
    if found.minutes != options.minutes:
        raise UsageError(
            f"{options.output}: must be of {options.minutes:g} minutes, found {found.minutes:g}; give another "
            "--output, or those --minutes"
        )
    differing = [name for name, here in pictures.items() if found.pictures.get(name, here) != here]
    if differing:
        raise UsageError(
            f"{options.output}: must be of the same pictures, found others for {' and '.join(differing)}; give another "
            "--output, or those pictures"
        )
    return found


def configuration(
    variant: Variant, seed: int, phases: list[PhaseConfig], options: argparse.Namespace
) -> TrainingConfig:
    """The whole run."""
    values: dict[str, Any] = {
        "seed": seed,
        "model": {"kind": "gllmm-lite", "lapped_channels": 48, "context": "interlaced"},
        "data": {"training": tuple(options.training)},
        "checkpoint_minutes": 2.0,
        "phases": phases,
    }
    for key, change in variant.run.items():
        values[key] = values.get(key, {}) | change if isinstance(change, dict) else change
    return TrainingConfig.model_validate(values)


def phase_config(phase: Phase, steps: int) -> PhaseConfig:
    """A phase of so many steps."""
    settings = _USUAL | phase.settings
    return PhaseConfig(name=phase.name, steps=steps, warm_up_steps=min(50, steps), **settings)


class Stamped:
    """A step that notes when it begins."""

    def __init__(self, step: Step) -> None:
        self._step = step
        self.auxiliary = step.auxiliary
        self.review = step.review
        self.stamps: list[float] = []

    def backward(self, model: torch.nn.Module, batch: Batch, phase: PhaseConfig, share: float = 1.0) -> StepReport:
        self.stamps.append(time.perf_counter())
        return self._step.backward(model, batch, phase, share)


def seconds_per_step(variant: Variant, phase: Phase, options: argparse.Namespace) -> float:
    """The median of a few steps of a phase, from scratch."""
    config = configuration(variant, 1, [phase_config(phase, UNTIMED_STEPS + TIMED_STEPS)], options)
    # How long a step is hangs neither on how many pictures there are nor on the first filters.
    config = config.model_copy(
        update={
            "data": config.data.model_copy(update={"training": tuple(options.training[:1])}),
            "linear_path_start": "random",
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(config, Path(folder), "cpu")
        stamped = Stamped(trainer.step)
        trainer.step = stamped
        trainer.run()
    differences = [after - before for before, after in itertools.pairwise(stamped.stamps)]
    return statistics.median(differences[UNTIMED_STEPS:])


def cost_of(variant: Variant, phase: Phase) -> str:
    """What decides how long a step is: phases and variants alike in it are timed together."""
    settings = _USUAL | phase.settings
    of_step = {key: value for key, value in settings.items() if "rate" not in key and key != "schedule"}
    of_run = {key: variant.run.get(key) for key in ("model", "regularizer")}
    return json.dumps([of_run, of_step], sort_keys=True)


def time_all(keys: Sequence[str], options: argparse.Namespace, record: Record) -> None:
    """Time the phases of variants that were not timed yet; they take turns."""
    missing = [key for key in keys if key not in record.seconds_per_step]
    if missing and record.seconds_per_step:
        raise UsageError(
            f"{options.output}: must have the times of all variants from one run, found none of "
            f"{', '.join(missing)}; give another --output"
        )
    load = record.machine["load"]
    if missing and load is not None and load > IDLE_LOAD:
        print(
            f"warning: the machine must be idle while steps are timed, with a load of at most {IDLE_LOAD:g}, found "
            f"{load:g}; their times decide how many steps each training gets: stop what else runs and begin anew",
            file=sys.stderr,
        )
    found: dict[str, list[float]] = {}
    for turn in range(1, ROUNDS + 1 if missing else 1):
        for key in missing:
            for phase in VARIANTS[key].phases:
                times = found.setdefault(cost_of(VARIANTS[key], phase), [])
                if len(times) < turn:
                    times.append(seconds_per_step(VARIANTS[key], phase, options))
                    print(f"{key}, {phase.name}: {times[-1]:.4f} s a step", flush=True)
    for key in missing:
        phases = VARIANTS[key].phases
        record.seconds_per_step[key] = {phase.name: min(found[cost_of(VARIANTS[key], phase)]) for phase in phases}
    if missing:
        record.write(options.output)


def measured(model: CompressionModel, crops: Float[Tensor, "N 3 H W"]) -> list[Point]:
    """Rates and distortions of the validation crops."""
    rows = validate(model, crops, linear_only=False)
    return [Point(row.quality, row.bits_per_pixel, row.psnr_db) for row in rows]


def check_resumable(folder: Path, config: TrainingConfig) -> None:
    """Refuse what another run has left in the folder: the trainer would go on with it if only the model is the same."""
    checkpoint = folder / "last.ckpt"
    if not checkpoint.exists():
        return
    before = run_of(checkpoint, load_checkpoint(checkpoint))
    changed = [name for name in type(config).model_fields if getattr(config, name) != getattr(before, name)]
    if changed:
        raise UsageError(
            f"{checkpoint}: must be of the same configuration, found other {', '.join(changed)}; remove {folder}, or "
            "give another --runs"
        )


def train(key: str, seed: int, record: Record, crops: Float[Tensor, "N 3 H W"], options: argparse.Namespace) -> Result:
    """One training of so many steps as fit into the time."""
    variant = VARIANTS[key]
    phases = [
        phase_config(phase, round(60 * record.minutes * phase.share / seconds))
        for phase, seconds in zip(variant.phases, record.seconds_per_step[key].values(), strict=True)
    ]
    folder = options.runs / f"{key}-{seed}"
    config = configuration(variant, seed, phases, options)
    check_resumable(folder, config)
    trainer = Trainer(config, folder, "cpu")
    kept = folder / "before-cool-down.json"

    def both() -> dict[str, list[Point]]:
        models = {"averaged": trainer.average.module, "last": trainer.model}
        return {name: measured(model, crops) for name, model in models.items()}  # type: ignore[arg-type]

    def after_phase() -> None:
        following = trainer.config.phases[trainer.progress.phase + 1 :]
        if key == BASE and following and following[0].name == "cool-down":
            found = {name: [asdict(point) for point in points] for name, points in both().items()}
            write_atomically(kept, json.dumps(found).encode(), overwrite=True)

    trainer.run(after_phase)
    averages = {}
    if key == BASE:
        before = json.loads(kept.read_text(encoding="utf-8"))
        averages = {
            "before the learning rate falls": {name: _points(points) for name, points in before.items()},
            "at the end": both(),
        }
    points = measured(trainer.average.module, crops)  # type: ignore[arg-type]
    return Result(key, seed, trainer.progress.step, trainer.progress.pixels, points, averages)


def curve(name: str, points: Sequence[Point]) -> RateCurve:
    """As evaluation has it."""
    return RateCurve(name, tuple(RatePoint(one.bits_per_pixel, one.psnr_db, quality=one.quality) for one in points))


def change(anchor: Sequence[Point], test: Sequence[Point]) -> BdRate | None:
    """BD-rate; None where there is none."""
    return bd_rate_or_none(curve("anchor", anchor), curve("test", test))


def by_seed(changes: Sequence[BdRate | None]) -> str:
    """Percentages side by side."""
    return " ".join(percent_text([one], unit="") for one in changes)


def kilo_multiplications(variant: Variant) -> tuple[float, float]:
    """To encode and to decode, for each pixel."""
    options = argparse.Namespace(training=[Path("none")])
    config = configuration(variant, 1, [phase_config(_ALL, 1)], options)
    networks = complexity(config.model)
    return (
        sum(one.multiply_accumulates_per_pixel for one in networks if one.encodes) / 1000,
        sum(one.multiply_accumulates_per_pixel for one in networks if one.decodes) / 1000,
    )


def seeds_of(results: Sequence[Result]) -> str:
    """In words."""
    seeds = sorted({one.seed for one in results})
    return ("seed " if len(seeds) == 1 else "seeds ") + ", ".join(map(str, seeds))


def table(record: Record) -> str:
    """Markdown: every variant against the base of its seed; then what averaging the weights gives."""
    base = {one.seed: one for one in record.results if one.variant == BASE}
    if not base:
        raise UsageError(f"the variant {BASE} must be trained, for the others are compared with it")
    lines = [
        "| question | choice | kMAC/pixel, encode | decode | steps | BD-rate against the base | by seed |",
        "|---|---|---:|---:|---:|---:|---|",
    ]
    asked = ""
    for key, variant in VARIANTS.items():
        own = sorted((one for one in record.results if one.variant == key), key=lambda one: one.seed)
        if not own:
            continue
        encode, decode = kilo_multiplications(variant)
        question = variant.question if variant.question != asked else ""
        asked = variant.question
        steps = round(statistics.fmean(one.steps for one in own))
        changes = [change(base[one.seed].points, one.points) for one in own if one.seed in base]
        shown = "0 | " if key == BASE else f"{percent_text(changes)} | {by_seed(changes)}"
        lines.append(f"| {question} | {variant.name} | {encode:.1f} | {decode:.1f} | {steps} | {shown} |")
    averaging = ["| averaged weights against the last ones, base | BD-rate | by seed |", "|---|---:|---|"]
    for moment in next(iter(base.values())).averages:
        changes = [change(one.averages[moment]["last"], one.averages[moment]["averaged"]) for one in base.values()]
        averaging.append(f"| {moment} | {percent_text(changes)} | {by_seed(changes)} |")
    heading = f"{record.minutes:g} minutes of one core each, {seeds_of(record.results)}"
    text = [heading, "", *explained(lines), "", *explained(averaging)]
    if len(base) > 1:
        first, *others = (one.points for _, one in sorted(base.items()))
        spread = ", ".join(percent_text([change(first, other)]) for other in others)
        text += ["", f"The base with another seed: {spread}."]
    return "\n".join(text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Time, train, print; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--training", type=Path, nargs="+", help="folders or tars of pictures")
    parser.add_argument("--validation", type=Path, nargs="+", help="folders or tars of pictures")
    parser.add_argument("--show", type=Path, metavar="FILE", help="print what an earlier run has found, only")
    parser.add_argument(
        "--variants",
        default=",".join(key for key, variant in VARIANTS.items() if variant.question not in ARCHITECTURES),
        help=f"of {', '.join(VARIANTS)} (default: those that differ from {BASE} in one thing)",
    )
    parser.add_argument("--seeds", default="1,2", help="(default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="of each training (default: %(default)g)")
    parser.add_argument("--only-times", action="store_true", help="time the steps, train nothing")
    parser.add_argument("--runs", type=Path, default=Path("runs/equal_time"), help="checkpoints (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("runs/equal_time.json"))
    options = parser.parse_args(arguments)
    console = Console(width=200, markup=False, highlight=False)
    if options.show is not None:
        console.print(table(Record.read(options.show)))
        return 0
    if not options.training or not options.validation:
        raise UsageError("--training and --validation must be given, found one or none; or --show a file")
    if not (math.isfinite(options.minutes) and options.minutes > 0):
        raise UsageError(f"--minutes must be positive, found {options.minutes:g}")
    keys = options.variants.split(",")
    unknown = [key for key in keys if key not in VARIANTS]
    if unknown:
        raise UsageError(f"--variants must be of {', '.join(VARIANTS)}, found {unknown[0]!r}")
    torch.set_num_threads(1)
    record = begun(options)
    time_all(keys, options, record)
    if options.only_times:
        return 0
    crops = validation_crops(load_pictures(options.validation, VALIDATION_SIZE), VALIDATION_SIZE)[:CROPS]
    for seed in (int(part) for part in options.seeds.split(",")):
        for key in keys:
            if any(one.variant == key and one.seed == seed for one in record.results):
                continue
            result = train(key, seed, record, crops, options)
            if options.output.exists():  # another process may have added to it
                record = Record.read(options.output)
            record.results.append(result)
            record.write(options.output)
            shutil.rmtree(options.runs / f"{key}-{seed}")
            print(f"{key}, seed {seed}: {result.points}", flush=True)
    if any(one.variant == BASE for one in record.results):
        console.print(table(record))
    return 0


if __name__ == "__main__":
    run(main)
