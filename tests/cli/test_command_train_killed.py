"""A run that is killed loses nothing but the steps since its last checkpoint."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import Command, process_environment
from PIL import Image

STEPS = 110  # rows of the log at 50 and 100
KILLED_FROM_STEP = 52
CONFIGURATION = f"""
checkpoint_minutes = 1e-9
[model]
kind = "hyperprior"
channels = 4
latent_channels = 6
[data]
training = ["picture.png"]
validation = ["picture.png"]
[[phases]]
name = "all"
steps = {STEPS}
batch_size = 1
patch_size = 64
learning_rate = 1e-3
"""


def steps_of(checkpoint: Path) -> int:
    return torch.load(checkpoint, weights_only=True)["progress"]["step"]


def logged_steps(run: str) -> dict[str, list[int]]:
    steps: dict[str, list[int]] = {"training": [], "validation": []}
    for line in Path(run, "log.jsonl").read_text().splitlines():
        row = json.loads(line)
        steps[row["kind"]].append(row["step"])
    return steps


@pytest.mark.slow
def test_a_killed_run_ends_bit_for_bit_like_an_uninterrupted_one(
    trimix: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(3).integers(0, 256, (256, 260, 3), dtype=np.uint8)
    Image.fromarray(pixels).save("picture.png")
    Path("run.toml").write_text(CONFIGURATION)
    arguments = ("train", "run.toml", "--device", "cpu", "--threads", "1")
    killed = subprocess.Popen(
        [sys.executable, "-m", "trimix", *arguments, "-o", "killed"], env=process_environment(), stderr=subprocess.PIPE
    )
    checkpoint = Path("killed/last.ckpt")
    while not checkpoint.exists() or steps_of(checkpoint) < KILLED_FROM_STEP:
        assert killed.poll() is None, killed.stderr.read()  # type: ignore[union-attr]
        time.sleep(0.05)
    time.sleep(0.03)  # anywhere in a step, or in the writing of a checkpoint
    os.kill(killed.pid, signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    killed.stderr.close()  # type: ignore[union-attr]
    step = steps_of(checkpoint)
    assert KILLED_FROM_STEP <= step < STEPS
    with Path("killed/log.jsonl").open("a") as log:  # as after a kill some steps later, in the middle of a row
        for kind in ("training", "validation"):
            print(json.dumps({"kind": kind, "step": step + 1}), file=log)
        log.write('{"kind": "train')
    assert f"resuming killed/last.ckpt after step {step}" in trimix(*arguments, "-o", "killed").error
    assert trimix(*arguments, "-o", "whole").code == 0
    one, other = (torch.load(f"{run}/last.ckpt", weights_only=True) for run in ("killed", "whole"))
    for name in ("model", "average"):
        assert all(torch.equal(value, other[name][key]) for key, value in one[name].items())
    assert one["averaged"] == other["averaged"] == STEPS
    for index, state in one["optimizer"]["state"].items():
        assert all(torch.equal(value, other["optimizer"]["state"][index][key]) for key, value in state.items())
    assert logged_steps("killed") == logged_steps("whole")
    assert logged_steps("whole") == {"training": [50, 100, STEPS], "validation": [STEPS]}
