"""Many files in one command: one model, a bar, what failed by name, a summary, and an end that loses nothing."""

import csv
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from io import StringIO
from itertools import islice
from typing import Annotated, Any

import typer

from trimix.cli.failures import INTERRUPTED, message_and_code
from trimix.cli.inputs import Source, naming
from trimix.cli.interrupts import end_at_once, noting_interrupts
from trimix.cli.locations import locate, make_folder, there_already, write_whole
from trimix.cli.options import MAXIMUM_THREADS, Device
from trimix.cli.outputs import Destination, Writing, print_json, print_summary
from trimix.cli.selection import Job, Selection, nothing_found
from trimix.errors import OutputExistsError, TrimixError, WorkerDiedError
from trimix.progress import ProgressDisplay, showing_progress

_POLL_SECONDS = 0.2
_MOST_JOBS = 4
"""Without --jobs: each holds a picture's activations in memory."""
_NAMED = 10
"""Files that a line names; of more it says how many."""

RecursiveOption = Annotated[
    bool, typer.Option("-r", "--recursive", help="Look into folders of folders, too; the tree is kept.")
]
JobsOption = Annotated[
    int | None,
    typer.Option(
        "-j",
        "--jobs",
        min=1,
        max=MAXIMUM_THREADS,
        metavar="N",
        help="Files at a time, of many.",
        show_default=f"one per core, at most {_MOST_JOBS}; with --ray all cores",
    ),
]
KeepTimesOption = Annotated[bool, typer.Option("--keep-times", help="Give each output the times of its input.")]
SkipExistingOption = Annotated[
    bool,
    typer.Option(
        "--skip-existing",
        help="Leave alone what is there already: what happens with many inputs unless --force is given.",
    ),
]


FailuresOption = Annotated[
    str | None,
    typer.Option(
        "--failures",
        metavar="FILE.csv",
        help="Of many: write a table of what failed, with columns input, error and exit_code.",
        show_default=False,
    ),
]
RayOption = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="[ADDRESS]",
        help="Spread many over the workers of a Ray cluster: ray://HOST:PORT, auto for one that runs here, or "
        "without address one of its own on this machine.",
        show_default=False,
    ),
]


@dataclass(frozen=True)
class Made:
    """What was made of one input: data, its pixels, a record for JSON without names, notes of one line, if it grew.

    Of a part of a table, too: bytes of its pictures, and what is wrong with some, by name.
    """

    data: bytes
    pixels: int
    record: Mapping[str, Any]
    notes: tuple[str, ...] = ()
    is_larger: bool = False
    input_bytes: int | None = None
    failures: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Finished:
    """What has become of a job: a file that is to be written, one that is written, or one left out as larger."""

    name: str
    output: str | None
    input_bytes: int
    output_bytes: int
    made: Made
    write: Callable[[], None] | None


@dataclass(frozen=True)
class _Failed:
    message: str
    exit_code: int


@dataclass(frozen=True)
class _ThereAlready:
    """Made meanwhile: by another process, or by a worker that ended before it could say so."""


_Outcome = _Finished | _Failed | _ThereAlready


@dataclass(frozen=True)
class _Making:
    """How one job is done, here or, as this can be sent, in another process. ``load`` is called once in each."""

    load: Callable[[int], Callable[..., Made]]
    threads: int
    error: type[TrimixError]
    writing: Writing

    def here(self) -> Callable[[Job], _Outcome]:
        """Does a job up to the writing, which is left to the thread that reports."""
        work = self.load(self.threads)
        return lambda job: self._outcome(job, work)

    def elsewhere(self) -> Callable[[Job], _Outcome]:
        """Does a job with its writing: only the report travels."""
        work = self.load(self.threads)

        def do(job: Job) -> _Outcome:
            outcome = _written(self._outcome(job, work))
            return replace(outcome, made=replace(outcome.made, data=b"")) if isinstance(outcome, _Finished) else outcome

        return do

    def _outcome(self, job: Job, work: Callable[..., Made]) -> _Outcome:
        try:
            source = Source(str(job.source), self.error)
            make_folder(job.output.parent)
            destination = Destination(str(job.output), source, force=self.writing.force)
            with naming(source):
                made = work(source) if job.part is None else work(source, job.part)
        except OutputExistsError:
            return _ThereAlready()
        except Exception as error:
            return _Failed(*message_and_code(error))
        input_bytes = source.size_bytes if made.input_bytes is None else made.input_bytes
        if made.is_larger and self.writing.only_smaller:
            return _Finished(job.name, None, input_bytes, 0, made, None)

        def write() -> None:
            self.writing.write(source, destination, made.data)

        return _Finished(job.name, destination.name, input_bytes, len(made.data), made, write)


def _outcome_of(future: Future[_Outcome]) -> _Outcome:
    try:
        return future.result()
    except WorkerDiedError as error:  # any other one is not of this job, but of loading: it ends the command
        return _Failed(*message_and_code(error))


def _written(outcome: _Outcome) -> _Outcome:
    """What it is once its file is written."""
    if not isinstance(outcome, _Finished) or outcome.write is None:
        return outcome
    try:
        outcome.write()
    except OutputExistsError:
        return _ThereAlready()
    except Exception as error:
        return _Failed(*message_and_code(error))
    return replace(outcome, write=None)


def default_jobs(jobs: int | None, device: Device) -> int:
    """How many files at a time: one on a CUDA device, which is busy with one."""
    return jobs or (1 if device is not Device.CPU else min(_MOST_JOBS, os.cpu_count() or 1))


class Batch:
    """Makes a file of each of many; errors about an input are of one class, the verb is as in "3 compressed".

    Args:
        failures: file for a table of what failed in this run.
    """

    def __init__(
        self, selection: Selection, error: type[TrimixError], verb: str, writing: Writing, failures: str | None = None
    ) -> None:
        self._selection, self._error, self._verb, self._writing = selection, error, verb, writing
        self._failures = failures
        self._made = self._there = self._larger = 0
        self._input_bytes = self._output_bytes = self._pixels = 0
        self._failed: dict[str, _Failed] = {}
        self._done = 0
        self._display = ProgressDisplay()
        self._started = time.perf_counter()

    def run(
        self,
        load: Callable[[int], Callable[..., Made]],
        jobs: int | None,
        device: Device,
        threads: int | None,
        ray: str | None = None,
    ) -> None:
        """Do all that is not done yet.

        Args:
            load: loads the model for so many threads; what it returns is called for several inputs at a time.
            jobs: how many at a time; None leaves it to the machine, or the cluster.
            device: where the networks run.
            threads: of the networks for each; None shares the cores out, or takes one in a cluster.
            ray: address of a cluster whose workers do it.

        Raises:
            MissingExtraError: Ray is wanted and not installed.
            typer.Exit: one or more failed, or Ctrl-C ended it.
        """
        if not self._selection.jobs:
            what = "picture" if self._verb == "compressed" else "compressed file"
            raise self._error(nothing_found(self._selection, what))
        there = set() if self._writing.force else there_already([job.output for job in self._selection.jobs])
        waiting = [job for job in self._selection.jobs if job.output not in there]
        self._there = len(self._selection.jobs) - len(waiting)
        interrupted = False
        if waiting and ray is not None:
            from trimix.integrations.ray_batch import actors

            making = _Making(load, threads or 1, self._error, self._writing)
            with actors(making.elsewhere, ray, jobs, making.threads, on_cuda=device is Device.CUDA) as (work, count):
                interrupted = self._make_all(waiting, work, min(count, len(waiting)))
        elif waiting:
            jobs = min(default_jobs(jobs, device), len(waiting))
            share = threads or max(1, (os.cpu_count() or 1) // jobs)
            interrupted = self._make_all(waiting, _Making(load, share, self._error, self._writing).here(), jobs)
        self._summarize(len(waiting) - self._done)
        if interrupted or self._failed:
            raise typer.Exit(INTERRUPTED if interrupted else next(iter(self._failed.values())).exit_code)

    def _make_all(self, waiting: list[Job], work: Callable[[Job], _Outcome], jobs: int) -> bool:
        """Whether Ctrl-C ended it. Of this process only this thread writes, so nothing is half written when it ends."""
        pool = ThreadPoolExecutor(jobs)
        self._started = time.perf_counter()
        is_ending = False
        coming = iter(waiting)
        futures: dict[Future[_Outcome], Job] = {}
        try:
            with showing_progress(total=len(waiting), transient=True) as self._display, noting_interrupts() as noted:
                while True:
                    # A few more than are done at a time: of a million, each wait would ask all.
                    room = 0 if is_ending else 2 * jobs - len(futures)
                    futures |= {pool.submit(work, job): job for job in islice(coming, room)}
                    if not futures:
                        return noted()
                    for future in wait(futures, _POLL_SECONDS, FIRST_COMPLETED).done:
                        self._finish(futures.pop(future), _outcome_of(future), len(waiting))
                    if noted() and not is_ending:
                        is_ending = True
                        self._display.say(
                            "trimix: interrupted: finishing what is in hand; Ctrl-C again ends at once, the same "
                            "command goes on"
                        )
                        futures = {one: job for one, job in futures.items() if not one.cancel()}
        except (KeyboardInterrupt, SystemExit) as error:
            end_at_once(error.code if isinstance(error, SystemExit) else INTERRUPTED)
        finally:
            pool.shutdown(cancel_futures=True)

    def _finish(self, job: Job, outcome: _Outcome, total: int) -> None:
        outcome = _written(outcome)
        self._done += 1
        match outcome:
            case _Finished():
                self._count(outcome)
            case _ThereAlready():
                self._there += 1
            case _Failed():
                self._fail(job.name, outcome)
        seconds = time.perf_counter() - self._started
        saved = f", {_size(self._input_bytes - self._output_bytes)} saved" if self._verb == "compressed" else ""
        self._display.show(
            f"{self._pixels / 1e6 / seconds:.2f} MP/s{saved}; {job.source.name}", self._done, total, unit="files"
        )

    def _count(self, finished: _Finished) -> None:
        made = finished.made
        for note in made.notes:
            self._display.say(f"trimix: {finished.name}: {note}")
        if finished.output is None:
            self._larger += 1
        else:
            self._made += 1
            self._input_bytes += finished.input_bytes
            self._output_bytes += finished.output_bytes
            self._pixels += made.pixels
        if self._writing.json:
            print_json({"input": finished.name, "output": finished.output, **made.record})
        for name, message in made.failures.items():
            self._fail(name, _Failed(message, self._error.exit_code))

    def _fail(self, name: str, failed: _Failed) -> None:
        message = failed.message
        self._failed[name] = failed
        self._display.say(f"trimix: error: {message if message.startswith(name) else f'{name}: {message}'}")
        if self._writing.json:
            print_json({"input": name, "output": None, "error": message, "exit_code": failed.exit_code})

    def _write_failures(self, path: str) -> None:
        buffer = StringIO(newline="")
        table = csv.writer(buffer)
        table.writerow(("input", "error", "exit_code"))
        table.writerows((name, one.message, one.exit_code) for name, one in self._failed.items())
        write_whole(locate(path), buffer.getvalue().encode(), overwrite=True)

    def _summarize(self, not_begun: int) -> None:
        selection, seconds = self._selection, time.perf_counter() - self._started
        if self._failures is not None:
            self._write_failures(self._failures)
        if self._writing.json:
            print_json(
                {
                    "summary": True,
                    self._verb: self._made,
                    "there_already": self._there,
                    "left_out_as_larger": self._larger,
                    "failed": list(self._failed),
                    "not_begun": not_begun,
                    "passed_over": selection.passed_over,
                    "folders_left_out": selection.folders_left_out,
                    "input_bytes": self._input_bytes,
                    "output_bytes": self._output_bytes,
                    "pixels": self._pixels,
                    "seconds": seconds,
                }
            )
            return
        if selection.passed_over:
            print_summary(f"trimix: passed over: {_names(selection.passed_over)}")
        if selection.folders_left_out:
            print_summary(f"trimix: folders not looked into: {selection.folders_left_out}; --recursive does")
        parts = [f"{self._made} {self._verb}"]
        parts += [f"{self._there} there already"] if self._there else []
        parts += [f"{self._larger} left out, for they would grow"] if self._larger else []
        parts += [f"{not_begun} not begun"] if not_begun else []
        parts += [f"{len(self._failed)} failed ({_names(tuple(self._failed))})"] if self._failed else []
        line = f"{len(selection.jobs)} file{'s' if len(selection.jobs) > 1 else ''}: {', '.join(parts)}"
        if self._made:
            percent = f" ({100 * self._output_bytes / self._input_bytes:.1f} %)" if self._verb == "compressed" else ""
            line += (
                f"; {_size(self._input_bytes)} -> {_size(self._output_bytes)}{percent}, "
                f"{self._pixels / 1e6:.2f} MP in {seconds:.1f} s"
            )
        print_summary(line)


def _names(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _size(count: int) -> str:
    from rich.filesize import decimal

    return f"-{decimal(-count)}" if count < 0 else decimal(count)
