"""``trimix models``: which models are installed, and what one is made of and costs. The list needs no torch."""

import json as json_format
import re
from dataclasses import asdict
from typing import Annotated, Any

import typer

from trimix.bitstream import MAXIMUM_PIXELS, MAXIMUM_SIDE
from trimix.cli.networks import prepare_torch
from trimix.cli.options import Device, JsonOption
from trimix.cli.outputs import print_json, print_table
from trimix.errors import ModelError, UsageError
from trimix.frozen.catalogue import (
    DEFAULT_MODEL,
    IDENTIFIERS,
    MODELS_VARIABLE,
    PARAMETERS,
    ModelEntry,
    Tune,
    earlier_models,
    entries,
    find_model,
    folders,
)
from trimix.progress import harmless, working

LAST_RUN_STEPS = "steps of the last run"
"""Heading of the steps of the run whose checkpoint was frozen; runs that it started from are not counted."""
_FORMER_LAST_RUN_STEPS = "training steps"
_READER = {True: "this release", False: "that release"}
_NO_WEIGHTS = "architecture, no weights installed"


def models(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME|FILE",
            help=f"Show this model's card and what it costs; or an architecture's: {', '.join(IDENTIFIERS)}.",
            show_default="list all",
        ),
    ] = None,
    size: Annotated[
        str,
        typer.Option(
            "--size", metavar="WIDTHxHEIGHT", help="Picture for which passes of the entropy model are counted."
        ),
    ] = "768x512",
    every: Annotated[
        bool, typer.Option("--all", help="List the weights of earlier releases, too, and how to get them.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """List the models that are installed, or show what is known of one and what it costs.

    Searched are the folders of the environment variable TRIMIX_MODELS, then the
    package's own. A name without version means the newest of that name in all
    of them. What has a slash or ends in .safetensors is a file.

    The cost is counted in multiplications with their additions (MAC) for each pixel
    of the picture. Passes of the entropy model run one after the other. The name of
    an architecture without weights shows the cost of its default configuration.
    """
    width, height = _picture_size(size)
    if name is not None:
        _show(name, width, height, json=json)
        return
    found, earlier = list(entries()), earlier_models() if every else []
    tunes = {str(tune): _installed_name(tune.model) for tune in Tune}
    default = _installed_name(DEFAULT_MODEL)
    if json:
        print_json(
            {
                "models": [_record(entry) for entry in found],
                "default": default,
                "tunes": tunes,
                "folders": [str(folder) for folder in folders()],
                **({"earlier": [asdict(one) | {"command": one.command} for one in earlier]} if every else {}),
            }
        )
        return
    if found:
        rows = [["-" if value is None else str(value) for value in _record(entry).values()] for entry in found]
        print_table([("name", "hash", "bytes", "parameters", "path"), *rows], text_columns=5)
    if earlier:
        rows = [(one.name, one.hash, str(one.bytes), _READER[one.is_readable], one.command) for one in earlier]
        print_table([("earlier", "hash", "bytes", "read by", "in a clone of trimix"), *rows], text_columns=5)
    print(f"default: {default or f'none, no {DEFAULT_MODEL} is installed'}")
    print(", ".join(f"--tune {tune}: {name or 'none'}" for tune, name in tunes.items()))
    print(f"searched: {', '.join(str(folder) for folder in folders())} ({MODELS_VARIABLE} adds folders)")


def _picture_size(size: str) -> tuple[int, int]:
    sides = re.fullmatch(r"([0-9]{1,9})x([0-9]{1,9})", size)
    if not sides:
        raise UsageError(f"--size must be WIDTHxHEIGHT in pixels, 768x512 for example, found {size!r}")
    width, height = int(sides[1]), int(sides[2])
    if not (0 < width <= MAXIMUM_SIDE and 0 < height <= MAXIMUM_SIDE and width * height <= MAXIMUM_PIXELS):
        raise UsageError(
            f"--size must have sides of 1 to {MAXIMUM_SIDE} pixels and at most {MAXIMUM_PIXELS} pixels, found {size}"
        )
    return width, height


def _show(name: str, width: int, height: int, *, json: bool) -> None:
    try:
        entry = find_model(name)
    except ModelError:
        if name not in IDENTIFIERS:
            raise
        entry = None
    with working("counting"):
        cost = _cost(name, entry, width, height)
    if json:
        record = (
            {"name": name, "weights": None, "model_identifier": IDENTIFIERS[name]}
            if entry is None
            else _record(entry) | {"model_identifier": entry.identifier, "description": entry.description}
        )
        print_json(record | cost)
        return
    if entry is None:
        print(f"{name}: {_NO_WEIGHTS}; this is its default configuration")
    else:
        _print_card(entry)
    print()
    networks = cost["networks"]
    rows = [("network", "parameters", "kMAC/pixel")]
    rows += [(one["name"], str(one["parameters"]), f"{one['kilo_mac_per_pixel']:.1f}") for one in networks]
    rows += [
        ("all", str(sum(one["parameters"] for one in networks)), ""),
        ("to encode", "", f"{cost['kilo_mac_per_pixel_to_encode']:.1f}"),
        ("to decode", "", f"{cost['kilo_mac_per_pixel_to_decode']:.1f}"),
    ]
    print_table(rows, text_columns=1)
    print(f"passes of the entropy model: {cost['entropy_model_passes']} for {width}x{height}")


def _cost(name: str, entry: ModelEntry | None, width: int, height: int) -> dict[str, Any]:
    """What a model costs: its configuration, its networks in the order of the data, thousand MAC a pixel, passes."""
    prepare_torch(Device.CPU, None)
    from pydantic import TypeAdapter

    from trimix.architectures.complexity import complexity, entropy_model_passes
    from trimix.architectures.config import ModelConfig, read_configuration

    if entry is None:
        config = TypeAdapter(ModelConfig).validate_python({"kind": name})
    else:
        from trimix.frozen.storage import load_frozen

        # The whole file is read: what is damaged is not described.
        text = load_frozen(entry.path).stored.configuration
        try:
            config = read_configuration(text)
        except ModelError as error:
            raise ModelError(f"{entry.path}: {error}") from error
    networks = [
        {
            "name": one.name,
            "parameters": one.parameters,
            "kilo_mac_per_pixel": one.multiply_accumulates_per_pixel / 1000,
            "encodes": one.encodes,
            "decodes": one.decodes,
        }
        for one in complexity(config)
    ]
    return {
        "configuration": config.model_dump(mode="json"),
        "networks": networks,
        "kilo_mac_per_pixel_to_encode": sum(one["kilo_mac_per_pixel"] for one in networks if one["encodes"]),
        "kilo_mac_per_pixel_to_decode": sum(one["kilo_mac_per_pixel"] for one in networks if one["decodes"]),
        "entropy_model_passes": entropy_model_passes(config, height, width),
        "width": width,
        "height": height,
    }


def _installed_name(model: str) -> str | None:
    try:
        return find_model(model).name
    except ModelError:
        return None


def _size_bytes(entry: ModelEntry) -> int:
    try:
        return entry.path.stat().st_size
    except OSError as error:
        raise ModelError(f"{entry.path}: cannot be read: {error.strerror}") from error


def _record(entry: ModelEntry) -> dict[str, object]:
    return {
        "name": entry.name,
        "model_hash": entry.weights_hash.hex(),
        "bytes": _size_bytes(entry),
        "parameters": entry.description.get(PARAMETERS),
        "path": str(entry.path),
    }


def _print_card(entry: ModelEntry) -> None:
    facts = dict(entry.description)
    # Files that know the new heading may use the former one for what they like.
    former = _FORMER_LAST_RUN_STEPS if LAST_RUN_STEPS not in facts else None
    # A list: a heading of the description must not take the place of a fact.
    rows = [
        ("name", entry.name),
        ("hash", entry.weights_hash.hex()),
        ("architecture", f"{json_format.loads(entry.configuration).get('kind', 'unknown')}, number {entry.identifier}"),
        ("size", f"{_size_bytes(entry)} bytes"),
        ("file", str(entry.path)),
        *((LAST_RUN_STEPS if name == former else name, value) for name, value in facts.items()),
    ]
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(harmless(f"{name:<{width}}  {value}"))
