"""What has been measured so far of one codec, so that an evaluation that was stopped goes on.

Next to a results file stands, while it is not finished, a journal: JSON lines, each written out before the next
measurement begins. The first says what is measured with which settings::

    {"settings": {...}}
    {"session": {"command": ..., "date": ..., "machine": ...}}
    {"measurement": {...}}

A line that a killed process has left unfinished is dropped. Works without torch.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from trimix.errors import OtherResultsError, OutputError, UsageError
from trimix.evaluation.results import SETTINGS, Measurement, Results, read_results

SUFFIX = ".partial.jsonl"
"""Of journals; results files end in ``.json``."""


class Journal:
    """Measurements of one codec, kept on disk as they come.

    Attributes:
        settings: of the codec and the pictures; once it is read, those that it holds.
        measurements: by picture and quality.
        sessions: each start of the evaluation.
        gpu_peak_memory_bytes: the largest so far; None without a GPU.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self.path = path
        self.settings: Any = settings
        self.measurements: dict[tuple[str, float], Measurement] = {}
        self.sessions: list[Mapping[str, Any]] = []
        self.gpu_peak_memory_bytes: int | None = None
        self._whole_bytes = 0
        self._file: BinaryIO | None = None

    def open(self, session: Mapping[str, Any]) -> None:
        """Open the journal for writing, as nobody else can until it is closed, and note that measuring begins.

        Raises:
            UsageError: another process measures the same.
            OutputError: the journal cannot be written.
        """
        try:
            file = self.path.open("ab")
            try:
                _lock(file, self.path)
                file.truncate(self._whole_bytes)
            except BaseException:
                file.close()
                raise
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written ({error.strerror}); choose another folder") from error
        self._file = file
        if not self._whole_bytes:
            self._append({SETTINGS: self.settings})
        self._append({"session": session})
        self.sessions.append(session)

    def add(self, measurement: Measurement, gpu_peak_memory_bytes: int | None = None) -> None:
        """Keep a measurement.

        Raises:
            OutputError: the journal cannot be written.
        """
        line: dict[str, Any] = {"measurement": measurement.to_json()}
        if gpu_peak_memory_bytes is not None:
            line["gpu_peak_memory_bytes"] = gpu_peak_memory_bytes
        # First of all: Ctrl-C while it is written must not make `close` think that there is none.
        self._take(measurement, gpu_peak_memory_bytes)
        self._append(line)

    def close(self) -> None:
        """Let others open it; one without measurements is removed."""
        if self._file is None:
            return
        self._file.close()
        self._file = None
        if not self.measurements:
            self.path.unlink(missing_ok=True)

    def read(self) -> None:
        """Take up what the file holds.

        Raises:
            UsageError: it is damaged.
        """
        try:
            data = self.path.read_bytes()
            # What follows the last end of a line was being written when the process was killed.
            self._whole_bytes = data.rfind(b"\n") + 1
            for number, line in enumerate(data[: self._whole_bytes].splitlines()):
                value = json.loads(line)
                if number == 0:
                    self.settings = value[SETTINGS]
                elif "measurement" in value:
                    measurement = Measurement.from_json(value["measurement"])
                    self._take(measurement, value.get("gpu_peak_memory_bytes"))
                else:
                    self.sessions.append(value["session"])
        except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError, UsageError) as error:
            raise OtherResultsError(
                f"{self.path}: must be a journal of trimix evaluate, found it damaged ({error}); "
                "remove it, or measure anew"
            ) from error

    def _take(self, measurement: Measurement, gpu_peak_memory_bytes: int | None) -> None:
        self.measurements[measurement.picture, measurement.quality] = measurement
        if gpu_peak_memory_bytes is not None:
            self.gpu_peak_memory_bytes = max(self.gpu_peak_memory_bytes or 0, gpu_peak_memory_bytes)

    def _append(self, line: Mapping[str, Any]) -> None:
        assert self._file is not None
        try:
            self._file.write(json.dumps(line).encode() + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written ({error.strerror}); free some space") from error


def journal_path(results_path: Path) -> Path:
    """Where the journal of a results file stands.

    >>> journal_path(Path("gllmm-lite-0.1.json")).name
    'gllmm-lite-0.1.partial.jsonl'
    """
    return results_path.with_name(results_path.name.removesuffix(".json") + SUFFIX)


def resume(results_path: Path, settings: Mapping[str, Any], *, force: bool) -> Journal | Results:
    """The finished results of these settings, or else their journal, begun or new. Writes nothing.

    By force, what was measured with other settings is replaced; what was measured with these is kept even so.

    Raises:
        UsageError: there are results of other settings, or files of another kind.
    """
    settings = json.loads(json.dumps(settings))
    path = journal_path(results_path)
    try:
        if results_path.exists():
            results = read_results(results_path)
            _refuse_difference(results.provenance.get(SETTINGS), settings, results_path)
            return results
    except UsageError:
        if not force:
            raise
    try:
        if path.exists():
            journal = Journal(path, settings)
            journal.read()
            if journal.measurements:  # else it was stopped before the first
                _refuse_difference(journal.settings, settings, path)
                return journal
    except UsageError:
        if not force:
            raise
    return Journal(path, settings)


def recorded_settings(path: Path) -> Mapping[str, Any]:
    """The settings of a results file or a journal; empty if it is no such file, or nothing was measured."""
    try:
        if not path.name.endswith(SUFFIX):
            return read_results(path).settings
        journal = Journal(path, {})
        journal.read()
    except UsageError:
        return {}
    return journal.settings if journal.measurements else {}


def _refuse_difference(found: Any, wanted: Mapping[str, Any], path: Path) -> None:
    """Refuse to mix results of other settings with these."""
    if found == wanted:
        return
    difference = "none of trimix evaluate"
    if isinstance(found, Mapping):
        difference = ", ".join(
            f"{name.replace('_', ' ')} {_short(found.get(name))} (now {_short(wanted.get(name))})"
            for name in {**wanted, **found}
            if found.get(name) != wanted.get(name)
        )
    raise OtherResultsError(
        f"{path}: must hold results of the same pictures and settings, found {difference}; "
        "choose another folder, or measure anew"
    )


def _short(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(_short(one) for one in value)
    return f"{value:g}" if isinstance(value, float) else "none" if value is None else str(value)


def _lock(file: BinaryIO, path: Path) -> None:
    try:
        import fcntl
    except ImportError:
        return  # Windows: whoever starts two evaluations at once has to know
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UsageError(
            f"{path}: must be written by one process, found another that measures the same; wait for it, or "
            "choose another folder"
        ) from None
