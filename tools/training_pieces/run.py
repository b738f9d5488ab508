"""Train what a folder of `training_piece.py pack` holds, for so many minutes and no longer.

    python FOLDER/run.py --minutes 25 --output OUT --cool-down-minutes 5

Everything else lies in FOLDER:

    source/     the package                       wheels/     what the machine lacks, unpacked to packages/
    recipes/    a configuration for each run      pictures/   tars
    start/      weights to start from, if any     runs/       checkpoints and logs: a later call goes on from there

Into OUT go files that may be carried away at any time:

    manifest.json             what there is of every run, with the SHA-256 of every part
    NAME-STEP.part-00 ...     averaged weights as float16 safetensors, cut in parts
    logs.jsonl.gz             the logs of all runs

The first process needs nothing but Python. It starts one process for each run, side by side on the one device.
"""

import time

STARTED = time.monotonic()

import argparse  # noqa: E402  (the clock comes first)
import gzip  # noqa: E402
import hashlib  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import re  # noqa: E402
import signal  # noqa: E402
import subprocess  # noqa: E402
import sys  # noqa: E402
import threading  # noqa: E402
import zipfile  # noqa: E402
from collections import deque  # noqa: E402
from contextlib import suppress  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

FOLDER = Path(__file__).resolve().parent
FORMAT = 1
ENDING_SECONDS = 1.0
"""Kept by the first process for the manifest and the logs."""
GRACE_SECONDS = 5.0
"""After the end of the time, until a run that has not ended is killed."""
PACE_AFTER_STEPS = 20
"""Steps that do not count for the pace: they compile, and find the fastest kernels."""
LONGEST_RUN_STEPS = 10**9


def main() -> int:
    """Start all runs, gather what they bring until they end; 1 if one of them failed."""
    options = parse()
    if options.worker:
        code = work(options)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # all is on disk; to take torch down in order may take seconds
    options.output = options.output.resolve()
    options.output.mkdir(parents=True, exist_ok=True)
    names = sorted(path.stem for path in (FOLDER / "recipes").glob("*.json"))
    unknown = set(options.only) - set(names)
    if unknown:
        print(f"run.py: error: --only must be among {', '.join(names)}, found {', '.join(unknown)}", file=sys.stderr)
        return 2
    _unpack_wheels()
    runs = [_Run(name, options) for name in names if not options.only or name in options.only]
    for number in (signal.SIGINT, signal.SIGTERM):  # runs save, then end
        signal.signal(number, lambda *_: [run.process.terminate() for run in runs])
    gathering = _Gathering(runs, options.output)
    while any(run.process.poll() is None for run in runs):
        if time.monotonic() > options.ends_at + GRACE_SECONDS:
            for run in runs:
                run.process.kill()
        gathering.update()
        time.sleep(0.1)
    for run in runs:
        run.finish()
    gathering.update(last=True)
    for run in runs:
        print(run.summary(), file=sys.stderr)
    print(f"{time.monotonic() - STARTED:.1f} s of {60 * options.minutes:.1f} s", file=sys.stderr)
    return 1 if any(run.error for run in runs) else 0


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The options of a call."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, required=True, help="from start to end, everything included")
    parser.add_argument("--output", type=Path, required=True, help="folder of what is carried away")
    parser.add_argument(
        "--cool-down-minutes",
        type=float,
        default=0.0,
        help="the last ones, in which the learning rate falls to the recipe's final one; 0: to be continued",
    )
    parser.add_argument("--save-minutes", type=float, default=3.0, help="how often weights go to the output")
    parser.add_argument("--part-mebibytes", type=float, default=16.0, help="largest file of the output")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--steps", type=int, default=None, help="end after so many steps, to try things out")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="these runs alone")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--ends-at", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if min(options.minutes, options.save_minutes, options.part_mebibytes) <= 0 or options.cool_down_minutes < 0:
        parser.error("minutes and mebibytes must be more than 0")
    if options.ends_at is None:
        options.ends_at = STARTED + 60 * options.minutes
    return options


def _unpack_wheels() -> None:
    """A wheel is a zip of what lies beside other packages."""
    folder = FOLDER / "packages"
    if folder.exists():
        return
    temporary = FOLDER / "packages.unfinished"
    for wheel in sorted((FOLDER / "wheels").glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(temporary)
    if temporary.exists():
        temporary.replace(folder)


class _Run:
    """The process of one run, as the first process sees it."""

    def __init__(self, name: str, options: argparse.Namespace) -> None:
        self.name = name
        self.error: str | None = None
        self._report = FOLDER / "runs" / name / "report.json"
        self._output = options.output
        self._lines: deque[str] = deque(maxlen=20)
        command = [
            *(sys.executable, str(Path(__file__).resolve()), "--worker", name),
            *("--minutes", str(options.minutes), "--ends-at", str(options.ends_at - ENDING_SECONDS)),
            *("--output", str(options.output), "--cool-down-minutes", str(options.cool_down_minutes)),
            *("--save-minutes", str(options.save_minutes), "--part-mebibytes", str(options.part_mebibytes)),
            *("--device", options.device),
        ]
        if options.steps is not None:
            command += ["--steps", str(options.steps)]
        paths = [FOLDER / "source", FOLDER / "packages", *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, paths)), "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(
            command,
            cwd=FOLDER,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.append(line.rstrip())
            print(f"{self.name}: {line.rstrip()}", file=sys.stderr, flush=True)

    def finish(self) -> None:
        """Take in how the process ended."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)  # compilers that it has started
        self._reader.join(1.0)
        if self.process.returncode != 0:
            told = [line for line in self._lines if line.strip()]
            self.error = told[-1] if told else f"exit code {self.process.returncode}"
            if self.process.returncode < 0:
                self.error = f"killed by signal {-self.process.returncode}, after: {self.error}"

    def report(self) -> dict[str, Any]:
        """What it has brought so far."""
        if self._report.exists():
            report = json.loads(self._report.read_text())
            # That of an earlier call may be about another output.
            if all((self._output / part["name"]).exists() for part in report["weights"]["parts"]):
                return report
        return {"weights": None}

    def summary(self) -> str:
        """In one line."""
        report = self.report()
        done = f"step {report['steps']}, {report['steps_per_second']:.2f} steps/s" if report["weights"] else "nothing"
        return f"{self.name}: {done}" + (f"; FAILED: {self.error}" if self.error else "")


class _Gathering:
    """Keeps the manifest and the logs in the output as the runs are."""

    def __init__(self, runs: list[_Run], output: Path) -> None:
        self._runs, self._output = runs, output
        self._reports: dict[str, Any] | None = None

    def update(self, *, last: bool = False) -> None:
        """Write the manifest anew, if something has changed; then drop parts that are no longer in it."""
        times = {run.name: _report_time(run.name) for run in self._runs}  # before what is read may be replaced
        reports = {run.name: run.report() | {"error": run.error} for run in self._runs}
        if reports == self._reports and not last:
            return
        self._reports = reports
        self._write_logs()
        manifest = {"format": FORMAT, "seconds": time.monotonic() - STARTED, "runs": reports}
        write_atomically(self._output / "manifest.json", json.dumps(manifest, indent=1).encode())
        listed = {part["name"] for one in reports.values() if one["weights"] for part in one["weights"]["parts"]}
        for path in self._output.iterdir():
            # With a dot and a number: what a process that was killed has left of one.
            named = re.fullmatch(r"\.?(.+)-\d{8}\.part-\d+(\.\d+)?", path.name)
            if named is None or path.name in listed or named[1] not in reports:
                continue
            # A part of a run that goes on may be one that the next report will name.
            if last or (named[2] is None and path.stat().st_mtime < times[named[1]]):
                path.unlink(missing_ok=True)

    def _write_logs(self) -> None:
        rows = []
        for run in self._runs:
            path = FOLDER / "runs" / run.name / "log.jsonl"
            for line in path.read_text().splitlines() if path.exists() else []:
                try:
                    rows.append(json.dumps({"run": run.name} | json.loads(line)))
                except ValueError:
                    continue  # it is just being written
        write_atomically(self._output / "logs.jsonl.gz", gzip.compress("".join(f"{r}\n" for r in rows).encode()))


def _report_time(name: str) -> float:
    path = FOLDER / "runs" / name / "report.json"
    return path.stat().st_mtime if path.exists() else 0.0


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file that is there whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_parts(data: bytes, folder: Path, stem: str, part_bytes: int) -> dict[str, Any]:
    """Write bytes as files of at most so many; returns what the manifest says of them."""
    parts = []
    for index, start in enumerate(range(0, len(data), part_bytes)):
        part = data[start : start + part_bytes]
        name = f"{stem}.part-{index:02d}"
        write_atomically(folder / name, part)
        parts.append({"name": name, "bytes": len(part), "sha256": hashlib.sha256(part).hexdigest()})
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(), "parts": parts}


# ---- The process of one run; from here on torch and the package are needed. ----


def work(options: argparse.Namespace) -> int:
    """Train one run until its time is up."""
    # Before torch, which takes seconds: what is no JSON is told at once.
    settings = json.loads((FOLDER / "recipes" / f"{options.worker}.json").read_text(encoding="utf-8"))

    import torch

    from trimix.errors import TrimixError
    from trimix.training.config import TrainingConfig
    from trimix.training.devices import Devices
    from trimix.training.time_limit import TimeLimit

    device = options.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    start = FOLDER / "start" / f"{options.worker}.ckpt"
    try:
        recipe = TrainingConfig.model_validate(settings)
        config = piece_of(recipe, start if start.exists() else None, options.save_minutes)
        limit = TimeLimit(options.ends_at, 60 * options.cool_down_minutes, recipe.phases[-1].learning_rate_final)
        trainer = _trainer_class()(config, FOLDER / "runs" / options.worker, Devices(device), None, limit)
        trainer.prepare(options, limit, recipe)
        if trainer.progress.step:
            print(f"going on after step {trainer.progress.step}")
        trainer.run()
    except TrimixError as error:
        print(f"{type(error).__name__}: {error}")
        return 1
    except KeyboardInterrupt:
        print("interrupted")
        return 1
    return 0


def piece_of(recipe: "Any", start: Path | None, save_minutes: float) -> "Any":
    """The configuration of a piece: batches, patches, precision and learning rate of the first phase, without end.

    A phase that trains the linear path alone is passed over. The rate is constant; what lowers it at the end is the
    time limit, which knows when that is.
    """
    first = next((phase for phase in recipe.phases if not phase.linear_only), recipe.phases[0])
    changes = {
        "steps": LONGEST_RUN_STEPS,
        "schedule": "constant",
        "warm_up_steps": first.warm_up_steps if start is None else 0,
    }
    return recipe.model_copy(
        update={
            "phases": (first.model_copy(update=changes),),
            "start_from": start,
            "checkpoint_minutes": save_minutes,
            "tensorboard": False,
        }
    )


def _trainer_class() -> "Any":
    import torch

    from trimix.training.checkpoint import averaged_weights, load_checkpoint
    from trimix.training.loop import Trainer

    class PieceTrainer(Trainer):
        """Puts the averaged weights into the output whenever a checkpoint is saved."""

        def prepare(self, options: argparse.Namespace, limit: "Any", recipe: "Any") -> None:
            self._options, self._limit, self._recipe = options, limit, recipe
            if self.saved_step is None and self.config.start_from is not None:
                # Steps are counted on, so that patches and noise are not those of the piece before.
                before = load_checkpoint(self.config.start_from).get("progress") or {}
                self.progress.step, self.progress.pixels = before.get("step", 0), before.get("pixels", 0)
            self._first_step = self.progress.step
            self._pace_from: tuple[int, float] | None = None

        def _between_steps(self) -> None:
            done = self.progress.step - self._first_step
            if done == PACE_AFTER_STEPS:
                self._pace_from = self.progress.step, time.monotonic()
            if self._options.steps is not None and done >= self._options.steps:
                self._limit.ends_at = time.monotonic()
            super()._between_steps()

        def _write_checkpoint(self) -> None:
            super()._write_checkpoint()
            stem = f"{self._options.worker}-{self.progress.step:08d}"
            weights = averaged_weights(self.average.module, self.progress, self._recipe)
            part_bytes = max(1, int(self._options.part_mebibytes * 2**20))
            report = {
                "weights": write_parts(weights, self._options.output, stem, part_bytes),
                "steps": self.progress.step,
                "steps_of_this_call": self.progress.step - self._first_step,
                "pixels": self.progress.pixels,
                "seconds": self.progress.seconds,
                "steps_per_second": self._steps_per_second(),
                "device": self._device_name(),
                "peak_memory_mebibytes": self._peak_memory_bytes() / 2**20,
                "cool_down_minutes": self._options.cool_down_minutes,
            }
            write_atomically(self.folder / "report.json", json.dumps(report).encode())

        def _steps_per_second(self) -> float:
            """By the clock, validation and saving included, without the first steps where there are more."""
            step, since = self._pace_from or (self._first_step, STARTED)
            return (self.progress.step - step) / max(time.monotonic() - since, 1e-9)

        def _device_name(self) -> str:
            if self.device.type == "cuda":
                return torch.cuda.get_device_name(self.device)
            return f"cpu, {torch.get_num_threads()} threads"

        def _peak_memory_bytes(self) -> int:
            if self.device.type == "cuda":
                return torch.cuda.max_memory_allocated(self.device)
            import resource  # not on Windows, where nobody lends machines for minutes

            # Kibibytes, but bytes on macOS.
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

    return PieceTrainer


if __name__ == "__main__":
    sys.exit(main())
