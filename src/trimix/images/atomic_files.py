"""Files that appear whole or not at all."""

import contextlib
import errno
import os
import secrets
import stat
import time
from functools import cache
from pathlib import Path

from trimix.errors import OutputError, OutputExistsError

_TEMPORARY = ".trimix-*.part"
_OLD_SECONDS = 24 * 3600
_NOT_PERMITTED = "writing must be permitted, found it is not; choose another directory"
_NO_ROOM = "the disk must have room for the file, found no space left; free some"
_REASONS = {
    errno.EISDIR: "the output must be a file, found a directory; add a file name",
    errno.ENOENT: "the directory must exist, found none; create {parent}",
    errno.ENOTDIR: "{parent} must be a directory, found a file; give another path",
    errno.EACCES: _NOT_PERMITTED,
    errno.EPERM: _NOT_PERMITTED,
    errno.EROFS: "the file system must be writable, found read-only; choose another directory",
    errno.ENOSPC: _NO_ROOM,
    errno.EDQUOT: _NO_ROOM,
    errno.ENAMETOOLONG: "the system must allow the name, found it too long; choose a shorter one",
}


def write_atomically(destination: Path, data: bytes, *, overwrite: bool) -> None:
    """Write a file so that no other program ever sees a part of it; OutputError says why it cannot be.

    The data go to a temporary file in the same directory, are flushed to the disk and then take the final
    name. The temporary file is removed on any error, also when the program is interrupted; one that a killed
    process has left, when it is a day old. Permissions follow the umask.

    Args:
        destination: file to write; a symbolic link is followed.
        data: contents of the file.
        overwrite: whether an existing file may be replaced; if not, none is lost, even if it appears meanwhile.
    """
    target = Path(os.path.realpath(destination))
    try:
        _check_target(target, destination, overwrite=overwrite)
        _remove_old_parts(target.parent)
        # A short name of its own: the destination's may already have the greatest length allowed.
        temporary = target.parent / temporary_name()
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
            with open(descriptor, "wb") as stream:  # noqa: PTH123 (a descriptor, no path)
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            if overwrite:
                temporary.replace(target)
            else:
                _rename_to_new(temporary, target)
        finally:
            # Gone already after a rename.
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
    except FileExistsError as error:
        raise OutputExistsError(f"{destination} already exists; replace it, or choose another name") from error
    except OSError as error:
        if reason := _REASONS.get(error.errno or 0):
            raise OutputError(f"{destination}: {reason.format(parent=destination.parent)}") from error
        raise OutputError(
            f"{destination} cannot be written ({error.strerror or error}); choose another path"
        ) from error
    _flush_directory(target.parent)


def temporary_name() -> str:
    """Of a file until it is whole."""
    return _TEMPORARY.replace("*", secrets.token_hex(8))


@cache
def _remove_old_parts(directory: Path) -> None:
    """Remove what killed processes have left; once a process and directory, which may be large."""
    with contextlib.suppress(OSError):
        for path in directory.glob(_TEMPORARY):
            if time.time() - path.stat().st_mtime > _OLD_SECONDS:  # nobody is writing it any more
                path.unlink(missing_ok=True)


def _check_target(target: Path, destination: Path, *, overwrite: bool) -> None:
    """Refuse early what the last step would refuse late, or would destroy."""
    try:
        mode = target.lstat().st_mode
    except FileNotFoundError:
        return
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "is a directory", str(destination))
    if not overwrite:
        raise FileExistsError(errno.EEXIST, "exists", str(destination))
    if not stat.S_ISREG(mode):
        # A rename would replace the device or the pipe itself by a file.
        raise OutputError(
            f"{destination}: the output must be a regular file, found a device or pipe; give another path"
        )


def _rename_to_new(temporary: Path, target: Path) -> None:
    """Give `temporary` the name `target` if no file has it, in one step."""
    try:
        os.link(temporary, target)
    except FileExistsError:
        raise
    except OSError:
        # No hard links on this file system. Reserve the name, then replace our own reservation.
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        try:
            temporary.replace(target)
        except BaseException:
            target.unlink(missing_ok=True)
            raise


def _flush_directory(directory: Path) -> None:
    """Make the new name survive a power failure, where the system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
