import json
from dataclasses import replace
from pathlib import Path

import pytest
from command_line import MODEL_NAME, Command

from tiny_models import tiny_frozen, tiny_model
from trimix.frozen import catalogue
from trimix.frozen.storage import save_frozen


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


def test_what_a_model_costs(trimix: Command) -> None:
    card = json.loads(trimix("models", MODEL_NAME, "--json").text)
    networks = {network["name"]: network for network in card["networks"]}
    assert sum(network["parameters"] for network in networks.values()) == sum(
        parameter.numel() for parameter in tiny_model().parameters()
    )
    # The first layer of the head alone: 16 side and 8 context channels to 12, at 1/16 of the resolution.
    assert networks["entropy parameters"]["kilo_mac_per_pixel"] > 24 * 12 / 256 / 1000
    for purpose in ("encode", "decode"):
        assert card[f"kilo_mac_per_pixel_to_{purpose}"] == pytest.approx(
            sum(network["kilo_mac_per_pixel"] for network in networks.values() if network[f"{purpose}s"])
        )
    assert card["entropy_model_passes"] == 2
    assert (card["width"], card["height"]) == (768, 512)
    text = trimix("models", MODEL_NAME, "--size", "64x128").text
    assert "passes of the entropy model: 2 for 64x128" in text
    for name, network in networks.items():
        (line,) = (line for line in text.splitlines() if line.startswith(f"{name}  "))
        assert line.removeprefix(name).split() == [str(network["parameters"]), f"{network['kilo_mac_per_pixel']:.1f}"]


def test_an_architecture_without_weights(trimix: Command) -> None:
    outcome = trimix("models", "attention", "--size", "1920x1080")
    assert outcome.code == 0
    assert outcome.text.startswith("attention: architecture, no weights installed")
    # 1080 is padded to 17 x 64: 120 columns, 68 rows.
    assert f"passes of the entropy model: {120 + 3 * 67} for 1920x1080" in outcome.text
    record = json.loads(trimix("models", "attention", "--json").text)
    assert (record["weights"], record["model_identifier"]) == (None, 4)
    assert record["configuration"]["latent_channels"] == 192
    assert record["kilo_mac_per_pixel_to_decode"] == pytest.approx(629.5, rel=0.01)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ("768", "must be WIDTHxHEIGHT in pixels, 768x512 for example, found '768'"),
        ("768x-5", "must be WIDTHxHEIGHT"),
        ("0x5", "must have sides of 1 to 65536 pixels"),
        ("65537x5", "must have sides of 1 to 65536 pixels"),
        ("65536x65536", "at most 268435456 pixels, found 65536x65536"),
    ],
)
def test_a_size_that_no_picture_has_is_refused(trimix: Command, size: str, expected: str) -> None:
    outcome = trimix("models", "gllmm", "--size", size)
    assert outcome.code == 2
    assert expected in outcome.line


def test_a_damaged_file_is_no_card(trimix: Command, models_folder: Path, tmp_path: Path) -> None:
    data = bytearray((models_folder / f"{MODEL_NAME}.safetensors").read_bytes())
    data[-1] ^= 1
    (tmp_path / "a.safetensors").write_bytes(data)
    outcome = trimix("models", tmp_path / "a.safetensors")
    assert (outcome.code, outcome.output) == (5, b"")
    assert "the file is damaged, get it again" in outcome.line


def test_card(trimix: Command, models_folder: Path) -> None:
    by_name = trimix("models", "gllmm-tiny")
    assert by_name.code == 0
    assert "training data  noise" in by_name.text
    assert trimix("models", models_folder / f"{MODEL_NAME}.safetensors").text == by_name.text


def test_steps_are_shown_as_those_of_the_last_run(trimix: Command, tmp_path: Path) -> None:
    former, present = "training steps", "steps of the last run"
    for facts, expected in (
        ({former: "7"}, [f"{present}  7"]),
        ({present: "7"}, [f"{present}  7"]),
        ({present: "7", former: "92 in all"}, [f"{present}  7", f"{former}         92 in all"]),
    ):
        frozen = tiny_frozen()
        named = replace(frozen, identity=replace(frozen.identity, description=facts))
        save_frozen(named, tmp_path / "a.safetensors")
        text = trimix("models", tmp_path / "a.safetensors").text
        assert [line for line in text.splitlines() if line.startswith(("steps", former))] == expected
        card = json.loads(trimix("models", tmp_path / "a.safetensors", "--json").text)
        assert card["description"] == facts


def test_a_card_cannot_replace_a_fact(trimix: Command, models_folder: Path, tmp_path: Path) -> None:
    data = (models_folder / f"{MODEL_NAME}.safetensors").read_bytes()
    (tmp_path / "a.safetensors").write_bytes(data.replace(b'training data\\"', b'hash\\"         '))
    hashes = [
        line.split()[1] for line in trimix("models", tmp_path / "a.safetensors").text.splitlines() if line[:4] == "hash"
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
        (b'"configuration":"{', b'"configuration":"['),
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
    assert outcome.text.startswith("default: none, no gllmm-lite-eye is installed\n")
    assert json.loads(trimix("models", "--json").text)["models"] == []


def test_a_description_cannot_steer_a_terminal(
    trimix: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_frozen()
    description = {"author\x1b[2J": "\x1b]0;title\x07", "parameters": "\x1b[31m1"}
    identity = replace(model.identity, name="evil-1", description=description)
    save_frozen(replace(model, identity=identity), tmp_path / "evil-1.safetensors")
    monkeypatch.setenv("TRIMIX_MODELS", str(tmp_path))
    for arguments in ((), ("evil-1",)):
        outcome = trimix("models", *arguments)
        assert outcome.code == 0
        assert "?[31m1" in outcome.text
        assert not {"\x1b", "\x07"} & set(outcome.text)


def test_weights_of_earlier_releases(trimix: Command) -> None:
    assert "gllmm-lite-0.1 " not in trimix("models").text
    outcome = trimix("models", "--all")
    assert outcome.code == 0
    assert "gllmm-lite-0.1 " in outcome.text
    assert "git show " in outcome.text
    (first, *_), listed = json.loads(trimix("models", "--all", "--json").text)["earlier"], outcome.text
    assert first["command"] in listed
