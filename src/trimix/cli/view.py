"""``trimix view``: a ``.tmix`` file in the system's viewer of pictures."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from trimix.bitstream import MAXIMUM_PIXELS
from trimix.cli.compressed_files import ModelOfFileOption, checked_header, model_of_file
from trimix.cli.decompress import Decoding, prepare
from trimix.cli.inputs import Source
from trimix.cli.options import Device, DeviceOption, MaximumPixelsOption, MaximumSecondsOption
from trimix.cli.outputs import print_summary
from trimix.errors import CodecError, OutputError
from trimix.progress import working
from trimix.time_budget import limited_time


def view(
    file: Annotated[str, typer.Argument(metavar="FILE", help="Compressed file; - reads standard input.")],
    model: ModelOfFileOption = None,
    device: DeviceOption = Device.CPU,
    maximum_pixels: MaximumPixelsOption = MAXIMUM_PIXELS,
    maximum_seconds: MaximumSecondsOption = None,
) -> None:
    """Show a .tmix file in the system's viewer of pictures.

    It is decoded to a PNG in the folder for temporary files, which the system
    clears in its time: the viewer may still need it when this command has ended.
    """
    source = Source(file, CodecError)
    header = checked_header(source, maximum_pixels)
    model_of_file(source, header, model)
    device_name = prepare(device, None)
    with working(f"decompressing {source.name}") as tell, limited_time(maximum_seconds, tell):
        made = Decoding(model, maximum_pixels).made(source, header, device_name, "png")
        name = "standard-input" if source.path is None else source.path.stem
        shown = Path(tempfile.mkdtemp(prefix="trimix-")) / f"{name}.png"
        shown.write_bytes(made.data)
    for note in made.notes:
        print_summary(f"trimix: {note}")
    if typer.launch(str(shown)) != 0:
        raise OutputError(f"{shown}: the system must have a viewer of pictures, found none; open it by hand")
    print_summary(f"{source.name}: shown from {shown}")
