"""The log of a run: ``log.jsonl``, and TensorBoard's scalars beside it where they are wanted."""

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trimix.errors import OutputError, TrainingError
from trimix.images.atomic_files import write_atomically


class RunLog:
    """Writes what happens in a run, row by row.

    Args:
        step: where the run stands; rows of later ones, which a run left that was killed, are dropped.

    Raises:
        TrainingError: TensorBoard is wanted and missing, or the log cannot be written.
    """

    def __init__(self, folder: Path, *, tensorboard: bool = False, step: int = 0) -> None:
        self.path = folder / "log.jsonl"
        self._scalars = _scalar_writer(folder / "tensorboard", step) if tensorboard else None
        _drop_later_rows(self.path, step)

    def write(self, kind: str, step: int, **values: object) -> None:
        """Add a row of numbers, texts, or lists of numbers of the length of ``quality``.

        Raises:
            TrainingError: it cannot be written.
        """
        row = {"kind": kind, "step": step} | values
        line = json.dumps({name: _finite(value) for name, value in row.items()}, allow_nan=False)
        with _announcing(self.path), self.path.open("a") as file:
            file.write(line + "\n")
        if self._scalars is not None:
            with _announcing(self.path.parent / "tensorboard"):
                for name, value in _scalars(kind, values).items():
                    self._scalars.add_scalar(name, value, step)
                self._scalars.flush()


def _scalar_writer(folder: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise TrainingError(
            "tensorboard = true needs the extra 'train': pip install 'trimix[train]', or set it to false"
        ) from error
    # TensorBoard forgets what it has of steps that are made again.
    with _announcing(folder):
        return SummaryWriter(folder, purge_step=step + 1)


@contextmanager
def _announcing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise TrainingError(f"{path}: the log cannot be written: {error.strerror}") from error


def _drop_later_rows(path: Path, step: int) -> None:
    """Keep the whole rows up to a step: the others are written again, and one cut in half would spoil the next."""
    if not path.exists():
        return
    with _announcing(path):
        before = path.read_bytes()
    lines = before.splitlines(keepends=True)
    after = b"".join(line for line in lines if line.endswith(b"\n") and _is_row_until(line, step))
    if after != before:
        try:
            write_atomically(path, after, overwrite=True)
        except OutputError as error:
            raise TrainingError(str(error)) from error


def _is_row_until(line: bytes, step: int) -> bool:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(row, dict) and isinstance(row.get("step"), int) and row["step"] <= step


def _finite(value: object) -> object:
    """The value, with None for NaN and infinities, which JSON cannot say."""
    if isinstance(value, list):
        return [_finite(element) for element in value]  # pyright: ignore[reportUnknownVariableType]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _scalars(kind: str, values: Mapping[str, object]) -> dict[str, float]:
    """Numbers by TensorBoard's names; those of a list are told apart by quality."""
    scalars = {}
    qualities: Any = values.get("quality", [])
    for name, value in values.items():
        if isinstance(value, int | float):
            scalars[f"{kind}/{name}"] = float(value)
        elif isinstance(value, list) and name != "quality":
            for quality, number in zip(qualities, value, strict=True):
                suffix = f"_at_quality_{quality:g}" if len(qualities) > 1 else ""
                scalars[f"{kind}/{name}{suffix}"] = float(number)
    return scalars
