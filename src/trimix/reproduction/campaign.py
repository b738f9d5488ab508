"""Many runs, several at once, each in a process of its own; what is done is not done again.

::

    jobs --> waiting --> running (at most `workers`) --> KEY.json
                            |  watched through log.jsonl
                            `- Ctrl-C: each ends its step and saves
"""

import contextlib
import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.synchronize import Event
from pathlib import Path

from trimix.errors import TrainingError, TrimixError
from trimix.progress import ProgressDisplay
from trimix.reproduction.training import Job, train_and_measure

_LOOK_SECONDS = 1.0
_TAIL_BYTES = 4096


class Campaign:
    """Runs to be trained and measured, begun in their order, so many workers at once."""

    def __init__(self, jobs: Sequence[Job], workers: int) -> None:
        self._jobs = tuple(jobs)
        self._workers = workers
        self._done = {job.run.key for job in jobs if job.is_done()}

    @property
    def is_complete(self) -> bool:
        """Whether nothing is left to do."""
        return len(self._done) == len(self._jobs)

    def run(self, display: ProgressDisplay) -> None:
        """Train and measure what is not done; the display shows the steps of all runs together.

        Raises:
            KeyboardInterrupt: Ctrl-C; all runs have saved, and the same call goes on.
            TrainingError: a run has failed; the others have saved.
        """
        waiting = [job for job in self._jobs if job.run.key not in self._done]
        running: dict[Future[None], Job] = {}
        context = multiprocessing.get_context("spawn")
        stop = context.Event()
        with ProcessPoolExecutor(
            self._workers, context, initializer=_prepare, initargs=(stop,), max_tasks_per_child=1
        ) as pool:
            try:
                while waiting or running:
                    ready = [job for job in waiting if self._may_begin(job)]
                    for job in ready[: self._workers - len(running)]:
                        waiting.remove(job)
                        running[pool.submit(_work, job)] = job
                    self._show(display, running.values())
                    for future in wait(running, _LOOK_SECONDS, FIRST_COMPLETED).done:
                        job = running.pop(future)
                        _check(future, job)
                        self._done.add(job.run.key)
                self._show(display, (), always=True)
            finally:
                stop.set()

    def _may_begin(self, job: Job) -> bool:
        start = job.run.starts_from
        return start is None or start.key in self._done

    def _show(self, display: ProgressDisplay, running: Iterable[Job], *, always: bool = False) -> None:
        steps = [job.run.steps if job.run.key in self._done else _logged_step(job.folder) for job in self._jobs]
        parts = [f"{len(self._done)}/{len(self._jobs)} runs done"]
        parts += [
            f"{job.run.key} at step {_logged_step(job.folder)} of {job.run.steps}"
            for job in sorted(running, key=lambda job: job.run.key)
        ]
        total = sum(job.run.steps for job in self._jobs)
        display.show("; ".join(parts), sum(steps), total, unit="steps", always=always)


def _prepare(stop: Event) -> None:
    """Let a worker process save and end when it is asked to, or when the process that started it is gone."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        while parent.is_alive() and not stop.wait(_LOOK_SECONDS):
            pass
        signal.raise_signal(signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def _work(job: Job) -> None:
    job.folder.mkdir(parents=True, exist_ok=True)
    with _output(job).open("w", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    import torch

    torch.set_num_threads(job.threads)
    train_and_measure(job)


def _output(job: Job) -> Path:
    return job.folder / "output.txt"


def _check(future: "Future[None]", job: Job) -> None:
    """Raise what has ended a run, if anything has."""
    try:
        future.result()
    except (TrimixError, BrokenProcessPool) as error:
        ended = "that its process was ended, often for lack of memory"
        found = ended if isinstance(error, BrokenProcessPool) else error
        raise TrainingError(
            f"{job.run.key}: must end well, found {found}; {_output(job)} says more, and the same command goes on"
        ) from error


def _logged_step(folder: Path) -> int:
    """Of the last row of a log."""
    try:
        with (folder / "log.jsonl").open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            rows = file.read().splitlines()
    except OSError:
        return 0
    for row in reversed(rows):
        with contextlib.suppress(ValueError, KeyError, TypeError):
            return int(json.loads(row)["step"])
    return 0
