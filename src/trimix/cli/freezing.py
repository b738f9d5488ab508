"""What the commands that write a model file share: its options, calibration pictures, freezing and the loss of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trimix.cli.inputs import Source
from trimix.cli.networks import announce_compilation
from trimix.cli.outputs import Destination, print_summary
from trimix.errors import ConfigurationError, UsageError
from trimix.frozen.catalogue import MODEL_NAME
from trimix.progress import working

if TYPE_CHECKING:
    from trimix.architectures.compression_model import CompressionModel
    from trimix.distortion import Distortion
    from trimix.shapes import Tensor

CROP_COUNT = 16
CROP_SIDE = 256
"""Pixels; a multiple of 64."""
LOSS_MAXIMUM_PERCENT = 0.3
"""More bits than this against the float model, and the command warns."""
CALIBRATION_HELP = (
    f"Pictures that show how large activations get; {CROP_COUNT} crops of {CROP_SIDE}x{CROP_SIDE} "
    "are cut from them. May be given several times."
)

ModelOutputOption = Annotated[
    str, typer.Option("-o", "--output", metavar="MODEL.safetensors", help="Model file to write.")
]
DescriptionOption = Annotated[
    list[str] | None,
    typer.Option("--description", metavar="KEY=VALUE", help="Goes into the model card; may be given several times."),
]


def check_name(name: str) -> str:
    """The name, if a model may be called so; else a UsageError."""
    if not MODEL_NAME.fullmatch(name):
        raise UsageError(f"--name must be at most 100 small letters, digits and . _ -, found {name!r}")
    return name


def model_destination(output: str, source: Source, *, force: bool) -> Destination:
    """Where a model file is written, checked; UsageError too if its name would not be found as a model's."""
    if Path(output).suffix != ".safetensors":
        raise UsageError(f"{output}: a model file must end in .safetensors, or it is not found; change --output")
    return Destination(output, source, force=force)


def checkpoint_path(source: Source) -> Path:
    """The file of a checkpoint, which is read in places; UsageError for a pipe."""
    path = source.path_or_contents()
    if isinstance(path, bytes):
        raise UsageError(f"{source.name}: a checkpoint must be a file, found a pipe; save it first")
    return path


def given_facts(pairs: Sequence[str]) -> dict[str, str]:
    """Facts of ``--description``, by heading; UsageError if one has none.

    >>> given_facts(["author = A. B."])
    {'author': 'A. B.'}
    """
    facts = {}
    for pair in pairs:
        key, separator, value = pair.partition("=")
        if not separator or not key.strip():
            raise UsageError(f"--description must be KEY=VALUE, found {pair!r}")
        facts[key.strip()] = value.strip()
    return facts


def calibration_crops(sources: Sequence[Path]) -> "Tensor":
    """Central squares of pictures that are spread over all of the sources, [N 3 H W] in [0, 1].

    Raises:
        ConfigurationError: a source cannot be read, or no picture is large enough.
    """
    from trimix.training.patches import validation_crops
    from trimix.training.picture_files import load_pictures

    loaded = load_pictures(sources, 1, on_left_out=lambda note: print_summary(f"trimix: warning: left out: {note}"))
    pictures = [p for p in loaded if min(p.shape[:2]) >= CROP_SIDE]
    if not pictures:
        raise ConfigurationError(
            f"--calibrate needs pictures of at least {CROP_SIDE}x{CROP_SIDE} pixels, found none in "
            f"{', '.join(str(source) for source in sources)}"
        )
    step = max(1, len(pictures) // CROP_COUNT)
    return validation_crops(pictures[::step][:CROP_COUNT], CROP_SIDE)


def write_frozen(
    model: "CompressionModel",
    name: str,
    crops: "Tensor",
    facts: dict[str, str],
    destination: Destination,
    *,
    distortion: "Distortion | None" = None,
    crops_named: str = "crops",
) -> None:
    """Freeze a model, write the file, and say what that costs; for ``model`` to ``distortion`` see ``model_file``.

    Raises:
        ModelError: the model cannot be frozen, or the file could not be read again.
        OutputError: the file cannot be written.
    """
    from trimix.freezing.model_file import model_file

    announce_compilation("counting")
    with working("freezing"):
        data, identity, loss = model_file(model, name, crops, facts, distortion)
        destination.write(data)
    print_summary(
        f"{destination.name}: {name}, hash {identity.weights_hash.hex()}, {len(data)} bytes, "
        f"freezing loss {loss.percent:.3f} % ({len(crops)} {crops_named})"
    )
    if loss.percent > LOSS_MAXIMUM_PERCENT:
        print_summary(
            f"trimix: warning: the freezing loss should be at most {LOSS_MAXIMUM_PERCENT} %; "
            "calibrate with pictures like those of the training"
        )
