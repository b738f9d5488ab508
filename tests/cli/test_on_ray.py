"""Many pictures on the workers of a Ray cluster, here of one on this machine."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from command_line import MODEL_NAME, Command, process_environment
from PIL import Image

from trimix.codec import Codec

# In processes of their own: what is sent to workers must be as it is outside of tests, without checks of shapes.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(400),
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]
PICTURES = 200
MODEL = ("--model", MODEL_NAME)


def command(*arguments: object) -> "subprocess.Popen[str]":
    line = [sys.executable, "-m", "trimix", *map(str, arguments), *MODEL]
    return subprocess.Popen(line, env=process_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finished(*arguments: object) -> tuple[int, str]:
    """Exit code and standard error of a command."""
    with command(*arguments) as running:
        try:
            return running.wait(300), running.communicate()[1]
        finally:
            running.kill()


def workers(parent: int) -> list[int]:
    """Processes below one that are actors of ours, from the first to the last."""
    parents, found = {}, []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if b"ray::_Worker" in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue

    def is_below(process: int) -> bool:
        while process > 1 and process != parent:
            process = parents.get(process, 0)
        return process == parent

    return sorted(filter(is_below, found))


def test_a_killed_worker_loses_nothing_and_makes_nothing_twice(trimix: Command, tmp_path: Path) -> None:
    folder, out = tmp_path / "pictures", tmp_path / "out"
    (folder / "sub").mkdir(parents=True)
    random = np.random.default_rng(3)
    for number in range(PICTURES):
        samples = random.integers(0, 256, (20, 30, 3), dtype=np.uint8)
        Image.fromarray(samples).save(folder / ("sub" if number % 2 else "") / f"{number:03}.png")
    (folder / "bad.png").write_bytes(b"no picture")
    table = tmp_path / "failures.csv"
    arguments = ("compress", folder, "-r", "-o", out, "--jobs", 2, "--json", "--failures", table)
    running = command(*arguments, "--ray")
    try:
        while len(list(out.rglob("*.tmix"))) < 10:
            assert running.poll() is None, running.communicate()
            time.sleep(0.02)
        os.kill(workers(running.pid)[0], signal.SIGKILL)
        there = len(list(out.rglob("*.tmix")))
        text, _ = running.communicate(timeout=300)
    finally:
        running.kill()
        running.communicate()
    assert 10 <= there < PICTURES
    assert running.returncode == 3
    *records, summary = map(json.loads, text.splitlines())
    made = [one["output"] for one in records if one["output"]]
    assert len(made) == len(set(made))
    # The killed worker may have written one without saying so: its successor finds it.
    assert summary["compressed"] == len(made)
    assert summary["compressed"] + summary["there_already"] == PICTURES
    assert summary["there_already"] <= 1
    written = sorted(path.relative_to(out) for path in out.rglob("*.tmix"))
    assert written == sorted(one.relative_to(folder).with_suffix(".tmix") for one in folder.rglob("[0-9]*.png"))
    for path in written:
        data = (out / path).read_bytes()
        assert Codec.for_file(data).decode(data).height == 20
    # A file of a killed worker that never took its name is no output; there is one at most.
    assert len(list(out.rglob(".trimix-*.part"))) <= 1
    assert [(row["input"], row["exit_code"]) for row in csv.DictReader(table.read_text().splitlines())] == [
        (f"{folder / 'bad.png'}", "3")
    ]
    # The same command goes on, with or without Ray.
    again = trimix(*arguments, *MODEL)
    assert json.loads(again.text.splitlines()[-1])["there_already"] == PICTURES


def test_tables_in_a_store_and_a_file_of_ray_is_that_of_a_single_command(trimix: Command, tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    random = np.random.default_rng(4)
    pictures = []
    for number in range(4):
        path = tmp_path / f"{number}.png"
        Image.fromarray(random.integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(path)
        pictures.append(path.read_bytes())
    (tmp_path / "tables").mkdir()
    parquet.write_table(
        pyarrow.table({"image": [*pictures, b"bad"]}), tmp_path / "tables" / "a.parquet", row_group_size=2
    )
    # fsspec's name for this machine: the way of all stores, up to what they do with the bytes.
    source, target = (f"local://{tmp_path / name}" for name in ("tables", "out"))
    code, error = finished("compress", source, "-o", target, "--column", "image", "--jobs", 1, "--ray")
    assert code == 3, error
    assert "3 files: 3 compressed, 1 failed" in error
    found = [row for part in sorted((tmp_path / "out").iterdir()) for row in parquet.read_table(part).to_pylist()]
    assert "a.parquet#2:0: a picture must be one of" in found[-1]["trimix_error"]
    for number, row in enumerate(found[:-1]):
        assert trimix("compress", tmp_path / f"{number}.png", *MODEL).code == 0
        assert row == {"image": (tmp_path / f"{number}.tmix").read_bytes(), "trimix_error": None}


def test_a_cluster_that_does_not_answer_ends_the_command_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "0.png").write_bytes(b"no picture")
    code, error = finished("compress", tmp_path, "--ray", "127.0.0.1:1")
    assert code == 2, error
    assert "a Ray cluster must answer at 127.0.0.1:1, found none" in error.splitlines()[-1]
