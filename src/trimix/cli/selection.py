"""What a command with many inputs is to do: each file, in folders too, with the output that it makes."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from trimix.cli.inputs import STANDARD_STREAM
from trimix.errors import OutputError, UsageError

COMPRESSED_SUFFIX = ".tmix"
_PICTURE_SUFFIXES = tuple(
    f".{name}"
    for name in (
        *("apng", "avif", "bmp", "dib", "gif", "heic", "heif", "j2k", "jfif", "jp2", "jpe", "jpeg", "jpg", "jpx"),
        *("jxl", "mpo", "pbm", "pcx", "pgm", "png", "pnm", "ppm", "qoi", "svg", "tga", "tif", "tiff", "webp"),
    )
)
# Of pictures without a suffix.
_PICTURE_BEGINNINGS = (
    b"\x89PNG\r\n",
    b"\xff\xd8\xff",
    b"GIF8",
    b"II*\0",
    b"MM\0*",
    b"qoif",
    b"\xff\x0a",
    b"\0\0\0\x0cJXL ",
    b"\0\0\0\x0cjP  ",
)


@dataclass(frozen=True)
class Job:
    """One file to make of another."""

    source: Path
    output: Path


@dataclass(frozen=True)
class Selection:
    """What is to be done, within a folder by name, and what is left out: files that are nothing for it, folders."""

    inputs: tuple[str, ...]
    jobs: tuple[Job, ...]
    passed_over: tuple[str, ...]
    folders_left_out: int


exists, is_directory = os.path.exists, os.path.isdir
"""Those of `Path` raise where the system does not allow a name."""


def _is_picture(path: Path) -> bool:
    """Whether a file of a folder is meant as a picture: by its suffix, else by how it begins."""
    if path.suffix.lower() in _PICTURE_SUFFIXES:
        return True
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError:
        return False
    return head.startswith(_PICTURE_BEGINNINGS) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")


def is_folder(argument: str | None) -> bool:
    """Whether an output is a folder: there is one, or the name ends like one."""
    return argument not in (None, STANDARD_STREAM) and (argument.endswith(("/", os.sep)) or is_directory(argument))


def are_many(inputs: Sequence[str]) -> bool:
    """Whether the inputs ask for more than one file in and one out."""
    return len(inputs) > 1 or is_directory(inputs[0])


def refuse_output_among_inputs(inputs: Sequence[str], *suffixes: str) -> None:
    """Refuse ``IN OUT``, as other programs have it: UsageError where only the second has the suffix of an output."""
    if len(inputs) == 2:
        first, second = (Path(one).suffix.lower() for one in inputs)
        if second in suffixes and first not in suffixes:
            raise UsageError(f"{inputs[1]}: an output must be given with -o; say {inputs[0]} -o {inputs[1]}")


def select(
    inputs: Sequence[str], output: str | None, extension: str, *, recursive: bool, of_pictures: bool
) -> Selection:
    """The files of inputs and what is made of each.

    Of one folder the contents go to the output, of several each goes to a folder of its name there. Two inputs whose
    outputs would have one name keep their own suffix before the new one.

    Args:
        inputs: files and folders.
        output: folder, or None for beside each input.
        extension: of the outputs, without dot.
        recursive: look into folders of folders.
        of_pictures: take pictures from folders, not compressed files.

    Raises:
        UsageError: standard input or output among many, or two outputs of one name.
        OutputError: the output is a file.
    """
    if output == STANDARD_STREAM or STANDARD_STREAM in inputs:
        raise UsageError("several inputs and a standard stream exclude each other; name files, and a folder with -o")
    if (
        output is not None
        and not is_folder(output)
        and (exists(output) or Path(output).suffix.lower() in (COMPRESSED_SUFFIX, *_PICTURE_SUFFIXES))
    ):
        raise OutputError(
            f"{output}: the output of several inputs must be a folder, found a file's name; give -o FOLDER"
        )
    several_folders = sum(map(is_directory, inputs)) > 1
    found: dict[Path, Path] = {}
    passed_over: list[str] = []
    folders_left_out = 0
    for argument in inputs:
        path = Path(argument)
        if not is_directory(argument):
            found.setdefault(path, Path(path.name))
            continue
        top = Path(path.resolve().name) if several_folders else Path()
        for folder, subfolders, names in _walk(path, output):
            if not recursive:
                folders_left_out += len(subfolders)
                subfolders.clear()
            for name in names:
                file = folder / name
                is_compressed = file.suffix.lower() == COMPRESSED_SUFFIX
                if not name.startswith(".") and (_is_picture(file) if of_pictures else is_compressed):
                    found.setdefault(file, top / file.relative_to(path))
                elif not is_compressed:
                    passed_over.append(str(file))
    jobs = _outputs(found, None if output is None else Path(output), f".{extension}")
    return Selection(tuple(inputs), tuple(jobs), tuple(passed_over), folders_left_out)


def nothing_found(selection: Selection, what: str) -> str:
    """What to say where folders hold nothing for the command."""
    advice = "add --recursive" if selection.folders_left_out else "name another"
    return f"a folder must hold a {what}, found none in {', '.join(selection.inputs)}; {advice}"


def _walk(path: Path, output: str | None) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Folders within one, by name, without the one that is written to."""
    own = None if output is None else Path(output).resolve()
    for folder, subfolders, names in os.walk(path):
        subfolders[:] = sorted(one for one in subfolders if (Path(folder) / one).resolve() != own)
        yield Path(folder), subfolders, sorted(names)


def _outputs(found: dict[Path, Path], folder: Path | None, suffix: str) -> Iterator[Job]:
    plain = {
        source: (source if folder is None else folder / relative).with_suffix(suffix)
        for source, relative in found.items()
    }
    # Some file systems take A and a for one.
    count = Counter(str(output).casefold() for output in plain.values())
    taken: dict[str, Path] = {}
    for source, output in plain.items():
        if count[str(output).casefold()] > 1:
            output = output.with_name(source.name + suffix)
        other = taken.setdefault(str(output).casefold(), source)
        if other != source:
            raise UsageError(f"{other} and {source} would both become {output}; give them their own -o in two commands")
        yield Job(source, output)
