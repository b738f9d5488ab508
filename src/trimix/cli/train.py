"""``trimix train``: train a model as a TOML file says."""

import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trimix.cli.failures import is_first_process
from trimix.cli.networks import prepare_torch
from trimix.cli.options import Device, DeviceOption, ThreadsOption
from trimix.errors import ConfigurationError, OutputError, TrainingError, UsageError
from trimix.progress import showing_progress, working

if TYPE_CHECKING:
    from trimix.training.config import TrainingConfig
    from trimix.training.devices import Devices
    from trimix.training.loop import Trainer

_CHECKPOINT = "last.ckpt"
_READING = "reading the pictures"


def train(
    config: Annotated[
        Path, typer.Argument(metavar="CONFIG.toml", help="The run. Paths in it are relative to the current folder.")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FOLDER",
            help="Where checkpoint and log go.",
            show_default="runs/ and the name of CONFIG",
        ),
    ] = None,
    data: Annotated[
        list[Path] | None,
        typer.Option(
            "--data", metavar="FOLDER|TAR", help="Training pictures instead of CONFIG's; may be given several times."
        ),
    ] = None,
    validation: Annotated[
        list[Path] | None,
        typer.Option(
            "--validation",
            metavar="FOLDER|TAR",
            help="Validation pictures instead of CONFIG's; may be given several times.",
        ),
    ] = None,
    device: DeviceOption = Device.AUTO,
    threads: ThreadsOption = None,
    time_limit: Annotated[
        float | None,
        typer.Option(
            "--time-limit",
            metavar="MINUTES",
            min=0.0,
            help="End in time, with a checkpoint: the whole command takes at most that long; the same one goes on.",
        ),
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Start anew; what is in the output folder is moved aside, not deleted.")
    ] = False,
) -> None:
    """Train a model, or go on with a run that was interrupted.

    A checkpoint in the output folder is resumed exactly where it stood. Ctrl-C
    ends the step and saves one first; a second Ctrl-C does not wait. Make a
    model file of the last one with 'trimix freeze'. On several devices:
    torchrun --nproc-per-node N -m trimix train CONFIG.toml.

    Needs the extra 'train': pip install 'trimix\\[train]'.
    """
    started = time.monotonic()
    folder = Path("runs") / config.stem if output is None else output
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder}: must be a folder, found a file; give another --output")
    if not config.is_file():
        raise ConfigurationError(f"{config}: no such file; name a TOML file")
    with working("loading torch") if is_first_process() else nullcontext():
        accelerator = prepare_torch(device, threads)
        try:
            from trimix.training.config import load_training_config
            from trimix.training.devices import Devices
            from trimix.training.loop import Trainer
            from trimix.training.time_limit import TimeLimit
        except ImportError as error:
            raise TrainingError("training needs the extra 'train': pip install 'trimix[train]'") from error
    run = load_training_config(config)
    replaced = {name: tuple(paths) for name, paths in (("training", data), ("validation", validation)) if paths}
    run = run.model_copy(update={"data": run.data.model_copy(update=replaced)})
    if not validation:
        run = _without_missing_validation(run)
    _check_sources(run)
    devices = Devices(accelerator)
    checkpoint = folder / _CHECKPOINT
    if checkpoint.exists() and not restart:
        _check_resumable(checkpoint, run)
    try:
        with (
            _moved_aside(folder, devices) if restart else nullcontext(),
            showing_progress(_READING, silent=not devices.is_first, transient=True) as progress,
        ):

            def show(done: int, total: int | None) -> None:
                progress.show(f"{_READING}: {done}" + (f" of {total}" if total else ""), done, total)

            limit = None if time_limit is None else TimeLimit(started + 60 * time_limit)
            trainer = Trainer(run, folder, devices, show, limit)
    except OSError as error:
        raise OutputError(f"{error.filename or folder}: cannot be used: {error.strerror}") from error
    if run.regularizer is not None:
        _say(_about_source_entropy(run))
    if (before := trainer.grown_from) is not None:
        sizes = ((name, value, getattr(run.model, name)) for name, value in before)
        changes = ", ".join(f"{name} {old} -> {new}" for name, old, new in sizes if old != new)
        _say(f"starts as the narrower model of start_from: {changes}")
    if trainer.is_complete:
        _say(f"{checkpoint}: this run is complete; --restart starts anew")
        return
    if trainer.progress.step:
        _say(f"resuming {checkpoint} after step {trainer.progress.step}")
    try:
        trainer.run()
    except KeyboardInterrupt:
        _say(f"interrupted after step {trainer.progress.step}; {_what_next(trainer)}")
        raise
    if not trainer.is_complete:
        _say(
            f"the time is up after step {trainer.progress.step}, in the phase "
            f"{run.phases[trainer.progress.phase].name}; checkpoint {checkpoint}; the same command goes on"
        )
        return
    log = folder / "log.jsonl"
    _say(f"{trainer.progress.step} steps done; checkpoint {checkpoint}, log {log}; 'trimix freeze' makes a model of it")


def _about_source_entropy(run: "TrainingConfig") -> str:
    from trimix.training.source_entropy import source_entropy_complexity, source_entropy_config

    assert run.regularizer is not None
    form = source_entropy_config(run.model, run.regularizer)
    parameters, cost = source_entropy_complexity(form)
    return (
        f"regularizer: q(x | x_hat) of {form.name}; {parameters:,} parameters, {cost / 1000:.1f} kMAC/pixel, "
        "in training only"
    )


def _say(text: str) -> None:
    if is_first_process():
        print(text, file=sys.stderr)


def _without_missing_validation(run: "TrainingConfig") -> "TrainingConfig":
    """Without the validation pictures that CONFIG names and that are not here: training does not need them."""
    from trimix.training.picture_files import matches

    present = tuple(path for path in run.data.validation if matches(path))
    if present == run.data.validation:
        return run
    missing = ", ".join(str(path) for path in run.data.validation if path not in present)
    what = "some validation pictures are left out" if present else "there is no validation"
    _say(f"{what}: {missing} does not exist; --validation FOLDER names others")
    return run.model_copy(update={"data": run.data.model_copy(update={"validation": present})})


def _check_sources(run: "TrainingConfig") -> None:
    """Refuse missing pictures before anything is moved or read."""
    from trimix.training.picture_files import matches, no_source

    for source in (*run.data.training, *run.data.validation):
        if not matches(source):
            raise no_source(source)


@contextmanager
def _moved_aside(folder: Path, devices: "Devices") -> Iterator[None]:
    """Move away what is in the folder; if what is done meanwhile fails, move it back."""
    from trimix.training.one_training import only_training_in

    aside, place = None, folder.resolve()
    if devices.is_first and folder.exists() and any(folder.iterdir()):
        with only_training_in(folder):
            pass
        names = (folder.with_name(f"{folder.name}.old-{number}") for number in count(1))
        wanted = next(name for name in names if not name.exists())
        try:
            aside = place.rename(wanted.resolve())
        except OSError as error:
            raise OutputError(f"{folder}: cannot be moved to {wanted}: {error.strerror}") from error
    devices.wait()
    try:
        yield
    except BaseException:
        if aside is not None:
            shutil.rmtree(place, ignore_errors=True)  # of the new run, which has not begun
            try:
                aside.rename(place)
            except OSError:
                _say(f"moved {folder} to {aside}")
        raise
    if aside is not None:
        _say(f"moved {folder} to {aside}")


def _what_next(trainer: "Trainer") -> str:
    if trainer.saved_step is None:
        return "nothing was saved, the same command starts anew"
    if trainer.saved_step != trainer.progress.step:
        return f"the same command resumes after step {trainer.saved_step}, the last that was saved"
    return "the same command resumes"


def _check_resumable(checkpoint: Path, run: "TrainingConfig") -> None:
    """Refuse another architecture; say so if anything else has changed since the checkpoint."""
    from trimix.training.checkpoint import load_checkpoint, run_of

    before = run_of(checkpoint, load_checkpoint(checkpoint))
    if before.model != run.model:
        raise UsageError(
            f"{checkpoint}: was made with another [model] than this configuration's; "
            "give another --output, or --restart"
        )
    changed = [name for name in type(run).model_fields if getattr(run, name) != getattr(before, name)]
    if changed:
        _say(f"the configuration has changed since the checkpoint: {', '.join(changed)}")
