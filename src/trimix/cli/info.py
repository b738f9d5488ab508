"""``trimix info``: what a ``.tmix`` file says about itself. Needs neither its model nor torch."""

from typing import Annotated

import typer

from trimix.bitstream import HEADER_BYTES_MAXIMUM, QUALITY_STEPS, Description, describe
from trimix.cli.batch import RecursiveOption
from trimix.cli.failures import explain
from trimix.cli.inputs import Source, naming
from trimix.cli.options import JsonOption
from trimix.cli.outputs import print_json
from trimix.cli.selection import are_many, is_compressed, nothing_found, select
from trimix.errors import CodecError, CorruptedFileError, TrimixError, TruncatedFileError, UnknownModelError
from trimix.frozen.catalogue import find_model_by_hash
from trimix.progress import harmless

_CHANNEL_NAMES = ("grey", "grey and alpha", "RGB", "RGB and alpha")
_METADATA_NAMES = {
    "icc_profile": "ICC profile",
    "exif": "EXIF",
    "xmp": "XMP",
    "chunks": "chunks of PNG",
    "iptc": "IPTC",
    "extended_xmp": "extended XMP",
}


def info(
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE...", help="Compressed files and folders of them; - reads standard input."),
    ],
    recursive: RecursiveOption = False,
    json: JsonOption = False,
) -> None:
    """Show what .tmix files say about themselves.

    Only the header is read: this is quick and needs no model. Checksums of the
    contents are not checked, but a file that was cut short is reported.
    """
    if not are_many(files):
        _show(files[0], json=json)
        return
    selection = select(files, None, "png", recursive=recursive, is_wanted=is_compressed)
    if not selection.jobs:
        raise CodecError(nothing_found(selection, "compressed file"))
    codes = []
    for index, job in enumerate(selection.jobs):
        try:
            _show(str(job.source), json=json)
            if not json and index < len(selection.jobs) - 1:
                print()
        except TrimixError as error:
            codes.append(explain(error))
    if codes:
        raise typer.Exit(codes[0])


def _show(file: str, *, json: bool) -> None:
    source = Source(file, CodecError)
    with naming(source):
        description = describe(source.beginning(HEADER_BYTES_MAXIMUM))
    try:
        model = find_model_by_hash(description.header.weights_hash).name
    except UnknownModelError:
        model = None
    if json:
        print_json(_record(description, source, model))
    else:
        _print_table(description, source, model)
    found = f"{source.name}: the file must have {description.file_bytes} bytes, found {source.size_bytes}"
    if source.size_bytes < description.file_bytes:
        raise TruncatedFileError(f"{found}; it was cut short: fetch it again")
    if source.size_bytes > description.file_bytes:
        raise CorruptedFileError(f"{found}; remove what follows its end or fetch it again")


def _metadata(description: Description) -> list[str]:
    return [_METADATA_NAMES[one.name] for one in description.sections if one.name in _METADATA_NAMES]


def _bits_per_pixel(description: Description) -> float:
    return 8 * description.file_bytes / (description.header.width * description.header.height)


def _record(description: Description, source: Source, model: str | None) -> dict[str, object]:
    header = description.header
    return {
        "file": source.name,
        "format_version": description.format_version,
        "width": header.width,
        "height": header.height,
        "channels": header.channels,
        "bit_depth": header.bit_depth,
        "quality": round(header.quality / QUALITY_STEPS, 2),
        "lossless": header.is_lossless,
        "model": model,
        "model_hash": header.weights_hash.hex(),
        "model_identifier": header.model_identifier,
        "tile_layout": header.tile_layout,
        "symbol_checksum": f"{description.symbol_checksum:08x}",
        "bytes": source.size_bytes,
        "expected_bytes": description.file_bytes,
        "complete": source.size_bytes == description.file_bytes,
        "bits_per_pixel": _bits_per_pixel(description),
        "header_bytes": description.header_bytes,
        "payload_bytes": description.payload_bytes,
        "metadata_bytes": description.metadata_bytes,
        "sections": [
            {"name": section.name, "bytes": section.stored_bytes, "deflated": section.is_deflated}
            for section in description.sections
        ],
        "metadata": _metadata(description),
    }


def _print_table(description: Description, source: Source, model: str | None) -> None:
    header = description.header
    quality, needed = f"{round(header.quality / QUALITY_STEPS, 2):g}", f"{model or 'not found here'}, hash "
    if header.is_lossless:
        quality, needed = "lossless", "none"
    else:
        needed += header.weights_hash.hex()
    sections = [f"header {description.header_bytes}"] + [
        f"{section.name} {section.stored_bytes}{' (deflated)' if section.is_deflated else ''}"
        for section in description.sections
    ]
    channels = _CHANNEL_NAMES[header.channels - 1]
    rows = (
        ("file", f"{source.name}, format version {description.format_version}"),
        ("picture", f"{header.width} x {header.height} pixels, {channels}, {header.bit_depth} bits per sample"),
        ("quality", quality),
        ("model", needed),
        ("size", f"{description.file_bytes} bytes, {_bits_per_pixel(description):.4f} bits per pixel"),
        ("payload", f"{description.payload_bytes} bytes"),
        ("sections", f"{', '.join(sections)} bytes"),
        ("metadata", ", ".join(_metadata(description)) or "none"),
    )
    for name, value in rows:
        print(harmless(f"{name:<10}{value}"))
