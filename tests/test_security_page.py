"""Every default that docs/security.md states is the one in the code, and every name in it exists."""

import inspect
import re
from pathlib import Path

import pytest
import typer

import trimix
from trimix import errors
from trimix.bitstream import MAXIMUM_PIXELS, header
from trimix.bitstream.container import METADATA_BYTES_MAXIMUM
from trimix.cli import batch
from trimix.cli.application import _COMMANDS, _application
from trimix.coding.standard_tables import SYMBOL_LIMIT
from trimix.frozen import catalogue, program

PAGE = (Path(__file__).parent.parent / "docs" / "security.md").read_text(encoding="utf-8")
LIMITS = {
    "pixels of a picture": MAXIMUM_PIXELS,
    "pixels of a side": header.MAXIMUM_SIDE,
    "seconds of a call, by the clock": None,
    "bytes of a metadata section, unpacked": METADATA_BYTES_MAXIMUM,
    "magnitude of a symbol": SYMBOL_LIMIT,
    "bytes of a model file's head": catalogue._HEAD_LIMIT,
    "operations of a model's program": program.OPERATION_LIMIT,
    "channels in a model": program.CHANNEL_LIMIT,
    "files at a time": batch._MOST_JOBS,
}


def rows(heading):
    table = PAGE[PAGE.index(f"\n## {heading}\n") :].split("\n|---")[1].split("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[1:]]


def value_of(text):
    base, _, power = text.partition("^")
    return None if text == "none" else int(base) ** int(power or 1)


def test_the_stated_limits_are_those_of_the_code():
    assert {row[0]: value_of(row[1]) for row in rows("Limits")} == LIMITS


@pytest.mark.parametrize("row", rows("Limits"), ids=lambda row: row[0])
def test_options_arguments_and_errors_exist_and_have_that_default(row):
    _, default, option, argument, error, code = (cell.strip("`") for cell in row)
    if option:
        command = typer.main.get_command(_application(["decompress"])).commands["decompress"]
        (found,) = [one for one in command.params if option in one.opts]
        if option != "--jobs":  # the machine has a say in it
            assert found.default == value_of(default)
    if argument:
        for function in (trimix.decompress, trimix.decompress_to_picture, trimix.Codec.decode):
            assert inspect.signature(function).parameters[argument].default == value_of(default)
    if error:
        assert getattr(errors, error).exit_code == int(code)


def test_commands_that_the_page_names_exist():
    commands = {word for row in rows("Who may send what") for word in re.findall(r"`([a-z][a-z-]+)`", row[1])}
    assert commands <= set(_COMMANDS)
    assert len(commands) >= 10


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_the_page_is_linked(page):
    assert "(docs/security.md)" in (Path(__file__).parent.parent / page).read_text(encoding="utf-8")
