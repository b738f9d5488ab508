import subprocess
import sys

import pytest
from small_runs import small_run, write_pictures

from trimix.errors import TrainingError
from trimix.training.loop import Trainer
from trimix.training.one_training import only_training_in

HOLDER = """
import fcntl, os, sys
fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def other_training(tmp_path):
    """A process that holds a folder."""
    folder = tmp_path / "run"
    folder.mkdir()
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == "held\n"
    with holder:
        yield folder, holder
        holder.kill()


def test_a_second_training_in_a_folder_is_refused_until_the_first_is_killed(tmp_path, other_training):
    folder, first = other_training
    run = small_run(write_pictures(tmp_path), steps=1)
    log = folder / "log.jsonl"
    log.write_text('{"kind": "training", "step": 5}\n')
    with pytest.raises(TrainingError, match="one training at a time"):
        Trainer(run, folder)
    assert log.read_text() == '{"kind": "training", "step": 5}\n'
    first.kill()
    first.wait()
    Trainer(run, folder).run()


def test_a_training_that_begins_while_pictures_are_read_is_found_before_the_first_step(tmp_path):
    trainer = Trainer(small_run(write_pictures(tmp_path), steps=1), tmp_path / "run")
    with only_training_in(tmp_path / "run"), pytest.raises(TrainingError, match="one training at a time"):
        trainer.run()
    assert not (tmp_path / "run" / "last.ckpt").exists()
