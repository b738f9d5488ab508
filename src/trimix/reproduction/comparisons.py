"""BD-rates of variants against plain training, from the records of runs. Works without torch once they are read."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean

from trimix.errors import UsageError
from trimix.evaluation.bd_rate import bd_rate
from trimix.evaluation.rate_points import RateCurve
from trimix.reproduction.plan import PLAIN
from trimix.reproduction.record import Record


@dataclass(frozen=True)
class Curve:
    """The rate points of one variant.

    Args:
        architecture: of the codec.
        variant: key of the plan.
        seed: of the runs.
        steps: after which they were measured.
        data: set of pictures.
    """

    architecture: str
    variant: str
    seed: int
    steps: int
    data: str


class Comparisons:
    """Every curve that the records hold, and BD-rates between them.

    Args:
        records: of runs, by key.
    """

    def __init__(self, records: Mapping[str, Record]) -> None:
        self.records = tuple(records.values())
        points: dict[Curve, list] = {}
        for record in self.records:
            configuration = record.configuration
            for steps, sets in record.rates.items():
                for data, rates in sets.items():
                    curve = Curve(configuration["architecture"], configuration["variant"], record.seed, steps, data)
                    points.setdefault(curve, []).append(rates.mean)
        self.curves = {
            curve: RateCurve(
                f"{curve.variant}, seed {curve.seed}", tuple(sorted(found, key=lambda point: point.bits_per_pixel))
            )
            for curve, found in points.items()
        }

    def seeds(self, architecture: str, variant: str) -> list[int]:
        """Of which there are runs."""
        return sorted(
            {curve.seed for curve in self.curves if (curve.architecture, curve.variant) == (architecture, variant)}
        )

    def steps(self, architecture: str, data: str) -> list[int]:
        """After which a set was measured in plain runs."""
        wanted = (architecture, PLAIN, data)
        return sorted(
            {curve.steps for curve in self.curves if (curve.architecture, curve.variant, curve.data) == wanted}
        )

    def percent(self, test: Curve, anchor: Curve) -> float | None:
        """BD-rate; None where a curve is missing, not complete, or has none (see ``bd_rate``)."""
        if test not in self.curves or anchor not in self.curves:
            return None
        try:
            return bd_rate(self.curves[anchor], self.curves[test]).percent
        except UsageError:
            return None

    def against_plain(self, architecture: str, variant: str, steps: int, data: str) -> dict[int, float]:
        """BD-rates of a variant against the plain runs of the same seeds, in per cent, by seed.

        Those that there are: where one is missing, a mean over the others says less than it seems to.
        """
        found = {
            seed: self.percent(
                Curve(architecture, variant, seed, steps, data), Curve(architecture, PLAIN, seed, steps, data)
            )
            for seed in self.seeds(architecture, variant)
        }
        return {seed: percent for seed, percent in found.items() if percent is not None}

    def between_seeds(self, architecture: str, steps: int, data: str) -> float | None:
        """BD-rate of plain runs of the second seed against those of the first: what chance alone does."""
        first, *others = [*self.seeds(architecture, PLAIN), 0]
        return (
            self.percent(
                Curve(architecture, PLAIN, others[0], steps, data), Curve(architecture, PLAIN, first, steps, data)
            )
            if first
            else None
        )

    def gradient_ratio(self, architecture: str, variant: str) -> float | None:
        """Mean over the runs of |alpha dH/dx_hat| / |lambda dD/dx_hat|, at their ends."""
        found = [
            record.facts["gradient_ratio"]
            for record in self.records
            if (record.configuration["architecture"], record.configuration["variant"]) == (architecture, variant)
            and record.facts.get("gradient_ratio") is not None
        ]
        return fmean(found) if found else None
