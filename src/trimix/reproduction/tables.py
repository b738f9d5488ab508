"""The tables of the regularizer's paper, ours beside the paper's, in Markdown."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean

from trimix.errors import UsageError
from trimix.evaluation.bd_rate import bd_rate
from trimix.evaluation.rate_points import in_words, reference_curves
from trimix.reproduction.comparisons import Comparisons, Curve
from trimix.reproduction.plan import ARCHITECTURES, PLAIN, REGULARIZED, Budget
from trimix.reproduction.published import STAND_INS, TABLE_1, TABLE_2, TABLE_3
from trimix.reproduction.training import NATURAL

TRAINING_TIME = "training-time.json"
"""What ``benchmarks/training.py --output`` writes, beside the records."""


def all_tables(comparisons: Comparisons, budget: Budget, folder: Path) -> Iterator[tuple[str, str]]:
    """Title and Markdown of every table that the records give.

    Args:
        comparisons: of the records.
        budget: whose they are.
        folder: of the records; a benchmark's file beside them gives the times.
    """
    for architecture in ARCHITECTURES:
        if not comparisons.seeds(architecture, PLAIN):
            continue
        of = f"{architecture}: " if len({one.architecture for one in comparisons.curves}) > 1 else ""
        yield f"{of}rate points on Kodak (Fig. 4)", rate_points(comparisons, architecture)
        yield f"{of}regularized against plain, by steps (Fig. 3)", by_steps(comparisons, architecture)
        yield f"{of}regularized against plain, by set (Table 1)", by_set(comparisons, architecture)
        yield (
            f"{of}strength and form of the regularizer (Fig. 5 and 8)",
            by_variant(comparisons, architecture, budget),
        )
        yield f"{of}plain training against released weights (Table 3)", baselines(comparisons, architecture)
    if (path := folder / TRAINING_TIME).exists():
        yield "training time, regularized over plain (Table 2)", training_time(path)


def rate_points(comparisons: Comparisons, architecture: str) -> str:
    """Bits per pixel and PSNR of every trade-off at the end, plain and regularized, by seed."""
    steps = comparisons.steps(architecture, NATURAL)[-1]
    rows = []
    for variant in (PLAIN, REGULARIZED):
        for seed in comparisons.seeds(architecture, variant):
            curve = comparisons.curves.get(Curve(architecture, variant, seed, steps, NATURAL))
            points = curve.points if curve else ()
            rows.append(
                [variant, str(seed), *(f"{point.bits_per_pixel:.4f} bpp, {point.psnr_db:.3f} dB" for point in points)]
            )
    return _table(["", "seed", *("λ " + text for text in _lambdas(comparisons, architecture))], rows)


def _lambdas(comparisons: Comparisons, architecture: str) -> list[str]:
    found = {
        record.configuration["rate_distortion_lambda"]
        for record in comparisons.records
        if record.configuration["architecture"] == architecture
    }
    return [f"{value:.4f}" for value in sorted(found)]


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
        rows.append(
            [
                f"{data} (for {stands_for})",
                _mean(found),
                _seeds(found),
                _percent(chance),
                _percent(TABLE_1[architecture][data]),
            ]
        )
    return _table(["set", "BD-rate", "by seed", "plain, second seed against first", "paper"], rows)


def by_variant(comparisons: Comparisons, architecture: str, budget: Budget) -> str:
    """BD-rates at the end of every variant, with rho, the ratio of the gradients."""
    rows = []
    for variant in budget.variants:
        if variant.architecture != architecture or variant.key == PLAIN:
            continue
        by_set = {
            data: comparisons.against_plain(architecture, variant.key, steps[-1], data)
            for data in STAND_INS
            if (steps := comparisons.steps(architecture, data))
        }
        natural = by_set.pop(NATURAL, {})
        others = {
            seed: fmean(found[seed] for found in by_set.values())
            for seed in natural
            if by_set and all(seed in found for found in by_set.values())
        }
        ratio = comparisons.gradient_ratio(architecture, variant.key)
        if natural:
            cells = [_mean(natural), _seeds(natural), _mean(others), _seeds(others)]
            rows.append([variant.title, "–" if ratio is None else f"{ratio:.3f}", *cells])
    heading = ["regularizer", "ρ at the end", "Kodak", "by seed", "mean of the four other sets", "by seed"]
    return _table(heading, rows)


def baselines(comparisons: Comparisons, architecture: str) -> str:
    """BD-rate of plain training on Kodak against the points of CompressAI's released weights."""
    anchor = reference_curves()[architecture]
    rows = []
    for seed in comparisons.seeds(architecture, PLAIN):
        steps = comparisons.steps(architecture, NATURAL)[-1]
        curve = comparisons.curves.get(Curve(architecture, PLAIN, seed, steps, NATURAL))
        try:
            found = None if curve is None else bd_rate(anchor, curve)
        except UsageError:
            found = None
        overlap = "–" if found is None else f"{found.overlap_minimum:.1f} to {found.overlap_maximum:.1f} dB"
        rows.append(
            [str(seed), _percent(None if found is None else found.percent), overlap, _percent(TABLE_3[architecture])]
        )
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
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
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
