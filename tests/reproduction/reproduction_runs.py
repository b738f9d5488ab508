"""A budget of a few steps, and pictures for it."""

from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from trimix.reproduction.plan import START, Run, read_budget
from trimix.reproduction.training import Job, train_and_measure


def few_steps(run: Run) -> Run:
    """The run with stages of two steps, a start of one, and next to no channels."""
    first, last = run.training["phases"][0], run.training["phases"][-1]
    small = {"batch_size": 1, "patch_size": 64, "learning_rate_final": 0.0}
    phases = [first | small | {"steps": 1}]
    if run.variant.key != START:
        phases = [first | small | {"steps": 2}, last | small | {"steps": 2}]
    model = run.training["model"] | {"channels": 2, "latent_channels": 3}
    if run.variant.architecture == "gllmm":
        model |= {"channels": 4, "latent_channels": 4, "head_widths": [8]}
    start = None if run.starts_from is None else few_steps(run.starts_from)
    return replace(run, training={**run.training, "model": model, "phases": phases}, starts_from=start)


SMALL = read_budget("regularizer", "small")
TINY = replace(SMALL, runs=tuple(few_steps(run) for run in SMALL.runs if run.seed == 1))


def write_pictures(folder: Path) -> tuple[Path, ...]:
    folder.mkdir(parents=True)
    random = np.random.default_rng(3)
    for index, size in enumerate(((96, 80), (70, 64))):
        pixels = random.integers(0, 256, (*size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
    return tuple(sorted(folder.iterdir()))


def job_of(run, folder: Path, pictures: tuple[Path, ...], fingerprints=None) -> Job:
    return Job(
        run,
        folder,
        {"training": [pictures[0].parent]},
        {"kodak": pictures, "pixel": pictures[:1]},
        fingerprints or {"kodak": "1"},
        "cpu",
        1,
    )


class InThisProcess:
    """A pool that trains at once, in this process: others take seconds to start."""

    def __init__(self, *_, **__):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def submit(self, _, job):
        train_and_measure(job)
        future = Future()
        future.set_result(None)
        return future
