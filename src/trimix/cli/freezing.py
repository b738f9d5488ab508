"""What the commands that write a model file share: its options, calibration pictures, freezing and the loss of it."""

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trimix.cli.inputs import Source
from trimix.cli.models import PARAMETERS
from trimix.cli.networks import announce_compilation
from trimix.cli.outputs import Destination, print_summary
from trimix.errors import ConfigurationError, UsageError
from trimix.frozen.catalogue import IDENTIFIERS, MODEL_NAME
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
_NOISE_SEED = 1
_NOISE_OCTAVES = 7

ModelOutputOption = Annotated[
    str, typer.Option("-o", "--output", metavar="MODEL.safetensors", help="Model file to write.")
]
DescriptionOption = Annotated[
    list[str] | None,
    typer.Option("--description", metavar="KEY=VALUE", help="Goes into the model card; may be given several times."),
]


def check_name(name: str) -> str:
    """The name, if a model may be called so (UsageError: it may not)."""
    if not MODEL_NAME.fullmatch(name):
        raise UsageError(f"--name must be at most 100 small letters, digits and . _ -, found {name!r}")
    return name


def model_destination(output: str, source: Source, *, force: bool) -> Destination:
    """Where a model file is written, checked.

    Args:
        output: the file.
        source: the checkpoint, which must not be overwritten.
        force: replace a file that exists.

    Raises:
        UsageError: the name would not be found as a model, or it is the checkpoint.
        OutputError: it exists, or cannot be written.
    """
    if Path(output).suffix != ".safetensors":
        raise UsageError(f"{output}: a model file must end in .safetensors, or it is not found; change --output")
    return Destination(output, source, force=force)


def checkpoint_path(source: Source) -> Path:
    """The file of a checkpoint, which is read in places and not from its beginning to its end.

    Raises:
        UsageError: it is a pipe.
    """
    path = source.path_or_contents()
    if isinstance(path, bytes):
        raise UsageError(f"{source.name}: a checkpoint must be a file, found a pipe; save it first")
    return path


def given_facts(pairs: Sequence[str]) -> dict[str, str]:
    """Facts of ``--description``, by heading.

    Raises:
        UsageError: one has no heading.

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
    from trimix.training.patches import load_pictures, validation_crops

    loaded = load_pictures(sources, 1, on_left_out=lambda note: print_summary(f"trimix: warning: left out: {note}"))
    pictures = [p for p in loaded if min(p.shape[:2]) >= CROP_SIDE]
    if not pictures:
        raise ConfigurationError(
            f"--calibrate needs pictures of at least {CROP_SIDE}x{CROP_SIDE} pixels, found none in "
            f"{', '.join(str(source) for source in sources)}"
        )
    step = max(1, len(pictures) // CROP_COUNT)
    return validation_crops(pictures[::step][:CROP_COUNT], CROP_SIDE)


def noise_crops() -> "Tensor":
    """Pictures for calibration where there are none, [N 3 H W] in [0, 1]: noise of every scale, always the same.

    Each octave of resolution has about the same energy, as in photographs. From one crop to the next the contrast
    grows, so that the last ones, clipped, hold flat areas and hard edges.
    """
    import torch
    from torch.nn import functional as F

    generator = torch.Generator().manual_seed(_NOISE_SEED)
    size = (CROP_SIDE, CROP_SIDE)
    waves = torch.zeros(CROP_COUNT, 3, *size)
    for octave in range(1, _NOISE_OCTAVES + 1):
        side = min(2**octave, CROP_SIDE)
        grey = torch.randn(CROP_COUNT, 1, side, side, generator=generator)
        colour = torch.randn(CROP_COUNT, 3, side, side, generator=generator)
        waves += F.interpolate(grey + 0.3 * colour, size=size, mode="bicubic")
    contrast = torch.linspace(0.03, 0.4, CROP_COUNT)[:, None, None, None]
    return (0.5 + contrast * waves).clamp(0, 1)


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
    """Freeze a model, measure what that costs, write the file, and say so.

    Args:
        model: on the CPU, in float32.
        name: of the model.
        crops: for calibration and measurement, [N 3 H W] in [0, 1].
        facts: of the model card, text by heading; they count before those that are measured here.
        destination: of the file.
        distortion: what the model was trained for, if that is known.
        crops_named: what the crops are, for the summary.

    Raises:
        ModelError: the model cannot be frozen, or the file could not be read again.
        OutputError: the file cannot be written.
    """
    from trimix.freezing.freeze import freeze, measure_freezing_loss
    from trimix.frozen.model import ModelIdentity
    from trimix.frozen.storage import save_frozen

    # A model of one rate ignores the quality: it computes the same at all of them.
    qualities = {} if model.config.all_rates else {"qualities": (50.0,)}
    announce_compilation("counting")
    with working("freezing"):
        identity = ModelIdentity(name, IDENTIFIERS[model.config.kind], b"", {})
        frozen = freeze(model, identity, crops, **qualities, distortion=distortion)
        loss = measure_freezing_loss(model, frozen, crops, **qualities)
        measured = {
            PARAMETERS: str(sum(parameter.numel() for parameter in model.parameters())),
            "freezing loss": f"{loss.percent:.3f} %",
        }
        frozen = replace(frozen, identity=replace(frozen.identity, description=measured | facts))
        # Written aside and copied, so that the output appears whole or not at all, and is replaced only if wanted.
        with tempfile.TemporaryDirectory() as folder:
            temporary = Path(folder) / "model.safetensors"
            frozen = save_frozen(frozen, temporary)
            data = temporary.read_bytes()
        destination.write(data)
    print_summary(
        f"{destination.name}: {name}, hash {frozen.identity.weights_hash.hex()}, {len(data)} bytes, "
        f"freezing loss {loss.percent:.3f} % ({len(crops)} {crops_named})"
    )
    if loss.percent > LOSS_MAXIMUM_PERCENT:
        print(
            f"trimix: warning: the freezing loss should be at most {LOSS_MAXIMUM_PERCENT} %; "
            "calibrate with pictures like those of the training",
            file=sys.stderr,
        )
