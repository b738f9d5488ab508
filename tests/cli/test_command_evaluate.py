import contextlib
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
from PIL import Image, features

from trimix.encoder.effort import DEFAULT_EFFORT, EFFORT_REVISION
from trimix.evaluation import metrics, run
from trimix.evaluation.data_sets import DATA_VARIABLE
from trimix.evaluation.measuring import measuring
from trimix.evaluation.results import read_results


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes take seconds to start; tests/evaluation/test_run.py has some."""
    monkeypatch.setattr(run, "measuring", lambda contender, isolated: measuring(contender, isolated=False))
    # Which metrics are installed is told on standard error: the same everywhere.
    monkeypatch.setattr(metrics, "missing_metrics", list)
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0))
    monkeypatch.delenv(DATA_VARIABLE, raising=False)


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A folder of two pictures, in the current folder."""
    monkeypatch.chdir(tmp_path)
    Path("pictures").mkdir()
    random = np.random.default_rng(1)
    for name, shape in (("a.png", (40, 50, 3)), ("b.png", (60, 30))):
        Image.fromarray(random.integers(0, 256, shape, dtype=np.uint8)).save(f"pictures/{name}")
    return "pictures"


def test_one_file_for_each_codec_and_a_table(trimix: Command, pictures: str) -> None:
    outcome = trimix(
        "evaluate", pictures, "--model", "gllmm-tiny", "-q", "20,60.5", "--peer", "jpeg=50,90", "-o", "out"
    )
    assert outcome.code == 0, outcome
    assert sorted(path.name for path in Path("out").iterdir()) == ["gllmm-tiny.json", "jpeg.json"]
    model, jpeg = read_results(Path("out/gllmm-tiny.json")), read_results(Path("out/jpeg.json"))
    assert (model.name, model.data) == (MODEL_NAME, "pictures")
    assert [one.point.quality for one in jpeg.means] == [50.0, 90.0]
    assert model.pictures == jpeg.pictures == ("a.png", "b.png")
    assert all(one.ms_ssim is None for one in model.measurements)
    lines = outcome.text.splitlines()
    assert lines[0].startswith(f"{MODEL_NAME} on pictures, means over 2 pictures; memory before it was opened ")
    assert lines[1].split()[:2] == ["quality", "bpp"]
    assert f"{model.means[0].point.bits_per_pixel:.4f}" in outcome.text
    assert "JPEG" in outcome.text
    assert f"{MODEL_NAME} 1/4 a.png quality 20: " in outcome.error
    assert outcome.error.count("\n") == 8


def test_the_same_command_measures_nothing_twice(trimix: Command, pictures: str) -> None:
    command = ("evaluate", pictures, "--model", "gllmm-tiny", "-q", "20", "-o", "out")
    first = trimix(*command)
    before = Path("out/gllmm-tiny.json").read_bytes()
    again = trimix(*command)
    assert again.code == 0
    assert again.text == first.text
    assert again.line == f"{MODEL_NAME}: all 2 measurements are here already"
    assert Path("out/gllmm-tiny.json").read_bytes() == before
    other = trimix(*command, "-q", "30")
    assert other.code == 2
    assert "found qualities 20 (now 30); choose another folder, or measure anew (-o, --force)" in other.line
    assert trimix(*command, "-q", "30", "--force").code == 0
    assert [one.point.quality for one in read_results(Path("out/gllmm-tiny.json")).means] == [30.0]


def test_two_models_are_compared(trimix: Command, pictures: str, models_folder: Path) -> None:
    copy = Path("copy.safetensors")
    copy.write_bytes((models_folder / f"{MODEL_NAME}.safetensors").read_bytes())
    options = ("-q", "50", "-o", "out", "--limit", "1", "--json")
    outcome = trimix("evaluate", pictures, "--model", MODEL_NAME, "--model", copy, *options)
    assert outcome.code == 0, outcome
    record = json.loads(outcome.text)
    assert (record["data"], record["pictures"], record["folder"]) == ("pictures, first 1 of 2", 1, "out")
    first, second = record["codecs"]
    assert (first["name"], second["name"]) == (MODEL_NAME, "copy")
    assert first["file"] == f"out/{MODEL_NAME}.json"
    assert first["results"]["bpp"] == second["results"]["bpp"]
    assert len(first["provenance"]["settings"]["model_hash"]) == 16


def test_of_a_group_what_is_not_installed_is_left_out(
    trimix: Command, pictures: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = features.check
    monkeypatch.setattr(features, "check", lambda name: name != "avif" and check(name))
    refused = trimix("evaluate", pictures, "--peer", "avif")
    assert refused.code == 2
    assert "AVIF, tune=iq needs a Pillow that writes it, found one that does not" in refused.line
    outcome = trimix("evaluate", pictures, "--peers", "default", "--peer", "jpeg=50", "--limit", "1", "-o", "out")
    assert outcome.code == 0
    assert "left out: AVIF, tune=iq needs a Pillow that writes it" in outcome.error
    assert "left out: AVIF, tune=psnr needs a Pillow that writes it" in outcome.error
    names = {path.name for path in Path("out").iterdir()}
    assert {"jpeg.json", "webp.json"} <= names
    assert "avif.json" not in names
    assert [one.point.quality for one in read_results(Path("out/jpeg.json")).means] == [50.0]


def test_the_command_is_kept_as_typed(trimix: Command, pictures: str) -> None:
    command = (
        "evaluate", pictures, "--peer", "jpeg=50", "--peer", "webp=10,20", "--output", "my out", "--limit", "1",
        "--force",
    )  # fmt: skip
    assert trimix(*command).code == 0
    provenance = read_results(Path("my out/webp.json")).provenance
    assert provenance["command"] == (
        "trimix evaluate pictures --peer jpeg=50 --peer webp=10,20 --output 'my out' --limit 1 --force"
    )


def test_results_go_to_a_folder_of_the_name_of_the_pictures(trimix: Command, pictures: str) -> None:
    assert trimix("evaluate", pictures, "--peer", "jpeg=50", "--limit", "1").code == 0
    assert Path("runs/evaluate/pictures-first-1-of-2/jpeg.json").exists()


def test_sets_are_listed(trimix: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "Kodak").mkdir()
    Image.new("RGB", (768, 512)).save(tmp_path / "Kodak" / "kodim01.png")
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    text = trimix("evaluate", "--list").text
    assert (
        f"not whole: 1 picture, without kodim02, kodim03, kodim04, kodim05, kodim06 and 18 more in {tmp_path}" in text
    )
    assert "not here; published as: BRACS" in text
    assert text.endswith(f"searched: {tmp_path} (--data-root or TRIMIX_DATA names folders)\n")
    record = json.loads(trimix("evaluate", "--list", "--json", "--data-root", tmp_path / "none").text)
    assert record["sets"][0]["name"] == "kodak"
    assert record["sets"][0]["whole"] is False
    assert record["sets"][0]["folder"] is None


def test_sets_and_help_are_quick(trimix: Command, tmp_path: Path) -> None:
    assert "Example: trimix evaluate kodak" in trimix("evaluate", "--help").text
    script = """
import sys
from trimix.cli import main
for arguments, code in ((["-h"], 0), (["--list"], 0), (["kodak"], 2), ([".", "-q", "0"], 2)):
    assert main(["evaluate", *arguments]) == code, arguments
heavy = {"torch", "numpy", "numba", "PIL", "safetensors"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run(
        [sys.executable, "-c", script], env=process_environment(), cwd=tmp_path, capture_output=True, check=True
    )


def test_mistakes_are_one_line_and_leave_nothing(trimix: Command, pictures: str) -> None:
    Path("empty").mkdir()
    Path("damaged").mkdir()
    Path("damaged/a.png").write_bytes(Path("pictures/a.png").read_bytes()[:100])
    Path("file").touch()
    before = set(Path().iterdir())
    for arguments, code, expected in (
        (("-o", "out"), 2, "DATA must be a folder of pictures or a named set, found none; --list shows"),
        (("nowhere",), 2, "nowhere: must be a folder of pictures or a named set, found neither"),
        (("empty",), 2, "empty: a folder of pictures must hold some"),
        (("kodak",), 2, "found no data root; name one, or set TRIMIX_DATA; published as: Kodak"),
        ((pictures, "--model", "nothing"), 5, "no model is named 'nothing'"),
        ((pictures, "--model", "gllmm-tiny", "-q", "20,101"), 2, "--quality must be from 1"),
        ((pictures, "--model", "gllmm-tiny", "-q", "a"), 2, "--quality must be numbers with commas between"),
        ((pictures, "--model", "gllmm-tiny", "-q", "5,5"), 2, "--quality must be finite numbers, each once"),
        ((pictures, "--peer", "jpg2"), 2, "found 'jpg2'; did you mean jpeg"),
        ((pictures, "--peer", "jpeg=50,500"), 2, "the quality of JPEG must be an integer, 1 .. 100"),
        ((pictures, "--peer", "jpeg=50.5"), 2, "found 50.5"),
        (("damaged", "--model", "gllmm-tiny"), 3, "damaged/a.png: a picture must decode"),
        ((pictures, "--model", "gllmm-tiny", "-o", "file"), 2, "file: must be a folder, found a file"),
        ((pictures, "--limit", "0"), 2, "--limit"),
    ):
        outcome = trimix("evaluate", *arguments)
        assert outcome.code == code, outcome
        assert outcome.output == b""
        assert expected in outcome.line
    assert set(Path().iterdir()) == before


def test_a_busy_machine_is_told(trimix: Command, pictures: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Which metrics are installed is told on standard error: the same everywhere.
    monkeypatch.setattr(metrics, "missing_metrics", list)
    monkeypatch.setattr(os, "getloadavg", lambda: (1000.0, 0.0, 0.0))
    outcome = trimix("evaluate", pictures, "--peer", "jpeg=50", "--limit", "1")
    assert outcome.code == 0
    assert "the machine is busy (load 1000.0 on " in outcome.error


def test_a_terminal_shows_a_bar(trimix: Command, pictures: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import pty

    leader, follower = pty.openpty()
    shown: list[bytes] = []

    def read() -> None:
        with contextlib.suppress(OSError):  # how Linux tells that the other end is closed
            while part := os.read(leader, 2**16):
                shown.append(part)

    reader = threading.Thread(target=read)
    reader.start()
    with os.fdopen(follower, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        code = trimix("evaluate", pictures, "--model", "gllmm-tiny", "-q", "20", "-o", "out").code
        monkeypatch.undo()
    reader.join()
    os.close(leader)
    assert code == 0
    text = b"".join(shown).decode()
    assert f"{MODEL_NAME} 2/2" in text
    assert "b.png quality 20" in text
    assert " bpp" in text


@pytest.mark.slow
def test_ctrl_c_is_told_and_the_same_command_goes_on(trimix: Command, pictures: str) -> None:
    # Here with processes of their own, as it is used.
    qualities = ",".join(str(quality) for quality in range(1, 31))
    command = ("evaluate", pictures, "--model", "gllmm-tiny", "-q", qualities, "-o", "out")
    process = subprocess.Popen(
        [sys.executable, "-m", "trimix", *command],
        env=process_environment(),
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    journal, end = Path("out/gllmm-tiny.partial.jsonl"), time.monotonic() + 100
    while not (journal.exists() and '"measurement"' in journal.read_text()):
        assert time.monotonic() < end
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate()
    if journal.exists():  # else it was faster
        assert process.returncode == 130
        done = journal.read_text().count('"measurement"')
        assert "interrupted after " in error
        assert " of 60 measurements of gllmm-tiny-0; the same command goes on\n" in error
        outcome = trimix(*command)
        assert outcome.code == 0, outcome
        assert f"going on after {done} of 60 measurements" in outcome.error
    assert len(read_results(Path("out/gllmm-tiny.json")).measurements) == 60


@pytest.mark.parametrize(
    ("options", "files"),
    [
        ((), ["gllmm-tiny.json"]),
        (("--peer", "jpeg=50"), ["jpeg.json"]),
        (("--peer", "jpeg=50", "-q", "50"), ["gllmm-tiny.json", "jpeg.json"]),
    ],
)
def test_qualities_ask_for_the_default_model(
    trimix: Command, pictures: str, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], files: list[str]
) -> None:
    monkeypatch.setattr("trimix.cli.evaluate.DEFAULT_MODEL", "gllmm-tiny")
    outcome = trimix("evaluate", pictures, "-o", "out", "--limit", "1", *options)
    assert outcome.code == 0, outcome
    assert sorted(path.name for path in Path("out").iterdir()) == files


def test_efforts_are_kept_apart(trimix: Command, pictures: str) -> None:
    command = ("evaluate", pictures, "--model", "gllmm-tiny", "-q", "20", "-o", "out", "--limit", "1")
    assert trimix(*command).code == 0
    outcome = trimix(*command, "--effort", "3")
    assert outcome.code == 0, outcome
    assert f"{MODEL_NAME}, effort 3 1/1 a.png quality 20: " in outcome.error
    assert sorted(path.name for path in Path("out").iterdir()) == ["gllmm-tiny-effort-3.json", "gllmm-tiny.json"]
    plain, searched = (read_results(Path(f"out/gllmm-tiny{ending}.json")) for ending in ("", "-effort-3"))
    assert (plain.name, searched.name) == (MODEL_NAME, f"{MODEL_NAME}, effort 3")
    for results, effort in ((plain, DEFAULT_EFFORT), (searched, 3)):
        settings = results.provenance["settings"]
        assert (settings["effort"], settings["effort_revision"]) == (effort, EFFORT_REVISION)
    assert searched.provenance["effort"] == 3
    assert " --effort 3 " in searched.provenance["command"]
    assert trimix("evaluate", pictures, "--effort", "10").code == 2


def test_a_metric_that_is_not_installed_is_told_in_one_line(
    trimix: Command, pictures: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "missing_metrics", lambda: ["Butteraugli needs a program"])
    outcome = trimix("evaluate", pictures, "--peer", "jpeg=50", "--limit", "1", "-o", "out")
    assert outcome.code == 0
    assert outcome.error.splitlines()[0] == "left out: Butteraugli needs a program"
    assert outcome.error.count("\n") == 2
