"""Drawings are kept without loss on the command line, and everything else where it is asked for."""

import json
from pathlib import Path

import numpy as np
import pytest
from command_line import MODEL_NAME, Command
from PIL import Image

from trimix.bitstream import describe


@pytest.fixture
def drawing(tmp_path: Path) -> Path:
    squares = np.random.default_rng(1).integers(0, 2, (8, 8, 3), np.uint8) * np.uint8(255)
    Image.fromarray(np.kron(squares, np.ones((16, 16, 1), np.uint8))).save(tmp_path / "drawing.png")
    return tmp_path / "drawing.png"


def levels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_a_drawing_comes_back_exactly_without_being_asked(trimix: Command, drawing: Path, tmp_path: Path) -> None:
    outcome = trimix("compress", drawing, "--model", MODEL_NAME)
    assert "bpp without loss" in outcome.line
    file, back = drawing.with_suffix(".tmix"), tmp_path / "back.png"
    assert trimix("decompress", file, "-o", back).code == 0  # whose model lies in no folder
    assert (levels(back) == levels(drawing)).all()
    told = json.loads(trimix("decompress", file, "-o", back, "--force", "--json").text)
    assert (told["lossless"], told["model"], told["model_hash"]) == (True, None, None)
    assert trimix("decompress", file, "--scale", "1/8", "-o", tmp_path / "small.png").code == 0
    assert levels(tmp_path / "small.png").shape == (16, 16, 3)


def test_each_is_told_to(trimix: Command, drawing: Path, picture: Path, tmp_path: Path) -> None:
    lossy = json.loads(
        trimix("compress", drawing, "-o", tmp_path / "a.tmix", "--model", MODEL_NAME, "--no-lossless", "--json").text
    )
    assert (lossy["lossless"], lossy["model"]) == (False, MODEL_NAME)
    kept = json.loads(trimix("compress", picture, "-o", tmp_path / "b.tmix", "--lossless", "--json").text)
    assert (kept["lossless"], kept["model"], kept["quality"]) == (True, None, 100)
    assert trimix("decompress", tmp_path / "b.tmix", "-o", tmp_path / "b.png").code == 0
    assert (levels(tmp_path / "b.png") == levels(picture)).all()
    for wrong in (("-q", 50), ("--target-bpp", 1)):
        outcome = trimix("compress", picture, "-o", tmp_path / "c.tmix", "--lossless", *wrong)
        assert (outcome.code, "neither quality nor target" in outcome.line) == (2, True)


def test_a_folder_without_loss(trimix: Command, drawing: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a.png", "b.png"):
        (tmp_path / "in" / name).write_bytes(drawing.read_bytes())
    assert trimix("compress", tmp_path / "in", "-o", tmp_path / "out", "--lossless", "--jobs", 1).code == 0
    assert all(describe(path.read_bytes()).header.is_lossless for path in (tmp_path / "out").iterdir())
    assert trimix("decompress", tmp_path / "out", "-o", tmp_path / "back", "--jobs", 1).code == 0
    assert (levels(tmp_path / "back" / "b.png") == levels(drawing)).all()


def test_info_says_so_and_inspect_refuses(trimix: Command, drawing: Path) -> None:
    trimix("compress", drawing, "--lossless")
    file = drawing.with_suffix(".tmix")
    shown = trimix("info", file).text
    assert "lossless" in shown
    assert "format version 3" in shown
    assert json.loads(trimix("info", file, "--json").text)["lossless"] is True
    outcome = trimix("inspect", file)
    assert (outcome.code, "without loss" in outcome.line) == (4, True)
