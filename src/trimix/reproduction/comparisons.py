"""BD-rates of variants against plain training, from the records of runs. Works without torch once they are read."""

from collections.abc import Mapping
from statistics import fmean
from typing import NamedTuple

from trimix.errors import UsageError
from trimix.evaluation.bd_rate import bd_rate
from trimix.evaluation.rate_points import RateCurve
from trimix.reproduction.plan import ARCHITECTURES, PLAIN
from trimix.reproduction.record import Record


class Curve(NamedTuple):
    """The rate points of one variant (key of the plan), measured after so many steps on one set of pictures."""

    architecture: str
    variant: str
    seed: int
    steps: int
    data: str


class Comparisons:
    """Every curve that the records hold, and BD-rates between them; the records are by key."""

    def __init__(self, records: Mapping[str, Record]) -> None:
        self.records = tuple(records.values())
        points: dict[Curve, list] = {}
        for record in self.records:
            of_run = (record.configuration["architecture"], record.configuration["variant"], record.seed)
            for steps, sets in record.rates.items():
                for data, rates in sets.items():
                    points.setdefault(Curve(*of_run, steps, data), []).extend(one.mean for one in rates)
        self.curves = {
            curve: RateCurve(f"{curve.variant}, seed {curve.seed}", tuple(found)) for curve, found in points.items()
        }

    @property
    def architectures(self) -> list[str]:
        """Of which there are plain runs, the paper's baselines in its order."""
        found = {curve.architecture for curve in self.curves if curve.variant == PLAIN}
        return [*(one for one in ARCHITECTURES if one in found), *sorted(found - {*ARCHITECTURES})]

    def seeds(self, architecture: str, variant: str) -> list[int]:
        """Of which there are runs."""
        return sorted({curve.seed for curve in self.curves if curve[:2] == (architecture, variant)})

    def steps(self, architecture: str, data: str) -> list[int]:
        """After which a set was measured in plain runs."""
        wanted = (architecture, PLAIN, data)
        return sorted(
            {curve.steps for curve in self.curves if (curve.architecture, curve.variant, curve.data) == wanted}
        )

    def percent(self, test: Curve, anchor: Curve) -> float | None:
        """BD-rate; None where a curve is missing, not complete, or has none (see ``bd_rate``)."""
        try:
            return bd_rate(self.curves[anchor], self.curves[test]).percent
        except (KeyError, UsageError):
            return None

    def against_plain(self, architecture: str, variant: str, steps: int, data: str) -> dict[int, float]:
        """BD-rates of a variant against the plain runs of the same seeds, in per cent, by seed.

        Those that there are: where one is missing, a mean over the others says less than it seems to.
        """
        found = {}
        for seed in self.seeds(architecture, variant):
            test = Curve(architecture, variant, seed, steps, data)
            if (percent := self.percent(test, test._replace(variant=PLAIN))) is not None:
                found[seed] = percent
        return found

    def between_seeds(self, architecture: str, steps: int, data: str) -> float | None:
        """BD-rate of plain runs of the second seed against those of the first: what chance alone does."""
        curves = [Curve(architecture, PLAIN, seed, steps, data) for seed in self.seeds(architecture, PLAIN)]
        return self.percent(curves[1], curves[0]) if len(curves) > 1 else None

    def gradient_ratio(self, architecture: str, variant: str) -> float | None:
        """Mean over the runs of |alpha dH/dx_hat| / |lambda dD/dx_hat|, at their ends."""
        of_variant = {"architecture": architecture, "variant": variant}.items()
        runs = (record.facts for record in self.records if of_variant <= record.configuration.items())
        found = [facts["gradient_ratio"] for facts in runs if facts.get("gradient_ratio") is not None]
        return fmean(found) if found else None
