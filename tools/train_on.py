"""Go on with a long run wherever it stands, for so many minutes, and leave behind what the next time goes on from.

    python tools/train_on.py configs/gllmm.toml --minutes 60 --data pictures/train --validation pictures/validation

The run lies in ``runs/NAME``, NAME being the recipe's. Where that folder has no checkpoint (another machine, a fresh
clone), it goes on from ``weights/NAME-training.safetensors``: averaged weights in 8 bits and where the run stood, with
a new optimiser, which is warmed up. At the end this file is written anew, to be committed. The weights are
validated; ``benchmarks/learning_curve.py`` reads the log.

The process has the lowest priority and takes at most the time given, the last validation included.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from trimix.errors import TrainingError, TrimixError
from trimix.images.atomic_files import write_atomically
from trimix.training.checkpoint import averaged_weights, checkpoint_of_averaged, run_of
from trimix.training.config import TrainingConfig, load_training_config
from trimix.training.loop import Trainer
from trimix.training.time_limit import TimeLimit

ROOT = Path(__file__).parents[1]
LOWEST_PRIORITY = 19


def put_checkpoint(weights: Path, folder: Path, config: TrainingConfig) -> None:
    """Make the checkpoint that a run goes on from, if there is none and there are weights.

    Raises:
        TrainingError: the weights are of another model.
    """
    checkpoint = folder / "last.ckpt"
    if checkpoint.exists() or not weights.exists():
        return
    entries = checkpoint_of_averaged(weights.read_bytes(), str(weights))
    if run_of(weights, entries).model != config.model:
        raise TrainingError(
            f"{weights}: must be of the recipe's [model], found another; give other --weights, or remove the file"
        )
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / ".last.ckpt.unfinished"
    torch.save(entries, temporary)
    temporary.replace(checkpoint)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train on; returns the exit code."""
    started = time.monotonic()
    options = _parse(arguments)
    name = options.recipe.stem
    folder = options.runs / name
    weights = options.weights or ROOT / "weights" / f"{name}-training.safetensors"
    try:
        config = load_training_config(options.recipe)
        data = {"training": tuple(options.data), "validation": tuple(options.validation)}
        data = {key: paths for key, paths in data.items() if paths}
        changes = {"data": config.data.model_copy(update=data), "validation_minutes": 60 * options.minutes}
        config = config.model_copy(update=changes)
        os.nice(LOWEST_PRIORITY)
        torch.set_num_threads(options.threads)
        put_checkpoint(weights, folder, config)
        seconds = 60 * (options.minutes - options.validation_minutes)
        trainer = Trainer(config, folder, "cpu", time_limit=TimeLimit(started + seconds))
        print(f"{name}: from step {trainer.progress.step}, {_hours(trainer)}", file=sys.stderr)
        trainer.run()
        write_atomically(
            weights, averaged_weights(trainer.average.module, trainer.progress, config, in_bytes=True), overwrite=True
        )
        trainer.validate(in_time=False)
    except TrimixError as error:
        print(f"train_on: error: {error}", file=sys.stderr)
        return error.exit_code
    print(
        f"{name}: step {trainer.progress.step}, {_hours(trainer)}, {time.monotonic() - started:.0f} s; {weights}, "
        f"{folder / 'log.jsonl'}",
        file=sys.stderr,
    )
    return 0


def _hours(trainer: Trainer) -> str:
    return f"{trainer.progress.core_seconds / 3600:.2f} core-hours"


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path, help="TOML file")
    parser.add_argument("--minutes", type=float, required=True, help="from start to end, everything included")
    parser.add_argument("--validation-minutes", type=float, default=5.0, help="of them, kept for the last one")
    parser.add_argument("--data", type=Path, nargs="+", default=[], help="folders or tars of pictures")
    parser.add_argument("--validation", type=Path, nargs="+", default=[], help="folders or tars of pictures")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=Path, default=ROOT / "runs", help="folder of runs")
    parser.add_argument("--weights", type=Path, help="file to go on from, and to write")
    options = parser.parse_args(arguments)
    if options.minutes <= options.validation_minutes:
        parser.error("--minutes must be more than --validation-minutes")
    return options


if __name__ == "__main__":
    sys.exit(main())
