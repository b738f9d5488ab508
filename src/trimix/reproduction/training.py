"""One run of a table: trained stage by stage, measured after each."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trimix.evaluation.machine import machine, versions
from trimix.reproduction.plan import Run
from trimix.reproduction.rates import picture_rates
from trimix.reproduction.record import Record, configuration_of, read_record
from trimix.training.loop import Trainer

CHECKPOINT = "last.ckpt"
NATURAL = "kodak"
"""The set that is measured after every stage; the others are after the last."""


@dataclass(frozen=True)
class Job:
    """A run with all that it needs.

    Args:
        run: of a plan.
        folder: for its checkpoint and its log.
        record_path: where its record goes.
        start_path: checkpoint of the run that it starts from.
        data: the ``[data]`` of its configuration.
        sets: pictures to measure on, by name.
        fingerprints: of pictures, for the record.
        accelerator: ``cpu``, ``cuda`` or ``auto``.
        threads: of a CPU.
    """

    run: Run
    folder: Path
    record_path: Path
    start_path: Path | None
    data: Mapping[str, Any]
    sets: Mapping[str, tuple[Path, ...]]
    fingerprints: Mapping[str, str]
    accelerator: str
    threads: int

    @property
    def configuration(self) -> dict[str, Any]:
        """As the record has it."""
        return configuration_of(self.run, self.fingerprints)

    def is_done(self) -> bool:
        """Whether its record is complete."""
        if not self.record_path.exists():
            return False
        record = read_record(self.record_path)
        return record.steps == self.run.steps and set(self.sets) <= set(record.rates[record.steps])


def train_and_measure(job: Job) -> None:
    """Train a run from where it stands to its end; its record grows with every stage.

    Raises:
        KeyboardInterrupt: SIGINT or SIGTERM came; the same call goes on.
        TrimixError: pictures, checkpoint or record cannot be used, or training fails.
    """
    trainer = Trainer(job.run.configuration(job.data, job.start_path), job.folder, job.accelerator)
    rates = dict(read_record(job.record_path).rates) if job.record_path.exists() else {}

    def measure() -> None:
        step = trainer.progress.step
        sets = job.sets if step == job.run.steps else {NATURAL: job.sets[NATURAL]}
        rates[step] = {
            name: picture_rates(trainer.average.module, pictures, trainer.stop_if_requested)  # type: ignore[arg-type]
            for name, pictures in sets.items()
        }
        record = Record(job.run.key, job.configuration, rates, _facts(trainer, job.folder))
        record.write(job.record_path)

    if trainer.progress.phase < len(job.run.training["phases"]):
        trainer.run(after_phase=measure)
    elif not job.is_done():
        measure()


def _facts(trainer: Trainer, folder: Path) -> dict[str, Any]:
    lines = (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [row for row in map(json.loads, lines) if row["kind"] == "training"]
    facts: dict[str, Any] = {
        "seconds": round(trainer.progress.seconds, 1),
        "pixels": trainer.progress.pixels,
        "device": str(trainer.device),
        "machine": machine(),
        **versions(),
    }
    for name in ("gradient_ratio", "applied_alpha", "source_entropy_bits_per_pixel"):
        if rows and rows[-1].get(name) is not None:
            facts[name] = rows[-1][name]
    return facts
