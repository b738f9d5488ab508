"""A budget of a few steps, and pictures for it."""

from dataclasses import replace
from multiprocessing import Pipe
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from PIL import Image

from trimix.reproduction.plan import SMALL
from trimix.reproduction.training import CHECKPOINT, Job, train_and_measure
from trimix.training.config import PhaseConfig


def stage(name, steps=2):
    return PhaseConfig(name=name, steps=steps, batch_size=1, patch_size=64, learning_rate=1e-3)


TINY = replace(
    SMALL,
    channels=(2, 3),
    stages=(stage("stage-1"), stage("fall")),
    start=(stage("start", steps=1),),
    variants=tuple(replace(variant, seeds=(1,)) for variant in SMALL.variants),
)


def write_pictures(folder: Path) -> tuple[Path, ...]:
    folder.mkdir(parents=True)
    random = np.random.default_rng(3)
    for index, size in enumerate(((96, 80), (70, 64))):
        pixels = random.integers(0, 256, (*size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
    return tuple(sorted(folder.iterdir()))


def job_of(run, folder: Path, pictures: tuple[Path, ...], fingerprints=None) -> Job:
    start = run.starts_from
    return Job(
        run,
        folder / run.key,
        folder / f"{run.key}.json",
        None if start is None else folder / start.key / CHECKPOINT,
        {"training": [pictures[0].parent]},
        {"kodak": pictures, "pixel": pictures[:1]},
        fingerprints or {"kodak": "1"},
        "cpu",
        1,
    )


class DoneAtOnce:
    """A worker that trains in this process: others take seconds to start."""

    def __init__(self, job):
        self.job = job
        train_and_measure(job)
        ours, theirs = Pipe()
        theirs.close()
        self.process = SimpleNamespace(sentinel=ours, is_alive=lambda: False)

    def check(self):
        self.process.sentinel.close()
