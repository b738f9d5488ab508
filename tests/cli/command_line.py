"""What a command did, for tests of the command line."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import trimix

MODEL_NAME = "gllmm-tiny-0"


@dataclass(frozen=True)
class Outcome:
    """What a command did.

    Args:
        code: exit code.
        output: standard output.
        error: standard error.
    """

    code: int
    output: bytes
    error: str

    @property
    def text(self) -> str:
        return self.output.decode()

    @property
    def line(self) -> str:
        """The only line of standard error."""
        assert self.error.endswith("\n"), self.error
        assert self.error.count("\n") == 1, self.error
        return self.error.rstrip("\n")


Command = Callable[..., Outcome]


def process_environment() -> dict[str, str]:
    """For processes that run this package, wherever it is imported from and wherever they start."""
    return os.environ | {"PYTHONPATH": str(Path(trimix.__file__).parent.parent)}
