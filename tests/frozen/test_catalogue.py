import json
import os
import re
import struct
from pathlib import Path

import pytest

from trimix.errors import ModelError, UnknownModelError, UsageError
from trimix.frozen import catalogue
from trimix.frozen.catalogue import DEFAULT_MODEL, Tune, entries, find_model, find_model_by_hash, model_for, read_entry

GOLDEN = Path(__file__).parent.parent / "golden" / "gllmm-tiny-0.safetensors"


def metadata_of_golden():
    data = GOLDEN.read_bytes()
    return json.loads(data[8 : 8 + struct.unpack("<Q", data[:8])[0]])["__metadata__"]


def write_head(path, metadata):
    """A file with a head and no tensors: the catalogue looks no further."""
    text = json.dumps({"__metadata__": metadata}).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text)
    return path


def write_model(path, name):
    return write_head(path, metadata_of_golden() | {"name": name})


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Two folders that are searched in this order, and the package's own."""
    found = []
    for name in ("first", "second", "package"):
        found.append(tmp_path / name)
        found[-1].mkdir()
    monkeypatch.setenv("TRIMIX_MODELS", os.pathsep.join(map(str, found[:2])))
    monkeypatch.setattr(catalogue, "_PACKAGED", found[2])
    return found


@pytest.fixture
def shelf(folders):
    for version in ("0.9", "0.10", "0.2"):
        write_model(folders[0] / f"gllmm-{version}.safetensors", f"gllmm-{version}")
    (folders[0] / "broken.safetensors").write_bytes(b"nothing")
    return folders[0]


def test_a_name_without_version_means_the_newest(shelf):
    assert find_model("gllmm").path.name == "gllmm-0.10.safetensors"
    assert find_model("gllmm-0.9").path.name == "gllmm-0.9.safetensors"


def test_the_newest_is_looked_for_in_all_folders(folders):
    write_model(folders[0] / "a.safetensors", "gllmm-lite-0.9")
    write_model(folders[1] / "b.safetensors", "gllmm-lite-0.10")
    write_model(folders[2] / "c.safetensors", "gllmm-lite-0.2")
    assert find_model("gllmm-lite").name == "gllmm-lite-0.10"
    write_model(folders[2] / "c.safetensors", "gllmm-lite-1.0")
    assert find_model("gllmm-lite").path.parent == folders[2]


def test_of_equal_models_the_first_folder_counts(folders):
    for folder in reversed(folders):
        for file in ("x.safetensors", "z.safetensors", "y.safetensors"):
            write_model(folder / file, "gllmm-0.1")
    for name in ("gllmm", "gllmm-0.1"):
        assert find_model(name).path == folders[0] / "z.safetensors"
    assert find_model_by_hash(read_entry(GOLDEN).weights_hash).path == folders[0] / "z.safetensors"


def test_a_full_name_counts_before_a_name_without_version(folders):
    write_model(folders[0] / "a.safetensors", "gllmm-0.1")
    write_model(folders[1] / "b.safetensors", "gllmm")
    assert find_model("gllmm").name == "gllmm"


@pytest.mark.parametrize(
    ("name", "family", "version"),
    [
        ("gllmm-lite-0.1", "gllmm-lite", (0, 1)),
        ("gllmm-lite-0.10.2", "gllmm-lite", (0, 10, 2)),
        ("gllmm-tiny-0", "gllmm-tiny", (0,)),
        ("gllmm-lite", "gllmm-lite", ()),
        ("gllmm-lite-0.2-trial", "gllmm-lite-0.2-trial", ()),
        ("gllmm-lite-0.2b", "gllmm-lite-0.2b", ()),
    ],
)
def test_a_version_is_the_numbers_after_the_last_hyphen(tmp_path, name, family, version):
    entry = read_entry(write_model(tmp_path / "a.safetensors", name))
    assert (entry.family, entry.version) == (family, version)


def test_a_file_called_like_a_model_does_not_hide_it(shelf, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("gllmm", "gllmm-0.9"):
        Path(name).write_bytes(b"something else")
        assert find_model(name).path.parent == shelf
        assert find_model(Path(name)).path.parent == shelf
        with pytest.raises(ModelError, match="is not a trimix weights file"):
            find_model(f"./{name}")


def test_a_file_is_taken_by_its_path_suffix_or_where_no_model_has_its_name(shelf, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in ("mine.safetensors", "./gllmm", "mine"):
        write_model(Path(path), "mine-1")
        assert find_model(path).path == Path(path)
    with pytest.raises(ModelError, match="no such model file"):
        find_model("gllmm-0.9.safetensors")


def test_a_hash_finds_its_model_and_an_unknown_one_is_named(shelf):
    assert find_model_by_hash(read_entry(GOLDEN).weights_hash).name.startswith("gllmm-")
    with pytest.raises(UnknownModelError, match="0102030405060708"):
        find_model_by_hash(bytes(range(1, 9)))


def test_a_missing_or_broken_model_is_one_clear_line(shelf):
    for name, message in (
        ("nothing", "no model is named 'nothing'"),
        ("x" * 5000, "no model is named"),
        ("null\0", "no model is named"),
        ("", "no model is named"),
        (shelf / "no.safetensors", "no such"),
        (shelf / ("x" * 5000), "cannot be read"),
        (shelf / "broken.safetensors", "not a trimix weights file"),
        (shelf, "cannot be read"),
    ):
        with pytest.raises(ModelError, match=message) as caught:
            find_model(name)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["name", "identifier", "hash", "configuration", "description", "format"])
@pytest.mark.parametrize(
    "value",
    [None, 1, 1.5, True, [], ["a"], {}, "", "two\nlines", "x" * 3000, "-1", "²", "[1]", "{"],
    ids=lambda value: repr(value)[:12],
)
def test_metadata_of_a_wrong_type_are_one_clear_line(tmp_path, key, value):
    path = write_head(tmp_path / "a.safetensors", metadata_of_golden() | {key: value})
    with pytest.raises(ModelError, match=re.escape(f"{path}: ")) as caught:
        read_entry(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("identifier", ["0", "65536", "99999", "1e3", "0x1", " 1", "1_0", "٣", "9" * 5000])
def test_an_identifier_must_fit_the_header_of_a_file(tmp_path, identifier):
    path = write_head(tmp_path / "a.safetensors", metadata_of_golden() | {"identifier": identifier})
    with pytest.raises(ModelError, match=r"its identifier must be a number 1..65535"):
        read_entry(path)


@pytest.mark.parametrize(
    "description",
    ['{"a": 1}', '{"a": null}', '{"a\\n": []}', '{"a": "\\ud800"}', "[" * 100_000, '"text"', "null"],
    ids=lambda text: text[:12],
)
def test_a_description_must_be_text_by_heading(tmp_path, description):
    path = write_head(tmp_path / "a.safetensors", metadata_of_golden() | {"description": description})
    with pytest.raises(ModelError, match="its description must be") as caught:
        read_entry(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "head",
    [b"", b"[]", b"1", b"null", b'{"__metadata__": []}', b"{", b"\xff", b"[" * 100_000],
    ids=lambda h: str(h[:9]),
)
def test_a_head_of_another_kind_is_one_clear_line(tmp_path, head):
    path = tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", len(head)) + head)
    with pytest.raises(ModelError) as caught:
        read_entry(path)
    assert "\n" not in str(caught.value)


def test_any_file_name_is_listed(folders):
    for name in ("²1", "x-٣", "9" * 200, "gllmm-0.09", "gllmm-0.9"):
        write_model(folders[0] / f"{name}.safetensors", "gllmm-0.1")
    assert len(list(entries())) == 5


def test_numbers_of_architectures_are_frozen():
    assert catalogue.IDENTIFIERS == {"gllmm-lite": 1, "hyperprior": 2, "autoregressive": 3, "attention": 4, "gllmm": 5}


def test_a_tune_is_the_name_of_a_model():
    assert [model_for(tune, None) for tune in ("eye", "psnr", "ms-ssim")] == [
        "gllmm-lite-eye",
        "gllmm-lite",
        "gllmm-lite-ms-ssim",
    ]
    assert model_for(None, None) == DEFAULT_MODEL == Tune.EYE.model
    assert model_for(None, Path("mine.safetensors")) == Path("mine.safetensors")


@pytest.mark.parametrize(
    ("tune", "model", "message"),
    [("eye", "gllmm-lite", "exclude each other"), ("nose", None, "one of eye, psnr, ms-ssim, found 'nose'")],
)
def test_a_tune_that_does_not_fit_is_refused(tune, model, message):
    with pytest.raises(UsageError, match=message):
        model_for(tune, model)
