"""One run of a table: trained stage by stage, measured after each."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from trimix.architectures.compression_model import CompressionModel
from trimix.evaluation.machine import machine, versions
from trimix.images import pad_to_multiple, psnr_db, read_picture, to_pixels, to_planes
from trimix.layers.quality import QUALITY_MAXIMUM
from trimix.reproduction.plan import Run
from trimix.reproduction.record import PictureRates, Record, configuration_of, read_record
from trimix.training.loop import Trainer

NATURAL = "kodak"
"""The set that is measured after every stage; the others are after the last."""
_PICTURE_MULTIPLE = 64
_DIGITS = 6


@dataclass(frozen=True)
class Job:
    """A run with all that it needs.

    Args:
        output: folder of the records, and of a folder for checkpoint and log of each run.
        data: the ``[data]`` of its configuration.
        sets: pictures to measure on, by name.
        accelerator: ``cpu``, ``cuda`` or ``auto``.
        threads: of a CPU.
    """

    run: Run
    output: Path
    data: Mapping[str, Any]
    sets: Mapping[str, tuple[Path, ...]]
    fingerprints: Mapping[str, str]
    accelerator: str
    threads: int

    @property
    def folder(self) -> Path:
        """For checkpoint and log."""
        return self.output / self.run.key

    @property
    def record_path(self) -> Path:
        """Where the record goes."""
        return self.output / f"{self.run.key}.json"

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
    start = job.run.starts_from and job.output / job.run.starts_from.key / "last.ckpt"
    trainer = Trainer(job.run.configuration(job.data, start), job.folder, job.accelerator)
    rates = dict(read_record(job.record_path).rates) if job.record_path.exists() else {}

    def measure() -> None:
        step = trainer.progress.step
        sets = job.sets if step == job.run.steps else {NATURAL: job.sets[NATURAL]}
        model: CompressionModel = trainer.average.module  # type: ignore[assignment]
        rates[step] = {
            name: tuple(
                picture_rates(model, pictures, quality, trainer.stop_if_requested)
                for quality in job.run.qualities or (QUALITY_MAXIMUM,)
            )
            for name, pictures in sets.items()
        }
        Record(job.run.key, rates, _facts(trainer, job.folder), job.configuration).write(job.record_path)

    if trainer.progress.phase < len(job.run.training["phases"]):
        trainer.run(after_phase=measure)
    elif not job.is_done():
        measure()


@torch.no_grad()
def picture_rates(
    model: CompressionModel,
    pictures: Sequence[Path],
    quality: float = QUALITY_MAXIMUM,
    between_pictures: Callable[[], None] = lambda: None,
) -> PictureRates:
    """Measure a model on picture files, without writing any; something is called before each.

    Bits are those of the float model on rounded latents: headers, and what freezing costs, are left out.

    Args:
        quality: 1..100; a model of one rate ignores it.

    Raises:
        PictureError: one cannot be read.
    """
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    of_model = torch.full((1,), quality, device=device)
    rates, decibels = [], []
    for path in pictures:
        between_pictures()
        pixels = read_picture(path).bare().pixels
        height, width = pixels.shape[:2]
        planes = to_planes(pad_to_multiple(pixels, _PICTURE_MULTIPLE))
        x = torch.from_numpy(planes)[None].to(device, memory_format=torch.channels_last)
        output = model(x, of_model, rounding="round")
        bits = float(output.latent_bits.double() + output.hyper_latent_bits.double())
        decoded = to_pixels(output.reconstruction[0].float().cpu().numpy())[:height, :width]
        rates.append(round(bits / (height * width), _DIGITS))
        original = pixels if pixels.shape[2] == 3 else pixels.repeat(3, axis=2)
        decibels.append(round(psnr_db(original, decoded), _DIGITS))
    model.train(was_training)
    return PictureRates(tuple(rates), tuple(decibels))


def _facts(trainer: Trainer, folder: Path) -> dict[str, Any]:
    lines = (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
    last = [row for row in map(json.loads, lines) if row["kind"] == "training"][-1:]
    facts: dict[str, Any] = {
        "seconds": round(trainer.progress.seconds, 1),
        "pixels": trainer.progress.pixels,
        "device": str(trainer.device),
        "machine": machine(),
        **versions(),
    }
    names = ("gradient_ratio", "applied_alpha", "source_entropy_bits_per_pixel")
    return facts | {name: row[name] for row in last for name in names if row.get(name) is not None}
