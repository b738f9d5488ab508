import errno
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import Command, Outcome
from PIL import Image

from tiny_models import TINY
from trimix.training.time_limit import TimeLimit


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration of two steps; the current folder is its own, with pictures below."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("trimix.training.linear_path.BLOCKS", 100)
    random = np.random.default_rng(3)
    for folder in ("pictures", "other"):
        Path(folder).mkdir()
        for index in range(2):
            pixels = random.integers(0, 256, (80, 90, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(f"{folder}/{index}.png")
    model = "\n".join(
        f"{name} = {list(value) if isinstance(value, tuple) else value}"
        for name, value in TINY.model_dump(exclude_defaults=True).items()
    )
    path = tmp_path / "small.toml"
    path.write_text(
        f"""
[model]
{model}
[data]
training = ["pictures"]
[[phases]]
name = "all"
steps = 2
batch_size = 1
patch_size = 64
"""
    )
    return path


def interrupt_at(step: int, patch: pytest.MonkeyPatch, times: int = 1) -> None:
    """Send SIGINT to this process while the patches of a step are cut."""
    from trimix.training import loop

    class Interrupting(loop.PatchSampler):
        def batch(self, number: int, count: int, size: int, part: range | None = None):
            for _ in range(times if number == step else 0):
                signal.raise_signal(signal.SIGINT)
            return super().batch(number, count, size, part)

    patch.setattr(loop, "PatchSampler", Interrupting)


def told(outcome: Outcome) -> list[str]:
    """Lines of standard error but those of steps."""
    return [line for line in outcome.error.splitlines() if " bpp  " not in line]


def test_a_damaged_picture_is_named_and_the_others_train(trimix: Command, run: Path) -> None:
    Path("pictures/bad.png").write_bytes(b"damaged")
    outcome = trimix("train", run.name, "--device", "cpu")
    assert outcome.code == 0
    first, last = told(outcome)
    assert first.startswith("trimix: warning: left out: pictures/bad.png: is not a readable picture")
    assert last.startswith("2 steps done")


def test_trains_and_says_where(trimix: Command, run: Path) -> None:
    outcome = trimix("train", run.name, "--device", "cpu")
    assert (outcome.code, outcome.output) == (0, b"")
    assert told(outcome) == [
        "2 steps done; checkpoint runs/small/last.ckpt, log runs/small/log.jsonl; 'trimix freeze' makes a model of it"
    ]
    assert Path("runs/small/last.ckpt").exists()
    again = trimix("train", run.name, "--device", "cpu")
    assert again.code == 0
    assert again.line == "runs/small/last.ckpt: this run is complete; --restart starts anew"


def test_a_pattern_stands_for_all_that_match(trimix: Command, run: Path) -> None:
    assert trimix("train", run, "--device", "cpu", "--data", "pict*", "--data", "other/*.png").code == 0
    outcome = trimix("train", run, "--device", "cpu", "--data", "nothing*")
    assert outcome.code == 2
    assert outcome.line == "trimix: error: nothing*: must be a folder, tar or picture; found nothing of the kind"


def test_resumes_and_restarts(trimix: Command, run: Path) -> None:
    arguments = ("train", run, "-o", "here", "--device", "cpu", "--data", "other", "--data", "pictures/0.png")
    assert trimix(*arguments).code == 0
    run.write_text(run.read_text().replace("steps = 2", "steps = 3"))
    resumed = trimix(*arguments)
    assert resumed.code == 0
    assert "the configuration has changed since the checkpoint: phases" in resumed.error
    assert "3 steps done" in trimix(*arguments, "--restart").error
    assert Path("here.old-1/last.ckpt").exists()
    assert trimix(*arguments, "--restart").error.startswith("moved here to ")
    assert Path("here.old-2/last.ckpt").exists()
    run.write_text(run.read_text().replace("latent_channels = 8", "latent_channels = 16"))
    other = trimix(*arguments)
    assert other.code == 2
    assert "was made with another [model]" in other.line


def test_a_restart_that_fails_moves_nothing(trimix: Command, run: Path) -> None:
    arguments = ("train", run, "-o", "here", "--device", "cpu")
    assert trimix(*arguments).code == 0

    def content() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in Path("here").iterdir()}

    before = content()
    Path("small").mkdir()
    Image.new("RGB", (90, 50)).save("small/low.png")
    for data, expected in (
        ("nowhere", "nowhere: must be a folder, tar or picture; found nothing of the kind"),
        ("small", "small/low.png: both sides must have at least 64 pixels"),
    ):
        outcome = trimix(*arguments, "--restart", "--data", data)
        assert outcome.code == 2
        assert outcome.line.startswith(f"trimix: error: {expected}")
        assert content() == before
        assert not Path("here.old-1").exists()


def test_a_time_limit_ends_with_a_checkpoint(trimix: Command, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def is_up(limit: TimeLimit) -> bool:
        asked.append(limit)
        return len(asked) > 4

    monkeypatch.setattr(TimeLimit, "is_up", property(is_up))
    run.write_text(run.read_text().replace("steps = 2", "steps = 1000000"))
    arguments = ("train", run, "--device", "cpu", "--time-limit", "60")
    outcome = trimix(*arguments)
    assert (outcome.code, outcome.output) == (0, b"")
    step = torch.load("runs/small/last.ckpt", weights_only=True)["progress"]["step"]
    assert 1 <= step <= 4
    where = f"after step {step}, in the phase all; checkpoint runs/small/last.ckpt"
    told_of = f"the time is up {where}; the same command goes on"
    assert told(outcome) == [told_of]
    assert told(trimix(*arguments)) == [f"resuming runs/small/last.ckpt after step {step}", told_of]


def test_interrupt_saves_first(trimix: Command, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        interrupt_at(0, patch)
        outcome = trimix("train", run, "--device", "cpu")
    assert outcome.code == 130
    assert told(outcome) == ["interrupted after step 1; the same command resumes"]
    first, last = told(trimix("train", run, "--device", "cpu"))
    assert first == "resuming runs/small/last.ckpt after step 1"
    assert last.startswith("2 steps done")


def test_a_second_interrupt_says_what_was_saved(trimix: Command, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        interrupt_at(0, patch, times=2)
        outcome = trimix("train", run, "--device", "cpu")
    assert (outcome.code, told(outcome)) == (
        130,
        ["interrupted after step 0; nothing was saved, the same command starts anew"],
    )
    run.write_text(run.read_text() + "\n[[phases]]\nname = 'more'\nsteps = 2\nbatch_size = 1\npatch_size = 64\n")
    with monkeypatch.context() as patch:
        interrupt_at(3, patch, times=2)
        outcome = trimix("train", run, "--device", "cpu")
    assert (outcome.code, told(outcome)[-1]) == (
        130,
        "interrupted after step 3; the same command resumes after step 2, the last that was saved",
    )


def test_mistakes_are_one_line(trimix: Command, run: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("[data")
    (tmp_path / "unknown.toml").write_text(run.read_text().replace("batch_size", "batch_sise"))
    (tmp_path / "value.toml").write_text(run.read_text().replace("steps = 2", "steps = 'two'"))
    for name in ("nowhere.ckpt", "other/0.png", "foreign.ckpt"):
        (tmp_path / f"{Path(name).stem}.start.toml").write_text(f"start_from = '{name}'\n{run.read_text()}")
    torch.save({"state_dict": {}}, tmp_path / "foreign.ckpt")
    (tmp_path / "small").mkdir()
    Image.new("RGB", (90, 50)).save("small/low.png")
    (tmp_path / "empty").mkdir()
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "last.ckpt").write_bytes(b"damaged")
    for arguments, code, expected in (
        (("none.toml",), 2, "none.toml: no such file"),
        (("bad.toml",), 2, "is not valid TOML"),
        (("unknown.toml",), 2, "phases.0.batch_sise: is no key of a training configuration; correct"),
        (("value.toml",), 2, "value.toml: phases.0.steps: must be a valid integer"),
        (("nowhere.start.toml", "-o", "a"), 7, "nowhere.ckpt: no such checkpoint"),
        (("0.start.toml", "-o", "b"), 7, "other/0.png: is not a checkpoint of trimix"),
        (("foreign.start.toml", "-o", "c"), 7, "foreign.ckpt: is not a whole checkpoint of trimix: it must hold"),
        ((run.name, "-o", "bad.toml"), 6, "must be a folder, found a file"),
        ((run.name, "-o", "bad.toml/run"), 6, "bad.toml/run: cannot be used: Not a directory"),
        ((run.name, "--data", "nowhere"), 2, "nowhere: must be a folder, tar or picture"),
        ((run.name, "--data", "empty"), 2, "no picture found in empty"),
        ((run.name, "--data", "small"), 2, "small/low.png: both sides must have at least 64 pixels, found 90x50"),
        ((run.name, "--validation", "nowhere"), 2, "nowhere: must be a folder, tar or picture"),
        ((run.name, "--validation", "other"), 2, "at least 256 pixels, found 90x80; remove it"),
        ((run.name, "-o", "damaged"), 7, "damaged/last.ckpt: is not a checkpoint"),
    ):
        outcome = trimix("train", *arguments, "--device", "cpu")
        assert outcome.code == code, outcome
        assert outcome.line.startswith("trimix: error: ")
        assert expected in outcome.line


def test_of_several_processes_the_first_tells_a_mistake(
    trimix: Command, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("train", run, "--device", "cpu", "--data", "nowhere")
    monkeypatch.setenv("RANK", "1")
    assert trimix(*arguments).line.startswith("trimix: error: nowhere")  # torchrun has not started this
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    outcome = trimix(*arguments)
    assert (outcome.code, outcome.error) == (2, "")
    with monkeypatch.context() as patch:  # what may have met this process alone is told by it
        patch.setattr("trimix.cli.train._check_sources", lambda run: 1 / 0)
        outcome = trimix(*arguments)
    assert outcome.code == 1
    assert "unexpected ZeroDivisionError" in outcome.line
    monkeypatch.setenv("RANK", "0")
    assert trimix(*arguments).line.startswith("trimix: error: nowhere")


def test_missing_extra_is_told(trimix: Command, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trimix.training.config", None)
    outcome = trimix("train", run, "--device", "cpu")
    assert outcome.code == 7
    assert "pip install 'trimix[train]'" in outcome.line


def test_missing_validation_of_the_configuration_is_only_told(trimix: Command, run: Path) -> None:
    run.write_text(run.read_text().replace("[data]", "[data]\nvalidation = ['elsewhere']"))
    outcome = trimix("train", run, "--device", "cpu", "--data", "other")
    assert outcome.code == 0
    first, last = told(outcome)
    assert first == "there is no validation: elsewhere does not exist; --validation FOLDER names others"
    assert last.startswith("2 steps done")
    outcome = trimix("train", run, "--device", "cpu", "-o", "wanted", "--validation", "elsewhere")
    assert outcome.code == 2
    assert "elsewhere: must be a folder" in outcome.line


def test_a_full_disk_is_one_line(trimix: Command, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        outcome = trimix("train", run, "--device", "cpu")
    assert outcome.code == 7
    assert told(outcome) == [
        "trimix: error: runs/small/last.ckpt: the disk must have room for the file, found no space left; free some; "
        "the checkpoint before it, if any, is as it was"
    ]


def test_a_terminal_shows_pictures_and_steps_as_they_come(
    trimix: Command, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "150")
    with monkeypatch.context() as patch:
        patch.setattr("sys.stderr.isatty", lambda: True)
        outcome = trimix("train", run, "--device", "cpu")
    assert outcome.code == 0
    assert "reading the pictures" in outcome.error
    for shown in ("all step", "bpp", "dB", "loss", "steps/s", "ETA"):
        assert shown in outcome.error
