"""Results files of a report."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from trimix.errors import UsageError
from trimix.evaluation.results import Results, read_results


def results_files(paths: Sequence[Path]) -> list[Path]:
    """Files in the order given, each once; a folder stands for its JSON files by name.

    Raises:
        UsageError: nothing there, or a folder without JSON files.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        for file in _files_of(path):
            found.setdefault(file.resolve(), file)
    return list(found.values())


def read_all(paths: Sequence[Path]) -> list[Results]:
    """The results of files and folders; of one folder, models of trimix come before other codecs.

    Raises:
        UsageError: a file is missing, cannot be read, or is no results file.
    """
    results = [read_results(file) for file in results_files(paths)]
    return sorted(results, key=lambda one: not one.is_of_trimix) if len(paths) == 1 else results


def _files_of(path: Path) -> Iterator[Path]:
    try:
        if not path.is_dir():
            yield path
            return
        files = sorted(file for file in path.iterdir() if file.suffix == ".json" and file.is_file())
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    if not files:
        raise UsageError(f"{path}: a folder of results must have .json files, found none; run 'trimix evaluate'")
    yield from files
