"""The tables of the papers, ours beside the regularizer paper's where it has figures, in Markdown."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean

from trimix.errors import UsageError
from trimix.evaluation.bd_rate import bd_rate
from trimix.evaluation.rate_points import in_words, reference_curves
from trimix.reproduction.comparisons import Comparisons, Curve
from trimix.reproduction.plan import PLAIN, REGULARIZED, Budget
from trimix.reproduction.training import NATURAL

TRAINING_TIME = "training-time.json"
"""What ``benchmarks/training.py --output`` writes, beside the records."""
STAND_INS: Mapping[str, str] = {
    "kodak": "Natural",
    "pixel": "Pixel-style",
    "screen": "Screen",
    "game": "Game",
    "pathology": "Pathology",
}
"""Sets of pictures by what they stand in for: Kodak alone for the mean of Kodak, CLIC and Tecnick."""
# What the paper (arXiv 2411.16727) has in its tables; BD-rates in per cent against plain training.
TABLE_1: Mapping[str, Mapping[str, float]] = {
    "hyperprior": {"kodak": -0.88, "pixel": -2.20, "screen": -1.15, "game": -1.31, "pathology": -1.11},
    "autoregressive": {"kodak": -0.92, "pixel": -1.96, "screen": -2.01, "game": -0.83, "pathology": -0.81},
    "attention": {"kodak": -0.92, "pixel": -0.47, "screen": -0.69, "game": -0.82, "pathology": -2.38},
}
"""Regularized against plain, by set."""
TABLE_2: Mapping[str, float] = {"hyperprior": 1.195, "autoregressive": 1.113, "attention": 1.015}
"""Training time with the regularizer over that without."""
TABLE_3: Mapping[str, float] = {"hyperprior": 0.52, "autoregressive": 0.56, "attention": -3.32}
"""Plain baselines against CompressAI's released weights, on Kodak."""


def all_tables(comparisons: Comparisons, budget: Budget, folder: Path) -> Iterator[tuple[str, str]]:
    """Title and Markdown of every table that the records of a budget in a folder give."""
    architectures = comparisons.architectures
    for architecture in architectures:
        of = f"{architecture}: " if len(architectures) > 1 else ""
        figure = " (Fig. 4)" if budget.table == "regularizer" else ""
        yield f"{of}rate points on Kodak{figure}", rate_points(comparisons, architecture)
        if comparisons.seeds(architecture, REGULARIZED):
            yield f"{of}regularized against plain, by steps (Fig. 3)", by_steps(comparisons, architecture)
            yield f"{of}regularized against plain, by set (Table 1)", by_set(comparisons, architecture)
            variants = by_variant(comparisons, architecture, budget)
            yield f"{of}strength and form of the regularizer (Fig. 5 and 8)", variants
        else:
            yield f"{of}against {_anchor(budget)}, by set", by_variant_and_set(comparisons, architecture, budget)
        if architecture in TABLE_3:
            yield f"{of}plain training against released weights (Table 3)", baselines(comparisons, architecture)
    if (path := folder / TRAINING_TIME).exists():
        yield "training time, regularized over plain (Table 2)", training_time(path)


def rate_points(comparisons: Comparisons, architecture: str) -> str:
    """Bits per pixel and PSNR of every trade-off, or quality, at the end, of plain and regularized runs, by seed."""
    steps = comparisons.steps(architecture, NATURAL)[-1]
    rows = []
    for variant in (PLAIN, REGULARIZED):
        for seed in comparisons.seeds(architecture, variant):
            curve = comparisons.curves.get(Curve(architecture, variant, seed, steps, NATURAL))
            points = curve.points if curve else ()
            cells = (f"{point.bits_per_pixel:.4f} bpp, {point.psnr_db:.3f} dB" for point in points)
            rows.append([variant, str(seed), *cells])
    configurations = [one.configuration for one in comparisons.records]
    configurations = [one for one in configurations if one["architecture"] == architecture and one["variant"] == PLAIN]
    qualities = configurations[0].get("qualities", [])
    trade_offs = sorted({one["rate_distortion_lambda"] for one in configurations} - {None})
    heading = [f"quality {value:g}" for value in qualities] or [f"λ {value:.4f}" for value in trade_offs]
    return _table(["", "seed", *heading], rows)


def by_steps(comparisons: Comparisons, architecture: str) -> str:
    """BD-rate on Kodak after every stage; and that between seeds, which says what chance does."""
    rows = []
    for steps in comparisons.steps(architecture, NATURAL):
        found = comparisons.against_plain(architecture, REGULARIZED, steps, NATURAL)
        chance = comparisons.between_seeds(architecture, steps, NATURAL)
        whole = len(found) == len(comparisons.seeds(architecture, REGULARIZED))
        cells = [_mean(found), _seeds(found)] if whole else ["–", "–"]
        rows.append([f"{steps:,}".replace(",", " "), *cells, _percent(chance)])
    return _table(["steps", "BD-rate", "by seed", "plain, second seed against first"], rows)


def by_set(comparisons: Comparisons, architecture: str) -> str:
    """BD-rates at the end on natural pictures and out of domain, beside the paper's."""
    rows = []
    for data, stands_for in STAND_INS.items():
        steps = comparisons.steps(architecture, data)
        if not steps:
            continue
        found = comparisons.against_plain(architecture, REGULARIZED, steps[-1], data)
        chance = comparisons.between_seeds(architecture, steps[-1], data)
        paper = _percent(TABLE_1[architecture][data])
        rows.append([f"{data} (for {stands_for})", _mean(found), _seeds(found), _percent(chance), paper])
    return _table(["set", "BD-rate", "by seed", "plain, second seed against first", "paper"], rows)


def by_variant(comparisons: Comparisons, architecture: str, budget: Budget) -> str:
    """BD-rates at the end of every variant, with rho, the ratio of the gradients."""
    rows = []
    for variant in budget.variants:
        if variant.architecture != architecture or variant.key == PLAIN:
            continue
        found = {
            data: comparisons.against_plain(architecture, variant.key, steps[-1], data)
            for data in STAND_INS
            if (steps := comparisons.steps(architecture, data))
        }
        natural = found.pop(NATURAL, {})
        common = [seed for seed in natural if found and all(seed in one for one in found.values())]
        others = {seed: fmean(one[seed] for one in found.values()) for seed in common}
        ratio = comparisons.gradient_ratio(architecture, variant.key)
        if natural:
            cells = [_mean(natural), _seeds(natural), _mean(others), _seeds(others)]
            rows.append([variant.title, "–" if ratio is None else f"{ratio:.3f}", *cells])
    heading = ["regularizer", "ρ at the end", "Kodak", "by seed", "mean of the four other sets", "by seed"]
    return _table(heading, rows)


def by_variant_and_set(comparisons: Comparisons, architecture: str, budget: Budget) -> str:
    """BD-rates at the end of every variant on every set, by seed; and what chance does, at the bottom."""
    ends = {data: steps[-1] for data in STAND_INS if (steps := comparisons.steps(architecture, data))}
    rows = []
    for variant in budget.variants:
        found = [comparisons.against_plain(architecture, variant.key, ends[data], data) for data in ends]
        if variant.architecture == architecture and variant.key != PLAIN and any(found):
            rows.append([variant.title, *(f"{_mean(one)} ({_seeds(one)})" for one in found)])
    chance = (_percent(comparisons.between_seeds(architecture, steps, data)) for data, steps in ends.items())
    rows.append([f"{_anchor(budget)}, second seed against first", *chance])
    return _table(["", *ends], rows)


def _anchor(budget: Budget) -> str:
    """The title of the runs that the others are compared with."""
    return next(one.title for one in budget.variants if one.key == PLAIN)


def baselines(comparisons: Comparisons, architecture: str) -> str:
    """BD-rate of plain training on Kodak against the points of CompressAI's released weights."""
    anchor = reference_curves()[architecture]
    rows = []
    for seed in comparisons.seeds(architecture, PLAIN):
        steps = comparisons.steps(architecture, NATURAL)[-1]
        try:
            found = bd_rate(anchor, comparisons.curves[Curve(architecture, PLAIN, seed, steps, NATURAL)])
        except (KeyError, UsageError):
            found = None
        cells = ["–", "–"]
        if found is not None:
            cells = [_percent(found.percent), f"{found.overlap_minimum:.1f} to {found.overlap_maximum:.1f} dB"]
        rows.append([str(seed), *cells, _percent(TABLE_3[architecture])])
    return _table(["seed", "BD-rate", "over", "paper's baselines"], rows)


def training_time(path: Path) -> str:
    """Ratios of a benchmark's file, beside the paper's.

    Raises:
        UsageError: it is no such file.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        rows = [
            [name, *(f"{times[key]:.3f}" for key in ("plain", "regularized", "ratio"))]
            for name, times in found["seconds"].items()
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        found_instead = error.strerror if isinstance(error, OSError) else in_words(error)
        raise UsageError(
            f"{path}: must be written by benchmarks/training.py, found {found_instead}; remove it"
        ) from error
    for row in rows:
        row.append(f"{TABLE_2[row[0]]:.3f}")
    return _table(["", "plain, s a step", "regularized", "ratio", "paper"], rows)


def _mean(by_seed: dict[int, float]) -> str:
    return _percent(fmean(by_seed.values()) if by_seed else None)


def _seeds(by_seed: dict[int, float]) -> str:
    return ", ".join(_percent(percent) for percent in by_seed.values()) or "–"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:+.2f} %".replace("-", "−")


def _table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join([*cells, *[''] * (len(heading) - len(cells))])} |"

    return "\n".join([line(heading), "|" + "---|" * len(heading), *map(line, rows)])
