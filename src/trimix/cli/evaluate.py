"""``trimix evaluate``: rate, distortion, speed and memory of models and other codecs on a set of pictures."""

import math
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trimix.cli.networks import announce_compilation, prepare_torch
from trimix.cli.options import Device, DeviceOption, JsonOption, ThreadsOption, check_quality, effort_option
from trimix.cli.outputs import print_json, print_summary, print_table
from trimix.encoder.effort import DEFAULT_EFFORT
from trimix.errors import UsageError
from trimix.evaluation.data_sets import DATA_SETS, DATA_VARIABLE, Found, data_roots, find_pictures, look_for
from trimix.frozen.catalogue import DEFAULT_MODEL, find_model
from trimix.progress import showing_progress, working

if TYPE_CHECKING:
    from trimix.evaluation.contenders import Contender
    from trimix.evaluation.results import Results
    from trimix.evaluation.run import Evaluation

_DEFAULT_FOLDER = Path("runs") / "evaluate"


class PeerGroup(StrEnum):
    """Other codecs by the group."""

    DEFAULT = "default"
    ALL = "all"


def evaluate(
    data: Annotated[
        str | None,
        typer.Argument(metavar="DATA", help="Folder of pictures, or a named set (see --list).", show_default=False),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            metavar="NAME|FILE",
            help="Model to measure; may be given several times.",
            show_default=f"{DEFAULT_MODEL}, unless only other codecs are named",
        ),
    ] = None,
    quality: Annotated[
        str | None,
        typer.Option(
            "-q",
            "--quality",
            metavar="Q,Q,...",
            help="Qualities of the models, 1 .. 100.",
            show_default="5,15,25 .. 95",
        ),
    ] = None,
    effort: Annotated[
        int,
        effort_option(
            "Of the models' encoder, see 'trimix compress --help'; if not the default, it stands in the name of "
            "the results."
        ),
    ] = DEFAULT_EFFORT,
    peer: Annotated[
        list[str] | None,
        typer.Option(
            "--peer",
            metavar="NAME[=Q,Q,...]",
            help="Another codec, jpeg for example, and qualities on its own scale; may be given several times.",
        ),
    ] = None,
    peers: Annotated[
        PeerGroup | None, typer.Option("--peers", help="All other codecs of a group that are installed here.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FOLDER",
            help="Where results go, one JSON file for each codec.",
            show_default=f"{_DEFAULT_FOLDER}/ and the name of DATA",
        ),
    ] = None,
    data_root: Annotated[
        Path | None,
        typer.Option(
            "--data-root",
            metavar="FOLDER",
            help="Folder with named sets, each in a folder of its name, and other folders of pictures.",
            show_default=DATA_VARIABLE,
        ),
    ] = None,
    device: DeviceOption = Device.CPU,
    threads: ThreadsOption = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, metavar="N", help="Measure on the first N pictures only.")
    ] = None,
    json: JsonOption = False,
    force: Annotated[
        bool, typer.Option("-f", "--force", help="Replace results that were measured with other settings.")
    ] = False,
    listing: Annotated[bool, typer.Option("--list", help="Show the named sets, and which are here.")] = False,
) -> None:
    """Measure models and other codecs on a set of pictures.

    Every picture is coded at every quality, to real files: bits, PSNR,
    MS-SSIM, SSIMULACRA2, Butteraugli, seconds and memory. Pixels only:
    metadata are left out. An evaluation that was stopped goes on with the
    same command.
    """
    command = _command_line(locals())
    roots = data_roots(data_root)
    if listing:
        _show_sets([look_for(one, roots) for one in DATA_SETS], roots, json=json)
        return
    if data is None:
        raise UsageError("DATA must be a folder of pictures or a named set, found none; --list shows the sets")
    qualities = None if quality is None else _qualities(quality, "--quality")
    for one in qualities or ():
        check_quality(one)
    peer_qualities = _peer_qualities(peer or ())
    only_peers = (peer or peers) and qualities is None  # qualities are those of a model
    models = tuple(dict.fromkeys(model or (() if only_peers else (DEFAULT_MODEL,))))
    pictures = find_pictures(data, roots, limit)
    for name in models:
        find_model(name)
    folder = output or _DEFAULT_FOLDER / re.sub(r"[^\w.]+", "-", pictures.name)
    with working("loading torch"):
        torch_device = prepare_torch(device, threads)
        from trimix.evaluation.contenders import DEFAULT_QUALITIES, find_peer_contenders, model_contender
        from trimix.evaluation.metrics import missing_metrics
        from trimix.evaluation.run import Evaluation, examine
    contenders: list[Contender] = [
        model_contender(name, qualities or DEFAULT_QUALITIES, torch_device, threads, effort) for name in models
    ]
    named, notes = find_peer_contenders(peer_qualities, group=None if peers is None else peers.value)
    for note in notes:
        print_summary(f"left out: {note}")
    with working("reading the pictures"):
        examined = examine(pictures)
    for note in examined.left_out:
        print_summary(f"trimix: warning: left out: {note}")
    evaluation = Evaluation(examined, [*contenders, *named], folder, force=force, command=command)
    for note in missing_metrics():
        print_summary(f"left out: {note}")
    if models:
        announce_compilation("everything")
    load, cores = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0, os.cpu_count() or 1
    if load >= cores:
        print_summary(
            f"trimix: warning: the machine is busy (load {load:.1f} on {cores} cores): "
            "seconds will be more than they should be"
        )
    with showing_progress() as display:
        results = evaluation.run(display)
    if json:
        print_json(_record(evaluation, results))
    else:
        _print_tables(results)
        if effort != DEFAULT_EFFORT:  # its name stands in that of the file, which the next command must be told
            files = (str(evaluation.results_path(contender)) for contender in evaluation.contenders)
            print_summary(f"results: {', '.join(files)}")


def _qualities(text: str, option: str) -> tuple[float, ...]:
    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"{option} must be numbers with commas between, found {text!r}; 5,15,25 for example") from None
    if not all(math.isfinite(one) for one in found) or len(set(found)) != len(found):
        raise UsageError(f"{option} must be finite numbers, each once, found {text!r}")
    return found


def _peer_qualities(given: Sequence[str]) -> dict[str, tuple[float, ...] | None]:
    asked: dict[str, tuple[float, ...] | None] = {}
    for text in given:
        name, equals, qualities = text.partition("=")
        asked[name] = _qualities(qualities, f"--peer {name}") if equals else None
    return asked


def _print_tables(results: "Sequence[Results]") -> None:
    """A table of means for each codec, one line for each quality."""
    for number, one in enumerate(results):
        if number:
            print()
        idle = one.provenance.get("idle_memory_bytes")
        before = "" if idle is None else f"; memory before it was opened {idle / 2**20:.0f} MiB"
        count = "1 picture" if len(one.pictures) == 1 else f"{len(one.pictures)} pictures"
        print(f"{one.name} on {one.data}, means over {count}{before}")
        found = [vars(means.point) | vars(means) for means in one.means]
        numbers = [
            ["-" if row[name] is None else f"{row[name]:{form}}" for name, form in _COLUMNS.values()] for row in found
        ]
        print_table([list(_COLUMNS), *numbers])


_COLUMNS = {
    "quality": ("quality", "g"),
    "bpp": ("bits_per_pixel", ".4f"),
    "payload bpp": ("payload_bits_per_pixel", ".4f"),
    "PSNR dB": ("psnr_db", ".3f"),
    "PSNR Y dB": ("luma_psnr_db", ".3f"),
    "MS-SSIM": ("ms_ssim", ".5f"),
    "SSIMULACRA2": ("ssimulacra2", ".2f"),
    "Butteraugli": ("butteraugli", ".3f"),
    "encode s": ("encoding_seconds", ".3f"),
    "decode s": ("decoding_seconds", ".3f"),
    "memory MiB": ("peak_memory_mebibytes", ".0f"),
}


def _record(evaluation: "Evaluation", results: "Sequence[Results]") -> dict[str, object]:
    codecs = []
    for contender, one in zip(evaluation.contenders, results, strict=True):
        record = one.to_json()
        del record["pictures"]  # they stand in the file
        codecs.append({"file": str(evaluation.results_path(contender)), **record})
    return {
        "data": evaluation.pictures.name,
        "pictures": len(evaluation.pictures.paths),
        "folder": str(evaluation.folder),
        "codecs": codecs,
    }


def _command_line(given: Mapping[str, Any]) -> str:
    """What was typed but for short forms, for the provenance; from the arguments of `evaluate`."""
    parts = ["trimix", "evaluate"]
    for name, value in given.items():
        if value in (None, False, Device.CPU) or (name, value) == ("effort", DEFAULT_EFFORT):
            continue
        for one in value if isinstance(value, list) else [value]:
            parts += [] if name == "data" else [f"--{name.replace('_', '-')}"]
            parts += [] if value is True else [str(one)]
    return shlex.join(parts)


def _show_sets(found: Sequence[Found], roots: Sequence[Path], *, json: bool) -> None:
    if json:
        print_json({"sets": [_set_record(one) for one in found], "roots": [str(root) for root in roots]})
        return
    width = max(len(one.data_set.key) for one in found)
    indent = " " * (width + 2)
    for one in found:
        data_set = one.data_set
        print(f"{data_set.key.ljust(width)}  {data_set.expectation}")
        if one.paths:
            print(f"{indent}here: {one.folder}")
        else:
            state = f"not whole: {one.problem} in {one.folder}" if one.folder else "not here"
            print(f"{indent}{state}; published as: {data_set.published}")
        if data_set.unchecked:
            print(f"{indent}not checked: {data_set.unchecked}")
    searched = ", ".join(str(root) for root in roots) or "nowhere"
    print(f"searched: {searched} (--data-root or {DATA_VARIABLE} names folders)")


def _set_record(found: Found) -> dict[str, object]:
    one = found.data_set
    record = {"name": one.key, "title": one.title, "pictures": one.count, "sizes": one.sizes}
    record |= {"of": one.whole_count or one.count, "published": one.published, "used_by": one.used_by}
    folder = None if found.folder is None else str(found.folder)
    return record | {
        "not_checked": one.unchecked,
        "folder": folder,
        "whole": bool(found.paths),
        "problem": found.problem,
    }
