import json
from pathlib import Path

from command_line import MODEL_NAME, Command


def test_three_files_are_written_by_the_hash_of_the_model(trimix: Command, tmp_path: Path) -> None:
    outcome = trimix("export", MODEL_NAME, "-o", tmp_path / "new" / "models")
    assert (outcome.code, outcome.output) == (0, b"")
    [manifest] = (tmp_path / "new" / "models").glob("*.json")
    found = json.loads(manifest.read_text())
    assert (found["name"], found["hash"]) == (MODEL_NAME, manifest.stem)
    assert f"{MODEL_NAME}, hash {manifest.stem}, 3 files" in outcome.error
    for one in (found["integers"], found["synthesis"]):
        assert (manifest.parent / one["name"]).stat().st_size == one["bytes"]


def test_what_is_there_is_replaced_only_by_force(trimix: Command, tmp_path: Path) -> None:
    assert trimix("export", MODEL_NAME, "-o", tmp_path).code == 0
    outcome = trimix("export", MODEL_NAME, "-o", tmp_path)
    assert outcome.code == 6
    assert "--force" in outcome.error
    assert trimix("export", MODEL_NAME, "-o", tmp_path, "--force").code == 0


def test_mistakes_are_one_line(trimix: Command, tmp_path: Path) -> None:
    unknown = trimix("export", "no-such-model", "-o", tmp_path)
    assert (unknown.code, unknown.error.count("\n")) == (5, 1)
    (tmp_path / "file").write_bytes(b"")
    outcome = trimix("export", MODEL_NAME, "-o", tmp_path / "file")
    assert (outcome.code, outcome.error.count("\n")) == (6, 1)
    assert "must be a folder" in outcome.error
