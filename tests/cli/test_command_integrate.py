"""What a desktop is told of ``.tmix`` files."""

import shutil
import sys
from configparser import ConfigParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from command_line import Command

from trimix.bitstream import MAGIC

pytestmark = pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="desktops of freedesktop.org")
WRITTEN = {"mime/packages/trimix.xml", "applications/trimix.desktop", "thumbnailers/trimix.thumbnailer"}


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home for data, a program with an odd name, and no updaters."""
    data, program = tmp_path / "data", tmp_path / "50 % $of" / "trimix"
    program.parent.mkdir()
    program.touch(0o755)
    monkeypatch.setenv("XDG_DATA_HOME", str(data))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "argv", [str(program)])
    return data


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_what_is_written_is_what_is_removed(trimix: Command, data: Path) -> None:
    for _ in range(2):
        outcome = trimix("integrate", "--user")
        assert (outcome.code, outcome.output) == (0, b"")
        assert set(outcome.error.splitlines()) == {f"written: {data / name}" for name in WRITTEN}
        assert files(data) == WRITTEN
    for expected in ("removed", "was not there"):
        outcome = trimix("integrate", "--user", "--remove")
        assert outcome.code == 0
        assert [line.partition(": ")[0] for line in outcome.error.splitlines()] == [expected] * 3
        assert files(data) == set()


def test_files_are_known_by_their_first_bytes_and_their_name(trimix: Command, data: Path) -> None:
    assert trimix("integrate", "--user").code == 0
    space = "{http://www.freedesktop.org/standards/shared-mime-info}"
    kind = ElementTree.parse(data / "mime" / "packages" / "trimix.xml").getroot()[0]
    assert kind.get("type") == "image/x-trimix"
    match = kind.find(f"{space}magic/{space}match")
    assert match.get("value").encode().decode("unicode_escape").encode("latin-1") == MAGIC
    assert kind.find(f"{space}glob").get("pattern") == "*.tmix"


def test_commands_name_the_program_as_desktop_entries_must(trimix: Command, data: Path) -> None:
    assert trimix("integrate", "--user").code == 0
    entries = ConfigParser(interpolation=None)
    entries.optionxform = str
    assert (
        len(entries.read([data / "applications" / "trimix.desktop", data / "thumbnailers" / "trimix.thumbnailer"])) == 2
    )
    program = str(data.parent / "50 % $of" / "trimix")
    quoted = '"' + program.replace("%", "%%").replace("$", "\\\\$") + '"'
    assert entries["Desktop Entry"]["Exec"] == f"{quoted} view %f"
    assert entries["Thumbnailer Entry"]["Exec"].startswith(f"{quoted} decompress --thumbnail %s")
    for entry in entries.values():
        if entry.name != "DEFAULT":
            assert entry["TryExec"] == program
            assert entry["MimeType"] == "image/x-trimix;"


def test_without_its_own_program_python_runs_it(trimix: Command, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["__main__.py"])
    assert trimix("integrate", "--user").code == 0
    assert f'Exec="{sys.executable}" -m trimix view %f\n' in (data / "applications" / "trimix.desktop").read_text()


@pytest.mark.skipif(shutil.which("update-mime-database") is None, reason="needs shared-mime-info")
def test_the_database_of_types_is_renewed(trimix: Command, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("XDG_DATA_HOME", str(data))
    assert f"run: update-mime-database {data / 'mime'}\n" in trimix("integrate", "--user").error
    assert "image/x-trimix:*.tmix" in (data / "mime" / "globs").read_text()
    assert trimix("integrate", "--user", "--remove").code == 0
    assert "trimix" not in (data / "mime" / "globs").read_text()


def test_refusals(trimix: Command, data: Path) -> None:
    assert trimix("integrate", "--remove").code == 2
    data.write_text("a file")
    outcome = trimix("integrate", "--user")
    assert outcome.code == 6
    assert "cannot be made a folder" in outcome.line
