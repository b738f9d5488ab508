"""Which part of the plane a plot shows."""

from dataclasses import dataclass

from trimix.evaluation.report.curves import Collection, Metric

_MARGIN = 0.04


@dataclass(frozen=True)
class View:
    """Ends of the two axes."""

    bits_per_pixel: tuple[float, float]
    distortion: tuple[float, float]


def view_of(collection: Collection, metric: Metric) -> View:
    """From rate 0 to the highest that was measured, and the distortions that curves shown reach there.

    Published curves go on far beyond what most people measure: they do not widen the view.
    """
    highest = max(
        point.bits_per_pixel
        for curve in collection.measured
        for point in curve.curve.points
        if metric.value(point) is not None
    )
    found = [
        distortion
        for curve in collection.curves
        if curve.shown
        for point in curve.curve.points
        if point.bits_per_pixel <= highest
        if (distortion := metric.value(point)) is not None
    ]
    margin = max(_MARGIN * (max(found) - min(found)), 0.1)
    return View((0.0, highest * (1 + _MARGIN)), (min(found) - margin, max(found) + margin))
