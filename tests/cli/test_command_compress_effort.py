import contextlib
import importlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from command_line import MODEL_NAME, Command, process_environment
from PIL import Image

from trimix.bitstream import describe
from trimix.cli import main
from trimix.cli.options import parse_size
from trimix.codec import Codec
from trimix.encoder.effort import DEFAULT_EFFORT
from trimix.encoder.picture_distortion import PictureDistortion
from trimix.errors import UsageError
from trimix.latent_codec import LatentCodec

compress_module = importlib.import_module("trimix.cli.compress")
display_module = importlib.import_module("trimix.progress")


@pytest.fixture
def larger(tmp_path: Path) -> Path:
    """A PNG of 120 x 150 pixels, whose sizes span a factor of four."""
    random = np.random.default_rng(0)
    coarse = np.kron(random.integers(0, 256, (20, 20, 3)), np.ones((8, 8, 1)))[:150, :120]
    pixels = (coarse + random.normal(scale=6, size=coarse.shape)).clip(0, 255).astype(np.uint8)
    path = tmp_path / "photo.png"
    Image.fromarray(pixels).save(path)
    return path


def size_of(picture: Path) -> int:
    return picture.with_suffix(".tmix").stat().st_size


@pytest.mark.parametrize("effort", range(1, 7))
def test_every_effort_makes_a_file(trimix: Command, picture: Path, effort: int) -> None:
    outcome = trimix("compress", picture, "--model", MODEL_NAME, "--effort", effort, "--json")
    assert (outcome.code, outcome.error) == (0, "")
    record = json.loads(outcome.text)
    assert record["effort"] == effort
    assert record["search_steps"] == [0, 0, 1, 2, 4, 8][effort - 1]
    assert record["ended"] is None
    assert (record["encodings"], record["target_met"]) == (1, None)
    assert record["bytes"] == size_of(picture)
    assert trimix("decompress", picture.with_suffix(".tmix"), "-o", picture.with_name("out.png")).code == 0


def test_the_line_says_the_effort(trimix: Command, picture: Path) -> None:
    arguments = ("compress", picture, "--model", MODEL_NAME, "--force", "--effort")
    assert "at quality 70, effort 4, " in trimix(*arguments, 4).line
    assert "effort" not in trimix(*arguments, DEFAULT_EFFORT).line.rpartition(": ")[2]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--effort", "0"), "--effort"),
        (("--effort", "10"), "--effort"),
        (("--effort", "high"), "--effort"),
        (("--time-limit", "-1"), "--time-limit"),
        (("--time-limit", "nan"), "--time-limit"),
        (("--time-limit", "5"), "--time-limit must come with an effort that searches, 3 to 9, found 2"),
        (("--target-bpp", "0"), "--target-bpp must be positive and finite, found 0"),
        (("--target-bpp", "nan"), "--target-bpp must be positive and finite"),
        (("--target-psnr", "inf"), "--target-psnr must be positive and finite"),
        (("--target-psnr", "-3"), "--target-psnr must be positive and finite, found -3"),
        (("--target-size", "big"), "--target-size must be bytes such as 500000, 120k, 1.5M or 64KiB, found 'big'"),
        (("--target-size", "0"), "--target-size must be bytes"),
        (("--target-size", "-5k"), "--target-size must be bytes"),
        (("--target-size", "5G"), "--target-size must be bytes"),
        (("--target-bpp", "1", "--target-psnr", "30"), "--target-bpp and --target-psnr exclude each other"),
        (("--target-size", "1k", "-q", "50"), "--quality and --target-size exclude each other"),
    ],
)
def test_bad_values_are_one_line(trimix: Command, picture: Path, arguments: tuple[str, ...], expected: str) -> None:
    outcome = trimix("compress", picture, "--model", MODEL_NAME, *arguments)
    assert outcome.code == 2
    assert expected in outcome.line
    assert [path.name for path in picture.parent.iterdir()] == ["photo.png"]


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1", 1),
        ("500000", 500_000),
        ("120k", 120_000),
        ("1.5M", 1_500_000),
        ("64KiB", 65_536),
        ("2 MiB", 2**21),
        ("3kB", 3000),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "k", "1e5", "1,5M", "0.5", "1.5.2k", "٣k", "nan"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(UsageError, match="--target-size"):
        parse_size(text)


@pytest.mark.parametrize("effort", [1, 2, 4])
def test_a_size_is_met(trimix: Command, larger: Path, effort: int) -> None:
    options = ("--model", MODEL_NAME, "--effort", effort, "--json")
    outcome = trimix("compress", larger, "--target-size", "0.7k", *options)
    assert (outcome.code, outcome.error) == (0, "")
    record = json.loads(outcome.text)
    assert 686 <= record["bytes"] == size_of(larger) <= 714
    assert record["target_met"] is True
    assert record["encodings"] <= 8
    stored = describe(larger.with_suffix(".tmix").read_bytes()).header.quality / 512
    assert round(record["quality"] * 512) == stored * 512


def test_a_rate_and_a_psnr_are_met(trimix: Command, larger: Path) -> None:
    outcome = trimix("compress", larger, "--target-bpp", "0.3", "--model", MODEL_NAME)
    assert outcome.code == 0
    assert 8 * size_of(larger) / (120 * 150) == pytest.approx(0.3, rel=0.02)
    quality = describe(larger.with_suffix(".tmix").read_bytes()).header.quality / 512
    assert f" bpp at quality {quality:.2f}, " in outcome.line
    outcome = trimix("compress", larger, "--target-psnr", "10.5", "--model", MODEL_NAME, "--force")
    assert outcome.code == 0
    assert " bpp and 10." in outcome.line


def test_out_of_reach(trimix: Command, larger: Path) -> None:
    outcome = trimix("compress", larger, "--target-bpp", "0.002", "--model", MODEL_NAME)
    assert outcome.code == 2
    assert "0.002 bpp is out of reach for this picture: gllmm-tiny-0 gives 0.1" in outcome.line
    assert "(quality 1) to 0.4" in outcome.line
    assert not larger.with_suffix(".tmix").exists()


def test_a_target_that_is_missed_is_told(trimix: Command, larger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # As sizes of tiny pictures do: they leap over the target.
    analyze = LatentCodec.analyze

    def leaping(codec: LatentCodec, picture: object, quality: float) -> object:
        return analyze(codec, picture, 1 if quality < 50 else 100)  # type: ignore[arg-type]

    monkeypatch.setattr(LatentCodec, "analyze", leaping)
    outcome = trimix("compress", larger, "--target-size", "600", "--model", MODEL_NAME)
    assert outcome.code == 0
    warning, line = outcome.error.splitlines()
    assert warning.startswith(f"trimix: {larger}: warning: 600 bytes was not met in 8 encodings; the nearest is ")
    assert f"{size_of(larger)} bytes" in warning
    assert line.startswith(str(larger))


def test_a_time_limit_ends_the_search(trimix: Command, picture: Path) -> None:
    arguments = ("compress", picture, "--model", MODEL_NAME, "--effort", 9, "--time-limit", 0)
    record = json.loads(trimix(*arguments, "--json").text)
    assert (record["ended"], record["search_steps"]) == ("time", 0)
    assert "(ended by the time limit after 0 steps)" in trimix(*arguments, "--force").line


class Interrupts:
    """Presses Ctrl-C in some calls of a method, before it does what it does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, kind: type, method: str, *, swallowed: bool = False):
        original = getattr(kind, method)
        self.calls = 0

        def interrupted(*arguments: object, **named: object) -> object:
            self.calls += 1
            if self.calls == 4 or method == "pack":
                with contextlib.suppress(KeyboardInterrupt) if swallowed else contextlib.nullcontext():
                    signal.raise_signal(signal.SIGINT)
            return original(*arguments, **named)

        monkeypatch.setattr(kind, method, interrupted)


@pytest.mark.slow
@pytest.mark.parametrize("swallowed", [False, True])
def test_an_interrupt_writes_the_best_so_far(
    trimix: Command, picture: Path, monkeypatch: pytest.MonkeyPatch, swallowed: bool
) -> None:
    Interrupts(monkeypatch, PictureDistortion, "slope", swallowed=swallowed)
    outcome = trimix("compress", picture, "--model", MODEL_NAME, "--effort", 9, "--json")
    assert outcome.code == 0
    assert outcome.line == "trimix: interrupted: the best so far is written; Ctrl-C again writes nothing"
    record = json.loads(outcome.text)
    # The first gradient is that of the nearest symbols, the fourth that of the symbols after the second step.
    assert (record["ended"], record["search_steps"]) == ("interrupt", 2 if swallowed else 1)


@pytest.mark.slow
def test_a_second_interrupt_writes_nothing(trimix: Command, picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Interrupts(monkeypatch, PictureDistortion, "slope")
    Interrupts(monkeypatch, Codec, "pack")
    outcome = trimix("compress", picture, "--model", MODEL_NAME, "--effort", 9)
    assert (outcome.code, outcome.error) == (130, "")
    assert [path.name for path in picture.parent.iterdir()] == ["photo.png"]


@pytest.mark.slow
def test_a_second_interrupt_that_is_swallowed_writes_nothing(
    trimix: Command, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Interrupts(monkeypatch, PictureDistortion, "slope")
    Interrupts(monkeypatch, Codec, "pack", swallowed=True)
    outcome = trimix("compress", picture, "--model", MODEL_NAME, "--effort", 9)
    assert (outcome.code, outcome.error) == (130, "")
    assert [path.name for path in picture.parent.iterdir()] == ["photo.png"]


@pytest.mark.slow
def test_errors_after_an_interrupt_that_was_heeded_are_told(
    trimix: Command, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Interrupts(monkeypatch, PictureDistortion, "slope")
    pack = Codec.pack

    def packed(*arguments: object, **options: object) -> bytes:
        picture.with_suffix(".tmix").write_bytes(b"precious")
        return pack(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Codec, "pack", packed)
    outcome = trimix("compress", picture, "--model", MODEL_NAME, "--effort", 9)
    assert outcome.code == 6
    assert "already exists" in outcome.error
    assert picture.with_suffix(".tmix").read_bytes() == b"precious"


def test_lines_now_and_then(trimix: Command, larger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(display_module, "LINE_SECONDS", 0.0)
    outcome = trimix("compress", larger, "--model", MODEL_NAME, "--effort", 4)
    lines = outcome.error.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("step 1 of 2: 0.")
    assert " bpp, 10." in lines[1]
    outcome = trimix("compress", larger, "--model", MODEL_NAME, "--target-size", "700", "--force")
    assert outcome.error.startswith("trial 1: quality ")


def test_a_bar_on_a_terminal(larger: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "120")
    shown = (
        (("--effort", "4"), r"step 2 of 2: 0\.\d+ bpp, 10\.\d+ dB"),
        (("--target-size", "700"), r"trial \d: quality \d+\.\d+ gives \d+ bytes"),
    )
    for options, expected in shown:
        assert main(["compress", str(larger), "--model", MODEL_NAME, "--force", *options]) == 0
        assert re.search(expected, capsys.readouterr().err)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_interrupt_of_the_process(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    Image.fromarray(random.integers(0, 256, (400, 600, 3), dtype=np.uint8)).save(tmp_path / "photo.png")
    process = subprocess.Popen(
        [sys.executable, "-c", _SLOW, "compress", "photo.png", "--model", MODEL_NAME, "--effort", "9"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=process_environment(),
        text=True,
    )
    assert process.stderr is not None
    while "step 1 of 64" not in process.stderr.readline():
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    output, error = process.communicate()
    assert (process.returncode, output) == (0, "")
    assert "trimix: interrupted: the best so far is written" in error
    assert "(ended by Ctrl-C after " in error
    assert describe((tmp_path / "photo.tmix").read_bytes()).header.width == 600


_SLOW = """
import sys
from trimix import progress
from trimix.cli import main
progress.LINE_SECONDS = 0
sys.exit(main(sys.argv[1:]))
"""
