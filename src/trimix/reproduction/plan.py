"""What is trained for the tables of the regularizer's paper: recipes, listed in ``configs/tables/``."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from trimix.errors import ConfigurationError
from trimix.training.config import TrainingConfig
from trimix.training.recipes import read_recipe

ARCHITECTURES = ("hyperprior", "autoregressive", "attention")
START = "start"
PLAIN = "plain"
REGULARIZED = "regularized"
BUDGETS = ("small", "paper")
_CHECKPOINT_MINUTES = 2.0


@dataclass(frozen=True)
class Variant:
    """A way to train one architecture: plain, or with a regularizer; the key stands in the names of files."""

    key: str
    title: str
    architecture: str


@dataclass(frozen=True)
class Run:
    """One training run of a plan.

    Args:
        seed: of pictures, noise and first weights.
        training: settings of the recipe, everything but pictures and start.
        starts_from: the run whose weights this one begins with; none for random ones.
    """

    variant: Variant
    rate_distortion_lambda: float
    seed: int
    training: Mapping[str, Any] = field(repr=False)
    starts_from: "Run | None" = None

    @property
    def key(self) -> str:
        """Unique in the plan, and a file name."""
        variant = self.variant
        return f"{variant.architecture}-{self.rate_distortion_lambda:.4f}-{variant.key}-seed{self.seed}"

    @property
    def steps(self) -> int:
        """In all."""
        return sum(phase["steps"] for phase in self.training["phases"])

    def configuration(self, data: Mapping[str, Any], start_from: Path | None = None) -> TrainingConfig:
        """The run as the trainer takes it, with its ``[data]`` and the checkpoint that it starts from."""
        settings = {**self.training, "data": {**self.training["data"], **data}, "start_from": start_from}
        return TrainingConfig.model_validate(settings)


@dataclass(frozen=True)
class Budget:
    """How much is spent on a table: variants in the order of the tables, runs in that of training, starts first."""

    key: str
    title: str
    variants: tuple[Variant, ...]
    runs: tuple[Run, ...]


def read_budget(key: str, folder: Path | None = None) -> Budget:
    """A budget of ``configs/tables/regularizer-KEY.toml``, in the repository, the package, or another folder.

    Raises:
        ConfigurationError: it or one of its recipes is missing or no valid TOML.

    >>> [run.key for run in read_budget("paper").runs[:2]]
    ['hyperprior-0.0018-plain-seed1', 'hyperprior-0.0018-regularized-seed1']
    """
    package = Path(__file__).parents[1]
    # Beside the package in the repository, inside it in an installation.
    configs = next(path for path in (package / "configs", package.parents[1] / "configs") if path.is_dir())
    folder = folder or configs / "tables"
    path = folder / f"regularizer-{key}.toml"
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path}: must be a plan of runs, found {error}") from error
    settings = {name: {**table, **changes} for name, changes in table["variants"].items()}
    variants = tuple(
        Variant(name, _title(name, one), architecture)
        for architecture in ARCHITECTURES
        for name, one in settings.items()
        if architecture in one["architectures"]
    )
    starts: dict[tuple[str, int], Run] = {}
    runs: list[Run] = []
    # The pairs come first: what is compared most is known soonest.
    pairs = [one for one in variants if one.key in (PLAIN, REGULARIZED)]
    for group in (pairs, *([one] for one in variants if one not in pairs)):
        seeds = sorted({seed for one in group for seed in settings[one.key]["seeds"]})
        for seed, trade_off, variant in product(seeds, table["lambdas"], group):
            one = settings[variant.key]
            if seed not in one["seeds"]:
                continue
            if "start" in table and (variant.architecture, seed) not in starts:
                start = Variant(START, "common start", variant.architecture)
                starts[variant.architecture, seed] = _run(folder, start, {**table, **table["start"]}, seed)
            begun = starts.get((variant.architecture, seed))
            runs.append(_run(folder, variant, {**one, "lambda": trade_off}, seed, begun))
    return Budget(key, table["title"], variants, (*starts.values(), *runs))


def _title(key: str, settings: Mapping[str, Any]) -> str:
    """By default the weight of the entropy."""
    if "title" in settings["variants"][key]:
        return settings["variants"][key]["title"]
    weight = settings.get("regularizer", {})
    return next((f"{name} = {weight[name]:g}" for name in ("alpha", "rho") if name in weight), key)


def _run(folder: Path, variant: Variant, settings: Mapping[str, Any], seed: int, start: Run | None = None) -> Run:
    trade_off = settings["lambda"]
    name = settings["recipe"].replace("{architecture}", variant.architecture)
    training = dict(read_recipe(folder / name.replace("{lambda}", f"{trade_off:.4f}")).settings)
    training["seed"] = seed
    training["model"] = {**training["model"], "rate_distortion_lambda": trade_off}
    training["data"] = {key: value for key, value in training["data"].items() if key != "training"}
    training["checkpoint_minutes"] = _CHECKPOINT_MINUTES
    if "regularizer" in settings:
        training["regularizer"] = settings["regularizer"]
    if variant.key != START:
        main, *others = training["phases"]
        stages = settings["stages"]
        parts = [{**main, "name": f"stage-{index}", "steps": main["steps"] // stages} for index in range(1, stages + 1)]
        training["phases"] = [*parts, *others]
    return Run(variant, trade_off, seed, training, start)
