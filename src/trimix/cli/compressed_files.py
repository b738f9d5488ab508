"""What the commands that decode a ``.tmix`` file do first, before torch is loaded."""

from typing import Annotated

import typer

from trimix.bitstream import Container, Header, read_header
from trimix.cli.inputs import Source, naming
from trimix.errors import PictureTooLargeError
from trimix.frozen.catalogue import ModelEntry, find_model, find_model_by_hash

ModelOfFileOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="NAME|FILE",
        help="Model, see 'trimix models', or a .safetensors file.",
        show_default="the one whose hash stands in the file",
    ),
]


def checked_header(source: Source, maximum_pixels: int, *, keep_going: bool = False) -> Header:
    """The header of a compressed file whose bytes are whole; else CodecError, or PictureTooLargeError by its claim."""
    with naming(source):
        header = read_header(source.contents())
        if header.width * header.height > maximum_pixels:
            raise PictureTooLargeError(
                f"a picture may have at most {maximum_pixels} pixels, found {header.width} x {header.height} = "
                f"{header.width * header.height}; raise the limit if you trust the file"
            )
        Container.from_bytes(source.contents(), keep_going=keep_going)
    return header


def model_of_file(source: Source, header: Header, model: str | None) -> ModelEntry | None:
    """The model asked for, else that of the file's hash; None where it is lossless, ModelError if that is missing."""
    if header.is_lossless:
        return None
    with naming(source):
        return find_model_by_hash(header.weights_hash) if model is None else find_model(model)
