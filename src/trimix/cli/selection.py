"""What a command with many inputs is to do: each file, in folders too, with the output that it makes."""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from trimix.cli.inputs import STANDARD_STREAM
from trimix.cli.locations import Location, exists, is_directory, locate
from trimix.errors import OutputError, PictureError, UsageError
from trimix.integrations.tables import TABLE_SUFFIXES, part_count
from trimix.threads import in_threads

_OPENED_TABLES = 16
"""At a time: a store answers slowly, but many at once."""
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
    """One file to make of another, or of a part of it: a group of a table's rows."""

    source: Location
    output: Location
    part: int | None = None

    @property
    def name(self) -> str:
        """The source, as messages have it."""
        return str(self.source) if self.part is None else f"{self.source}#{self.part}"


@dataclass(frozen=True)
class Selection:
    """What is to be done, within a folder by name, and what is left out: files that are nothing for it, folders."""

    inputs: tuple[str, ...]
    jobs: tuple[Job, ...]
    passed_over: tuple[str, ...]
    folders_left_out: int


def is_picture(path: Location) -> bool:
    """Whether a file of a folder is meant as a picture: by its suffix, else by how it begins."""
    if path.suffix.lower() in _PICTURE_SUFFIXES:
        return True
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError:
        return False
    return head.startswith(_PICTURE_BEGINNINGS) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")


def is_compressed(path: Location) -> bool:
    """Whether a file of a folder is a compressed one, by its suffix."""
    return path.suffix.lower() == COMPRESSED_SUFFIX


def is_table(path: Location) -> bool:
    """Whether a file of a folder is a table, by its suffix."""
    return path.suffix.lower() in TABLE_SUFFIXES


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
    inputs: Sequence[str], output: str | None, extension: str, *, recursive: bool, is_wanted: Callable[[Location], bool]
) -> Selection:
    """The files of inputs and what is made of each.

    Of one folder the contents go to the output, of several each goes to a folder of its name there. Two inputs whose
    outputs would have one name keep their own suffix before the new one.

    Args:
        inputs: files and folders.
        output: folder, or None for beside each input.
        extension: of the outputs, without dot.
        recursive: look into folders of folders.
        is_wanted: which files of folders are taken.

    Raises:
        UsageError: standard input or output among many, or two outputs of one name.
        OutputError: the output is a file.
    """
    if output == STANDARD_STREAM or STANDARD_STREAM in inputs:
        raise UsageError("several inputs and a standard stream exclude each other; name files, and a folder with -o")
    if (
        output is not None
        and not is_folder(output)
        and (exists(locate(output)) or Path(output).suffix.lower() in (COMPRESSED_SUFFIX, *_PICTURE_SUFFIXES))
    ):
        raise OutputError(
            f"{output}: the output of several inputs must be a folder, found a file's name; give -o FOLDER"
        )
    several_folders = sum(map(is_directory, inputs)) > 1
    found: dict[Location, Path] = {}
    passed_over: list[str] = []
    folders_left_out = 0
    for argument in inputs:
        path = locate(argument)
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
                if not name.startswith(".") and is_wanted(file):
                    found.setdefault(file, top / os.path.relpath(str(folder), str(path)) / name)
                elif not is_compressed(file):
                    passed_over.append(str(file))
    jobs = _outputs(found, None if output is None else locate(output), f".{extension}")
    return Selection(tuple(inputs), tuple(jobs), tuple(passed_over), folders_left_out)


def in_parts(selection: Selection) -> Selection:
    """A selection of tables, cut into the groups of rows that they were written in: each makes a file of its own.

    A file that is no readable table stays as one group, which fails by its name when it is its turn.
    """

    def parts_of(job: Job) -> list[Job]:
        try:
            count = part_count(job.source)
        except (OSError, PictureError):
            count = 1
        output = job.output
        named = (output.with_name(f"{output.stem}-{part:05}{output.suffix}") for part in range(count))
        return [replace(job, output=one, part=part) for part, one in enumerate(named)]

    every = in_threads(_OPENED_TABLES, parts_of, selection.jobs) if selection.jobs else ()
    return replace(selection, jobs=tuple(job for jobs in every for job in jobs))


def nothing_found(selection: Selection, what: str) -> str:
    """What to say where folders hold nothing for the command."""
    advice = "add --recursive" if selection.folders_left_out else "name another"
    return f"a folder must hold a {what}, found none in {', '.join(selection.inputs)}; {advice}"


def _walk(path: Location, output: str | None) -> Iterator[tuple[Location, list[str], list[str]]]:
    """Folders within one, by name, without the one that is written to."""
    own = None if output is None else _resolved(locate(output))
    for folder, subfolders, names in os.walk(path) if isinstance(path, Path) else path.walk():
        subfolders[:] = sorted(one for one in subfolders if _resolved(locate(f"{folder}/{one}")) != own)
        yield locate(str(folder)), subfolders, sorted(names)


def _resolved(path: Location) -> Location:
    return path.resolve() if isinstance(path, Path) else path


def _outputs(found: dict[Location, Path], folder: Location | None, suffix: str) -> Iterator[Job]:
    plain = {
        source: (source if folder is None else folder / relative.as_posix()).with_suffix(suffix)
        for source, relative in found.items()
    }
    # Some file systems take A and a for one.
    count = Counter(str(output).casefold() for output in plain.values())
    taken: dict[str, Location] = {}
    for source, output in plain.items():
        if count[str(output).casefold()] > 1:
            output = output.with_name(source.name + suffix)
        other = taken.setdefault(str(output).casefold(), source)
        if other != source:
            raise UsageError(f"{other} and {source} would both become {output}; give them their own -o in two commands")
        yield Job(source, output)
