"""Means of reports. They stay on their device until somebody reads them."""

import math
from collections.abc import Sequence
from dataclasses import fields

import torch

from trimix.training.devices import Devices
from trimix.training.steps import StepReport


def mean_report(
    reports: Sequence[StepReport], devices: Devices | None = None, *, finite_only: bool = False
) -> StepReport:
    """Mean of every number; what one report lacks, all lack.

    Args:
        reports: of equal parts, or of steps.
        devices: over which the mean is taken, too, all of them at once; None for this one alone.
        finite_only: leave numbers out that are not finite, as steps were left out that had them.

    >>> one, other = (StepReport(*torch.tensor([loss, 0.5, 30.0])) for loss in (1.0, 3.0))
    >>> mean_report([one, other]).loss
    tensor(2.)
    """
    names = [field.name for field in fields(StepReport) if getattr(reports[0], field.name) is not None]
    table = torch.stack([torch.stack([getattr(report, name) for name in names]) for report in reports])
    means = torch.where(table.isfinite(), table, math.nan).nanmean(dim=0) if finite_only else table.mean(dim=0)
    if devices is not None:
        means = devices.mean(means)
    return StepReport(**dict(zip(names, means, strict=True)))


def read_report(report: StepReport) -> dict[str, float]:
    """The numbers of a report by name; waits for the device, once."""
    named = {name: value for name, value in vars(report).items() if value is not None}
    return dict(zip(named, torch.stack(list(named.values())).tolist(), strict=True))
