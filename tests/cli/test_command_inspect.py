"""`trimix inspect`: a page, a figure or numbers of a file, or one line of why there is none."""

import json
from pathlib import Path

import pytest
from command_line import MODEL_NAME, Command
from PIL import Image


@pytest.fixture
def page(tmp_path: Path) -> Path:
    return tmp_path / "page.html"


def test_a_page(trimix: Command, compressed: Path, page: Path) -> None:
    outcome = trimix("inspect", compressed, "-o", page, "--title", "My <title>")
    assert (outcome.code, outcome.output) == (0, b"")
    assert outcome.line.startswith(f"{compressed} ({compressed.stat().st_size} bytes, ")
    assert f"-> {page}: Gaussian " in outcome.line
    assert outcome.line.endswith(f"{page.stat().st_size} bytes")
    text = page.read_text(encoding="utf-8")
    assert "<title>My &lt;title&gt;</title>" in text
    assert MODEL_NAME in text


def test_the_page_lies_beside_the_file_unless_it_is_named(trimix: Command, compressed: Path) -> None:
    assert trimix("inspect", compressed).code == 0
    assert "<title>small.tmix</title>" in compressed.with_suffix(".html").read_text(encoding="utf-8")


def test_a_figure(trimix: Command, compressed: Path, tmp_path: Path) -> None:
    figure = tmp_path / "figure.PNG"
    assert trimix("inspect", compressed, "-o", figure, "--channel", 3).code == 0
    with Image.open(figure) as picture:
        assert picture.format == "PNG"
        picture.load()
    assert not list(tmp_path.glob(".trimix-*"))


def test_numbers_alone(trimix: Command, compressed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # They need no optional package.
    monkeypatch.setattr("trimix.evaluation.drawing.find_spec", lambda name: None)
    outcome = trimix("inspect", compressed, "--json")
    assert (outcome.code, outcome.error) == (0, "")
    record = json.loads(outcome.text)
    assert record["bytes"] == compressed.stat().st_size
    assert record["metadata_bits"] > 0
    assert sum(record["responsibility_shares"].values()) == pytest.approx(1)
    assert not compressed.with_suffix(".html").exists()


def test_numbers_and_a_page(trimix: Command, compressed: Path, page: Path) -> None:
    outcome = trimix("inspect", compressed, "--json", "-o", page, "--channel", 2, "--channel", 0)
    assert (outcome.code, outcome.error) == (0, "")
    assert list(json.loads(outcome.text)["histogram_differences"]) == ["2", "0"]
    assert page.exists()


def test_standard_streams(trimix: Command, compressed_bytes: bytes) -> None:
    outcome = trimix("inspect", "-", standard_input=compressed_bytes)
    assert outcome.code == 0
    assert outcome.output.startswith(b"<!doctype html>")
    assert b"<title>standard input</title>" in outcome.output
    assert trimix("inspect", "-", "-o", "-", standard_input=compressed_bytes).output == outcome.output


def test_an_output_is_replaced_only_when_forced(trimix: Command, compressed: Path, page: Path) -> None:
    page.write_text("mine")
    refused = trimix("inspect", compressed, "-o", page)
    assert refused.code == 6
    assert "(--force)" in refused.line
    assert page.read_text() == "mine"
    assert trimix("inspect", compressed, "-o", page, "--force").code == 0
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (("missing.tmix",), 4, "missing.tmix: no such file"),
        (("photo.png",), 4, "photo.png: a trimix file must begin with"),
        (("cut.tmix",), 4, "cut.tmix: "),
        (("flipped.tmix",), 4, "flipped.tmix: "),
        (("small.tmix", "--channel", "8"), 2, "from 0 to 7, found 8"),
        (("small.tmix", "--model", "none"), 5, "no model is named 'none'"),
        (("small.tmix", "--model", "gllmm-lite"), 5, "small.tmix: the file needs the model"),
        (("small.tmix", "--max-pixels", "100"), 3, "at most 100 pixels"),
        (("small.tmix", "-o", "page.jpg"), 2, "page.jpg: the suffix must be .html"),
        (("small.tmix", "-o", "page"), 2, "found none"),
        (("small.tmix", "-o", "nowhere/page.html"), 6, "there is no folder"),
        (("small.tmix", "-o", "-", "--json"), 2, "cannot share standard output"),
    ],
)
def test_refusals_are_one_line_and_leave_nothing_behind(
    trimix: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    compressed: Path,
    picture: Path,
    arguments: tuple[str, ...],
    code: int,
    expected: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    data = compressed.read_bytes()
    Path("cut.tmix").write_bytes(data[:-1])
    Path("flipped.tmix").write_bytes(data[:60] + bytes([data[60] ^ 255]) + data[61:])
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    outcome = trimix("inspect", *arguments)
    assert (outcome.code, outcome.output) == (code, b"")
    assert expected in outcome.line
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_missing_extra_is_told_before_anything_is_read(trimix: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trimix.evaluation.drawing.find_spec", lambda name: None)
    outcome = trimix("inspect", "missing.tmix")
    assert outcome.code == 2
    assert outcome.line.endswith("pip install 'trimix[evaluate]'")
