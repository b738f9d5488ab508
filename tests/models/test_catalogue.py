from pathlib import Path

import pytest

from trimix.errors import ModelError, UnknownModelError
from trimix.models import catalogue
from trimix.models.catalogue import find_model, find_model_by_hash, read_entry

GOLDEN = Path(__file__).parent.parent / "golden" / "gllmm-tiny-0.safetensors"


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    for version in ("0.9", "0.10", "0.2"):
        data = GOLDEN.read_bytes().replace(b'"gllmm-tiny-0"', f'"gllmm-{version:0>7}"'.encode())
        (tmp_path / f"gllmm-{version}.safetensors").write_bytes(data)
    (tmp_path / "broken.safetensors").write_bytes(b"nothing")
    monkeypatch.setenv("TRIMIX_MODELS", str(tmp_path))
    return tmp_path


def test_a_name_without_version_means_the_newest(shelf):
    assert find_model("gllmm").path.name == "gllmm-0.10.safetensors"
    assert find_model("gllmm-00000.9").path.name == "gllmm-0.9.safetensors"


def test_a_hash_finds_its_model_and_an_unknown_one_is_named(shelf):
    assert find_model_by_hash(read_entry(GOLDEN).weights_hash).name.startswith("gllmm-")
    with pytest.raises(UnknownModelError, match="0102030405060708"):
        find_model_by_hash(bytes(range(1, 9)))


def test_a_missing_or_broken_model_is_one_clear_line(shelf):
    for name, message in (
        ("nothing", "no model is named 'nothing'"),
        (shelf / "no.safetensors", "no such"),
        (shelf / "broken.safetensors", "not a trimix weights file"),
        (shelf, "cannot be read|no model is named"),
    ):
        with pytest.raises(ModelError, match=message) as caught:
            find_model(name)
        assert "\n" not in str(caught.value)


def test_numbers_of_architectures_are_frozen():
    assert catalogue.GLLMM_LITE_IDENTIFIER == 1
