"""The training loop: phases, schedules, averaging, checkpoints, validation. It knows no loss and no paper.

::

    patches(seed, step) -> parts -> Step.backward -> mean over devices -> clip -> optimisers -> average of weights
                                            |                     |-> log.jsonl   (every 50 steps, every validation)
                                            `-> guard             `-> last.ckpt   (every few minutes, and at the end)
                                                  `-> where the loss explodes: back to a good state, at a lower rate

A step and what comes of it are functions of (configuration, step, explosions before) alone: a run that goes on sees the
same pictures and the same noise, and so does one on more devices with as many parts in all. Nothing waits for the
device but readings of numbers, now and then.
"""

import copy
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, nullcontext, suppress
from dataclasses import asdict
from pathlib import Path

import torch
from torch import nn

from trimix.allocator import keep_freed_memory
from trimix.architectures.building import build
from trimix.architectures.compression_model import CompressionModel
from trimix.architectures.config import CompressionConfig
from trimix.errors import TrainingError
from trimix.progress import ProgressDisplay, showing_progress
from trimix.shapes import Float, Tensor
from trimix.training.checkpoint import Progress, RunState, average_of, starting_checkpoint
from trimix.training.config import PhaseConfig, TrainingConfig
from trimix.training.devices import Devices
from trimix.training.drawn_pictures import drawn_pictures
from trimix.training.explosion_guard import Explosion, ExplosionGuard
from trimix.training.growing import grown, may_grow
from trimix.training.interruption import StopRequest, delayed_signals
from trimix.training.linear_path import start_linear_path
from trimix.training.one_training import only_training_in
from trimix.training.optimizers import MAXIMUM_IN_A_ROW, NonFiniteSteps, build_average, build_optimizer
from trimix.training.patches import PatchSampler, validation_crops
from trimix.training.picture_files import load_pictures
from trimix.training.picture_window import open_pictures
from trimix.training.products import fast_products, is_fast_in_bfloat16
from trimix.training.run_log import RunLog
from trimix.training.steps import PlainStep, Step, StepReport, check_parts, mean_report, parts_of_batch
from trimix.training.time_limit import TimeIsUpError, TimeLimit
from trimix.training.two_stage import TwoStageStep
from trimix.training.validation import VALIDATION_SIZE, validate

LOG_EVERY_STEPS = 50
WARM_UP_STEPS = 100
"""Of an optimiser that begins anew in the middle of a run."""
_LOOK_EVERY_STEPS = 10
"""How often losses are read for the guard where that waits for a device."""
_OTHER_PATCHES = 2**32
"""Between the numbers of a step before and after an explosion, as patches and noise see it."""


def build_step(config: TrainingConfig, model: CompressionModel) -> Step:
    """The step of a run."""
    if config.regularizer is None:
        return PlainStep(config.objective)
    return TwoStageStep(model, config.objective, config.regularizer, config.seed)


class Trainer:
    """One training run in one folder: ``last.ckpt``, ``log.jsonl``.

    Args:
        folder: created if missing; a ``last.ckpt`` in it is resumed.
        devices: those of the run, or an accelerator: ``auto``, ``cpu`` or ``cuda``.
        on_progress: called while pictures are read, with how many are, and of how many, where that is known.
        time_limit: when the run must be over, complete or not; that of the first process counts.

    Raises:
        ConfigurationError: pictures are missing, unreadable or too small, the model has too many channels, or a batch
            has no equal parts.
        TrainingError: a checkpoint is damaged or of another model, another process trains in the folder, or the extra
            'train' is missing.
    """

    def __init__(
        self,
        config: TrainingConfig,
        folder: Path,
        devices: Devices | str = "auto",
        on_progress: Callable[[int, int | None], None] | None = None,
        time_limit: TimeLimit | None = None,
    ) -> None:
        keep_freed_memory()
        self.config = config
        self.folder = folder
        self.devices = devices if isinstance(devices, Devices) else Devices(devices)
        self.device = self.devices.device
        check_parts(config, self.devices)
        folder.mkdir(parents=True, exist_ok=True)
        with self._holding_folder():
            pass  # before pictures are read, and rows of a log dropped
        torch.manual_seed(config.seed)
        self._display = ProgressDisplay(silent=not self.devices.is_first)
        self._read_pictures(on_progress)
        self.model = build(config.model).to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = build_optimizer(self.model, config.optimizer)
        self._non_finite = NonFiniteSteps(self.device)
        self.average = build_average(self.model, config.optimizer.average_decay, self._non_finite)
        self.step = build_step(config, self.model)
        self._guard = ExplosionGuard(config.guard)
        self._state = RunState(self.model, self.average, self.optimizer, self.step.auxiliary, self._guard)
        self._window: list[StepReport] = []
        self.checkpoint_path = folder / "last.ckpt"
        self.saved_step: int | None = None
        self.grown_from: CompressionConfig | None = None
        """The narrower model whose weights this run has started from."""
        self._start()
        on_cuda = self.device.type == "cuda"
        compiled = config.optimizer.compile == "on" or (config.optimizer.compile == "auto" and on_cuda)
        self._first_step_is_longer = compiled or on_cuda
        if compiled:
            for part in (self.model.analysis, self.model.synthesis):
                part.compile()  # in place: weights keep their names
        self._stop = StopRequest()
        self._time_limit = time_limit
        self._has_stepped = False
        self._skipped_steps = 0
        self._announced: set[str] = set()
        is_first = self.devices.is_first
        self._log = RunLog(folder, tensorboard=config.tensorboard, step=self.progress.step) if is_first else None

    def _read_pictures(self, on_progress: Callable[[int, int | None], None] | None) -> None:
        def leave_out(note: str) -> None:
            self._display.say(f"trimix: warning: left out: {note}")

        data, told = self.config.data, {"on_progress": on_progress, "on_left_out": leave_out}
        largest = max(phase.patch_size for phase in self.config.phases)
        self.sampler = PatchSampler(
            open_pictures(
                data.training,
                largest,
                self.config.seed,
                memory_gibibytes=data.memory_gibibytes,
                patches_per_picture=data.patches_per_picture,
                workers=data.workers,
                advice="remove it or lower patch_size",
                **told,
            ),
            self.config.seed,
            data.scale_minimum,
            data.scaled_share,
            self.device,
            drawn=drawn_pictures(self.config.seed, largest) if data.drawn_share > 0 else (),
            drawn_share=data.drawn_share,
            grey_share=data.grey_share,
        )
        held_out = load_pictures(data.validation, VALIDATION_SIZE, **told) if data.validation else None
        self.crops = None if held_out is None else validation_crops(held_out, VALIDATION_SIZE).to(self.device)

    def _start(self) -> None:
        """Weights and progress: of the checkpoint, of another run's, or new."""
        if self.checkpoint_path.exists():
            self._state.load(self.checkpoint_path)
            self.saved_step = self.progress.step
        elif self.config.start_from is not None:
            self._start_from(self.config.start_from)
        elif self.model.linear_path is not None:
            start_linear_path(self.model.linear_path, self.sampler, self.config.linear_path_start)
            self.average.module.load_state_dict(self.model.state_dict())
        self.devices.copy_from_first(self.model, self.average.module)
        if self.step.auxiliary is not None:
            self.devices.copy_from_first(self.step.auxiliary.module)

    def _start_from(self, start: Path | str) -> None:
        """Take the averaged weights of another run or those of a model, narrower ones where this model is wider."""
        path, (before, checkpoint) = Path(start), starting_checkpoint(start)
        if before is not None and may_grow(before, self.model.config):
            self.model.load_state_dict(grown(average_of(path, checkpoint, build(before)), before, self.model))
            self.grown_from = before
        else:
            self.model.load_state_dict(average_of(path, checkpoint, self.model))
        self.average.module.load_state_dict(self.model.state_dict())

    @property
    def progress(self) -> Progress:
        """Where the run stands."""
        return self._state.progress

    @property
    def _phase(self) -> PhaseConfig:
        return self.config.phases[min(self.progress.phase, len(self.config.phases) - 1)]

    @property
    def is_complete(self) -> bool:
        """Whether all phases are done."""
        return self.progress.phase >= len(self.config.phases)

    def save(self) -> None:
        """Write ``last.ckpt``; where the loss explodes, or may be about to, after going back to the last good state.

        Raises:
            TrainingError: it cannot be written.
        """
        started = time.monotonic()
        self._leave_no_explosion()
        self._write_checkpoint()
        self.devices.wait()
        self.saved_step = self.progress.step
        if self._time_limit is not None:
            self._time_limit.note_save(time.monotonic() - started)

    def _write_checkpoint(self) -> None:
        if self.devices.is_first:
            self._state.save(self.checkpoint_path, self.config.model_dump_json())

    def validate(self, *, in_time: bool = True) -> None:
        """Measure the averaged weights on the validation crops and log it.

        Args:
            in_time: stop where the run is stopped, or its time is up.
        """
        if self.crops is None:
            return
        # Every process measures all crops, so that all can stop between two batches.
        rows = validate(
            self.average.module,  # type: ignore[arg-type]
            self.crops,
            objective=self.config.objective,
            linear_only=self._phase.linear_only,
            between_batches=self.stop_if_requested if in_time else lambda: None,
        )
        scores = [row.ssimulacra2 for row in rows if row.ssimulacra2 is not None]
        self._write(
            "validation",
            hours=self.progress.seconds / 3600,
            core_hours=self.progress.core_seconds / 3600,
            quality=[row.quality for row in rows],
            bits_per_pixel=[row.bits_per_pixel for row in rows],
            psnr_db=[row.psnr_db for row in rows],
            objective=sum(row.objective for row in rows) / len(rows),
            **({"ssimulacra2": scores} if scores else {}),
        )
        points = "  ".join(row.summary for row in rows)
        self._display.say(f"validation at step {self.progress.step}: {points}")

    def run(self, after_phase: Callable[[], None] = lambda: None) -> None:
        """Train until all phases are done, or the time is up; then the run is saved, and ``is_complete`` says which.

        SIGINT (Ctrl-C) and SIGTERM end the step, save and interrupt; a second SIGINT interrupts at once, unsaved.

        Args:
            after_phase: called when a phase is done, before that is saved; where the run is stopped or killed in it, it
                is called again. What lasts may call `stop_if_requested` now and then.

        Raises:
            KeyboardInterrupt: a signal came; a run that was saved goes on from there, bit for bit.
            TrainingError: the loss explodes again and again, gradients stay infinite, checkpoint or log cannot be
                written, or another process trains in the folder.
        """
        done = self.progress.step
        left = sum(phase.steps for phase in self.config.phases[self.progress.phase :])
        self._total_steps = done + max(0, left - self.progress.phase_step)
        # torchrun passes Ctrl-C on to processes that have seen it themselves.
        grace_seconds = 2.0 if self.devices.count > 1 else 0.0
        with (
            self._holding_folder(),
            fast_products(self.device),
            delayed_signals(grace_seconds) as self._stop,
            showing_progress(
                "the first step", done, self._total_steps, silent=not self.devices.is_first, at_once=True
            ) as self._display,
            suppress(TimeIsUpError),
            closing(self.sampler),
        ):
            while not self.is_complete:
                self._run_phase(self._phase)
                self.stop_if_requested()
                self.validate()
                after_phase()
                self.progress.phase += 1
                self.progress.phase_step = 0
                self.save()
        if self.devices.agree(self._stop.made)[0]:
            raise KeyboardInterrupt  # it came while the last checkpoint was written

    def _holding_folder(self) -> AbstractContextManager[None]:
        return only_training_in(self.folder) if self.devices.is_first else nullcontext()

    def _run_phase(self, phase: PhaseConfig) -> None:
        for part in (self.model.analysis, self.model.hyper_analysis, self.model.gain):
            if part is not None:
                part.requires_grad_(phase.encoder == "trained")
        if self.config.guard.enabled:
            self._guard.begin(self._state.contents(), anew=self.progress.phase_step == 0)
        self._window.clear()
        norm, proportion = torch.zeros(()), 0.0
        self._last_save = self._last_validation = time.monotonic()
        # Where it ends badly, the run goes back.
        while self.progress.phase_step < phase.steps or (self._ends_badly() and self.progress.phase_step < phase.steps):
            self._between_steps()
            started, processor_started = time.monotonic(), time.process_time()
            proportion = self._set_learning_rates(phase)
            report = self._gradients(phase)
            norm = self._update()
            self.progress.step += 1
            self.progress.optimizer_steps += 1
            self.progress.phase_step += 1
            self.progress.pixels += phase.batch_size * phase.patch_size**2
            self._window.append(report)
            if self.config.guard.enabled:
                self._guard.note(report.loss, norm)
            self._watch()
            if self._window and self.progress.step % LOG_EVERY_STEPS == 0:
                self._close_window(norm, proportion * phase.learning_rate)
            if self._display.is_due():
                self._show(report)
            seconds = time.monotonic() - started
            self.progress.seconds += seconds
            self.progress.core_seconds += time.process_time() - processor_started
            if self._time_limit is not None and (self._has_stepped or not self._first_step_is_longer):
                self._time_limit.note_step(seconds)
            self._has_stepped = True
        if self._window:
            self._close_window(norm, proportion * phase.learning_rate)
        self._count_skipped_steps()

    def _between_steps(self) -> None:
        """Called where weights, average, optimisers and progress agree."""
        self.stop_if_requested()
        now, is_first = time.monotonic(), self.devices.is_first
        # Under a time limit a checkpoint at the start shows how long the last one will take.
        is_unmeasured = self._time_limit is not None and not self._time_limit.has_saved
        validation, saving = self.devices.agree(
            is_first and now - self._last_validation > self.config.validation_minutes * 60,
            is_first and (is_unmeasured or now - self._last_save > self.config.checkpoint_minutes * 60),
        )
        if validation:
            self.validate()
            self._last_validation = time.monotonic()
            self.stop_if_requested()
        if saving and self._guard.is_calm:
            self.save()
            self._last_save = time.monotonic()
            self.stop_if_requested()

    def stop_if_requested(self) -> None:
        """Save and end the run, if a signal has come or the time is up.

        Raises:
            KeyboardInterrupt: a signal has come.
            TimeIsUpError: the time is up; it goes no further than `run`.
        """
        is_up = self.devices.is_first and self._time_limit is not None and self._time_limit.is_up
        stop, time_is_up = self.devices.agree(self._stop.made, is_up)
        if stop or time_is_up:
            self.save()
            raise KeyboardInterrupt if stop else TimeIsUpError

    def _set_learning_rates(self, phase: PhaseConfig) -> float:
        """Returns the proportion of the phase's learning rate."""
        rate = phase.learning_rate_at(self.progress.phase_step) * self._lowered * self._warmth
        if self._time_limit is not None:
            rate = self.devices.number_of_first(self._time_limit.cooled(rate))
        proportion = rate / phase.learning_rate
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["ratio"]
        if (auxiliary := self.step.auxiliary) is not None:
            for group in auxiliary.optimizer.param_groups:
                group["lr"] = auxiliary.learning_rate * proportion
        return proportion

    @property
    def _warmth(self) -> float:
        """Of the learning rates, while an optimiser that began anew in the middle of a run finds its moments again."""
        begun_anew = self.progress.optimizer_steps < self.progress.step
        return min(1.0, (self.progress.optimizer_steps + 1) / WARM_UP_STEPS) if begun_anew else 1.0

    @property
    def _lowered(self) -> float:
        """What explosions have left of the learning rates."""
        return self.config.guard.rate_factor**self.progress.explosions

    def _watch(self) -> None:
        """Go back where the loss explodes; now and then keep a state to go back to."""
        step, guard = self.progress.step, self.config.guard
        keeping = guard.enabled and step % guard.every_steps == 0
        is_free = self.device.type == "cpu" and self.devices.count == 1
        if not keeping and not is_free and step % _LOOK_EVERY_STEPS:
            return
        if (explosion := self._check()) is not None:
            self._go_back_and_save(explosion)
        elif keeping and self._guard.is_calm:
            self._guard.keep(self._state.contents())

    def _ends_badly(self) -> bool:
        """At the end of a phase, go back after a single wild step: nobody would see what comes of it."""
        explosion = self._check()
        if explosion is None and not self._guard.is_calm:
            explosion = self._guard.explosion(self.progress.step)
        if explosion is not None:
            self._go_back_and_save(explosion)
        return explosion is not None

    def _check(self) -> Explosion | None:
        # A mean over the processes has the same bits in each of them: all go back, or none.
        return self._guard.check(self.progress.step, self.devices.mean)

    def _go_back_and_save(self, explosion: Explosion) -> None:
        self._go_back(explosion)
        self.save()  # what lies there may be of a step after the one that is gone back to

    def _leave_no_explosion(self) -> None:
        """Before saving: go back where the loss has exploded, or where it may be about to."""
        if (explosion := self._check()) is not None:
            self._go_back(explosion)
        elif not self._guard.is_calm:
            self._put_good_state_into_place()  # a run that goes on makes the same steps again

    def _go_back(self, explosion: Explosion) -> None:
        """Go back to the last good state, and on from it with lower learning rates and other patches.

        Raises:
            TrainingError: this has happened too often; the last good state is saved.
        """
        self._put_good_state_into_place()
        self.progress.explosions += 1
        self._write("explosion", **asdict(explosion), explosions=self.progress.explosions, rate_factor=self._lowered)
        if self.progress.explosions > self.config.guard.maximum:
            self.save()
            raise TrainingError(
                f"{explosion}, after the run had gone back {self.config.guard.maximum} times: {self.checkpoint_path} "
                f"holds the state of step {self.progress.step}; start anew with a lower learning_rate, or raise "
                "guard.maximum and go on"
            )
        self._display.say(
            f"{explosion}: back to step {self.progress.step}, and on from there with other patches at "
            f"{self._lowered:.3g} of the recipe's learning rates"
        )

    def _put_good_state_into_place(self) -> None:
        now = self.progress
        # Optimisers take what they are given, and change it.
        self._state.load(self.checkpoint_path, copy.deepcopy(self._guard.good))
        self.progress.explosions = now.explosions
        self.progress.seconds = now.seconds
        self._guard.went_back()
        self._window.clear()
        self._skipped_steps = self._non_finite.read()[0]
        if self._log is not None:  # which forgets the steps that are made again
            self._log = RunLog(self.folder, tensorboard=self.config.tensorboard, step=self.progress.step)

    def _gradients(self, phase: PhaseConfig) -> StepReport:
        """Work through this device's share of the batch, part by part; mean report of the parts."""
        self.optimizer.zero_grad(set_to_none=True)
        if self.step.auxiliary is not None:
            self.step.auxiliary.optimizer.zero_grad(set_to_none=True)
        reports = []
        # After an explosion others: the same might lead there again.
        step = self.progress.step + _OTHER_PATCHES * self.progress.explosions
        for batch in parts_of_batch(self.sampler, self.config, phase, step, self.devices):
            halved = phase.precision == "bf16-mixed" and is_fast_in_bfloat16(self.device)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=halved):
                reports.append(self.step.backward(self.model, batch, phase, 1 / phase.accumulation))
        return mean_report(reports)

    def _update(self) -> Float[Tensor, ""]:
        """Update the weights, unless a gradient is not finite; norm of the model's gradients."""
        trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        auxiliary = self.step.auxiliary
        others = [] if auxiliary is None else list(auxiliary.module.parameters())
        self.devices.average_gradients([*trained, *others])
        norms = [nn.utils.clip_grad_norm_(trained, self.config.optimizer.clip_norm)]
        if auxiliary is not None:
            norms.append(nn.utils.clip_grad_norm_(others, auxiliary.clip_norm))
        self._non_finite.look(norms)
        self._non_finite.step(self.optimizer)
        if auxiliary is not None:
            self._non_finite.step(auxiliary.optimizer)
        self.average.update_parameters(self.model)
        if self.device.type == "cpu":
            self._count_skipped_steps()  # which is free there
        return norms[0]

    def _count_skipped_steps(self) -> int:
        """Steps that were skipped since it was last asked; waits for the device."""
        count, longest = self._non_finite.read()
        if count and self.devices.is_first:
            self._announce_once(
                "a step whose gradients were not finite was skipped; the log counts them as skipped_steps"
            )
        if longest >= MAXIMUM_IN_A_ROW:
            raise TrainingError(
                f"gradients were not finite for {MAXIMUM_IN_A_ROW} steps in a row, last at step {self.progress.step}; "
                "lower the learning rate and resume from the last checkpoint"
            )
        return count

    def _close_window(self, norm: Float[Tensor, ""], rate: float) -> None:
        skipped = self._count_skipped_steps()
        mean = mean_report(self._window, self.devices, finite_only=True)
        self._write(
            "training",
            steps=len(self._window),
            **mean.read(),
            learning_rate=rate,
            gradient_norm=float(norm),
            skipped_steps=skipped - self._skipped_steps,
            seconds=self.progress.seconds,
        )
        self._skipped_steps = skipped
        self._window.clear()
        if not self._guard.is_calm:
            return  # what there is to say of an explosion, the guard says
        try:
            warning = self.step.review(mean)
        except TrainingError:
            self.save()
            raise
        if warning is not None:
            self._announce_once(warning)

    def _show(self, report: StepReport) -> None:
        step, numbers = self.progress.step, report.read()
        self._display.show(
            f"{self._phase.name} step {step}  {numbers['bits_per_pixel']:.3f} bpp  {numbers['psnr_db']:.2f} dB  "
            f"loss {numbers['loss']:.3f}",
            step,
            self._total_steps,
            unit="steps",
            most_seconds=None if self._time_limit is None else max(0.0, self._time_limit.seconds_left),
        )

    def _announce_once(self, text: str) -> None:
        if text not in self._announced:
            self._announced.add(text)
            self._display.say(text)

    def _write(self, kind: str, **values: object) -> None:
        if self._log is not None:
            self._log.write(kind, self.progress.step, phase=self._phase.name, **values)
