"""Where files lie: paths of this machine, and addresses of object stores such as ``s3://bucket/photos``."""

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Union

from trimix.errors import OutputError, OutputExistsError, UsageError, needing

if TYPE_CHECKING:
    import upath

Location = Union[Path, "upath.UPath"]
_PUTTING = ("abfs", "abfss", "adl", "az", "gcs", "gs", "memory", "oci", "s3", "s3a")
"""Protocols of stores where an object appears whole or not at all, and folders need not be made."""


def is_address(argument: str) -> bool:
    """Whether an argument names something in a store, not on this machine.

    >>> is_address("s3://bucket/photo.png"), is_address("photo.png")
    (True, False)
    """
    return "://" in argument


def locate(argument: str) -> Location:
    """The path of an argument, or of an address.

    Raises:
        MissingExtraError: an address needs a package that is not installed.
        UsageError: there is no such kind of store.
    """
    if not is_address(argument):
        return Path(argument)
    if argument.startswith("file://"):
        return Path(argument.removeprefix("file://"))
    with needing("upath", f"the address {argument}", "ray"):
        from upath import UPath
    try:
        location = UPath(argument)
        _ = location.fs  # made when it is first asked for
    except (ImportError, ValueError) as error:
        raise UsageError(f"{argument}: its kind of store must be known, found: {error}") from error
    return location


def exists(location: Location) -> bool:
    """Whether something is there."""
    # Those of `Path` raise where the system does not allow a name.
    return os.path.exists(location) if isinstance(location, Path) else location.exists()  # noqa: PTH110


def is_directory(argument: str) -> bool:
    """Whether there is a folder of this name, or objects below it."""
    return locate(argument).is_dir() if is_address(argument) else os.path.isdir(argument)  # noqa: PTH112


def there_already(locations: "list[Location]") -> "set[Location]":
    """Those where something is; of a store the folders are listed, for a million questions take hours."""
    found: set[Location] = set()
    found.update(one for one in locations if isinstance(one, Path) and exists(one))
    listed: dict[Location, set[str]] = {}
    for one in locations:
        if isinstance(one, Path):
            continue
        folder: Location = one.parent
        if folder not in listed:
            listed[folder] = set()
            with suppress(FileNotFoundError, NotADirectoryError):
                listed[folder].update(other.name for other in folder.iterdir())
        if one.name in listed[folder]:
            found.add(one)
    return found


def make_folder(folder: Location) -> None:
    """Make a folder with those above it; OutputError if that cannot be."""
    if not isinstance(folder, Path) and folder.protocol in _PUTTING:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made a folder: {error.strerror}; give another with -o") from error


def write_whole(location: Location, data: bytes, *, overwrite: bool) -> None:
    """Write a file so that nobody ever sees a part of it.

    Raises:
        OutputExistsError: it exists and may not be replaced.
        OutputError: it cannot be written.
    """
    from trimix.images.atomic_files import temporary_name, write_atomically

    if isinstance(location, Path):
        write_atomically(location, data, overwrite=overwrite)
        return
    try:
        if not overwrite and location.exists():
            raise OutputExistsError(f"{location} already exists; replace it, or choose another name")
        if location.protocol in _PUTTING:
            location.fs.pipe_file(location.path, data)
            return
        temporary = location.with_name(temporary_name())
        try:
            temporary.fs.pipe_file(temporary.path, data)
            location.fs.mv(temporary.path, location.path)
        finally:
            with suppress(OSError):
                temporary.unlink()
    except OutputError:
        raise
    except Exception as error:  # stores raise errors of their own
        raise OutputError(f"{location} cannot be written ({error}); choose another place") from error
