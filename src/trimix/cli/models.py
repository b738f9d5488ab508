"""``trimix models``: which models are installed, and what one is made of and costs. The list needs no torch."""

import json as json_format
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

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
    ModelEntry,
    Tune,
    entries,
    find_model,
    folders,
)
from trimix.progress import harmless, working

if TYPE_CHECKING:
    from trimix.architectures.complexity import NetworkComplexity
    from trimix.architectures.config import CompressionConfig

PARAMETERS = "parameters"
"""Heading of a model's description under which the number of its parameters stands."""
LAST_RUN_STEPS = "steps of the last run"
"""Heading of the steps of the run whose checkpoint was frozen; runs that it started from are not counted."""
_FORMER_LAST_RUN_STEPS = "training steps"
NO_WEIGHTS = "architecture, no weights installed"


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
    found = list(entries())
    tunes = {str(tune): _installed_name(tune.model) for tune in Tune}
    default = _installed_name(DEFAULT_MODEL)
    if json:
        print_json(
            {
                "models": [_record(entry) for entry in found],
                "default": default,
                "tunes": tunes,
                "folders": [str(folder) for folder in folders()],
            }
        )
        return
    if found:
        _print_list(found)
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
        print_json(record | {"configuration": cost.configuration} | cost.record())
        return
    if entry is None:
        print(f"{name}: {NO_WEIGHTS}; this is its default configuration")
    else:
        _print_card(entry)
    print()
    _print_cost(cost)


@dataclass(frozen=True)
class _Cost:
    """What a model costs.

    Args:
        configuration: of its architecture.
        networks: in the order of the data.
        passes: of the entropy model.
        width: of the picture that the passes are for, in pixels.
        height: of it.
    """

    configuration: dict[str, object]
    networks: "tuple[NetworkComplexity, ...]"
    passes: int
    width: int
    height: int

    @property
    def to_encode(self) -> float:
        """Thousand multiplications a pixel."""
        return sum(_kilo_mac(network) for network in self.networks if network.encodes)

    @property
    def to_decode(self) -> float:
        """Thousand multiplications a pixel."""
        return sum(_kilo_mac(network) for network in self.networks if network.decodes)

    def record(self) -> dict[str, object]:
        """For JSON; MACs in thousands."""
        return {
            "networks": [
                {
                    "name": network.name,
                    "parameters": network.parameters,
                    "kilo_mac_per_pixel": _kilo_mac(network),
                    "encodes": network.encodes,
                    "decodes": network.decodes,
                }
                for network in self.networks
            ],
            "kilo_mac_per_pixel_to_encode": self.to_encode,
            "kilo_mac_per_pixel_to_decode": self.to_decode,
            "entropy_model_passes": self.passes,
            "width": self.width,
            "height": self.height,
        }


def _kilo_mac(network: "NetworkComplexity") -> float:
    return network.multiply_accumulates_per_pixel / 1000


def _cost(name: str, entry: ModelEntry | None, width: int, height: int) -> _Cost:
    prepare_torch(Device.CPU, None)
    from trimix.architectures.complexity import complexity, entropy_model_passes

    config = _default_configuration(name) if entry is None else _stored_configuration(entry)
    return _Cost(
        config.model_dump(mode="json"), complexity(config), entropy_model_passes(config, height, width), width, height
    )


def _default_configuration(kind: str) -> "CompressionConfig":
    from pydantic import TypeAdapter

    from trimix.architectures.config import ModelConfig

    return TypeAdapter(ModelConfig).validate_python({"kind": kind})


def _stored_configuration(entry: ModelEntry) -> "CompressionConfig":
    from trimix.architectures.config import read_configuration
    from trimix.frozen.storage import load_frozen

    # The whole file is read: what is damaged is not described.
    text = load_frozen(entry.path).stored.configuration
    try:
        return read_configuration(text)
    except ModelError as error:
        raise ModelError(f"{entry.path}: {error}") from error


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
    print_table(rows, text_columns=len(rows[0]))


def _print_card(entry: ModelEntry) -> None:
    facts = dict(entry.description)
    # Files that know the new heading may use the former one for what they like.
    former = _FORMER_LAST_RUN_STEPS if LAST_RUN_STEPS not in facts else None
    # A list: a heading of the description must not take the place of a fact.
    rows = [
        ("name", entry.name),
        ("hash", entry.weights_hash.hex()),
        ("architecture", f"{_configuration(entry).get('kind', 'unknown')}, number {entry.identifier}"),
        ("size", f"{_size_bytes(entry)} bytes"),
        ("file", str(entry.path)),
        *((LAST_RUN_STEPS if name == former else name, value) for name, value in facts.items()),
    ]
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(harmless(f"{name:<{width}}  {value}"))


def _print_cost(cost: _Cost) -> None:
    rows = [("network", "parameters", "kMAC/pixel")]
    rows += [(network.name, str(network.parameters), f"{_kilo_mac(network):.1f}") for network in cost.networks]
    rows += [
        ("all", str(sum(network.parameters for network in cost.networks)), ""),
        ("to encode", "", f"{cost.to_encode:.1f}"),
        ("to decode", "", f"{cost.to_decode:.1f}"),
    ]
    print_table(rows, text_columns=1)
    print(f"passes of the entropy model: {cost.passes} for {cost.width}x{cost.height}")
