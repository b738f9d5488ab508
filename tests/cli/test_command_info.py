import json
from pathlib import Path

import pytest
from command_line import MODEL_NAME, Command

from trimix.frozen import catalogue


def test_shows_the_header(trimix: Command, compressed: Path) -> None:
    outcome = trimix("info", compressed)
    assert (outcome.code, outcome.error) == (0, "")
    for expected in (
        "format version 1",
        "70 x 50 pixels, RGB, 8 bits",
        "quality   50\n",
        MODEL_NAME,
        f"{compressed.stat().st_size} bytes",
        "ICC profile",
        "side ",
        "latent ",
    ):
        assert expected in outcome.text


def test_json(trimix: Command, compressed: Path) -> None:
    outcome = trimix("info", compressed, "--json")
    assert (outcome.code, outcome.error) == (0, "")
    record = json.loads(outcome.text)
    assert (record["width"], record["height"], record["channels"], record["bit_depth"]) == (70, 50, 3, 8)
    assert record["quality"] == 50
    assert record["model"] == MODEL_NAME
    assert record["bytes"] == record["expected_bytes"] == compressed.stat().st_size
    assert record["complete"] is True
    assert record["metadata"] == ["ICC profile"]
    assert [section["name"] for section in record["sections"]] == ["side", "latent", "icc_profile"]
    parts = record["header_bytes"] + record["payload_bytes"] + record["metadata_bytes"]
    assert parts == record["bytes"]
    assert trimix("info", "-", "--json", standard_input=compressed.read_bytes()).code == 0


def test_truncated_and_longer_files_are_reported_after_what_is_known(trimix: Command, compressed: Path) -> None:
    data = compressed.read_bytes()
    compressed.write_bytes(data[:-1])
    outcome = trimix("info", compressed)
    assert outcome.code == 4
    assert "70 x 50" in outcome.text
    assert "small.tmix: the file must have" in outcome.line
    assert "cut short" in outcome.line
    compressed.write_bytes(data + b"x")
    outcome = trimix("info", compressed, "--json")
    assert outcome.code == 4
    assert json.loads(outcome.text)["complete"] is False
    assert "remove what follows" in outcome.line


def test_other_files_are_refused(trimix: Command, picture: Path, tmp_path: Path, compressed: Path) -> None:
    (tmp_path / "empty.tmix").touch()
    compressed.write_bytes(compressed.read_bytes()[:20])
    for path, expected in (
        (picture, "photo.png: a trimix file must begin with"),
        (tmp_path / "empty.tmix", "is empty"),
        (tmp_path / "none.tmix", "no such file"),
        (compressed, "small.tmix: "),
    ):
        outcome = trimix("info", path)
        assert (outcome.code, outcome.output) == (4, b"")
        assert expected in outcome.line


def test_needs_no_model(trimix: Command, compressed: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TRIMIX_MODELS", str(tmp_path))
    monkeypatch.setattr(catalogue, "_PACKAGED", tmp_path)
    assert "not found here, hash" in trimix("info", compressed).text
    assert json.loads(trimix("info", compressed, "--json").text)["model"] is None
