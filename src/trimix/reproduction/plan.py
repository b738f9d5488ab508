"""What is trained for the tables of the papers: recipes, listed in ``configs/tables/``."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from trimix.training.config import TrainingConfig
from trimix.training.recipes import read_recipe

ARCHITECTURES = ("hyperprior", "autoregressive", "attention")
"""Baselines of the regularizer's paper."""
START = "start"
PLAIN = "plain"
"""What the other variants are compared with."""
REGULARIZED = "regularized"
TABLES = {"regularizer": ("small", "released", "paper"), "gllmm": ("small", "paper")}
"""What can be reproduced, and with which budgets."""
_CHECKPOINT_MINUTES = 2.0


@dataclass(frozen=True)
class Variant:
    """A way to build or to train one architecture; the key stands in the names of files."""

    key: str
    title: str
    architecture: str


@dataclass(frozen=True)
class Run:
    """One training run of a plan.

    Args:
        seed: of pictures, noise and first weights.
        rate_distortion_lambda: none for a model of all rates.
        training: settings of the recipe, everything but pictures and start.
        starts_from: the run whose weights this one begins with; none for those of the recipe, or random ones.
        qualities: at which a model of all rates is measured.
    """

    variant: Variant
    rate_distortion_lambda: float | None
    seed: int
    training: Mapping[str, Any] = field(repr=False)
    starts_from: "Run | None" = None
    qualities: tuple[float, ...] = ()

    @property
    def key(self) -> str:
        """Unique in the plan, and a file name."""
        trade_off = self.rate_distortion_lambda
        rate = "all-rates" if trade_off is None else f"{trade_off:.4f}"
        return f"{self.variant.architecture}-{rate}-{self.variant.key}-seed{self.seed}"

    @property
    def steps(self) -> int:
        """In all."""
        return sum(phase["steps"] for phase in self.training["phases"])

    def configuration(self, data: Mapping[str, Any], start_from: Path | None = None) -> TrainingConfig:
        """The run as the trainer takes it, with its ``[data]`` and the checkpoint that it starts from."""
        settings = {**self.training, "data": {**self.training["data"], **data}}
        if start_from is not None:
            settings["start_from"] = start_from
        return TrainingConfig.model_validate(settings)


@dataclass(frozen=True)
class Budget:
    """How much is spent on tables: variants in their order, runs in that of training, starts first."""

    table: str
    key: str
    title: str
    variants: tuple[Variant, ...]
    runs: tuple[Run, ...]


def read_budget(table: str, key: str, folder: Path | None = None) -> Budget:
    """A budget of ``configs/tables/TABLE-KEY.toml``, in the repository, the package, or another folder.

    Raises:
        ConfigurationError: it or one of its recipes is missing or no valid TOML.

    >>> [run.key for run in read_budget("regularizer", "paper").runs[:2]]
    ['hyperprior-0.0018-plain-seed1', 'hyperprior-0.0018-regularized-seed1']
    """
    package = Path(__file__).parents[1]
    # Beside the package in the repository, inside it in an installation.
    configs = next(path for path in (package / "configs", package.parents[1] / "configs") if path.is_dir())
    folder = folder or configs / "tables"
    path = folder / f"{table}-{key}.toml"
    plan = read_recipe(path).settings
    settings = {name: {**plan, **changes} for name, changes in plan["variants"].items()}
    variants = tuple(
        Variant(name, _title(name, one), architecture)
        for architecture in plan["architectures"]
        for name, one in settings.items()
        if architecture in one["architectures"]
    )
    starts: dict[tuple[str, int], Run] = {}
    runs: list[Run] = []
    # The pairs come first: what is compared most is known soonest.
    pairs = [one for one in variants if one.key in (PLAIN, REGULARIZED)]
    for group in (pairs, *([one] for one in variants if one not in pairs)):
        seeds = sorted({seed for one in group for seed in settings[one.key]["seeds"]})
        for seed, trade_off, variant in product(seeds, plan.get("lambdas", [None]), group):
            one = settings[variant.key]
            if seed not in one["seeds"]:
                continue
            if "start" in plan and (variant.architecture, seed) not in starts:
                start = Variant(START, "common start", variant.architecture)
                starts[variant.architecture, seed] = _run(folder, start, {**plan, **plan["start"]}, seed)
            begun = starts.get((variant.architecture, seed))
            runs.append(_run(folder, variant, {**one, "lambda": trade_off}, seed, begun))
    return Budget(table, key, plan["title"], variants, (*starts.values(), *runs))


def _title(key: str, settings: Mapping[str, Any]) -> str:
    """By default the weight of the entropy."""
    if "title" in settings["variants"][key]:
        return settings["variants"][key]["title"]
    weight = settings.get("regularizer", {})
    return next((f"{name} = {weight[name]:g}" for name in ("alpha", "rho") if name in weight), key)


def _run(folder: Path, variant: Variant, settings: Mapping[str, Any], seed: int, start: Run | None = None) -> Run:
    trade_off: float | None = settings["lambda"]
    name = settings["recipe"].replace("{architecture}", variant.architecture)
    if trade_off is not None:
        name = name.replace("{lambda}", f"{trade_off:.4f}")
    training = dict(read_recipe(folder / name).settings)
    training["seed"] = seed
    training["model"] = {**training["model"], **settings.get("model", {})}
    if trade_off is not None:
        training["model"]["rate_distortion_lambda"] = trade_off
    # The sets of the tables are what a run is measured on.
    training["data"] = {key: value for key, value in training["data"].items() if key not in ("training", "validation")}
    training["checkpoint_minutes"] = _CHECKPOINT_MINUTES
    if "regularizer" in settings:
        training["regularizer"] = settings["regularizer"]
    if variant.key != START:
        main, *others = training["phases"]
        stages = settings["stages"]
        parts = [{**main, "name": f"stage-{index}", "steps": main["steps"] // stages} for index in range(1, stages + 1)]
        training["phases"] = [*parts, *others]
    return Run(variant, trade_off, seed, training, start, tuple(map(float, settings.get("qualities", ()))))
