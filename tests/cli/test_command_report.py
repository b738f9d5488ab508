"""`trimix report`: a page of results, or one line of why there is none."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command_line import MODEL_NAME, Command
from PIL import Image

from trimix.evaluation.results import Measurement, Results


def write_results(path: Path, name: str = "one", data: str = "some", rate: float = 1.0) -> Path:
    measurements = [
        Measurement("a.png", 70, 50, quality, round(300 * rate * 1.5**step), None, 25.0 + step, None, None, 0.1, 0.1)
        for step, quality in enumerate((10.0, 20.0, 30.0, 40.0))
    ]
    path.write_text(json.dumps(Results.of_measurements(name, "made up", data, measurements, {}).to_json()))
    return path


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return write_results(tmp_path / "one.json")


@pytest.fixture
def page(tmp_path: Path) -> Path:
    return tmp_path / "page.html"


@pytest.fixture
def peers(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Finds a codec that refuses, whatever is asked for; returns what was."""
    from trimix.evaluation import peers

    asked: list[list[str]] = []

    def find_peers(names: list[str]) -> tuple[peers.Peer, ...]:
        asked.append(list(names))
        return (replace(peers.ALL_PEERS["jpeg"], name="nothing", scale=peers.QualityScale(0, 0, 100)),)

    monkeypatch.setattr(peers, "DEFAULT_PEERS", ())
    monkeypatch.setattr(peers, "find_peers", find_peers)
    return asked


def test_a_page_of_results(trimix: Command, results: Path, page: Path, tmp_path: Path) -> None:
    write_results(tmp_path / "two.json", "two", rate=1.2)
    outcome = trimix("report", tmp_path, "-o", page, "--title", "My <title>", "--anchor", "two")
    assert outcome.code == 0
    assert outcome.output == b""
    assert outcome.line == f"{page}: 2 measured curves, {page.stat().st_size} bytes"
    text = page.read_text(encoding="utf-8")
    assert "<title>My &lt;title&gt;</title>" in text
    assert '"anchor":"m1"' in text


def test_figures_lie_beside_the_page(trimix: Command, results: Path, page: Path, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "figures"
    outcome = trimix("report", results, "-o", page, "--figures", folder)
    assert outcome.code == 0
    assert sorted(path.name for path in folder.iterdir()) == [
        "rate-distortion-psnr-rgb.png",
        "rate-distortion-psnr-rgb.svg",
    ]
    assert f"2 figures in {folder}" in outcome.line
    page.unlink()
    refused = trimix("report", results, "-o", page, "--figures", folder)
    assert refused.code == 6
    assert "(--force)" in refused.line
    assert not page.exists()


def test_pictures_at_equal_size(
    trimix: Command, results: Path, page: Path, picture: Path, peers: list[list[str]]
) -> None:
    chosen = ("--model", MODEL_NAME, "--peer", "jpeg", "--bits-per-pixel", 8)
    outcome = trimix("report", results, "-o", page, "--picture", picture, *chosen)
    assert outcome.code == 0, outcome.error
    assert peers == [["jpeg"]]
    assert "1 picture at 8 bpp" in outcome.line
    text = page.read_text(encoding="utf-8")
    assert MODEL_NAME in text
    assert "photo.png" in text
    assert "nothing is left out: " in text


def test_standard_output(trimix: Command, results: Path) -> None:
    outcome = trimix("report", results, "-o", "-")
    assert outcome.code == 0
    assert outcome.output.startswith(b"<!doctype html>")


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (("missing.json",), 2, "missing.json: cannot be read"),
        (("broken.json",), 2, "broken.json: must be JSON"),
        (("other.json",), 2, "results on one set of pictures"),
        (("empty",), 2, "must have .json files, found none"),
        (("--anchor", "three"), 2, "the anchor must be one of the curves"),
        (("--picture", "missing.png"), 3, "missing.png: no such file"),
        (("--picture", "broken.json"), 3, "broken.json"),
        (("--picture", "photo.png", "--model", "none"), 5, "no model is named 'none'"),
        (("--peer", "jpeg"), 2, "--peer is about pictures"),
        (("--model", "gllmm-tiny"), 2, "--model is about pictures"),
        (("--picture", "photo.png") * 7, 2, "up to 6 times, found 7"),
        (("--bits-per-pixel", "0"), 2, "must be positive, found 0"),
        (("--bits-per-pixel", "nan"), 2, "must be positive, found nan"),
        (("--figures", "broken.json"), 6, "must be a folder, found a file"),
        (("-o", "nowhere/page.html"), 6, "there is no folder"),
        (("-o", "existing.html"), 6, "(--force)"),
        (("-o", "one.json", "--force"), 2, "would overwrite the input"),
    ],
)
def test_refusals_are_one_line_and_leave_nothing_behind(
    trimix: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    peers: list[list[str]],
    arguments: tuple[str, ...],
    code: int,
    expected: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_results(Path("one.json"))
    write_results(Path("other.json"), "other", data="another")
    Path("broken.json").write_text("{")
    Path("existing.html").write_text("mine")
    Path("empty").mkdir()
    Image.fromarray(np.zeros((50, 70, 3), np.uint8)).save("photo.png")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    outcome = trimix("report", "one.json", *arguments)
    assert outcome.code == code
    assert expected in outcome.line
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_missing_extra_is_told_before_anything_is_read(
    trimix: Command, page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trimix.evaluation.drawing.find_spec", lambda name: None)
    outcome = trimix("report", "missing.json", "-o", page)
    assert outcome.code == 2
    assert outcome.line.endswith("pip install 'trimix[evaluate]'")
