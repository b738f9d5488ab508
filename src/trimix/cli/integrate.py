"""``trimix integrate``: desktops of Linux know ``.tmix`` files: their type, what opens them, and thumbnails."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from trimix.bitstream import MAGIC
from trimix.cli.locations import make_folder
from trimix.cli.outputs import print_summary
from trimix.errors import OutputError, UsageError

_TYPE = "image/x-trimix"
_MIME = """<?xml version="1.0" encoding="UTF-8"?>
<mime-info xmlns="http://www.freedesktop.org/standards/shared-mime-info">
  <mime-type type="{type}">
    <comment>trimix picture</comment>
    <magic priority="60"><match type="string" offset="0" value="{magic}"/></magic>
    <glob pattern="*.tmix"/>
  </mime-type>
</mime-info>
"""
_DESKTOP = """[Desktop Entry]
Type=Application
Name=trimix
Comment=Show a .tmix picture
TryExec={program}
Exec={command} view %f
MimeType={type};
Icon=image-x-generic
NoDisplay=true
Terminal=false
"""
_THUMBNAILER = """[Thumbnailer Entry]
TryExec={program}
Exec={command} decompress --thumbnail %s --format png --force --output %o -- %i
MimeType={type};
"""
_FILES = {
    "mime/packages/trimix.xml": _MIME,
    "applications/trimix.desktop": _DESKTOP,
    "thumbnailers/trimix.thumbnailer": _THUMBNAILER,
}
_UPDATES = (("update-mime-database", "mime"), ("update-desktop-database", "applications"))
_RESERVED = {"\\": "\\\\\\\\", '"': '\\\\"', "`": "\\\\`", "$": "\\\\$", "%": "%%"}
"""Characters of a program's path, as they stand between quotation marks in a desktop entry."""


def integrate(
    user: Annotated[bool, typer.Option("--user", help="For this user, below XDG_DATA_HOME (~/.local/share).")],
    remove: Annotated[bool, typer.Option("--remove", help="Take back what was written.")] = False,
) -> None:
    """Let the desktop know .tmix files: their type, 'trimix view' to open them, thumbnails.

    For desktops that follow freedesktop.org: GNOME, KDE, Xfce and others. Those that
    shut thumbnailers into a sandbox see programs below /usr only.
    """
    if sys.platform in ("win32", "darwin"):
        raise UsageError(f"integrate needs a desktop that follows freedesktop.org, found {sys.platform}")
    data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    program, arguments = _program()
    command = f'"{"".join(_RESERVED.get(letter, letter) for letter in program)}"{arguments}'
    magic = "".join(f"\\x{byte:02x}" for byte in MAGIC)
    for name, text in _FILES.items():
        path = data / name
        if remove:
            _remove(path)
        else:
            from trimix.images import write_atomically

            make_folder(path.parent)
            contents = text.format(type=_TYPE, magic=magic, program=program.replace("\\", "\\\\"), command=command)
            write_atomically(path, contents.encode(), overwrite=True)
            print_summary(f"written: {path}")
    for updater, folder in _UPDATES:
        if (data / folder).is_dir() and (found := shutil.which(updater)):
            done = subprocess.run([found, data / folder], capture_output=True, check=False).returncode == 0
            print_summary(f"{'run' if done else 'failed'}: {updater} {data / folder}")


def _program() -> tuple[str, str]:
    """What runs this command: its own file, or Python with arguments."""
    own = shutil.which(sys.argv[0])
    return (str(Path(own).absolute()), "") if own and Path(own).stem == "trimix" else (sys.executable, " -m trimix")


def _remove(path: Path) -> None:
    try:
        path.unlink()
        print_summary(f"removed: {path}")
    except FileNotFoundError:
        print_summary(f"was not there: {path}")
    except OSError as error:
        raise OutputError(f"{path}: cannot be removed: {error.strerror}; remove it by hand") from error
