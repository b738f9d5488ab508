"""``trimix import-compressai``: from a checkpoint of CompressAI to a model file that compresses and decompresses."""

import re
import shlex
from pathlib import Path
from typing import Annotated

import typer

from trimix.cli import freezing
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
from trimix.cli.networks import prepare_torch
from trimix.cli.options import Device, ForceOption, ThreadsOption
from trimix.cli.outputs import print_summary
from trimix.errors import ModelError, UsageError
from trimix.progress import working

_NAME_LIMIT = 100


def import_compressai(
    checkpoint: Annotated[
        str,
        typer.Argument(
            metavar="CHECKPOINT",
            help="State dict as torch.save writes it, plain or under 'state_dict' or 'network'. Nothing in it is "
            "executed.",
        ),
    ],
    output: ModelOutputOption,
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="NAME", help="Of the model.", show_default="architecture and file name"),
    ] = None,
    calibrate: Annotated[
        list[Path] | None,
        typer.Option("--calibrate", metavar="FOLDER|TAR", help=CALIBRATION_HELP, show_default="noise, always the same"),
    ] = None,
    rate_distortion_lambda: Annotated[
        float | None,
        typer.Option(
            "--lambda",
            metavar="LAMBDA",
            help="Trade-off that the weights were trained for, of R + LAMBDA * 255^2 * MSE; noted in the model file.",
            show_default="0.013",
        ),
    ] = None,
    description: DescriptionOption = None,
    threads: ThreadsOption = None,
    force: ForceOption = False,
) -> None:
    """Make a model file of weights of CompressAI, which need not be installed.

    Known are bmshj2018-hyperprior, mbt2018-mean, mbt2018, cheng2020-anchor and
    cheng2020-attn, of any width. They have one rate: --quality changes nothing.

    Calibration tells how large activations get; a factor 4 is left to spare.
    Whatever it saw, files decode: what is larger is clamped by encoder and
    decoder alike, and costs bits only. Without --calibrate, noise of every scale
    stands for pictures, and the freezing loss is that of noise.
    """
    if name is not None:
        check_name(name)
    if rate_distortion_lambda is not None and not 0 < rate_distortion_lambda < float("inf"):
        raise UsageError(f"--lambda must be above 0, found {rate_distortion_lambda:g}")
    facts = given_facts(description or ())
    source = Source(checkpoint, ModelError)
    destination = model_destination(output, source, force=force)
    path = checkpoint_path(source)
    with working("loading torch"):
        prepare_torch(Device.CPU, threads)
        from trimix.freezing.model_file import noise_crops
        from trimix.integrations.compressai_import import architecture_of, model_from_state_dict, read_checkpoint

    with working(f"reading {source.name}"):
        state = read_checkpoint(path)
        try:
            model = model_from_state_dict(state, rate_distortion_lambda=rate_distortion_lambda)
        except ModelError as error:
            raise ModelError(f"{source.name}: {error}") from error
    architecture = architecture_of(model.config)
    name = name or default_name(architecture, path)
    with working("reading the calibration pictures"):
        crops = calibration_crops(calibrate) if calibrate else noise_crops(freezing.CROP_COUNT, freezing.CROP_SIDE)
    crops_named = "crops" if calibrate else "crops of noise"
    config = model.config
    print_summary(
        f"{source.name}: {architecture}, N = {config.hyper_latent_channels}, M = {config.latent_channels}, "
        f"{sum(parameter.numel() for parameter in model.parameters())} parameters"
    )
    measured = {
        "architecture": f"{architecture}, N = {config.hyper_latent_channels}, M = {config.latent_channels}",
        "weights": f"of CompressAI, {path.name}",
        "calibration": f"{len(crops)} {crops_named}",
    }
    write_frozen(model, name, crops, measured | facts, destination, crops_named=crops_named)
    if not calibrate:
        print_summary("calibrated with noise; --calibrate with photographs tells the loss on photographs")
    option = f"--model {shlex.quote(output)}"
    print_summary(f"next: trimix compress photo.png {option} -o photo.tmix")
    print_summary(f"      trimix decompress photo.tmix {option} -o photo.decoded.png")


def default_name(architecture: str, checkpoint: Path) -> str:
    """A name for the model of a checkpoint: the architecture, then the file's name, which need not repeat it.

    >>> default_name("mbt2018-mean", Path("mbt2018-mean-4-7ba7cc40.pth.tar"))
    'mbt2018-mean-4-7ba7cc40'
    >>> default_name("cheng2020-attn", Path("My Checkpoint_best.pth"))
    'cheng2020-attn-my-checkpoint_best'
    """
    stem = re.sub(r"(\.(pth|pt|tar|ckpt|bin))+$", "", checkpoint.name.lower())
    stem = re.sub(r"[^a-z0-9._-]+", "-", stem).strip("-._")
    if not stem.startswith(architecture):
        stem = f"{architecture}-{stem}".rstrip("-")
    return stem[:_NAME_LIMIT]
