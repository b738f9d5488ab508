"""``trimix reproduce``: whole tables of the papers, trained, measured and compared."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trimix.cli.networks import prepare_torch
from trimix.cli.options import Device, DeviceOption
from trimix.cli.outputs import print_summary
from trimix.errors import OutputError, UsageError
from trimix.evaluation.data_sets import DATA_VARIABLE, data_roots, find_pictures
from trimix.progress import showing_progress, working

if TYPE_CHECKING:
    from trimix.reproduction.comparisons import Comparisons
    from trimix.reproduction.plan import Budget, Run
    from trimix.reproduction.training import Job

_OUT_OF_DOMAIN = ("pixel", "screen", "game", "pathology")

reproduce = typer.Typer(no_args_is_help=True, help="Train, measure and compare whole tables of the papers.")


class RegularizerBudget(StrEnum):
    """How much is spent on the regularizer's tables."""

    SMALL = "small"
    RELEASED = "released"
    PAPER = "paper"


class GllmmBudget(StrEnum):
    """How much is spent on GLLMM's comparisons."""

    SMALL = "small"
    PAPER = "paper"


class ArchitectureName(StrEnum):
    """Baselines of the regularizer's paper."""

    HYPERPRIOR = "hyperprior"
    AUTOREGRESSIVE = "autoregressive"
    ATTENTION = "attention"


_BUDGET = typer.Option("--budget", case_sensitive=False, help="How much is trained; --plan tells.", show_default=False)
DataOption = Annotated[
    list[Path] | None,
    typer.Option("--data", metavar="FOLDER|TAR", help="Training pictures; may be given several times."),
]
DataRootOption = Annotated[
    Path | None,
    typer.Option(
        "--data-root",
        metavar="FOLDER",
        help="Folder with kodak/ and ood/pixel, ood/screen, ood/game, ood/pathology; what of ood/ is missing is left "
        "out.",
        show_default=DATA_VARIABLE,
    ),
]
OutputOption = Annotated[
    Path | None,
    typer.Option(
        "-o",
        "--output",
        metavar="FOLDER",
        help="Where runs and records go.",
        show_default="below runs/, by the table and the budget",
    ),
]
VariantOption = Annotated[
    list[str] | None,
    typer.Option("--variant", metavar="KEY", help="Only this one; may be given several times.", show_default="all"),
]
WorkersOption = Annotated[int, typer.Option("--workers", min=1, metavar="N", help="Runs that are trained at once.")]
PlanOption = Annotated[bool, typer.Option("--plan", help="Print what would be trained, and end.")]
ShowOption = Annotated[
    Path | None, typer.Option("--show", metavar="FOLDER", help="Print the tables of records that are there, and end.")
]


@reproduce.callback()
def _tables() -> None:
    """Train, measure and compare whole tables of the papers."""


@reproduce.command(
    no_args_is_help=True,
    epilog="Example: trimix reproduce gllmm --budget small --data train.tar --data-root pictures/ --workers 2",
)
def gllmm(
    budget: Annotated[GllmmBudget | None, _BUDGET] = None,
    data: DataOption = None,
    data_root: DataRootOption = None,
    output: OutputOption = None,
    variant: VariantOption = None,
    workers: WorkersOption = 1,
    device: DeviceOption = Device.AUTO,
    plan: PlanOption = False,
    show: ShowOption = None,
) -> None:
    """GLLMM's mixture and modules against simpler ones.

    Trains the codec with the full mixture and with single families, with
    concatenated modules and without, from the same seeds; measures them on
    Kodak and four other sets; prints BD-rates against the full mixture. Ctrl-C
    saves all runs; the same command goes on. Tables and one record a run go to
    the output folder; what has been measured so far is shown by --show.

    Needs the extras 'train' and 'evaluate'.
    """
    asked = _Asked("gllmm", budget and budget.value, None, variant, plan=plan, show=show)
    asked.answer(data, data_root, output, workers, device)


@reproduce.command(
    no_args_is_help=True,
    epilog="Example: trimix reproduce regularizer --budget small --data train.tar --data-root pictures/ --workers 2",
)
def regularizer(
    budget: Annotated[RegularizerBudget | None, _BUDGET] = None,
    data: DataOption = None,
    data_root: DataRootOption = None,
    output: OutputOption = None,
    architecture: Annotated[
        list[ArchitectureName] | None,
        typer.Option(
            "--architecture", help="Only this one; may be given several times.", show_default="all of the budget"
        ),
    ] = None,
    variant: VariantOption = None,
    workers: WorkersOption = 1,
    device: DeviceOption = Device.AUTO,
    plan: PlanOption = False,
    show: ShowOption = None,
) -> None:
    """The information-theoretic regularizer against plain training.

    Trains codecs plain and regularized, from the same seeds: at four trade-offs,
    or, with the budget 'released', on from the released weights of all rates.
    Measures them on Kodak after every stage and on four other sets at the end;
    prints BD-rates beside the paper's. Ctrl-C saves all runs; the same command
    goes on. Tables, figures and one record a run go to the output folder; what
    has been measured so far is shown by --show.

    Needs the extras 'train' and 'evaluate'.
    """
    architectures = None if architecture is None else tuple(one.value for one in architecture)
    asked = _Asked("regularizer", budget and budget.value, architectures, variant, plan=plan, show=show)
    asked.answer(data, data_root, output, workers, device)


@dataclass(frozen=True)
class _Asked:
    """Which tables, and what of them."""

    table: str
    budget: str | None
    architectures: tuple[str, ...] | None
    variants: list[str] | None
    plan: bool
    show: Path | None

    def answer(
        self, data: list[Path] | None, data_root: Path | None, output: Path | None, workers: int, device: Device
    ) -> None:
        from trimix.reproduction.plan import TABLES, read_budget

        if self.show is not None and not self.show.is_dir():
            raise UsageError(f"{self.show}: must be a folder with records of runs, found none")
        if self.show is None and self.budget is None:
            raise UsageError(f"--budget must be given, found none; one of {', '.join(TABLES[self.table])}")
        chosen = None if self.budget is None else read_budget(self.table, self.budget)
        if self.show is not None:
            print(_tables_of(self.show, chosen)[1], end="")
            return
        assert chosen is not None
        runs = _wanted(chosen, self.architectures, self.variants)
        if self.plan:
            _print_plan(chosen, runs)
            return
        jobs, folder = _jobs(chosen, runs, data, data_root, output, workers, device)
        _train(jobs, folder, workers)
        from trimix.images import write_atomically
        from trimix.reproduction.plots import all_figures

        comparisons, text = _tables_of(folder, chosen)
        write_atomically(folder / "tables.md", text.encode(), overwrite=True)
        for name, contents in all_figures(comparisons):
            write_atomically(folder / name, contents, overwrite=True)
        print(text, end="")
        print_summary(f"tables and figures are in {folder}")


def _print_plan(budget: "Budget", runs: "Sequence[Run]") -> None:
    print(f"{budget.key}: {budget.title}")
    stages = ", ".join(f"{phase['name']} {phase['steps']}" for phase in runs[-1].training["phases"])
    print(f"stages, a measurement after each: {stages}")
    for run in runs:
        print(f"  {run.key}  {run.steps} steps")
    print(f"{len(runs)} runs, {sum(run.steps for run in runs)} steps")


def _train(jobs: "Sequence[Job]", folder: Path, workers: int) -> None:
    from trimix.reproduction.campaign import Campaign

    campaign = Campaign(jobs, min(workers, len(jobs)))
    if campaign.is_complete:
        print_summary(f"{folder}: all {len(jobs)} runs are complete")
        return
    with showing_progress(at_once=True) as display:
        try:
            campaign.run(display)
        except KeyboardInterrupt:
            print_summary(f"interrupted; the same command goes on, --show {folder} shows what is there")
            raise


def _wanted(budget: "Budget", chosen: tuple[str, ...] | None, variants: list[str] | None) -> "list[Run]":
    architectures = chosen or tuple(dict.fromkeys(one.architecture for one in budget.variants))
    known = dict.fromkeys(one.key for one in budget.variants if one.architecture in architectures)
    for key in variants or ():
        if key not in known:
            raise UsageError(f"--variant must be one of {', '.join(known) or 'none'}, found {key!r}")
    wanted = {
        run.key: run.starts_from
        for run in budget.runs
        if run.variant.key in known and (not variants or run.variant.key in variants)
        if run.variant.architecture in architectures
    }
    starts = {start.key for start in wanted.values() if start is not None}
    runs = [run for run in budget.runs if run.key in wanted or run.key in starts]
    if not runs:
        raise UsageError(f"the budget {budget.key} has no runs of {', '.join(architectures)}; choose others")
    return runs


def _jobs(
    budget: "Budget",
    runs: "Sequence[Run]",
    data: list[Path] | None,
    data_root: Path | None,
    output: Path | None,
    workers: int,
    device: Device,
) -> "tuple[list[Job], Path]":
    if not data:
        raise UsageError("--data must name training pictures, found none; give a folder or a tar")
    folder = output or Path("runs") / f"{budget.table}-{budget.key}"
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder}: must be a folder, found a file; give another -o")
    roots = data_roots(data_root)
    kodak = find_pictures("kodak", roots)
    with working("loading torch"):
        accelerator = prepare_torch(device, None)
        from trimix.evaluation.run import examine
        from trimix.reproduction.record import differing_settings, read_record
        from trimix.reproduction.training import NATURAL, Job
        from trimix.training.picture_files import no_source
    for source in data:
        if not source.exists():
            raise no_source(source)
    found = {NATURAL: kodak}
    for name in _OUT_OF_DOMAIN:
        place = next((root / "ood" / name for root in roots if (root / "ood" / name).is_dir()), None)
        if place is None:
            print_summary(f"left out: {name}, no folder ood/{name} below a data root")
        else:
            found[name] = find_pictures(str(place))
    with working("reading the pictures"):
        examined = {name: examine(pictures) for name, pictures in found.items()}
        fingerprints = {name: one.fingerprint for name, one in examined.items()}
        fingerprints["training"] = _fingerprint(data)
    for note in (note for one in examined.values() for note in one.left_out):
        print_summary(f"trimix: warning: left out: {note}")
    threads = max(1, (os.cpu_count() or 1) // workers)
    training = {"training": [str(path.resolve()) for path in data]}
    sets = {name: pictures.paths for name, pictures in found.items()}
    jobs = [Job(run, folder, training, sets, fingerprints, accelerator, threads) for run in runs]
    for job in jobs:
        if not job.record_path.exists():
            continue
        differing = differing_settings(read_record(job.record_path).configuration, job.configuration)
        if differing:
            raise UsageError(
                f"{job.record_path}: must be of the same settings and pictures, found other {', '.join(differing)}; "
                "give another -o"
            )
    return jobs, folder


def _fingerprint(sources: list[Path]) -> str:
    """By names and sizes: reading gigabytes of training pictures twice would take minutes."""
    digest = hashlib.sha256()
    for source in sources:
        for file in sorted(source.rglob("*")) if source.is_dir() else [source]:
            if file.is_file():
                digest.update(f"{file.name} {file.stat().st_size}\n".encode())
    return digest.hexdigest()


def _tables_of(folder: Path, budget: "Budget | None") -> "tuple[Comparisons, str]":
    """What the records of a folder give, and its tables; without a budget it is the first that has all of the runs."""
    from trimix.reproduction.comparisons import Comparisons
    from trimix.reproduction.plan import TABLES, read_budget
    from trimix.reproduction.record import read_records
    from trimix.reproduction.tables import all_tables

    records = read_records(folder)
    if budget is None:
        budgets = [read_budget(table, key) for table, keys in TABLES.items() for key in keys]
        budget = next((one for one in budgets if set(records) <= {run.key for run in one.runs}), budgets[-1])
    comparisons = Comparisons(records)
    tables = all_tables(comparisons, budget, folder)
    return comparisons, "".join(f"## {title[0].upper()}{title[1:]}\n\n{table}\n\n" for title, table in tables)
