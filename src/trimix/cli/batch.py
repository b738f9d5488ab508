"""Many files in one command: one model, a bar, what failed by name, a summary, and an end that loses nothing."""

import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from trimix.cli.failures import INTERRUPTED, message_and_code
from trimix.cli.inputs import Source, naming
from trimix.cli.interrupts import end_at_once, noting_interrupts
from trimix.cli.options import MAXIMUM_THREADS, Device
from trimix.cli.outputs import Destination, Writing, make_folder, print_json, print_summary
from trimix.cli.selection import Job, Selection, exists, nothing_found
from trimix.errors import TrimixError
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
        show_default=f"one per core, at most {_MOST_JOBS}",
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


@dataclass(frozen=True)
class Made:
    """What was made of one input: data, its pixels, a record for JSON without names, notes of one line, if it grew."""

    data: bytes
    pixels: int
    record: Mapping[str, Any]
    notes: tuple[str, ...] = ()
    is_larger: bool = False


def default_jobs(jobs: int | None, device: Device) -> int:
    """How many files at a time: one on a CUDA device, which is busy with one."""
    return jobs or (1 if device is not Device.CPU else min(_MOST_JOBS, os.cpu_count() or 1))


class Batch:
    """Makes a file of each of many; errors about an input are of one class, the verb is as in "3 compressed"."""

    def __init__(self, selection: Selection, error: type[TrimixError], verb: str, writing: Writing) -> None:
        self._selection, self._error, self._verb, self._writing = selection, error, verb, writing
        self._made = self._there = self._larger = 0
        self._input_bytes = self._output_bytes = self._pixels = 0
        self._failed: dict[str, int] = {}
        self._display = ProgressDisplay()
        self._started = time.perf_counter()

    @property
    def _done(self) -> int:
        return self._made + self._larger + len(self._failed)

    def run(self, load: Callable[[int], Callable[[Source], Made]], jobs: int, threads: int | None) -> None:
        """Do all that is not done yet.

        Args:
            load: loads the model for so many threads; what it returns is called for several inputs at a time.
            jobs: how many at a time.
            threads: of the networks for each; None shares the cores out.

        Raises:
            typer.Exit: one or more failed, or Ctrl-C ended it.
        """
        if not self._selection.jobs:
            what = "picture" if self._verb == "compressed" else "compressed file"
            raise self._error(nothing_found(self._selection, what))
        force = self._writing.force
        waiting = [job for job in self._selection.jobs if force or not exists(job.output)]
        self._there = len(self._selection.jobs) - len(waiting)
        jobs = min(jobs, len(waiting))
        share = threads or max(1, (os.cpu_count() or 1) // max(1, jobs))
        interrupted = self._make_all(waiting, load(share), jobs) if waiting else False
        self._summarize(len(waiting) - self._done)
        if interrupted or self._failed:
            raise typer.Exit(INTERRUPTED if interrupted else next(iter(self._failed.values())))

    def _make_all(self, waiting: list[Job], work: Callable[[Source], Made], jobs: int) -> bool:
        """Whether Ctrl-C ended it. Only this thread writes, so nothing is half written when it ends."""
        pool = ThreadPoolExecutor(jobs)
        self._started = time.perf_counter()
        is_ending = False
        try:
            with showing_progress(total=len(waiting), transient=True) as self._display, noting_interrupts() as noted:
                futures = {pool.submit(self._work, job, work): job for job in waiting}
                while futures:
                    ended = wait(futures, _POLL_SECONDS, FIRST_COMPLETED).done
                    for future in ended:
                        job = futures.pop(future)
                        self._finish(job, future, len(waiting))
                    if noted() and not is_ending:
                        is_ending = True
                        self._display.say(
                            "trimix: interrupted: finishing what is in hand; Ctrl-C again ends at once, the same "
                            "command goes on"
                        )
                        futures = {one: job for one, job in futures.items() if not one.cancel()}
                return noted()
        except (KeyboardInterrupt, SystemExit) as error:
            end_at_once(error.code if isinstance(error, SystemExit) else INTERRUPTED)
        finally:
            pool.shutdown(cancel_futures=True)

    def _work(self, job: Job, work: Callable[[Source], Made]) -> tuple[Source, Destination, Made]:
        source = Source(str(job.source), self._error)
        make_folder(job.output.parent)
        destination = Destination(str(job.output), source, force=self._writing.force)
        with naming(source):
            return source, destination, work(source)

    def _finish(self, job: Job, future: "Future[tuple[Source, Destination, Made]]", total: int) -> None:
        try:
            source, destination, made = future.result()
            for note in made.notes:
                self._display.say(f"trimix: {source.name}: {note}")
            record = {"input": source.name, "output": destination.name, **made.record}
            if made.is_larger and self._writing.only_smaller:
                self._larger += 1
                record["output"] = None
            else:
                self._writing.write(source, destination, made.data)
                self._made += 1
                self._input_bytes += source.size_bytes
                self._output_bytes += len(made.data)
                self._pixels += made.pixels
            if self._writing.json:
                print_json(record)
        except BrokenPipeError:
            raise
        except Exception as error:
            message, code = message_and_code(error)
            name = str(job.source)
            self._failed[name] = code
            self._display.say(f"trimix: error: {message if message.startswith(name) else f'{name}: {message}'}")
            if self._writing.json:
                print_json({"input": name, "output": None, "error": message, "exit_code": code})
        seconds = time.perf_counter() - self._started
        saved = f", {_size(self._input_bytes - self._output_bytes)} saved" if self._verb == "compressed" else ""
        self._display.show(
            f"{self._pixels / 1e6 / seconds:.2f} MP/s{saved}; {job.source.name}", self._done, total, unit="files"
        )

    def _summarize(self, not_begun: int) -> None:
        selection, seconds = self._selection, time.perf_counter() - self._started
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
