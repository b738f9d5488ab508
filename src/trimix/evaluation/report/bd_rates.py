"""BD-rates between all curves of a report."""

from collections.abc import Mapping
from typing import Any

from trimix.errors import UsageError
from trimix.evaluation.bd_rate import BdRate, bd_rate
from trimix.evaluation.rate_points import RateCurve
from trimix.evaluation.report.curves import Collection, Metric, ReportCurve


def bd_rate_or_reason(anchor: ReportCurve, test: ReportCurve, metric: Metric) -> BdRate | str:
    """The BD-rate, or why there is none."""
    for curve in (test, anchor):
        if not curve.has(metric):
            return f"{curve.name} has no {metric.name}"
    return bd_rate_of_points_or_reason(anchor.curve, test.curve, metric)


def bd_rate_of_points_or_reason(anchor: RateCurve, test: RateCurve, metric: Metric) -> BdRate | str:
    """The same of curves that are not drawn, those of single pictures."""
    try:
        return bd_rate(anchor, test, metric.key)
    except UsageError as error:
        return str(error)


def all_bd_rates(collection: Collection) -> Mapping[str, Any]:
    """Plain values for the page: by metric, anchor and curve, the numbers or a reason."""
    return {
        metric.key: {
            anchor.key: {
                test.key: _plain(bd_rate_or_reason(anchor, test, metric))
                for test in collection.curves
                if test is not anchor
            }
            for anchor in collection.curves
            if anchor.has(metric)
        }
        for metric in collection.metrics
    }


def _plain(found: BdRate | str) -> list[float] | str:
    if isinstance(found, str):
        return found
    return [
        round(found.percent, 4),
        round(found.overlap_minimum, 4),
        round(found.overlap_maximum, 4),
        round(found.overlap_share, 4),
    ]
