"""Many pictures and folders in one command."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from command_line import MODEL_NAME, Command, process_environment
from PIL import Image

from trimix.codec import Codec

NAMES = ("a b.png", "-dash.png", "ünï's.png", "same.png", "same.jpg")
WRITTEN = {"a b.tmix", "-dash.tmix", "ünï's.tmix", "same.png.tmix", "same.jpg.tmix", "sub/in sub.tmix"}
MODEL = ("--model", MODEL_NAME)


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six pictures, one of them in a folder of its own, and a file that is none."""
    folder = tmp_path / "with spaces & ünï"
    (folder / "sub").mkdir(parents=True)
    random = np.random.default_rng(3)
    for name in (*NAMES, "sub/in sub.png"):
        Image.fromarray(random.integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(folder / name)
    (folder / "Thumbs.db").write_bytes(b"thumbs")
    return folder


def test_a_folder_and_back(trimix: Command, folder: Path, tmp_path: Path) -> None:
    os.utime(folder / "a b.png", ns=(10**18, 10**18))
    outcome = trimix("compress", folder, "-o", tmp_path / "out", "--recursive", "--keep-times", *MODEL)
    assert outcome.code == 0, outcome
    assert files(tmp_path / "out") == WRITTEN
    assert (tmp_path / "out" / "a b.tmix").stat().st_mtime_ns == 10**18
    assert f"passed over: {folder / 'Thumbs.db'}\n" in outcome.error
    assert "6 files: 6 compressed; " in outcome.error
    outcome = trimix("decompress", tmp_path / "out", "-r", "-o", f"{tmp_path}/back/", "--format", "bmp", "-j", 2)
    assert outcome.code == 0
    assert files(tmp_path / "back") == {name.replace(".tmix", ".bmp") for name in WRITTEN}


def test_a_file_of_many_is_that_of_a_single_command(trimix: Command, folder: Path, tmp_path: Path) -> None:
    assert trimix("compress", folder, "-o", tmp_path / "out", "--jobs", 3, *MODEL).code == 0
    assert trimix("compress", folder / "a b.png", "-o", tmp_path / "one.tmix", *MODEL).code == 0
    assert (tmp_path / "out" / "a b.tmix").read_bytes() == (tmp_path / "one.tmix").read_bytes()


def test_what_is_there_is_not_done_again_unless_forced(trimix: Command, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a b.tmix").write_bytes(b"there")
    outcome = trimix("compress", folder, "-o", tmp_path / "out", *MODEL)
    assert "5 files: 4 compressed, 1 there already" in outcome.error
    assert "folders not looked into: 1; --recursive does" in outcome.error
    assert (tmp_path / "out" / "a b.tmix").read_bytes() == b"there"
    assert "5 files: 0 compressed, 5 there already" in trimix("compress", folder, "-o", tmp_path / "out", *MODEL).error
    assert "5 files: 5 compressed" in trimix("compress", folder, "-o", tmp_path / "out", "-f", *MODEL).error


def test_bad_ones_are_named_and_the_rest_is_done(trimix: Command, folder: Path, tmp_path: Path) -> None:
    (folder / "a b.png").write_bytes((folder / "a b.png").read_bytes()[:100])
    (folder / "empty.png").touch()
    outcome = trimix("compress", folder, folder / "none.png", "-o", tmp_path / "out", "--json", *MODEL)
    assert outcome.code == 3
    records = [json.loads(line) for line in outcome.text.splitlines()]
    assert sum("bytes" in one for one in records) == 4
    failed = {one["input"]: one["exit_code"] for one in records if "error" in one}
    assert failed == {str(folder / name): 3 for name in ("a b.png", "empty.png", "none.png")}
    assert records[-1]["summary"] is True
    assert set(records[-1]["failed"]) == set(failed)
    assert "a b.png: a picture must decode" in outcome.error
    assert files(tmp_path / "out") == {"-dash.tmix", "ünï's.tmix", "same.png.tmix", "same.jpg.tmix"}


def test_what_would_grow_is_left_out(trimix: Command, folder: Path, tmp_path: Path) -> None:
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(folder / "tiny.png")
    single = trimix("compress", folder / "tiny.png", *MODEL)
    assert single.code == 0
    assert "tiny.png: warning: the compressed file is larger than the picture's" in single.error
    (folder / "tiny.tmix").unlink()
    record = json.loads(trimix("compress", folder / "tiny.png", "--only-smaller", "--json", *MODEL).text)
    assert (record["output"], record["is_larger"]) == (None, True)
    assert not (folder / "tiny.tmix").exists()
    outcome = trimix("compress", folder, "-o", tmp_path / "out", "--only-smaller", *MODEL)
    assert outcome.code == 0
    assert "1 left out, for they would grow" in outcome.error
    assert "tiny.tmix" not in files(tmp_path / "out")


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_ctrl_c_finishes_what_is_in_hand_and_a_second_run_goes_on(
    trimix: Command, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack, begun = Codec.pack, threading.Event()

    def interrupting(self: Codec, *arguments: object) -> bytes:
        if not begun.is_set():
            begun.set()
            os.kill(os.getpid(), signal.SIGINT)
        # The main thread looks every 0.2 seconds; until then one job must not take the next picture.
        threading.Event().wait(0.5)
        return pack(self, *arguments)

    monkeypatch.setattr(Codec, "pack", interrupting)
    command = ("compress", folder, "-o", tmp_path / "out", "--jobs", 1, *MODEL)
    outcome = trimix(*command)
    assert outcome.code == 130
    assert "interrupted: finishing what is in hand" in outcome.error
    assert "5 files: 1 compressed, 4 not begun" in outcome.error
    assert len(files(tmp_path / "out")) == 1
    monkeypatch.setattr(Codec, "pack", pack)
    outcome = trimix(*command)
    assert outcome.code == 0
    assert "5 files: 4 compressed, 1 there already" in outcome.error


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_batch_leaves_whole_files_and_goes_on(
    trimix: Command, folder: Path, tmp_path: Path, number: signal.Signals
) -> None:
    out = tmp_path / "out"
    command = ("compress", folder, "-o", out, "--jobs", "1", "--effort", "5", *MODEL)
    killed = subprocess.Popen(
        [sys.executable, "-m", "trimix", *map(str, command)], env=process_environment(), stderr=subprocess.DEVNULL
    )
    try:
        while not (whole := {path: path.read_bytes() for path in out.glob("*.tmix")}):
            assert killed.poll() is None
            time.sleep(0.01)
        killed.send_signal(number)
        assert killed.wait() == (-number if number is signal.SIGKILL else 128 + number)
    finally:
        killed.kill()
        killed.wait()
    there = len(set(out.glob("*.tmix")))
    assert there < 5
    assert f"5 files: {5 - there} compressed, {there} there already" in trimix(*command).error
    for path, data in whole.items():
        assert Codec.for_file(path.read_bytes()).decode(data).height == 20


@pytest.mark.parametrize("arguments", [("--ray",), ("--ray", "auto")])
def test_without_ray_a_line_says_what_brings_it(
    trimix: Command, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    for name in ("RAY_USAGE_STATS_ENABLED", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "RAY_worker_niceness"):
        monkeypatch.setenv(name, "0")  # so that what the command sets goes with the test
    outcome = trimix("compress", folder, "-o", tmp_path / "out", *arguments, *MODEL)
    assert outcome.code == 2
    assert "working on a cluster needs ray, found none; pip install ray (the extra 'ray')" in outcome.line
    assert not (tmp_path / "out").exists()


def test_the_table_of_failures_is_that_of_the_last_run(trimix: Command, folder: Path, tmp_path: Path) -> None:
    bad, table = folder / "bad.png", tmp_path / "failures.csv"
    bad.write_bytes(b"no picture")
    command = ("compress", folder, "-o", tmp_path / "out", "--failures", table, *MODEL)
    assert trimix(*command).code == 3
    header, row = table.read_text().splitlines()
    assert header == "input,error,exit_code"
    assert row.startswith(f"{bad},") and row.endswith(",3")
    bad.unlink()
    assert trimix(*command).code == 0
    assert table.read_text().splitlines() == [header]


def test_outputs_are_folders(trimix: Command, folder: Path, picture: Path, tmp_path: Path) -> None:
    assert trimix("compress", picture, "-o", f"{tmp_path}/new/folder/", *MODEL).code == 0
    assert trimix("compress", picture, "-o", tmp_path / "new", *MODEL).code == 0
    assert files(tmp_path / "new") == {"photo.tmix", "folder/photo.tmix"}
    assert trimix("decompress", tmp_path / "new" / "photo.tmix", "-o", f"{tmp_path}/new/").code == 0
    assert (tmp_path / "new" / "photo.png").exists()
    for arguments, code, expected in (
        (("compress", folder, "-o", tmp_path / "out.tmix"), 6, "must be a folder, found a file's name"),
        (("compress", folder, "-o", picture), 6, "must be a folder, found a file's name"),
        (("compress", folder, "-o", "-"), 2, "a standard stream exclude each other"),
        (("compress", picture, "-"), 2, "a standard stream exclude each other"),
        (("compress", picture, tmp_path / "b.tmix"), 2, "an output must be given with -o; say"),
        (("decompress", tmp_path / "b.tmix", picture), 2, "an output must be given with -o; say"),
        (("compress", tmp_path / "new" / "folder"), 3, "a folder must hold a picture, found none"),
        (("compress", "-", "-o", f"{tmp_path}/new/"), 2, "standard input has no name"),
        (("compress", picture, folder / "sub" / "photo.png", "-o", tmp_path), 2, "would both become"),
    ):
        if "would both" in expected:
            (folder / "sub" / "photo.png").write_bytes(picture.read_bytes())
        outcome = trimix(*arguments, *(MODEL if arguments[0] == "compress" else ()), standard_input=b"x")
        assert outcome.code == code, outcome
        assert expected in outcome.line


def test_several_folders_keep_their_names(trimix: Command, folder: Path, tmp_path: Path) -> None:
    assert trimix("compress", folder / "sub", folder, "-o", tmp_path / "out", *MODEL).code == 0
    assert {"sub/in sub.tmix", f"{folder.name}/a b.tmix"} <= files(tmp_path / "out")


def test_info_of_many(trimix: Command, compressed: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.tmix").write_bytes(b"bad")
    outcome = trimix("info", tmp_path, tmp_path / "none.tmix", "--json")
    assert outcome.code == 4
    assert [json.loads(line)["file"] for line in outcome.text.splitlines()] == [str(compressed)]
    assert "bad.tmix: " in outcome.error
    assert "none.tmix: no such file" in outcome.error
