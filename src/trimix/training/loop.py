"""The training loop: phases, schedules, averaging, checkpoints, validation. It knows no loss and no paper.

::

    patches(seed, step) -> Step(model) -> loss -> backward -> clip -> optimiser -> average of weights
                                                                  |-> log.jsonl   (every 50 steps, every validation)
                                                                  `-> last.ckpt   (every few minutes, and at the end)
"""

import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from torch import nn
from torch.optim.swa_utils import AveragedModel

from trimix.errors import ConfigurationError, TrainingError
from trimix.layers.quality import QUALITY_MAXIMUM
from trimix.models.building import TrainableModel, build
from trimix.models.gllmm_lite import GllmmLite
from trimix.shapes import Tensor
from trimix.training.checkpoint import Progress, load_average, restore, save_checkpoint
from trimix.training.config import PhaseConfig, TrainingConfig
from trimix.training.interruption import StopRequest, delayed_signals
from trimix.training.objective import psnr_db
from trimix.training.optimizers import build_optimizer
from trimix.training.patches import PatchSampler, load_pictures, validation_crops
from trimix.training.steps import Batch, PlainStep, Step, StepReport, draw_quality
from trimix.transforms.karhunen_loeve import principal_components

LOG_EVERY_STEPS = 50
VALIDATION_QUALITIES = (5.0, 20.0, 35.0, 50.0, 65.0, 80.0, 95.0)
VALIDATION_SIZE = 256
_BLOCKS_FOR_COMPONENTS = 40_000


def learning_rate(phase: PhaseConfig, step: int) -> float:
    """Learning rate of a phase at a step: warm-up, then constant, linear or cosine to the final one."""
    if step < phase.warm_up_steps:
        return phase.learning_rate * (step + 1) / phase.warm_up_steps
    done = (step - phase.warm_up_steps) / max(1, phase.steps - phase.warm_up_steps)
    falling = phase.learning_rate - phase.learning_rate_final
    if phase.schedule == "linear":
        return phase.learning_rate - falling * done
    if phase.schedule == "cosine":
        return phase.learning_rate_final + falling * 0.5 * (1 + math.cos(math.pi * done))
    return phase.learning_rate


def _finite(value: object) -> object:
    """The value, with None for NaN and infinities, which JSON cannot say."""
    if isinstance(value, list):
        return [_finite(element) for element in value]  # pyright: ignore[reportUnknownVariableType]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _averaging(decay: float) -> Callable[[Sequence[Tensor], Sequence[Tensor], Tensor | int], None]:
    """Exponential moving average whose decay starts low, so that the first weights are soon forgotten."""

    @torch.no_grad()
    def update(averaged: Sequence[Tensor], current: Sequence[Tensor], count: Tensor | int) -> None:
        steps = int(count)
        weight = 1 - min(decay, (1 + steps) / (10 + steps))
        # One fused call for all tensors; torch's own moving average uses it, but keeps its decay constant.
        torch._foreach_lerp_(list(averaged), list(current), weight)  # pyright: ignore[reportPrivateImportUsage]

    return update


@torch.no_grad()
def validate(
    model: TrainableModel,
    crops: torch.Tensor,
    *,
    linear_only: bool,
    between_batches: Callable[[], None] = lambda: None,
) -> list[tuple[float, float, float]]:
    """(quality, mean bits per pixel, mean PSNR in dB) on rounded latents, over the crops.

    A model of one rate has one such row.
    """
    was_training = model.training
    model.eval()
    rows = []
    options = {"linear_only": True} if linear_only else {}
    for quality in VALIDATION_QUALITIES if model.config.all_rates else (QUALITY_MAXIMUM,):
        bits, decibels = [], []
        for x in crops.split(8):
            between_batches()
            qualities = torch.full((len(x),), quality, device=x.device)
            output = model(x, qualities, rounding="round", **options)
            error = (x - output.reconstruction.clamp(0, 1)).square().mean(dim=(1, 2, 3)) * 255**2
            decibels.append(psnr_db(error))
            bits.append((output.latent_bits + output.hyper_latent_bits) / (x.shape[2] * x.shape[3]))
        rows.append((quality, float(torch.cat(bits).mean()), float(torch.cat(decibels).mean())))
    model.train(was_training)
    return rows


class Trainer:
    """One training run in one folder: ``last.ckpt``, ``log.jsonl``.

    Args:
        config: the run.
        folder: created if missing; a ``last.ckpt`` in it is resumed.
        accelerator: ``auto``, ``cpu`` or ``cuda``.

    Raises:
        ConfigurationError: pictures are missing, unreadable or too small, or the model has too many channels.
        TrainingError: a checkpoint is damaged or of another model, or the extra 'train' is missing.
    """

    def __init__(self, config: TrainingConfig, folder: Path, accelerator: str = "auto") -> None:
        try:
            from lightning.fabric import Fabric
        except ImportError as error:
            raise TrainingError("training needs the extra 'train': pip install 'trimix[train]'") from error
        self.config = config
        self.folder = folder
        self._fabrics = {
            phase.precision: Fabric(accelerator=accelerator, devices=1, precision=phase.precision)
            for phase in config.phases
        }
        self.device = next(iter(self._fabrics.values())).device
        folder.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(config.seed)
        largest = max(phase.patch_size for phase in config.phases)
        pictures = load_pictures(config.data.training, largest, advice="remove it or lower patch_size")
        self.sampler = PatchSampler(
            pictures, config.seed, config.data.scale_minimum, config.data.scaled_share
        )
        self.crops = None
        if config.data.validation:
            held_out = load_pictures(config.data.validation, VALIDATION_SIZE)
            self.crops = validation_crops(held_out, VALIDATION_SIZE).to(self.device)
        self.model = build(config.model).to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = build_optimizer(self.model, config.optimizer)
        self.average = AveragedModel(self.model, multi_avg_fn=_averaging(config.optimizer.average_decay))
        self.checkpoint_path = folder / "last.ckpt"
        if self.checkpoint_path.exists():
            self.progress = restore(self.checkpoint_path, self.model, self.average, self.optimizer)
        else:
            self.progress = Progress()
            if config.start_from is not None:
                load_average(config.start_from, self.model, self.average.module)
            elif isinstance(self.model, GllmmLite):
                self._fit_linear_path(self.model)
        self.saved_step = self.progress.step if self.checkpoint_path.exists() else None
        self._stop = StopRequest()
        self.step: Step = PlainStep(self.model, config.objective)

    @property
    def _averaged_model(self) -> TrainableModel:
        return self.average.module  # type: ignore[return-value]

    def _fit_linear_path(self, model: GllmmLite) -> None:
        analysis, synthesis = model.analysis.linear, model.synthesis.linear
        block, channels = analysis.block, analysis.weight.shape[0]
        if channels > 3 * block**2:
            raise ConfigurationError(
                f"model.latent_channels must not exceed {3 * block**2}, the components of {block}x{block} pixels "
                f"in three colours, found {channels}; lower it"
            )
        per_batch = 64 * (64 // block) ** 2
        patches = [
            self.sampler.batch(2**40 + index, 64, 64)  # steps that no training reaches
            for index in range(_BLOCKS_FOR_COMPONENTS // per_batch + 1)
        ]
        blocks = nn.functional.unfold(torch.cat(patches), block, stride=block)
        mean, basis = principal_components(blocks.transpose(1, 2).flatten(0, 1), channels)
        for path in (analysis, synthesis):
            path.set_basis(mean.to(self.device), basis.to(self.device))
        self.average.module.load_state_dict(self.model.state_dict())

    def _log(self, **values: object) -> None:
        line = json.dumps({name: _finite(value) for name, value in values.items()}, allow_nan=False)
        path = self.folder / "log.jsonl"
        try:
            with path.open("a") as file:
                file.write(line + "\n")
        except OSError as error:
            raise TrainingError(f"{path}: the log cannot be written: {error.strerror}") from error

    def save(self) -> None:
        """Write ``last.ckpt``.

        Raises:
            TrainingError: it cannot be written.
        """
        save_checkpoint(
            self.checkpoint_path,
            self.model,
            self.average,
            self.optimizer,
            self.progress,
            self.config.model_dump_json(),
        )
        self.saved_step = self.progress.step

    def _stop_if_requested(self) -> None:
        """Called where weights, average, optimiser and progress agree, and nowhere else."""
        if self._stop.made:
            self.save()
            raise KeyboardInterrupt

    def validate(self) -> None:
        """Measure the averaged weights on the validation crops and log it."""
        if self.crops is None:
            return
        phase = self.config.phases[min(self.progress.phase, len(self.config.phases) - 1)]
        rows = validate(
            self._averaged_model,
            self.crops,
            linear_only=phase.linear_only,
            between_batches=self._stop_if_requested,
        )
        self._log(
            kind="validation",
            step=self.progress.step,
            phase=phase.name,
            hours=self.progress.seconds / 3600,
            quality=[row[0] for row in rows],
            bits_per_pixel=[row[1] for row in rows],
            psnr_db=[row[2] for row in rows],
        )
        if not sys.stderr.isatty():
            points = "  ".join(f"{bits:.3f} bpp {decibels:.2f} dB" for _, bits, decibels in rows)
            print(f"validation at step {self.progress.step}: {points}", file=sys.stderr, flush=True)

    def run(self) -> None:
        """Train until all phases are done.

        SIGINT (Ctrl-C) and SIGTERM end the step, save and interrupt; a second SIGINT interrupts at once, unsaved.

        Raises:
            KeyboardInterrupt: a signal came; a run that was saved goes on from there, bit for bit.
            TrainingError: gradients stay infinite, or checkpoint or log cannot be written.
        """
        remaining = sum(p.steps for p in self.config.phases[self.progress.phase :]) - self.progress.phase_step
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        from rich.console import Console

        with (
            delayed_signals() as self._stop,
            Bar(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar,
        ):
            task = bar.add_task("training", total=remaining)
            while self.progress.phase < len(self.config.phases):
                phase = self.config.phases[self.progress.phase]
                self._run_phase(phase, lambda text: bar.update(task, advance=1, description=text))
                self._stop_if_requested()
                self.validate()
                self.progress.phase += 1
                self.progress.phase_step = 0
                self.save()
        if self._stop.made:
            raise KeyboardInterrupt  # it came while the last checkpoint was written

    def _run_phase(self, phase: PhaseConfig, advance) -> None:  # noqa: ANN001
        fabric = self._fabrics[phase.precision]
        encoder_trained = phase.encoder == "trained"
        for part in (self.model.analysis, self.model.hyper_analysis, self.model.gain):
            if part is not None:
                part.requires_grad_(encoder_trained)
        trained = [p for p in self.model.parameters() if p.requires_grad]
        generator = torch.Generator(device=self.device)
        last_save = last_validation = time.monotonic()
        window: list[StepReport] = []
        bad_steps = 0
        while self.progress.phase_step < phase.steps:
            self._stop_if_requested()
            started = time.monotonic()
            rate = learning_rate(phase, self.progress.phase_step)
            for group in self.optimizer.param_groups:
                group["lr"] = rate * group["ratio"]
            x = self.sampler.batch(self.progress.step, phase.batch_size, phase.patch_size).to(
                self.device, memory_format=torch.channels_last
            )
            generator.manual_seed(self.config.seed * 1_000_003 + self.progress.step)
            quality = draw_quality(self.config.objective, len(x), generator)
            self.optimizer.zero_grad(set_to_none=True)
            with fabric.autocast():
                report = self.step.backward(self.model, Batch(x, quality, generator), phase)
            norm = nn.utils.clip_grad_norm_(trained, self.config.optimizer.clip_norm)
            if torch.isfinite(norm):
                self.optimizer.step()
                self.average.update_parameters(self.model)
                bad_steps = 0
            else:
                bad_steps += 1
                if bad_steps == 10:
                    raise TrainingError(
                        f"gradients were not finite for 10 steps in a row, last at step {self.progress.step}; "
                        "lower the learning rate and resume from the last checkpoint"
                    )
            now = time.monotonic()
            self.progress.step += 1
            self.progress.phase_step += 1
            self.progress.pixels += x.shape[0] * x.shape[2] * x.shape[3]
            self.progress.seconds += now - started
            window.append(report)
            advance(
                f"{phase.name} step {self.progress.step}  {float(report.bits_per_pixel):.3f} bpp  "
                f"{float(report.psnr_db):.2f} dB  loss {float(report.loss):.3f}"
            )
            if len(window) == LOG_EVERY_STEPS:
                self._log(
                    kind="training",
                    step=self.progress.step,
                    phase=phase.name,
                    loss=sum(float(r.loss) for r in window) / len(window),
                    bits_per_pixel=sum(float(r.bits_per_pixel) for r in window) / len(window),
                    psnr_db=sum(float(r.psnr_db) for r in window) / len(window),
                    learning_rate=rate,
                    gradient_norm=float(norm),
                    seconds=self.progress.seconds,
                )
                window.clear()
            if now - last_save > self.config.checkpoint_minutes * 60:
                self.save()
                last_save = now
            if now - last_validation > self.config.validation_minutes * 60:
                self.validate()
                last_validation = time.monotonic()
