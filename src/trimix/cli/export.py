"""``trimix export``: a model for decoders in other languages, the one for browsers first."""

from pathlib import Path
from typing import Annotated

import typer

from trimix.cli.options import ForceOption
from trimix.cli.outputs import print_summary
from trimix.errors import OutputError
from trimix.frozen.catalogue import DEFAULT_MODEL, find_model
from trimix.progress import working


def export(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help=f"Name or file of a model, {DEFAULT_MODEL} for example.")
    ],
    output: Annotated[
        Path,
        typer.Option("-o", "--output", metavar="FOLDER", help="Made if it is missing; several models can share it."),
    ],
    force: ForceOption = False,
) -> None:
    """Write what a decoder needs of a model, in forms that other languages read.

    Three files are written, named by the hash that compressed files have: the
    synthesis transform as ONNX, the integers that decide the symbols as
    safetensors, and what else there is to know as JSON. The decoder for
    browsers in web/ reads them.
    """
    entry = find_model(model)
    with working("exporting"):
        from trimix.frozen.export import exported_files
        from trimix.frozen.storage import load_frozen
        from trimix.images import write_atomically

        files = exported_files(load_frozen(entry.path))
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{output}: must be a folder, or one that can be made: {error.strerror}") from error
    for name, data in files.items():
        write_atomically(output / name, data, overwrite=force)
    file_bytes = sum(map(len, files.values()))
    print_summary(f"{output}: {entry.name}, hash {entry.weights_hash.hex()}, {len(files)} files, {file_bytes} bytes")
