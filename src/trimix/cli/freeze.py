"""``trimix freeze``: from a training checkpoint to the model file that is shipped."""

import json
from pathlib import Path
from typing import Annotated

import typer

from trimix.cli.freezing import (
    CALIBRATION_HELP,
    DescriptionOption,
    ModelOutputOption,
    calibration_crops,
    check_name,
    checkpoint_path,
    given_facts,
    model_destination,
    write_frozen,
)
from trimix.cli.inputs import Source
from trimix.cli.models import LAST_RUN_STEPS
from trimix.cli.networks import prepare_torch
from trimix.cli.options import Device, ForceOption, ThreadsOption
from trimix.errors import ConfigurationError, TrainingError
from trimix.progress import working


def freeze(
    checkpoint: Annotated[
        str, typer.Argument(metavar="CHECKPOINT", help="Of 'trimix train': last.ckpt in the folder of a run.")
    ],
    output: ModelOutputOption,
    calibrate: Annotated[list[Path], typer.Option("--calibrate", metavar="FOLDER|TAR", help=CALIBRATION_HELP)],
    name: Annotated[
        str,
        typer.Option(
            "--name", metavar="NAME", help="Of the model, with its version at the end: gllmm-lite-0.1, for example."
        ),
    ],
    description: DescriptionOption = None,
    card: Annotated[
        Path | None, typer.Option("--card", metavar="FILE", help="JSON object whose entries go into the model card.")
    ] = None,
    threads: ThreadsOption = None,
    force: ForceOption = False,
) -> None:
    """Make a model file of a training checkpoint: integers for the probabilities, float16 for the transforms.

    The averaged weights are taken. The freezing loss is measured on the crops and
    printed: how many more bits the same symbols cost under the integers than
    under the float model. It should be at most 0.3 %.
    """
    check_name(name)
    facts = _card_facts(card) | given_facts(description or ())
    source = Source(checkpoint, TrainingError)
    destination = model_destination(output, source, force=force)
    path = checkpoint_path(source)
    with working("loading torch"):
        prepare_torch(Device.CPU, threads)
        from trimix.architectures.building import build
        from trimix.training.checkpoint import average_of, load_checkpoint, run_of, steps_of

    contents = load_checkpoint(path)
    run, steps = run_of(path, contents), steps_of(path, contents)
    model = build(run.model)
    model.load_state_dict(average_of(path, contents, model))
    with working("reading the calibration pictures"):
        crops = calibration_crops(calibrate)
    write_frozen(
        model, name, crops, {LAST_RUN_STEPS: str(steps)} | facts, destination, distortion=run.objective.measure
    )


def _card_facts(card: Path | None) -> dict[str, str]:
    if card is None:
        return {}
    try:
        facts = json.loads(card.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{card}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{card}: must be JSON, found that it is not: {error}") from error
    if not isinstance(facts, dict):
        raise ConfigurationError(f"{card}: must be a JSON object, found {type(facts).__name__}")
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in facts.items()}
