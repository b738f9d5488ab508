import json
from pathlib import Path

import pytest
from command_line import MODEL_NAME, Command

from trimix.models import catalogue


def test_lists_models_and_folders(trimix: Command, models_folder: Path) -> None:
    outcome = trimix("models")
    assert (outcome.code, outcome.error) == (0, "")
    assert f"{models_folder}/{MODEL_NAME}.safetensors" in outcome.text
    assert "12345" in outcome.text
    assert f"searched: {models_folder}, " in outcome.text


def test_json(trimix: Command, models_folder: Path) -> None:
    record = json.loads(trimix("models", "--json").text)
    (model,) = (entry for entry in record["models"] if entry["name"] == MODEL_NAME)
    assert model["bytes"] == (models_folder / f"{MODEL_NAME}.safetensors").stat().st_size
    assert model["parameters"] == "12345"
    assert record["folders"][0] == str(models_folder)
    card = json.loads(trimix("models", MODEL_NAME, "--json").text)
    assert card["description"]["training data"] == "noise"
    assert card["configuration"]["latent_channels"] == 8
    assert card["model_hash"] == model["model_hash"]


def test_card(trimix: Command, models_folder: Path) -> None:
    by_name = trimix("models", "gllmm-tiny")
    assert by_name.code == 0
    assert "training data  noise" in by_name.text
    assert trimix("models", models_folder / f"{MODEL_NAME}.safetensors").text == by_name.text


def test_a_card_cannot_replace_a_fact(trimix: Command, models_folder: Path, tmp_path: Path) -> None:
    data = (models_folder / f"{MODEL_NAME}.safetensors").read_bytes()
    (tmp_path / "a.safetensors").write_bytes(data.replace(b'training data\\"', b'hash\\"         '))
    hashes = [
        line.split()[1]
        for line in trimix("models", tmp_path / "a.safetensors").text.splitlines()
        if line[:4] == "hash"
    ]
    assert len(hashes) == 2
    assert hashes[0] == json.loads(trimix("models", MODEL_NAME, "--json").text)["model_hash"]


def test_a_file_in_the_current_folder_does_not_hide_a_model(
    trimix: Command, models_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("gllmm-tiny").write_bytes(b"something else")
    assert str(models_folder) in trimix("models", "gllmm-tiny").text
    assert "is not a trimix weights file" in trimix("models", "./gllmm-tiny").line


def test_damaged_metadata_are_one_line(trimix: Command, models_folder: Path, tmp_path: Path) -> None:
    data = (models_folder / f"{MODEL_NAME}.safetensors").read_bytes()
    for old, new in (
        (b'"{\\"kind', b'"[\\"kind'),
        (b'"identifier":"1"', b'"identifier":"x"'),
        (b"12345", b"1\\n2 "),
    ):
        assert data.count(old) == 1
        (tmp_path / "a.safetensors").write_bytes(data.replace(old, new))
        outcome = trimix("models", tmp_path / "a.safetensors")
        assert outcome.code == 5
        assert "the file is damaged, get it again" in outcome.line


def test_unknown_model_is_told(trimix: Command) -> None:
    outcome = trimix("models", "nothing")
    assert outcome.code == 5
    assert "no model is named 'nothing'; found: gllmm-tiny-0" in outcome.line


def test_no_models(trimix: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TRIMIX_MODELS", str(tmp_path))
    monkeypatch.setattr(catalogue, "_PACKAGED", tmp_path)
    outcome = trimix("models")
    assert outcome.code == 0
    assert outcome.text.startswith("default: none, no gllmm-lite is installed\n")
    assert json.loads(trimix("models", "--json").text)["models"] == []
