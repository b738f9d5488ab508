"""``trimix train``: train a model as a TOML file says."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trimix.cli.networks import prepare_torch
from trimix.cli.options import Device, DeviceOption, ThreadsOption
from trimix.cli.progress import working
from trimix.errors import ConfigurationError, OutputError, UsageError

if TYPE_CHECKING:
    from trimix.training.config import TrainingConfig
    from trimix.training.loop import Trainer

_CHECKPOINT = "last.ckpt"


def train(
    config: Annotated[
        Path,
        typer.Argument(
            metavar="CONFIG.toml", help="The run. Paths in it are relative to the current folder."
        ),
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
            "--data",
            metavar="FOLDER|TAR",
            help="Training pictures instead of CONFIG's; may be given several times.",
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
    restart: Annotated[
        bool,
        typer.Option(
            "--restart", help="Start anew; what is in the output folder is moved aside, not deleted."
        ),
    ] = False,
) -> None:
    """Train a model, or go on with a run that was interrupted.

    A checkpoint in the output folder is resumed exactly where it stood. Ctrl-C
    ends the step and saves one first; a second Ctrl-C does not wait. Make a
    model file of the last one with 'trimix freeze'.

    Needs the extra 'train': pip install 'trimix\\[train]'.
    """
    folder = Path("runs") / config.stem if output is None else output
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder}: must be a folder, found a file; give another --output")
    if not config.is_file():
        raise ConfigurationError(f"{config}: no such file; name a TOML file")
    with working("loading torch"):
        accelerator = prepare_torch(device, threads)
        from trimix.training.config import load_training_config
        from trimix.training.loop import Trainer
    run = load_training_config(config)
    replaced = {
        name: tuple(paths) for name, paths in (("training", data), ("validation", validation)) if paths
    }
    run = run.model_copy(update={"data": run.data.model_copy(update=replaced)})
    if restart and folder.exists() and any(folder.iterdir()):
        print(f"moved {folder} to {_move_aside(folder)}", file=sys.stderr)
    checkpoint = folder / _CHECKPOINT
    if checkpoint.exists():
        _check_resumable(checkpoint, run)
    try:
        with working("reading the pictures"):
            trainer = Trainer(run, folder, accelerator)
    except OSError as error:
        raise OutputError(f"{error.filename or folder}: cannot be used: {error.strerror}") from error
    if trainer.progress.phase >= len(run.phases):
        print(f"{checkpoint}: this run is complete; --restart starts anew", file=sys.stderr)
        return
    if trainer.progress.step:
        print(f"resuming {checkpoint} after step {trainer.progress.step}", file=sys.stderr)
    try:
        trainer.run()
    except KeyboardInterrupt:
        print(f"interrupted after step {trainer.progress.step}; {_what_next(trainer)}", file=sys.stderr)
        raise
    print(
        f"{trainer.progress.step} steps done; checkpoint {checkpoint}, log {folder / 'log.jsonl'}; "
        "'trimix freeze' makes a model of it",
        file=sys.stderr,
    )


def _what_next(trainer: "Trainer") -> str:
    if trainer.saved_step is None:
        return "nothing was saved, the same command starts anew"
    if trainer.saved_step != trainer.progress.step:
        return f"the same command resumes after step {trainer.saved_step}, the last that was saved"
    return "the same command resumes"


def _move_aside(folder: Path) -> Path:
    number = 1
    while (aside := folder.with_name(f"{folder.name}.old-{number}")).exists():
        number += 1
    try:
        return folder.resolve().rename(aside.resolve())
    except OSError as error:
        raise OutputError(f"{folder}: cannot be moved to {aside}: {error.strerror}") from error


def _check_resumable(checkpoint: Path, run: "TrainingConfig") -> None:
    """Refuse another architecture; say so if anything else has changed since the checkpoint."""
    from trimix.cli.checkpoints import read_checkpoint

    before = read_checkpoint(checkpoint).configuration
    if before.model != run.model:
        raise UsageError(
            f"{checkpoint}: was made with another [model] than this configuration's; "
            "give another --output, or --restart"
        )
    changed = [name for name in type(run).model_fields if getattr(run, name) != getattr(before, name)]
    if changed:
        print(f"the configuration has changed since the checkpoint: {', '.join(changed)}", file=sys.stderr)
