"""``trimix freeze``: from a training checkpoint to the model file that is shipped."""

import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trimix.cli.inputs import Source
from trimix.cli.models import PARAMETERS
from trimix.cli.networks import announce_compilation, prepare_torch
from trimix.cli.options import Device, ForceOption, ThreadsOption
from trimix.cli.outputs import Destination
from trimix.cli.progress import working
from trimix.errors import ConfigurationError, TrainingError, UsageError
from trimix.models.catalogue import IDENTIFIERS, MODEL_NAME

if TYPE_CHECKING:
    from trimix.shapes import Tensor

CROP_COUNT = 16
CROP_SIDE = 256
"""Pixels; a multiple of 64."""
LOSS_MAXIMUM_PERCENT = 0.3
"""More bits than this against the float model, and the command warns."""


def freeze(
    checkpoint: Annotated[
        str, typer.Argument(metavar="CHECKPOINT", help="Of 'trimix train': last.ckpt in the folder of a run.")
    ],
    output: Annotated[
        str, typer.Option("-o", "--output", metavar="MODEL.safetensors", help="Model file to write.")
    ],
    calibrate: Annotated[
        list[Path],
        typer.Option(
            "--calibrate",
            metavar="FOLDER|TAR",
            help=f"Pictures that show how large activations get; {CROP_COUNT} crops of {CROP_SIDE}x{CROP_SIDE} "
            "are cut from them. May be given several times.",
        ),
    ],
    name: Annotated[
        str,
        typer.Option(
            "--name",
            metavar="NAME",
            help="Of the model, with its version at the end: gllmm-lite-0.1, for example.",
        ),
    ],
    description: Annotated[
        list[str] | None,
        typer.Option(
            "--description", metavar="KEY=VALUE", help="Goes into the model card; may be given several times."
        ),
    ] = None,
    card: Annotated[
        Path | None,
        typer.Option("--card", metavar="FILE", help="JSON object whose entries go into the model card."),
    ] = None,
    threads: ThreadsOption = None,
    force: ForceOption = False,
) -> None:
    """Make a model file of a training checkpoint: integers for the probabilities, float16 for the transforms.

    The averaged weights are taken. The freezing loss is measured on the crops and
    printed: how many more bits the same symbols cost under the integers than
    under the float model. It should be at most 0.3 %.
    """
    if not MODEL_NAME.fullmatch(name):
        raise UsageError(f"--name must be at most 100 small letters, digits and . _ -, found {name!r}")
    if Path(output).suffix != ".safetensors":
        raise UsageError(
            f"{output}: a model file must end in .safetensors, or it is not found; change --output"
        )
    facts = _card_facts(card) | _given_facts(description or ())
    source = Source(checkpoint, TrainingError)
    destination = Destination(output, source, force=force)
    with working("loading torch"):
        prepare_torch(Device.CPU, threads)
        from trimix.cli.checkpoints import read_checkpoint
        from trimix.models.freeze import freeze as freeze_model
        from trimix.models.freeze import measure_freezing_loss
        from trimix.models.frozen import ModelIdentity
        from trimix.models.gllmm_lite import GllmmLite
        from trimix.models.weights import save_frozen

    trained = read_checkpoint(Path(checkpoint))
    model = GllmmLite(trained.configuration.model)
    try:
        model.load_state_dict(trained.average)
    except RuntimeError as error:
        raise TrainingError(f"{checkpoint}: its weights do not fit its configuration: {error}") from error
    with working("reading the calibration pictures"):
        crops = _calibration_crops(calibrate)
    announce_compilation("counting")
    with working("freezing"):
        frozen = freeze_model(model, ModelIdentity(name, IDENTIFIERS[model.config.kind], b"", {}), crops)
        loss = measure_freezing_loss(model, frozen, crops)
        measured = {
            PARAMETERS: str(sum(parameter.numel() for parameter in model.parameters())),
            "training steps": str(trained.steps),
            "freezing loss": f"{loss.percent:.3f} %",
        }
        frozen = replace(frozen, identity=replace(frozen.identity, description=measured | facts))
        # Written aside and copied, so that the output appears whole or not at all, and is replaced only if wanted.
        with tempfile.TemporaryDirectory() as folder:
            temporary = Path(folder) / "model.safetensors"
            frozen = save_frozen(frozen, temporary)
            data = temporary.read_bytes()
        destination.write(data)
    print(
        f"{destination.name}: {name}, hash {frozen.identity.weights_hash.hex()}, {len(data)} bytes, "
        f"freezing loss {loss.percent:.3f} % ({len(crops)} crops)",
        file=sys.stderr,
    )
    if loss.percent > LOSS_MAXIMUM_PERCENT:
        print(
            f"trimix: warning: the freezing loss should be at most {LOSS_MAXIMUM_PERCENT} %; "
            "calibrate with pictures like those of the training",
            file=sys.stderr,
        )


def _given_facts(pairs: Sequence[str]) -> dict[str, str]:
    facts = {}
    for pair in pairs:
        key, separator, value = pair.partition("=")
        if not separator or not key.strip():
            raise UsageError(f"--description must be KEY=VALUE, found {pair!r}")
        facts[key.strip()] = value.strip()
    return facts


def _card_facts(card: Path | None) -> dict[str, str]:
    if card is None:
        return {}
    try:
        facts = json.loads(card.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{card}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigurationError(f"{card}: must be JSON, found that it is not: {error}") from error
    if not isinstance(facts, dict):
        raise ConfigurationError(f"{card}: must be a JSON object, found {type(facts).__name__}")
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in facts.items()}


def _calibration_crops(sources: Sequence[Path]) -> "Tensor":
    from trimix.training.patches import load_pictures, validation_crops

    pictures = [p for p in load_pictures(sources, 1) if min(p.shape[:2]) >= CROP_SIDE]
    if not pictures:
        raise ConfigurationError(
            f"--calibrate needs pictures of at least {CROP_SIDE}x{CROP_SIDE} pixels, found none in "
            f"{', '.join(str(source) for source in sources)}"
        )
    step = max(1, len(pictures) // CROP_COUNT)  # spread over all of them
    return validation_crops(pictures[::step][:CROP_COUNT], CROP_SIDE)
