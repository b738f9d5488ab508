"""Checkpoints: everything that a run needs to go on exactly, written atomically; and averaged weights as a small file.

A checkpoint holds the weights twice, and the moments of the optimiser, in single precision: some eight times as much as
float16, sixteen times as much as 8 bits. From averaged weights, with the recipe and the progress, a run goes on with a
new optimiser.
"""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from zipfile import ZipFile, is_zipfile

import torch
from pydantic import NonNegativeFloat, NonNegativeInt, TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import nn
from torch.optim.swa_utils import AveragedModel

from trimix.architectures.config import CompressionConfig
from trimix.errors import OutputError, TrainingError
from trimix.freezing.thaw import thaw
from trimix.frozen.byte_weights import byte_tensors, is_for_bytes, weight_of_bytes
from trimix.frozen.catalogue import find_model
from trimix.frozen.storage import checksum_of, load_frozen
from trimix.images.atomic_files import write_atomically
from trimix.shapes import Tensor
from trimix.training.config import TrainingConfig, recorded_config
from trimix.training.explosion_guard import ExplosionGuard
from trimix.training.steps import AuxiliaryModel

AVERAGED_WEIGHTS = "trimix_training"
"""The entry in the metadata of such a file."""
_HEADER_BYTES = 8


@dataclass
class Progress:
    """Where a run stands.

    Args:
        step: steps done in all phases together; with the seed it decides patches and noise.
        phase: index of the phase.
        phase_step: steps done in it.
        seconds: time spent in steps.
        pixels: training pixels seen.
        explosions: times that the run went back to an earlier state; each has lowered its learning rates for good.
        optimizer_steps: of them those that the optimiser remembers: fewer than ``step`` where it began anew.
        core_seconds: processor time of this process spent in steps.
    """

    step: NonNegativeInt = 0
    phase: NonNegativeInt = 0
    phase_step: NonNegativeInt = 0
    seconds: NonNegativeFloat = 0.0
    pixels: NonNegativeInt = 0
    explosions: NonNegativeInt = 0
    optimizer_steps: NonNegativeInt = 0
    core_seconds: NonNegativeFloat = 0.0


_COUNT, _ENTRIES, _PROGRESS = TypeAdapter(NonNegativeInt), TypeAdapter(dict[str, object]), TypeAdapter(Progress)


@dataclass
class RunState:
    """All that a run needs to go on."""

    model: nn.Module
    average: AveragedModel
    optimizer: torch.optim.Optimizer
    auxiliary: AuxiliaryModel | None = None
    guard: ExplosionGuard | None = None
    progress: Progress = field(default_factory=Progress)

    def contents(self) -> dict[str, object]:
        """What `load` takes, not copied."""
        entries: dict[str, object] = {
            "model": self.model.state_dict(),
            "average": self.average.module.state_dict(),
            "averaged": int(self.average.n_averaged),  # type: ignore[arg-type]
            "optimizer": self.optimizer.state_dict(),
            "progress": vars(self.progress),
        }
        if self.auxiliary is not None:
            entries["companion"] = self.auxiliary.module.state_dict()
            entries["companion_optimizer"] = self.auxiliary.optimizer.state_dict()
        if self.guard is not None:
            entries["recent_steps"] = self.guard.recent
        return entries

    def save(self, path: Path, configuration: str) -> None:
        """Write a checkpoint over the last one, with the configuration of the run as JSON.

        Raises:
            TrainingError: it cannot be written; the last one is as it was.
        """
        # By way of memory: where a disk is full, torch's own writing fails with an internal RuntimeError.
        contents = io.BytesIO()
        torch.save(self.contents() | {"configuration": configuration}, contents)
        try:
            write_atomically(path, contents.getvalue(), overwrite=True)
        except OutputError as error:
            raise TrainingError(f"{error}; the checkpoint before it, if any, is as it was") from error

    def load(self, path: Path, checkpoint: dict[str, object] | None = None) -> None:
        """Take the state that a checkpoint holds.

        One without an optimiser's state, which averaged weights leave behind, begins with a new optimiser. Moments of
        optimisers are taken as they are, all else is copied.

        Raises:
            TrainingError: the checkpoint is missing, damaged, or of another model; or only one of checkpoint and run
                trains something beside the model.
        """
        if checkpoint is None:
            checkpoint = load_checkpoint(path)
        for name, module in (("model", self.model), ("average", self.average.module)):
            module.load_state_dict(_checked_weights(path, name, checkpoint, module))
        averaged = _checked(path, checkpoint, "averaged", _COUNT)
        self.average.n_averaged.fill_(averaged)  # type: ignore[operator, union-attr, arg-type]
        if has_optimizer := "optimizer" in checkpoint:
            _load_optimizer(path, checkpoint, "optimizer", self.optimizer)
        _load_auxiliary(path, checkpoint, self.auxiliary)
        if self.guard is not None and "recent_steps" in checkpoint:
            match checkpoint["recent_steps"]:
                case {"losses": list(losses), "gradient_norms": list(norms)} if all(
                    isinstance(number, int | float) for number in losses + norms
                ):
                    self.guard.recent = {"losses": losses.copy(), "gradient_norms": norms.copy()}
                case _:
                    raise _damaged(path, "'recent_steps' must hold lists of numbers, gradient_norms, losses")
        progress = _progress(path, checkpoint)
        self.progress = progress if has_optimizer else replace(progress, optimizer_steps=0)


class DamagedRecordError(ValueError):
    """A record of a checkpoint has another checksum than it must."""


def read_pickled(path: Path) -> object:
    """What `torch.save` has written, on the CPU; nothing in the file is executed.

    Raises:
        DamagedRecordError: a checksum of its zip file is wrong: torch writes them, and reads past them.
        Exception: nearly any that torch raises on what it has not written.
    """
    if is_zipfile(path):
        with ZipFile(path) as archive:
            # torch never packs what it stores: one that does could fill the memory.
            if sum(one.file_size for one in archive.infolist()) > path.stat().st_size:
                raise ValueError("packed contents")
            if (damaged := archive.testzip()) is not None:
                raise DamagedRecordError(f"every record must have its checksum, found that {damaged[:60]} has another")
    return torch.load(path, map_location="cpu", weights_only=True)


def load_checkpoint(path: Path) -> dict[str, object]:
    """Read a checkpoint; tensors come to the CPU.

    Raises:
        TrainingError: missing or damaged.
    """
    try:
        checkpoint = read_pickled(path)
    except FileNotFoundError as error:
        raise TrainingError(f"{path}: no such checkpoint") from error
    except OSError as error:
        raise TrainingError(f"{path}: the checkpoint cannot be read: {error.strerror}") from error
    except DamagedRecordError as error:
        raise TrainingError(f"{path}: {error}; take another checkpoint or start anew") from error
    except Exception as error:
        raise TrainingError(f"{path}: is not a checkpoint of trimix ({type(error).__name__})") from error
    if not isinstance(checkpoint, dict) or not all(isinstance(name, str) for name in checkpoint):
        raise TrainingError(
            f"{path}: is not a checkpoint of trimix: it must hold entries by name, found a {type(checkpoint).__name__}"
        )
    return checkpoint


def starting_checkpoint(start: Path | str) -> tuple[CompressionConfig | None, dict[str, object]]:
    """The entries of a checkpoint that a run starts from, and the configuration of its model, where it says.

    Args:
        start: a checkpoint, a file of averaged weights, a model file, or the name of a model, which is thawed.

    Raises:
        TrainingError, ModelError: there is nothing of that name, or it is damaged.
    """
    path = Path(start)
    if path.suffix != ".ckpt" and (not path.is_file() or (path.suffix == ".safetensors" and not _is_averaged(path))):
        released = thaw(load_frozen(find_model(start).path))
        return released.config, {"average": released.state_dict()}
    is_file_of_tensors = path.suffix == ".safetensors"
    checkpoint = checkpoint_of_averaged(path.read_bytes(), str(path)) if is_file_of_tensors else load_checkpoint(path)
    return run_of(path, checkpoint).model if "configuration" in checkpoint else None, checkpoint


def _is_averaged(path: Path) -> bool:
    try:
        with safe_open(path, framework="np") as opened:
            return AVERAGED_WEIGHTS in (opened.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise TrainingError(f"{path}: cannot be read as weights: {error}") from error


def average_of(path: Path, checkpoint: dict[str, object], model: nn.Module) -> dict[str, Tensor]:
    """The averaged weights of a checkpoint, for a model of exactly its shapes.

    Raises:
        TrainingError: the checkpoint is damaged, or of another model.
    """
    return _checked_weights(path, "average", checkpoint, model)


def run_of(path: Path, checkpoint: dict[str, object]) -> TrainingConfig:
    """The configuration of the run that has written a checkpoint.

    Raises:
        TrainingError: the checkpoint is damaged, or of another version.
    """
    try:
        return recorded_config(json.loads(str(_entry(path, checkpoint, "configuration"))))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise TrainingError(
            f"{path}: its configuration is not of this version of trimix: {place}: {first['msg']}"
        ) from error
    except (ValueError, RecursionError) as error:
        raise _damaged(path, "'configuration' must be one of a run, found another") from error


def steps_of(path: Path, checkpoint: dict[str, object]) -> int:
    """How many steps the run had done.

    Raises:
        TrainingError: the checkpoint is damaged.
    """
    return _progress(path, checkpoint).step


def _load_auxiliary(path: Path, checkpoint: dict[str, object], auxiliary: AuxiliaryModel | None) -> None:
    if (auxiliary is None) == ("companion" in checkpoint):
        has, lacks = ("the checkpoint", "the run") if auxiliary is None else ("the run", "the checkpoint")
        raise TrainingError(
            f"{path}: both or neither of checkpoint and run must train something beside the model, found that {has} "
            f"does and {lacks} does not; take the [regularizer] that it was made with, or start anew"
        )
    if auxiliary is not None:
        auxiliary.module.load_state_dict(_checked_weights(path, "companion", checkpoint, auxiliary.module))
        _load_optimizer(path, checkpoint, "companion_optimizer", auxiliary.optimizer)


def _damaged(path: Path, found: str) -> TrainingError:
    return TrainingError(f"{path}: is not a whole checkpoint of trimix: {found}; take another one or start anew")


def _entry(path: Path, checkpoint: dict[str, object], name: str) -> object:
    if name not in checkpoint:
        raise _damaged(path, f"it must hold '{name}', found nothing of that name")
    return checkpoint[name]


def _checked(path: Path, checkpoint: dict[str, object], name: str, kind: TypeAdapter) -> Any:
    try:
        return kind.validate_python(_entry(path, checkpoint, name))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, (name, *first["loc"])))
        raise _damaged(path, f"'{place}': {first['msg']}, found {str(first['input'])[:60]}") from error


def _checked_weights(path: Path, name: str, checkpoint: dict[str, object], model: nn.Module) -> dict[str, Tensor]:
    weights = _entry(path, checkpoint, name)
    if not isinstance(weights, Mapping):
        raise _damaged(path, f"'{name}' must be weights by name, found {type(weights).__name__}")
    expected = {key: _shape(value) for key, value in model.state_dict().items()}
    found = {str(key): _shape(value) for key, value in weights.items()}
    differing = [key for key in expected | found if expected.get(key) != found.get(key)]
    if differing:
        key = differing[0]
        more = f" (and {len(differing) - 1} more)" if len(differing) > 1 else ""
        raise TrainingError(
            f"{path}: its '{name}' does not fit that of this configuration: {key} must be "
            f"{expected.get(key, 'absent')}, found {found.get(key, 'nothing')}{more}; "
            f"take the [{'regularizer' if name == 'companion' else 'model'}] that it was made with, or start anew"
        )
    return dict(weights)


def _shape(value: object) -> str:
    if not isinstance(value, torch.Tensor):
        return type(value).__name__
    return "x".join(map(str, value.shape)) or "a scalar"


def _load_optimizer(path: Path, checkpoint: dict[str, object], name: str, optimizer: torch.optim.Optimizer) -> None:
    state = _entry(path, checkpoint, name)
    own_kind = _is_soap(optimizer.state_dict())
    if isinstance(state, Mapping) and _is_soap(state) != own_kind:
        kinds = ("soap", "adam") if own_kind else ("adam", "soap")
        raise TrainingError(
            f"{path}: its optimiser must be that of the run, {kinds[0]}, found {kinds[1]}; take the optimizer.kind "
            "that it was made with, or start_from it in another folder"
        )
    # These are the configuration's, which may have changed since.
    kept = [{key: group[key] for key in ("ratio", "betas") if key in group} for group in optimizer.param_groups]
    try:
        optimizer.load_state_dict(state)  # type: ignore[arg-type]
        whole = all(
            _is_whole(optimizer.state.get(parameter, {}), parameter)
            for group in optimizer.param_groups
            for parameter in group["params"]
        )
    except Exception as error:  # torch raises nearly anything on what it has not written
        raise _damaged(path, f"'{name}' cannot be used ({type(error).__name__})") from error
    if not whole:
        raise _damaged(path, f"'{name}' must hold moments of the shapes of the weights, found others")
    for group, own in zip(optimizer.param_groups, kept, strict=True):
        group.update(own)


def _is_soap(state: Mapping[str, Any]) -> bool:
    groups = state.get("param_groups")
    return isinstance(groups, list) and bool(groups) and "taps" in groups[0]


def _is_whole(state: Mapping[str, object], parameter: nn.Parameter) -> bool:
    """Whether Adam and SOAP can go on with this; it is empty where no gradient has come yet."""
    moments = ("exp_avg", "exp_avg_sq")
    return not state or ("step" in state and all(_shape(state[name]) == _shape(parameter) for name in moments))


def _progress(path: Path, checkpoint: dict[str, object]) -> Progress:
    values = _checked(path, checkpoint, "progress", _ENTRIES)
    # Checkpoints of earlier versions do not know all, or more.
    values = {"optimizer_steps": _entry(path, values, "step"), **values}
    return _checked(path, {"progress": values}, "progress", _PROGRESS)


def averaged_weights(
    average: nn.Module, progress: Progress, config: TrainingConfig, *, in_bytes: bool = False
) -> bytes:
    """The file: weights in float16.

    Args:
        in_bytes: large convolutions in 8 bits, with scales, as a released model has them.
    """
    weights: dict[str, Tensor] = {}
    for name, value in average.state_dict().items():
        if in_bytes and is_for_bytes(name, array := value.detach().cpu().numpy()):
            parts = byte_tensors(name, array)
            weights |= {key: torch.from_numpy(part) for key, part in parts.items()}
        else:
            value = value.detach().cpu().contiguous()
            half = value.half() if value.is_floating_point() else value
            # In float16 where that can hold it.
            weights[name] = half if bool((half.isfinite() | ~value.isfinite()).all()) else value
    # One entry: several would be written in an order that differs from time to time.
    about: dict[str, object] = {"configuration": config.model_dump_json(), "progress": vars(progress)}
    about["checksum"] = _checksum(about, weights)
    return save(weights, {AVERAGED_WEIGHTS: json.dumps(about)})


def _checksum(about: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    text = about["configuration"] + json.dumps(about["progress"])
    return checksum_of(text, {key: one.numpy() for key, one in tensors.items()}).hex()


def checkpoint_of_averaged(data: bytes, name: str) -> dict[str, object]:
    """The entries of a checkpoint that `Trainer` resumes, or starts from.

    Raises:
        TrainingError: it is no such file, or damaged; files of earlier releases hold no checksum.
    """
    try:
        length = int.from_bytes(data[:_HEADER_BYTES], "little")
        header = json.loads(data[_HEADER_BYTES : _HEADER_BYTES + length])
        about = json.loads(header["__metadata__"][AVERAGED_WEIGHTS])
        tensors = load(data)
        found = _checksum(about, tensors)
        if about.get("checksum", found) != found:
            raise TrainingError(
                f"{name}: its weights must have the checksum {about['checksum']}, found {found}: damaged"
            )
        arrays = {key: value.numpy() for key, value in tensors.items()}
        weights = {
            key: torch.from_numpy(weight_of_bytes(arrays, key))
            if f"{key}_input_scale" in tensors
            else (value.float() if value.is_floating_point() else value)
            for key, value in tensors.items()
            if not key.endswith(("_input_scale", "_output_scale"))
        }
        progress = about["progress"]
        return {
            "model": weights,
            "average": weights,
            "averaged": progress["step"],
            "progress": progress,
            "configuration": about["configuration"],
        }
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise TrainingError(
            f"{name}: must hold the averaged weights of a run, found something else ({type(error).__name__})"
        ) from error
