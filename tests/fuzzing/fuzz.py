"""Fuzz every stage for a while: ``make fuzz MINUTES=n``.

Guided by coverage where atheris is installed, else by seeded mutation. Each stage runs in a process of its own, so that
a crash ends that stage only. A finding goes into a file of the folder, named after its stage and the place in the code;
mend the code, and put the file into tests/fuzzing/corpus/STAGE, which the suite reads.
"""

import argparse
import importlib.util
import io
import os
import resource
import secrets
import signal
import subprocess
import sys
import time
import traceback
import warnings
import zlib
from contextlib import nullcontext, redirect_stderr
from pathlib import Path

SECONDS_A_CASE = 20
MEMORY_GROWTH_BYTES = 2**30
"""No case may need more: pictures are held to 2^16 pixels."""
_MEMORY_UNIT_BYTES = 1 if sys.platform == "darwin" else 1024
_NAMES = ("container", "symbols", "model", "picture", "checkpoint", "recipe", "results")


class _TooLong(BaseException):
    """A case took too long; no handler of errors takes it for damage."""


def _refuse_hanging(number: int, frame: object) -> None:
    raise _TooLong(f"more than {SECONDS_A_CASE} s")


def _peak_bytes() -> int:
    return _MEMORY_UNIT_BYTES * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


class Examination:
    """Reads cases of one stage and keeps those that are findings, one for each place in the code.

    Args:
        stage: a Stage of `fuzzing_stages`.
        folder: where findings go.
    """

    def __init__(self, stage, folder: Path) -> None:
        self._stage, self._folder, self.count, self.findings = stage, folder, 0, []
        # What a case that kills the process was.
        self.current = folder / f"{stage.name}-killed"
        for seed in stage.seeds():
            stage.read(seed)  # what is loaded once is no growth
        signal.signal(signal.SIGALRM, _refuse_hanging)

    def __call__(self, data: bytes) -> None:
        """Read one case."""
        self.current.write_bytes(data)
        self.count += 1
        before = _peak_bytes()
        signal.alarm(SECONDS_A_CASE)
        try:
            self._stage.read(data)
            if (growth := _peak_bytes() - before) > MEMORY_GROWTH_BYTES:
                raise MemoryError(f"{growth / 2**20:.0f} MiB more")
        except (Exception, _TooLong) as error:
            self._keep(data, error)
        finally:
            signal.alarm(0)

    def _keep(self, data: bytes, error: BaseException) -> None:
        frames = traceback.extract_tb(error.__traceback__)
        place = next((one for one in reversed(frames) if "trimix" in one.filename), frames[-1])
        name = f"{self._stage.name}-{type(error).__name__}-{Path(place.filename).stem}-{place.lineno}"
        if name not in self.findings:
            self.findings.append(name)
            (self._folder / name).write_bytes(data)
            print(f"{self._stage.name}: {''.join(traceback.format_exception(error))[-2000:]}", flush=True)


def _run_stage(name: str, seconds: float, folder: Path, seed: int) -> int:
    guided = importlib.util.find_spec("atheris") is not None
    if guided:
        import atheris
    # Compiled loops are no Python that could be watched.
    watched = atheris.instrument_imports(["trimix"], exclude=["trimix.coding.kernels"]) if guided else nullcontext()
    with redirect_stderr(io.StringIO()), watched:  # it names every module
        from fuzzing_stages import STAGES, mutations

    warnings.simplefilter("error")
    stage = STAGES[name]
    examine = Examination(stage, folder)
    started = time.monotonic()

    def report() -> None:
        minutes = (time.monotonic() - started) / 60
        print(f"{name}: {examine.count} cases, {examine.count / minutes:.0f} a minute, findings: {examine.findings}")
        examine.current.unlink(missing_ok=True)

    if guided:
        learned = folder.parent / "learned" / name
        learned.mkdir(parents=True, exist_ok=True)
        for data in (*stage.seeds(), *stage.corpus()):
            (learned / f"{zlib.crc32(data):08x}").write_bytes(data)

        def read(data: bytes) -> None:
            examine(data)
            if time.monotonic() - started > seconds:
                report()
                sys.stdout.flush()
                os._exit(bool(examine.findings))  # any other end is a crash to libFuzzer

        options = [f"-seed={seed}", "-max_len=200000", "-rss_limit_mb=0", "-timeout=0"]
        atheris.Setup([sys.argv[0], *options, "-verbosity=0", str(learned)], read)
        atheris.Fuzz()
    for data in mutations(stage, seed):
        examine(data)
        if time.monotonic() - started > seconds:
            break
    report()
    return int(bool(examine.findings))


def main() -> int:
    """Parse the command line and run; 1 where there is a finding."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=7.0, help="for all stages together")
    parser.add_argument("--stage", choices=_NAMES, action="append", help="only this; may be given several times")
    parser.add_argument("--seed", type=int, default=secrets.randbits(31))
    parser.add_argument("--findings", type=Path, default=Path("runs/fuzz/findings"))
    parser.add_argument("--in-process", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.findings.mkdir(parents=True, exist_ok=True)
    names = options.stage or list(_NAMES)
    seconds = 60 * options.minutes / len(names)
    if options.in_process:
        return _run_stage(names[0], seconds, options.findings, options.seed)
    print(f"{options.minutes:g} minutes, seed {options.seed}", flush=True)
    failed = []
    for name in names:
        command = [sys.executable, __file__, "--in-process", "--stage", name, "--minutes", str(seconds / 60)]
        ended = subprocess.run([*command, "--seed", str(options.seed), "--findings", options.findings], check=False)
        if ended.returncode:
            failed.append(name)
        if ended.returncode not in (0, 1):
            print(f"{name}: the process was killed ({ended.returncode}) by {options.findings / f'{name}-killed'}")
    print(f"findings in {options.findings}: {', '.join(failed)}" if failed else "no findings")
    return int(bool(failed))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    sys.exit(main())
