"""What is trained for the tables of the regularizer's paper, at which budget."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from trimix.architectures.config import (
    MSE_LAMBDAS,
    AttentionConfig,
    AutoregressiveConfig,
    CompressionConfig,
    HyperpriorConfig,
)
from trimix.training.config import PhaseConfig, RegularizerConfig, TrainingConfig

Architecture = Literal["hyperprior", "autoregressive", "attention"]
ARCHITECTURES: tuple[Architecture, ...] = ("hyperprior", "autoregressive", "attention")
LEVELS = (1, 2, 3, 4)
"""Of CompressAI, whose first four trade-offs are the four rate points."""
START_LEVEL = 3
START = "start"
PLAIN = "plain"
REGULARIZED = "regularized"
PAPER_ALPHA: Mapping[Architecture, float] = {"hyperprior": 0.1, "autoregressive": 1.0, "attention": 1.0}
"""Section 4.2; in the unit in which the code of the latents is applied to pictures in [0, 1]."""


@dataclass(frozen=True)
class Variant:
    """A way to train one architecture: plain, or with a regularizer.

    Args:
        key: on the command line and in the names of files.
        title: in tables.
        architecture: whose.
        seeds: each run at every trade-off, paired with the plain run of the same seed.
        regularizer: none for plain training.
    """

    key: str
    title: str
    architecture: Architecture
    seeds: tuple[int, ...]
    regularizer: RegularizerConfig | None = None


@dataclass(frozen=True)
class Run:
    """One training run of a plan.

    Args:
        variant: what is trained.
        level: index of the trade-off, from 1.
        seed: of pictures, noise and first weights.
        training: everything but pictures and start.
        starts_from: the run whose weights this one begins with; none for random ones.
    """

    variant: Variant
    level: int
    seed: int
    training: Mapping[str, Any] = field(repr=False)
    starts_from: "Run | None" = None

    @property
    def key(self) -> str:
        """Unique in the plan, and a file name."""
        variant = self.variant
        return f"{variant.architecture}-{self.rate_distortion_lambda:.4f}-{variant.key}-seed{self.seed}"

    @property
    def rate_distortion_lambda(self) -> float:
        """Trade-off."""
        return MSE_LAMBDAS[self.level - 1]

    @property
    def steps(self) -> int:
        """In all."""
        return sum(phase["steps"] for phase in self.training["phases"])

    def configuration(self, data: Mapping[str, Any], start_from: Path | None = None) -> TrainingConfig:
        """The run as the trainer takes it.

        Args:
            data: its ``[data]``.
            start_from: checkpoint of the run that it starts from.
        """
        settings = {**self.training, "data": {**self.training["data"], **data}, "start_from": start_from}
        return TrainingConfig.model_validate(settings)


@dataclass(frozen=True)
class Budget:
    """How much is spent on a table.

    Args:
        key: on the command line.
        title: in one line.
        variants: in the order in which they are trained.
        stages: phases of every run; after each the model is measured.
        start: phases of a plain run in the middle of the rates, one for each seed, whose weights all runs of that seed
            start with; none to start with random weights.
        average_decay: of the average of weights that is measured; 0 for the last weights. Averages do not act on the
            training. At a high rate the weights of one step are too noisy to compare.
        channels: widths instead of CompressAI's, first N and then M; none to keep those.
    """

    key: str
    title: str
    variants: tuple[Variant, ...]
    stages: tuple[PhaseConfig, ...]
    start: tuple[PhaseConfig, ...] = ()
    average_decay: float = 0.0
    channels: tuple[int, int] | None = None

    def model(self, architecture: Architecture, level: int) -> CompressionConfig:
        """The model of a run."""
        of_level: dict[Architecture, Callable[[int], CompressionConfig]] = {
            "hyperprior": HyperpriorConfig.of_level,
            "autoregressive": AutoregressiveConfig.of_level,
            "attention": AttentionConfig.of_level,
        }
        model = of_level[architecture](level)
        if self.channels is None:
            return model
        channels, latent_channels = self.channels
        widths = {"latent_channels": latent_channels}
        if architecture != "attention":  # which has one width
            widths["channels"] = channels
        return model.model_copy(update=widths)

    def runs(self, architectures: tuple[Architecture, ...] = ARCHITECTURES) -> tuple[Run, ...]:
        """All runs: of every variant, seed by seed, the trade-offs after one another; their starts before them.

        >>> [run.key for run in PAPER.runs()[:2]]
        ['hyperprior-0.0018-plain-seed1', 'hyperprior-0.0018-regularized-seed1']
        """
        first = [variant for variant in self.variants if variant.key in (PLAIN, REGULARIZED)]
        later = [variant for variant in self.variants if variant not in first]
        found: list[Run] = []
        # The pairs come first: what is compared most is known soonest.
        for group in (first, *([variant] for variant in later)):
            for seed in sorted({seed for variant in group for seed in variant.seeds}):
                for level in LEVELS:
                    for variant in group:
                        if seed in variant.seeds and variant.architecture in architectures:
                            start = self._start(variant.architecture, seed)
                            training = self._training(self.stages, variant, level, seed)
                            found.append(Run(variant, level, seed, training, start))
        starts = {run.starts_from.key: run.starts_from for run in found if run.starts_from is not None}
        return (*starts.values(), *found)

    def _start(self, architecture: Architecture, seed: int) -> Run | None:
        if not self.start:
            return None
        variant = Variant(START, "common start", architecture, (seed,))
        return Run(variant, START_LEVEL, seed, self._training(self.start, variant, START_LEVEL, seed))

    def _training(
        self, stages: tuple[PhaseConfig, ...], variant: Variant, level: int, seed: int
    ) -> Mapping[str, Any]:
        training: dict[str, Any] = {
            "seed": seed,
            "model": self.model(variant.architecture, level).model_dump(),
            # Patches are cut as they are, as in CompressAI's example.
            "data": {"scaled_share": 0.0},
            "optimizer": {
                "clip_norm": 1.0,
                "average_decay": 0.0 if variant.key == START else self.average_decay,
            },
            "phases": [stage.model_dump() for stage in stages],
            "checkpoint_minutes": 2.0,
        }
        if variant.regularizer is not None:
            training["regularizer"] = variant.regularizer.model_dump()
        return training


def _stages(
    count: int, steps: int, final_steps: int, learning_rate: float, final: float, **common: Any
) -> tuple[PhaseConfig, ...]:
    constant = [
        PhaseConfig(name=f"stage-{index}", steps=steps, learning_rate=learning_rate, **common)
        for index in range(1, count + 1)
    ]
    fall = PhaseConfig(
        name="fall",
        steps=final_steps,
        learning_rate=learning_rate,
        learning_rate_final=final,
        schedule="cosine",
        **common,
    )
    return (*constant, fall)


def _paper_variants() -> tuple[Variant, ...]:
    variants = []
    for architecture in ARCHITECTURES:
        regularizer = RegularizerConfig(alpha=PAPER_ALPHA[architecture], unit="unit_range")
        variants += [
            Variant(PLAIN, PLAIN, architecture, (1,)),
            Variant(REGULARIZED, f"alpha = {regularizer.alpha:g}", architecture, (1,), regularizer),
        ]
    # Fig. 8: alpha belongs to the source model, so 1 for the stronger and 0.1 for the weaker one.
    stronger = RegularizerConfig(alpha=1.0, unit="unit_range", strength="stronger")
    weaker = RegularizerConfig(alpha=0.1, unit="unit_range", strength="weaker")
    variants += [
        Variant("stronger", "stronger q", "hyperprior", (1,), stronger),
        Variant("weaker", "weaker q", "autoregressive", (1,), weaker),
    ]
    variants += [
        Variant(f"alpha-{alpha:g}", f"alpha = {alpha:g}", "hyperprior", (1,), _in_unit_range(alpha))
        for alpha in (0.01, 1.0)
    ]
    return tuple(variants)


def _in_unit_range(alpha: float, **more: Any) -> RegularizerConfig:
    return RegularizerConfig(alpha=alpha, unit="unit_range", **more)


_NARROW_Q: dict[str, Any] = {"features": 16, "learning_rate": 1e-3}

SMALL = Budget(
    key="small",
    title="hyperprior of 32 and 48 channels, 3000 steps of 4 x 128 x 128 after a common start of 10 000; about four "
    "hours of one core",
    channels=(32, 48),
    average_decay=0.998,
    start=(PhaseConfig(name="start", steps=10_000, learning_rate=1e-3, batch_size=4, patch_size=128),),
    stages=_stages(3, 750, 750, 1e-3, 1e-5, batch_size=4, patch_size=128),
    variants=(
        Variant(PLAIN, PLAIN, "hyperprior", (1, 2)),
        Variant(REGULARIZED, "alpha = 0.1", "hyperprior", (1, 2), _in_unit_range(0.1, **_NARROW_Q)),
        Variant("rho-0.1", "rho = 0.1", "hyperprior", (1,), RegularizerConfig(rho=0.1, **_NARROW_Q)),
        Variant(
            "stronger",
            "stronger q",
            "hyperprior",
            (1,),
            _in_unit_range(1.0, strength="stronger", **_NARROW_Q),
        ),
        Variant(
            "weaker", "weaker q", "hyperprior", (1,), _in_unit_range(0.1, strength="weaker", **_NARROW_Q)
        ),
        Variant("rho-0.03", "rho = 0.03", "hyperprior", (1, 2), RegularizerConfig(rho=0.03, **_NARROW_Q)),
        Variant("rho-0.3", "rho = 0.3", "hyperprior", (1,), RegularizerConfig(rho=0.3, **_NARROW_Q)),
        Variant("alpha-1", "alpha = 1", "hyperprior", (1,), _in_unit_range(1.0, **_NARROW_Q)),
    ),
)
"""For two cores and an afternoon: a narrow hyperprior, two paired seeds, plain training for all up to a point.

From random weights a narrow hyperprior needs most of such a budget to leave the first plateau, and when it does is
chance: pairs would differ by that, not by the regularizer.
"""

PAPER = Budget(
    key="paper",
    title="CompressAI's channels, a million steps of 16 x 256 x 256; weeks of a GPU",
    stages=_stages(9, 100_000, 100_000, 1e-4, 1e-6, batch_size=16, patch_size=256),
    variants=_paper_variants(),
)
"""The paper's own, as far as it is known; see docs/training.md."""

BUDGETS = {budget.key: budget for budget in (SMALL, PAPER)}
