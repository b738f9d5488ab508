"""``trimix models``: which models are installed, and what their cards say. Needs no torch."""

import json as json_format
from typing import Annotated

import typer

from trimix.cli.options import JsonOption
from trimix.cli.outputs import print_json
from trimix.errors import ModelError
from trimix.models.catalogue import (
    DEFAULT_MODEL,
    MODELS_VARIABLE,
    ModelEntry,
    entries,
    find_model,
    folders,
)

PARAMETERS = "parameters"
"""Heading of a model's description under which the number of its parameters stands."""


def models(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME|FILE", help="Show this model's card.", show_default="list all"),
    ] = None,
    json: JsonOption = False,
) -> None:
    """List the models that are installed, or show what is known of one.

    Searched are the folders of the environment variable TRIMIX_MODELS, then the
    package's own. A name without version means the newest of that name in all
    of them. What has a slash or ends in .safetensors is a file.
    """
    if name is not None:
        entry = find_model(name)
        record = _record(entry) | {
            "model_identifier": entry.identifier,
            "description": entry.description,
            "configuration": _configuration(entry),
        }
        if json:
            print_json(record)
        else:
            _print_card(entry)
        return
    found = list(entries())
    default = _default_name()
    if json:
        print_json(
            {
                "models": [_record(entry) for entry in found],
                "default": default,
                "folders": [str(folder) for folder in folders()],
            }
        )
        return
    if found:
        _print_list(found)
    print(f"default: {default or f'none, no {DEFAULT_MODEL} is installed'}")
    print(f"searched: {', '.join(str(folder) for folder in folders())} ({MODELS_VARIABLE} adds folders)")


def _default_name() -> str | None:
    try:
        return find_model(DEFAULT_MODEL).name
    except ModelError:
        return None


def _size_bytes(entry: ModelEntry) -> int:
    try:
        return entry.path.stat().st_size
    except OSError as error:
        raise ModelError(f"{entry.path}: cannot be read: {error.strerror}") from error


def _configuration(entry: ModelEntry) -> dict[str, object]:
    return json_format.loads(entry.configuration)


def _record(entry: ModelEntry) -> dict[str, object]:
    return {
        "name": entry.name,
        "model_hash": entry.weights_hash.hex(),
        "bytes": _size_bytes(entry),
        "parameters": entry.description.get(PARAMETERS),
        "path": str(entry.path),
    }


def _print_list(found: list[ModelEntry]) -> None:
    rows = [("name", "hash", "bytes", "parameters", "path")] + [
        (
            entry.name,
            entry.weights_hash.hex(),
            str(_size_bytes(entry)),
            str(entry.description.get(PARAMETERS, "-")),
            str(entry.path),
        )
        for entry in found
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


def _print_card(entry: ModelEntry) -> None:
    # A list: a heading of the description must not take the place of a fact.
    rows = [
        ("name", entry.name),
        ("hash", entry.weights_hash.hex()),
        ("architecture", f"{_configuration(entry).get('kind', 'unknown')}, number {entry.identifier}"),
        ("size", f"{_size_bytes(entry)} bytes"),
        ("file", str(entry.path)),
        *entry.description.items(),
    ]
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"{name:<{width}}  {value}")
