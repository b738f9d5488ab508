"""Who watches an evaluation. Works without torch."""

from trimix.evaluation.results import Measurement


class Observer:
    """Is told what happens; this one does nothing with it."""

    def examined(self, done: int, total: int) -> None:
        """A picture has been read."""

    def begins(self, name: str, done: int, total: int) -> None:
        """A codec begins, or goes on after `done` of `total` measurements."""

    def warms_up(self) -> None:
        """It is loaded, and codes for the first time."""

    def coding(self, picture: str, quality: float) -> None:
        """A measurement begins."""

    def measured(self, measurement: Measurement) -> None:
        """A measurement has been made and kept."""
