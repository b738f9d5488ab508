"""Training in pieces, on a machine without network that is lent for minutes and forgets everything afterwards.

    python tools/training_piece.py pack configs/gllmm/gllmm-mse-all-rates.toml -o piece --data train.tar
    python piece/run.py --minutes 25 --output out        # there
    python tools/training_piece.py join out -o start.ckpt

``pack`` makes a folder that holds all that Python and torch do not bring. ``run.py`` in it, a copy of
``training_pieces/run.py``, trains for the time given and leaves weights in parts. ``join`` makes a checkpoint of them,
for ``trimix freeze`` and for the ``--start`` of the next piece.
"""

import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from email.parser import Parser
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import trimix
from trimix.architectures.building import build
from trimix.errors import ConfigurationError, OutputError, TrainingError, TrimixError
from trimix.images.atomic_files import write_atomically
from trimix.training.checkpoint import average_of, checkpoint_of_averaged, starting_checkpoint
from trimix.training.config import TrainingConfig, load_training_config

LAUNCHER = Path(__file__).parent / "training_pieces" / "run.py"
MANIFEST_FORMAT = 1
MEBIBYTE = 2**20
NOT_PACKED = shutil.ignore_patterns("*.safetensors", "__pycache__", "*.nbc", "*.nbi", "*.md")
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64", "manylinux1_x86_64")

Weights = dict[str, torch.Tensor]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__, rich_markup_mode=None)


@app.command()
def pack(
    recipes: Annotated[list[Path], typer.Argument(metavar="RECIPE.toml...", help="Several are trained side by side.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FOLDER", help="Must not exist.")],
    data: Annotated[
        list[Path], typer.Option("--data", metavar="TAR", help="Training pictures: as many as fit, in this order.")
    ],
    validation: Annotated[Path | None, typer.Option("--validation", metavar="TAR")] = None,
    limit_mebibytes: Annotated[
        float, typer.Option("--limit-mebibytes", metavar="MIB", help="What the machine takes.")
    ] = 60.0,
    start: Annotated[
        list[str] | None,
        typer.Option(
            "--start",
            metavar="[NAME=]FILE",
            help="Weights to start from, of all recipes or of the one of that name: a checkpoint, averaged weights of "
            "a run that goes on, or a model. Without it, the recipe's start_from.",
        ),
    ] = None,
    wheels: Annotated[
        list[str] | None,
        typer.Option("--wheels", metavar="PACKAGE", help="What the machine lacks, with its dependencies."),
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option("--without", metavar="PACKAGE", help="Dependencies that it has.", show_default="torch, numpy"),
    ] = None,
    python: Annotated[str, typer.Option("--python", metavar="VERSION", help="Of the machine.")] = "3.12",
) -> None:
    """Make a folder that holds all of a training but Python and torch."""
    if output.exists():
        raise OutputError(f"{output}: must not exist, found something; give another --output")
    configs = {path.stem: load_training_config(path) for path in recipes}
    _check_names([path.name for path in recipes], "recipes")
    _check_names([path.name for path in [*data, *filter(None, [validation])]], "tars")
    starts = {name: start_weights(_of_run(start or [], name), config) for name, config in configs.items()}
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}-") as temporary:
        folder = Path(temporary) / "piece"
        shutil.copytree(Path(trimix.__file__).parent, folder / "source" / "trimix", ignore=NOT_PACKED)
        shutil.copy(LAUNCHER, folder / "run.py")
        for name, contents in starts.items():
            if contents is not None:
                (folder / "start").mkdir(exist_ok=True)
                torch.save(contents, folder / "start" / f"{name}.ckpt")
        if wheels:
            download_wheels(wheels, without or ["torch", "numpy"], python, folder / "wheels")
        (folder / "pictures").mkdir()
        held_out = (_copy_pictures(validation, folder),) if validation else ()
        left = limit_mebibytes - _mebibytes(folder)
        taken = []
        left_out = []
        for tar in data:
            if tar.is_file() and _mebibytes(tar) + _RECIPE_MEBIBYTES * len(configs) > left:
                left_out.append(tar)
                continue
            taken.append(_copy_pictures(tar, folder))
            left -= _mebibytes(tar)
        if not taken:
            raise OutputError(
                f"{output}: must hold at least one tar of --data in {limit_mebibytes:g} MiB, found "
                f"{limit_mebibytes - left:.1f} MiB without any; raise --limit-mebibytes or give smaller tars"
            )
        (folder / "recipes").mkdir()
        for name, config in configs.items():
            here = config.data.model_copy(update={"training": tuple(taken), "validation": held_out})
            config = config.model_copy(update={"data": here, "start_from": None})
            (folder / "recipes" / f"{name}.json").write_text(config.model_dump_json(indent=1), encoding="utf-8")
        for entry in sorted(folder.iterdir()):
            typer.echo(f"{_mebibytes(entry):8.2f} MiB  {entry.name}")
        for tar in left_out:
            typer.echo(f"left out: {tar} ({_mebibytes(tar):.2f} MiB)")
        total = _mebibytes(folder)
        folder.rename(output)
    typer.echo(f"{total:8.2f} MiB  {output}, {limit_mebibytes - total:.2f} MiB are left")


_RECIPE_MEBIBYTES = 0.05


def _check_names(names: Sequence[str], what: str) -> None:
    for name in names:
        if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", name) or names.count(name) > 1:
            raise ConfigurationError(
                f"{name}: {what} must have names that differ, of letters, digits and . _ -; rename it"
            )


def _copy_pictures(tar: Path, folder: Path) -> Path:
    """The path in the folder."""
    if not tar.is_file():
        raise ConfigurationError(f"{tar}: must be a tar of pictures, found no such file")
    shutil.copy(tar, folder / "pictures" / tar.name)
    return Path("pictures") / tar.name


def _mebibytes(path: Path) -> float:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files) / MEBIBYTE


def _of_run(starts: Sequence[str], name: str) -> str | None:
    """What a run starts from: the file of its name, or that without any."""
    own = [start.removeprefix(f"{name}=") for start in starts if start.startswith(f"{name}=")]
    found = own or [start for start in starts if "=" not in start]
    return found[-1] if found else None


def start_weights(start: str | None, config: TrainingConfig) -> dict[str, Any] | None:
    """A checkpoint with the weights of a file or a model, in float16, and where they stood; None where there is none.

    Raises:
        TrimixError: it cannot be read, or has not the weights of the configuration's model.
    """
    start = start or (None if config.start_from is None else str(config.start_from))
    if start is None:
        return None
    _, checkpoint = starting_checkpoint(start)
    try:
        weights = average_of(Path(start), checkpoint, build(config.model))
    except TrainingError as error:
        raise ConfigurationError(
            f"{start}: must hold the weights of the recipe's model, found others ({' '.join(str(error).split())}); "
            "take those of a model with its [model]"
        ) from error
    halved = {name: value.half() if value.is_floating_point() else value for name, value in weights.items()}
    return {"average": halved, "progress": checkpoint.get("progress") or {}}


def download_wheels(packages: Sequence[str], without: Sequence[str], python: str, folder: Path) -> None:
    """Fetch wheels for another machine, and those they depend on, level by level.

    pip would follow dependencies by itself, but cannot leave any out: torch comes with gigabytes.

    Args:
        packages: requirements, as pip takes them.
        without: names of those that are there.
        python: its version.
        folder: of the wheels.

    Raises:
        OutputError: pip does not find one.
    """
    environment = {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "implementation_name": "cpython",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "platform_machine": "x86_64",
        "os_name": "posix",
        "extra": "",
    }
    folder.mkdir()
    known = {canonicalize_name(name) for name in without}
    wanted = [Requirement(package) for package in packages]
    read: set[Path] = set()
    while wanted:
        known |= {canonicalize_name(requirement.name) for requirement in wanted}
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--only-binary=:all:", "--implementation", "cp", "--python-version", python]
        for platform in PLATFORMS:
            command += ["--platform", platform]
        command += ["-d", str(folder), *(f"{one.name}{one.specifier}" for one in wanted)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
            raise OutputError(f"{', '.join(str(one) for one in wanted)}: pip finds no wheels: {last}")
        wanted = []
        for wheel in sorted(set(folder.glob("*.whl")) - read):
            read.add(wheel)
            for requirement in _requirements(wheel):
                name = canonicalize_name(requirement.name)
                if name not in known and (requirement.marker is None or requirement.marker.evaluate(environment)):
                    known.add(name)
                    wanted.append(requirement)


def _requirements(wheel: Path) -> list[Requirement]:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = Parser().parsestr(archive.read(name).decode())
    return [Requirement(line) for line in metadata.get_all("Requires-Dist") or []]


@app.command()
def join(
    folder: Annotated[Path, typer.Argument(metavar="OUT", help="What run.py has left.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="CHECKPOINT")],
    run: Annotated[
        str | None, typer.Option("--run", metavar="NAME", help="Which one, where there are several.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
) -> None:
    """Check parts, put them together, and write a checkpoint for `start_from` and `trimix freeze`."""
    runs = _read_manifest(folder)
    if run is None and len(runs) > 1:
        raise ConfigurationError(f"--run must be given, one of {', '.join(runs)}; found nothing")
    name = run or next(iter(runs))
    if name not in runs:
        raise ConfigurationError(f"--run must be one of {', '.join(runs)}, found {name}")
    report = runs[name]
    if report["weights"] is None:
        raise TrainingError(f"{folder}: {name} has brought no weights: {report['error'] or 'it was killed early'}")
    data = _joined(folder, report["weights"])
    contents = io.BytesIO()
    torch.save(checkpoint_of_averaged(data, str(folder)), contents)
    write_atomically(output, contents.getvalue(), overwrite=force)
    typer.echo(
        f"{output}: {name} after {report['steps']} steps, {report['seconds']:.0f} s in steps, "
        f"{report['steps_per_second']:.2f} steps/s on {report['device']}, "
        f"{report['peak_memory_mebibytes']:.0f} MiB at most"
    )
    if report["error"]:
        typer.echo(f"it did not end well: {report['error']}")


def _read_manifest(folder: Path) -> dict[str, Any]:
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        if manifest["format"] != MANIFEST_FORMAT or not manifest["runs"]:
            raise ValueError(f"format {manifest['format']}")
    except OSError as error:
        raise TrainingError(f"{folder}: must hold manifest.json, found none: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise TrainingError(f"{folder}/manifest.json: is not what run.py of this version writes: {error}") from error
    return manifest["runs"]


def _joined(folder: Path, weights: dict[str, Any]) -> bytes:
    """Bytes of all parts.

    Raises:
        TrainingError: one is missing or damaged.
    """
    parts = []
    for part in weights["parts"]:
        path = folder / part["name"]
        if not path.is_file():
            raise TrainingError(f"{path}: this part must be there, found none; fetch it again")
        parts.append(path.read_bytes())
        _check(path, parts[-1], part["sha256"])
    data = b"".join(parts)
    _check(folder, data, weights["sha256"])
    return data


def _check(path: Path, data: bytes, expected: str) -> None:
    if hashlib.sha256(data).hexdigest() != expected:
        raise TrainingError(
            f"{path}: must have the SHA-256 {expected[:16]}..., found another one: it is damaged; fetch it again"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; mistakes are told in one line."""
    try:
        app(arguments, standalone_mode=True)
    except TrimixError as error:
        print(f"training_piece: error: {error}", file=sys.stderr)
        return error.exit_code
    except SystemExit as exit_:
        return int(exit_.code or 0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
