"""Many runs, several at once, each in a process of its own; what is done is not done again.

::

    jobs --> waiting --> running (at most `workers`) --> KEY.json
                            |  watched through log.jsonl
                            `- Ctrl-C: each ends its step and saves
"""

import contextlib
import itertools
import json
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path

from trimix.errors import TrainingError, TrimixError
from trimix.reproduction.training import Job, train_and_measure

_INTERRUPTED = 130
_LOOK_SECONDS = 1.0
_TAIL_BYTES = 4096


@dataclass(frozen=True)
class Standing:
    """Where a campaign stands.

    Args:
        done_steps: of all runs together.
        total_steps: likewise.
        done_runs: complete ones.
        total_runs: all.
        running: steps done and steps in all of those at work, by key.
        new_steps: done since this call began.
        seconds: since this call began.
    """

    done_steps: int
    total_steps: int
    done_runs: int
    total_runs: int
    running: Mapping[str, tuple[int, int]]
    new_steps: int
    seconds: float

    @property
    def seconds_left(self) -> float | None:
        """At the pace so far; None before the first step."""
        return (
            (self.total_steps - self.done_steps) * self.seconds / self.new_steps if self.new_steps else None
        )


class Campaign:
    """Runs to be trained and measured.

    Args:
        jobs: in the order in which they are begun.
        workers: how many at once.
    """

    def __init__(self, jobs: Sequence[Job], workers: int) -> None:
        self._jobs = tuple(jobs)
        self._workers = workers
        self._done = {job.run.key for job in jobs if job.is_done()}
        self._running: dict[str, _Worker] = {}

    @property
    def is_complete(self) -> bool:
        """Whether nothing is left to do."""
        return len(self._done) == len(self._jobs)

    def run(self, on_standing: Callable[[Standing], None]) -> None:
        """Train and measure what is not done.

        Args:
            on_standing: called about every second.

        Raises:
            KeyboardInterrupt: by Ctrl-C or SIGTERM; all runs have saved, and the same call goes on.
            TrainingError: a run has failed; the others have saved.
        """
        waiting = [job for job in self._jobs if job.run.key not in self._done]
        began = time.monotonic()
        first = self._done_steps()
        try:
            while waiting or self._running:
                ready = (job for job in waiting if self._may_begin(job))
                for job in list(itertools.islice(ready, self._workers - len(self._running))):
                    waiting.remove(job)
                    self._running[job.run.key] = _Worker(job)
                on_standing(self._standing(first, time.monotonic() - began))
                wait([worker.process.sentinel for worker in self._running.values()], _LOOK_SECONDS)
                for key, worker in list(self._running.items()):
                    if not worker.process.is_alive():
                        del self._running[key]
                        worker.check()
                        self._done.add(key)
            on_standing(self._standing(first, time.monotonic() - began))
        finally:
            self._stop()

    def _may_begin(self, job: Job) -> bool:
        start = job.run.starts_from
        return start is None or start.key in self._done

    def _stop(self) -> None:
        for worker in self._running.values():
            worker.process.terminate()
        for worker in self._running.values():
            worker.process.join()
        self._running.clear()

    def _done_steps(self) -> int:
        return sum(
            job.run.steps if job.run.key in self._done else _logged_step(job.folder) for job in self._jobs
        )

    def _standing(self, first: int, seconds: float) -> Standing:
        done = self._done_steps()
        return Standing(
            done,
            sum(job.run.steps for job in self._jobs),
            len(self._done),
            len(self._jobs),
            {
                key: (_logged_step(worker.job.folder), worker.job.run.steps)
                for key, worker in self._running.items()
            },
            done - first,
            seconds,
        )


class _Worker:
    """A process that trains one run. It stops when this one ends, however that ends."""

    def __init__(self, job: Job) -> None:
        self.job = job
        job.folder.mkdir(parents=True, exist_ok=True)
        self._output = job.folder / "output.txt"
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        self._lifeline = ours
        self.process: SpawnProcess = context.Process(
            target=_work, args=(job, self._output, theirs), daemon=True
        )
        self.process.start()
        theirs.close()

    def check(self) -> None:
        """Raise what has ended it, if anything has.

        Raises:
            KeyboardInterrupt: it was asked to stop.
            TrainingError: it has failed.
        """
        code = self.process.exitcode
        self._lifeline.close()
        if code == 0:
            return
        if code == _INTERRUPTED:
            raise KeyboardInterrupt
        lines = self._output.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        reason = f"signal {-code} (9 often means out of memory)" if code is not None and code < 0 else code
        raise TrainingError(
            f"{self.job.run.key}: must end well, found {lines[-1] if lines else reason}; "
            f"{self._output} says more, and the same command goes on"
        )


def _work(job: Job, output: Path, lifeline: Connection) -> None:
    with output.open("w", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    threading.Thread(target=_end_with_parent, args=(lifeline,), daemon=True).start()
    import torch

    torch.set_num_threads(job.threads)
    try:
        train_and_measure(job)
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    except TrimixError as error:
        print(error, file=sys.stderr)
        sys.exit(1)


def _end_with_parent(lifeline: Connection) -> None:
    with contextlib.suppress(EOFError, OSError):
        lifeline.recv()
    signal.raise_signal(signal.SIGTERM)


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
