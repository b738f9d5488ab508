"""The log of a run: ``log.jsonl``, and TensorBoard's scalars beside it where they are wanted."""

import json
import math
import warnings
from collections.abc import Mapping
from pathlib import Path

from trimix.errors import TrainingError

_Values = Mapping[str, object]


class RunLog:
    """Writes what happens in a run, row by row.

    Args:
        folder: ``log.jsonl`` and ``tensorboard/`` lie in it; it exists.
        tensorboard: whether the second is written.
        step: where the run stands; TensorBoard forgets what it has of later ones.

    Raises:
        TrainingError: TensorBoard is wanted and missing, or cannot write.
    """

    def __init__(self, folder: Path, *, tensorboard: bool = False, step: int = 0) -> None:
        self.path = folder / "log.jsonl"
        self._writer = _tensorboard_writer(folder / "tensorboard", step) if tensorboard else None

    def write(self, kind: str, step: int, **values: object) -> None:
        """Add a row.

        Args:
            kind: ``training`` or ``validation``.
            step: after which it was measured.
            values: numbers, texts, or lists of numbers of the length of ``quality``.

        Raises:
            TrainingError: it cannot be written.
        """
        row = {"kind": kind, "step": step} | values
        line = json.dumps({name: _finite(value) for name, value in row.items()}, allow_nan=False)
        try:
            with self.path.open("a") as file:
                file.write(line + "\n")
        except OSError as error:
            raise TrainingError(f"{self.path}: the log cannot be written: {error.strerror}") from error
        if self._writer is not None:
            try:
                for name, value in _scalars(kind, values).items():
                    self._writer.add_scalar(name, value, step)
                self._writer.flush()
            except OSError as error:
                raise TrainingError(
                    f"{self._writer.log_dir}: the log cannot be written: {error.strerror}"
                ) from error

    def close(self) -> None:
        """Let go of the files."""
        if self._writer is not None:
            self._writer.close()


def _finite(value: object) -> object:
    """The value, with None for NaN and infinities, which JSON cannot say."""
    if isinstance(value, list):
        return [_finite(element) for element in value]  # pyright: ignore[reportUnknownVariableType]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _scalars(kind: str, values: _Values) -> dict[str, float]:
    """Numbers by TensorBoard's names; those of a list are told apart by quality."""
    scalars = {}
    match values.get("quality"):
        case [*qualities]:
            pass
        case _:
            qualities = []
    for name, value in values.items():
        if isinstance(value, int | float):
            scalars[f"{kind}/{name}"] = float(value)
        elif isinstance(value, list) and name != "quality":
            for quality, number in zip(qualities, value, strict=True):
                suffix = f"_at_quality_{quality:g}" if len(qualities) > 1 else ""
                scalars[f"{kind}/{name}{suffix}"] = float(number)
    return scalars


def _tensorboard_writer(folder: Path, step: int):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            from torch.utils.tensorboard.writer import SummaryWriter
    except ImportError as error:
        raise TrainingError(
            "tensorboard = true needs the extra 'train': pip install 'trimix[train]', or set it to false"
        ) from error
    try:
        return SummaryWriter(str(folder), purge_step=step + 1)
    except OSError as error:
        raise TrainingError(f"{folder}: the log cannot be written: {error.strerror}") from error
