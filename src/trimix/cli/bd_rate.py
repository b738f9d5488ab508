"""``trimix bd-rate``: mean differences in rate and distortion between curves. Needs no torch."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from trimix.cli.failures import one_line
from trimix.cli.options import JsonOption
from trimix.cli.outputs import print_json, print_summary, print_table
from trimix.errors import UsageError
from trimix.evaluation.bd_rate import SMALL_OVERLAP_SHARE, BdDistortion, BdRate, bd_distortion
from trimix.evaluation.bd_rate import bd_rate as bd_rate_of
from trimix.evaluation.data_sets import find_data_set
from trimix.evaluation.rate_points import RateCurve, reference_curves
from trimix.evaluation.report.curves import METRICS, PUBLISHED_SET, Metric
from trimix.evaluation.results import read_results


class Method(StrEnum):
    """Interpolation between the points."""

    PCHIP = "pchip"
    AKIMA = "akima"
    CUBIC = "cubic"


class MetricName(StrEnum):
    """Distortion by its name on the command line."""

    PSNR_RGB = "psnr-rgb"
    PSNR_Y = "psnr-y"
    MS_SSIM = "ms-ssim"
    SSIMULACRA2 = "ssimulacra2"
    BUTTERAUGLI = "butteraugli"


@dataclass(frozen=True)
class _Contender:
    """A curve by what named it on the command line, and what is known of the pictures that it is the mean of."""

    argument: str
    curve: RateCurve
    data: str
    picture_count: int | None


_Comparison = tuple[str, Metric, BdRate | str, BdDistortion | str]
"""Name of a curve, metric, and what was found; a reason stands where there is no number."""


def bd_rate(
    curves: Annotated[
        list[str],
        typer.Argument(
            metavar="RESULTS.json|NAME...",
            help="Results of 'trimix evaluate' or of CompressAI, or a published curve on Kodak: "
            "vtm, hm, bpg, av1, elic and others.",
        ),
    ],
    anchor: Annotated[
        str | None,
        typer.Option(
            "--anchor",
            metavar="RESULTS.json|NAME",
            help="Curve that all others are compared with.",
            show_default="the first",
        ),
    ] = None,
    metric: Annotated[
        list[MetricName] | None,
        typer.Option(
            "--metric", help="Distortion; may be given several times.", show_default="all that both curves have"
        ),
    ] = None,
    method: Annotated[
        Method, typer.Option("--method", help="Interpolation between the points; JVET takes pchip.")
    ] = Method.PCHIP,
    json: JsonOption = False,
) -> None:
    """Compare codecs by BD-rate and BD-PSNR.

    BD-rate is the mean difference in rate at equal distortion: negative
    where fewer bits are needed than by the anchor. BD is the mean
    difference in distortion at equal rate: positive where the picture is
    better. MS-SSIM and Butteraugli are compared in decibels. Both are
    means over the part that the curves have in common, which stands
    behind them.
    """
    chosen, others = _contenders(curves, anchor)
    metrics = [one for one in METRICS if not metric or one.file_name in metric]
    comparisons = [
        _compare(chosen, other, one, method)
        for other in others
        for one in metrics
        if metric or (one.is_known_of(chosen.curve) and one.is_known_of(other.curve))
    ]
    if not comparisons:
        raise UsageError("curves must have a finite distortion in common, found none; measure with loss")
    warnings = list(_doubts(chosen, others))
    for warning in () if json else warnings:
        print_summary(f"trimix: warning: {warning}")
    found = [value for one in comparisons for value in one[2:]]
    reasons = list(dict.fromkeys(value for value in found if isinstance(value, str)))
    if all(isinstance(value, str) for value in found):
        raise UsageError(reasons[0])
    if json:
        print_json(_record(chosen, comparisons, method, warnings))
        return
    print(f"against {chosen.curve.name} of {len(chosen.curve.points)} points, interpolated by {method}")
    rows = [_COLUMNS, *map(_row, comparisons)]
    print_table(rows, _TEXT_COLUMNS)
    if any(cell.endswith(_MARK) for row in rows for cell in row):
        print(
            f"{_MARK} less than {100 * SMALL_OVERLAP_SHARE:.0f} % of the range of both curves together: "
            "the mean speaks for a small part of them"
        )
    for reason in reasons:
        print(f"- {reason}")


def _contenders(arguments: Sequence[str], anchor: str | None) -> tuple[_Contender, list[_Contender]]:
    """The anchor, and those that are compared with it; curves of one name have what named them behind it."""
    given = [_read(argument) for argument in arguments]
    place = 0
    if anchor is not None:
        names = [(one.argument.casefold(), one.curve.name.casefold()) for one in given]
        place = next((index for index, called in enumerate(names) if anchor.casefold() in called), -1)
        if place < 0:
            given.append(_read(anchor))
    counts = Counter(one.curve.name for one in given)
    for index, one in enumerate(given):
        if counts[one.curve.name] > 1:
            given[index] = replace(one, curve=replace(one.curve, name=f"{one.curve.name} ({one.argument})"))
    chosen = given.pop(place)
    if not given:
        raise UsageError(f"a comparison needs a curve besides the anchor, found {chosen.curve.name} only; name another")
    return chosen, given


def _read(argument: str) -> _Contender:
    """A published curve by its key, else a results file."""
    published = reference_curves()
    curve = published.get(argument.casefold())
    if curve is not None:
        # What stands in brackets, versions for example, would make the table wide.
        short = replace(curve, name=curve.name.partition(" (")[0])
        data_set = find_data_set(PUBLISHED_SET)
        return _Contender(argument, short, PUBLISHED_SET, None if data_set is None else data_set.count)
    path = Path(argument)
    # As with models: what has a slash or ends in .json is a file, and any other word a name first.
    if len(path.parts) == 1 and path.suffix != ".json" and not path.exists():
        raise UsageError(
            f"a curve must be a results file or a published curve, found {argument!r}; "
            f"published are {', '.join(published)}"
        )
    results = read_results(path)
    data_set = find_data_set(results.data)
    data = results.data.casefold().strip() if data_set is None else data_set.key
    # A name in a file may be empty, or hold what would steer a terminal.
    curve = replace(results.curve, name=one_line(results.name) or argument)
    return _Contender(argument, curve, data, len(results.pictures) or None)


def _compare(anchor: _Contender, test: _Contender, metric: Metric, method: Method) -> _Comparison:
    name = test.curve.name
    for one in (test, anchor):
        if not metric.is_known_of(one.curve):
            reason = f"{one.curve.name} has no {metric.name}; measure it, or choose another --metric"
            return name, metric, reason, reason

    def or_reason(difference: Callable[..., Any]) -> Any:
        try:
            return difference(anchor.curve, test.curve, metric.key, method.value)
        except UsageError as error:
            return str(error)

    return name, metric, or_reason(bd_rate_of), or_reason(bd_distortion)


def _doubts(anchor: _Contender, others: Sequence[_Contender]) -> Iterator[str]:
    """Rates that are none of pictures, and pairs that are not of the same pictures, as far as that is known."""
    for one in (anchor, *others):
        if (highest := max(point.bits_per_pixel for point in one.curve.points)) > _RAW_BITS_PER_PIXEL:
            yield (
                f"{one.curve.name}: rates must be bits per pixel, found {highest:g}, more than raw pixels have; "
                "convert them if they are bytes or kbit/s"
            )
    for other in others:
        pairs = ((anchor.data, other.data), (anchor.picture_count, other.picture_count))
        differing = next((pair for pair in pairs if all(pair) and pair[0] != pair[1]), None)
        if differing is not None:
            yield (
                f"curves should be of the same pictures, found {anchor.curve.name} on {differing[0]} and "
                f"{other.curve.name} on {differing[1]}"
            )


_RAW_BITS_PER_PIXEL = 64
_COLUMNS = ("curve", "metric", "BD-rate %", "over", "share %", "BD", "over bpp", "share %")
_TEXT_COLUMNS = 2
_MARK = "*"


def _row(comparison: _Comparison) -> tuple[str, ...]:
    name, metric, rate, distortion = comparison
    cells = [name, metric.name]
    for one in (rate, distortion):
        if isinstance(one, str):
            cells += ["-", "-", "- "]
            continue
        if isinstance(one, BdRate):
            cells += [f"{one.percent:+.2f}", f"{one.overlap_minimum:.2f} to {one.overlap_maximum:.2f} {one.unit}"]
        else:
            over = f"{one.overlap_minimum_bits_per_pixel:.4f} to {one.overlap_maximum_bits_per_pixel:.4f}"
            cells += [f"{one.difference:+.3f} {one.unit}", over]
        cells.append(f"{100 * one.overlap_share:.0f}{_MARK if one.overlap_share < SMALL_OVERLAP_SHARE else ' '}")
    return tuple(cells)


def _record(
    anchor: _Contender, comparisons: Sequence[_Comparison], method: Method, warnings: Sequence[str]
) -> dict[str, object]:
    def values(found: BdRate | BdDistortion | str) -> dict[str, object]:
        return {"refused": found} if isinstance(found, str) else asdict(found)

    found = [
        {"curve": name, "metric": metric.file_name, "bd_rate": values(rate), "bd_distortion": values(distortion)}
        for name, metric, rate, distortion in comparisons
    ]
    return {"anchor": anchor.curve.name, "method": method.value, "comparisons": found, "warnings": list(warnings)}
