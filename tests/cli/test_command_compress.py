import importlib
import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command_line import MODEL_NAME, Command, process_environment
from PIL import Image

from trimix.bitstream import MAGIC, describe
from trimix.codec import Codec
from trimix.latent_codec import LatentCodec

Files = set[str]


def names(folder: Path) -> Files:
    return {path.name for path in folder.iterdir()}


def test_writes_next_to_the_picture_and_says_what(trimix: Command, picture: Path) -> None:
    outcome = trimix("compress", picture, "--model", MODEL_NAME)
    assert outcome.code == 0
    assert outcome.output == b""
    data = picture.with_suffix(".tmix").read_bytes()
    header = describe(data).header
    assert (header.width, header.height, header.channels, header.quality) == (70, 50, 3, 70 * 512)
    assert f"(70x50, {picture.stat().st_size} bytes)" in outcome.line
    assert f"{len(data)} bytes, {8 * len(data) / 3500:.3f} bpp at quality 70" in outcome.line
    assert names(picture.parent) == {"photo.png", "photo.tmix"}


def test_json(trimix: Command, picture: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.tmix"
    outcome = trimix("compress", picture, "--model", MODEL_NAME, "-o", output, "-q", 33.3, "--json")
    assert (outcome.code, outcome.error) == (0, "")
    record = json.loads(outcome.text)
    assert record["input"] == str(picture)
    assert record["output"] == str(output)
    assert (record["width"], record["height"], record["channels"]) == (70, 50, 3)
    assert record["bytes"] == output.stat().st_size
    assert record["bits_per_pixel"] == pytest.approx(8 * record["bytes"] / 3500)
    assert record["quality"] == 33.301  # in steps of 1/512
    assert record["model"] == MODEL_NAME
    assert len(record["model_hash"]) == 16
    assert record["encode_seconds"] > 0


def test_standard_input_goes_to_standard_output(trimix: Command, picture: Path) -> None:
    outcome = trimix("compress", "-", "--model", MODEL_NAME, standard_input=picture.read_bytes())
    assert outcome.code == 0
    assert outcome.output.startswith(MAGIC)
    assert outcome.line.startswith("standard input (70x50")
    assert trimix("compress", picture, "-o", "-", "--model", MODEL_NAME).output == outcome.output


def test_grey_and_model_file(trimix: Command, tmp_path: Path, models_folder: Path) -> None:
    Image.fromarray(np.full((10, 20), 7, np.uint8)).save(tmp_path / "grey.pgm")
    model = models_folder / f"{MODEL_NAME}.safetensors"
    assert trimix("compress", tmp_path / "grey.pgm", "--model", model, "--threads", "1").code == 0
    assert describe((tmp_path / "grey.tmix").read_bytes()).header.channels == 1


@pytest.mark.parametrize("quality", ["0", "101", "nan", "inf", "0.999", "-1", "100.001"])
def test_quality_out_of_range_is_refused(trimix: Command, picture: Path, quality: str) -> None:
    outcome = trimix("compress", picture, f"--quality={quality}")
    assert outcome.code == 2
    assert "from 1 (smallest file) to 100 (best picture), found" in outcome.line
    assert names(picture.parent) == {"photo.png"}


@pytest.mark.parametrize("quality", ["1", "100", "1e2", "50.5"])
def test_quality_in_range(trimix: Command, picture: Path, quality: str) -> None:
    assert trimix("compress", picture, "-q", quality, "--model", MODEL_NAME).code == 0
    stored = describe(picture.with_suffix(".tmix").read_bytes()).header.quality
    assert math.isclose(stored / 512, float(quality), abs_tol=1 / 512)


def test_existing_output_is_kept_without_force(trimix: Command, picture: Path) -> None:
    output = picture.with_suffix(".tmix")
    output.write_bytes(b"precious")
    outcome = trimix("compress", picture, "--model", MODEL_NAME)
    assert outcome.code == 6
    assert "already exists; replace it" in outcome.line
    assert output.read_bytes() == b"precious"
    assert trimix("compress", picture, "--model", MODEL_NAME, "--force").code == 0
    assert output.read_bytes().startswith(MAGIC)


def test_an_output_that_appears_meanwhile_is_kept(
    trimix: Command, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = picture.with_suffix(".tmix")

    def pack(*_: object, **__: object) -> bytes:
        output.write_bytes(b"precious")
        return b"new"

    monkeypatch.setattr(Codec, "pack", pack)
    assert trimix("compress", picture, "--model", MODEL_NAME).code == 6
    assert output.read_bytes() == b"precious"


@pytest.mark.parametrize("force", [(), ("--force",)])
def test_output_over_the_input_is_refused(trimix: Command, picture: Path, force: tuple[str, ...]) -> None:
    before = picture.read_bytes()
    (picture.parent / "link.png").symlink_to(picture)
    for output in (picture, picture.parent / "." / "photo.png", picture.parent / "link.png"):
        outcome = trimix("compress", picture, "-o", output, *force)
        assert outcome.code == 2
        assert "would overwrite the input" in outcome.line
    assert picture.read_bytes() == before


def test_bad_inputs_are_one_line(trimix: Command, tmp_path: Path, compressed: Path) -> None:
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("no picture")
    frames = [Image.new("L", (8, 8), level) for level in (0, 200)]
    frames[0].save(tmp_path / "frames.gif", save_all=True, append_images=frames[1:])
    before = names(tmp_path)
    for name, expected in (
        ("missing.png", "missing.png: no such file"),
        ("empty.png", "is empty"),
        ("text.png", "text.png: a picture must be one of"),
        ("frames.gif", "frames.gif: a file must hold one picture, found 2 frames"),
        (compressed.name, "is compressed already; 'trimix decompress'"),
        ("text.png/below.png", "cannot be read"),
        ("nul\0.png", "cannot be read"),
    ):
        outcome = trimix("compress", f"{tmp_path}/{name}", "-o", tmp_path / "out.tmix", "--model", MODEL_NAME)
        assert outcome.code == 3, outcome
        assert expected in outcome.line
    assert names(tmp_path) == before


def test_bad_standard_input_is_named(trimix: Command) -> None:
    for data, expected in ((b"", "standard input: is empty"), (b"text", "standard input: a picture must be")):
        outcome = trimix("compress", "-", "--model", MODEL_NAME, standard_input=data)
        assert (outcome.code, outcome.output) == (3, b"")
        assert outcome.line.startswith(f"trimix: error: {expected}")


def test_bad_outputs_are_one_line(trimix: Command, picture: Path, tmp_path: Path) -> None:
    for output, expected in (
        (tmp_path / "none" / "a.tmix", "there is no folder"),
        (picture / "a.tmix", "there is no folder"),
        (tmp_path / ("a" * 300), "cannot be written"),
    ):
        outcome = trimix("compress", picture, "-o", output, "--model", MODEL_NAME, "--force")
        assert outcome.code == 6
        assert expected in outcome.line
    assert names(tmp_path) == {"photo.png"}


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_noticed_first(trimix: Command, picture: Path, tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o500)
    outcome = trimix("compress", picture, "-o", folder / "a.tmix")
    assert outcome.code == 6
    assert "cannot be written; choose another" in outcome.line


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_devices_are_written_to_directly(trimix: Command, picture: Path) -> None:
    assert trimix("compress", picture, "-o", "/dev/null", "--model", MODEL_NAME).code == 0
    assert Path("/dev/null").is_char_device()
    outcome = trimix("compress", picture, "-o", "/dev/full", "--model", MODEL_NAME)
    assert outcome.code == 6
    assert "/dev/full: cannot be written: No space left" in outcome.line


def test_other_refusals(trimix: Command, picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bad.safetensors").write_bytes(b"damaged")
    for arguments, code, expected in (
        (("--model", "nothing"), 5, "no model is named 'nothing'; found: gllmm-tiny-0"),
        (("--model", tmp_path / "none.safetensors"), 5, "no such model file"),
        (("--model", tmp_path / "bad.safetensors"), 5, "not a trimix weights file"),
        (("--max-pixels", "3499", "--model", MODEL_NAME), 3, "raise the limit if you trust the file (--max-pixels)"),
        (("-o", "-", "--json"), 2, "--json and the output cannot share standard output"),
    ):
        outcome = trimix("compress", picture, *arguments)
        assert outcome.code == code
        assert expected in outcome.line
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    outcome = trimix("compress", picture, "--model", MODEL_NAME, "--device", "cuda")
    assert outcome.code == 2
    assert "--device cuda needs a CUDA device" in outcome.line
    assert trimix("compress", picture, "--model", MODEL_NAME, "--device", "auto").code == 0


def test_binary_output_is_kept_from_terminals(trimix: Command, picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    outcome = trimix("compress", picture, "-o", "-", "--model", MODEL_NAME)
    assert outcome.code == 2
    assert "standard output is a terminal" in outcome.line


def test_interrupt_while_encoding_leaves_nothing(
    trimix: Command, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr(LatentCodec, "analyze", interrupted)
    outcome = trimix("compress", picture, "--model", MODEL_NAME)
    assert (outcome.code, outcome.error.strip()) == (130, "")
    assert names(picture.parent) == {"photo.png"}


def test_compilation_is_announced_once(trimix: Command, picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    coding = importlib.import_module("trimix.coding")
    monkeypatch.setattr(coding, "compilation_is_cached", lambda names: False)
    outcome = trimix("compress", picture, "--model", MODEL_NAME)
    assert outcome.code == 0
    assert outcome.error.count("compiling the coder (first run)") == 1


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_interrupt_of_the_process(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "trimix", "compress", "-", "-o", tmp_path / "out.tmix"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=process_environment(),
    )
    assert process.stdin is not None
    process.stdin.write(bytes(2**20))  # more than a pipe holds: it is reading when this returns
    process.stdin.flush()
    process.send_signal(signal.SIGINT)
    output, error = process.communicate()
    assert (process.returncode, output, error.strip()) == (130, b"", b"")
    assert names(tmp_path) == set()


@pytest.mark.slow
def test_a_process_reads_and_writes_binary_streams(trimix: Command, picture: Path, tmp_path: Path) -> None:
    with picture.open("rb") as stdin:
        finished = subprocess.run(
            [sys.executable, "-m", "trimix", "compress", "-", "--model", MODEL_NAME, "--threads", "1"],
            stdin=stdin,
            capture_output=True,
            env=process_environment(),
            check=False,
        )
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr.splitlines()[-1].startswith(b"standard input (70x50")
    assert trimix("decompress", "-", "-o", tmp_path / "out.png", standard_input=finished.stdout).code == 0
    with Image.open(tmp_path / "out.png") as image:
        assert image.size == (70, 50)


def test_a_tune_and_a_model_exclude_each_other(trimix: Command, picture: Path) -> None:
    outcome = trimix("compress", picture, "--tune", "psnr", "--model", MODEL_NAME)
    assert outcome.code == 2
    assert "exclude each other" in outcome.line
    assert names(picture.parent) == {"photo.png"}
