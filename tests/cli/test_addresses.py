"""Files and folders of object stores, in place of paths."""

import json
from collections.abc import Iterator

import numpy as np
import pytest
from command_line import MODEL_NAME, Command
from PIL import Image
from upath import UPath

MODEL = ("--model", MODEL_NAME)
STORE = "memory://bucket"


@pytest.fixture(autouse=True)
def store() -> Iterator[UPath]:
    """Pictures in a store of fsspec that lies in memory."""
    random = np.random.default_rng(3)
    store = UPath(STORE)
    for name in ("a.png", "sub/b.png"):
        path = store / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            Image.fromarray(random.integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(file, "png")
    yield store
    store.fs.rm("/bucket", recursive=True)


def names(folder: UPath) -> set[str]:
    return {str(path).removeprefix(f"{folder}/") for path in folder.rglob("*") if path.is_file()}


def test_a_folder_of_a_store_and_back(trimix: Command, store: UPath) -> None:
    command = ("compress", f"{STORE}/in", "-r", "-o", f"{STORE}/out", *MODEL)
    outcome = trimix(*command)
    assert outcome.code == 0, outcome
    assert names(store / "out") == {"a.tmix", "sub/b.tmix"}
    assert "2 files: 0 compressed, 2 there already" in trimix(*command).error
    assert trimix("decompress", f"{STORE}/out", "-r", "-o", f"{STORE}/back").code == 0
    assert names(store / "back") == {"a.png", "sub/b.png"}


def test_one_file_of_a_store(trimix: Command, store: UPath) -> None:
    command = ("compress", f"{STORE}/in/a.png", *MODEL)
    assert trimix(*command).code == 0
    assert names(store / "in") == {"a.png", "a.tmix", "sub/b.png"}
    assert json.loads(trimix("info", f"{STORE}/in/a.tmix", "--json").text)["width"] == 30
    assert "already exists" in trimix(*command).line
    assert trimix(*command, "--force").code == 0


def test_an_output_within_the_folder_is_no_input(trimix: Command) -> None:
    command = ("compress", f"{STORE}/in", "-r", "-o", f"{STORE}/in/out", *MODEL)
    assert trimix(*command).code == 0
    assert "2 files: 0 compressed, 2 there already" in trimix(*command).error


@pytest.mark.parametrize(
    ("address", "code", "message"),
    [
        ("nothing://bucket/a.png", 2, "nothing://bucket/a.png: its kind of store must be known, found"),
        (f"{STORE}/in/none.png", 3, f"{STORE}/in/none.png: no such file"),
    ],
)
def test_a_wrong_address_is_told_in_a_line(trimix: Command, address: str, code: int, message: str) -> None:
    outcome = trimix("compress", address, *MODEL)
    assert outcome.code == code
    assert message in outcome.line
