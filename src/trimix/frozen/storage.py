"""Model files: a frozen model as safetensors. Transforms in 8 or 16 bits, the probability path as integers.

::

    metadata: name, hash, program (JSON) --+--> every number checked --> FrozenModel
    tensors -------------------------------'

The checksum is the first 8 bytes of a SHA-256 over the program's text and every tensor (name, type, shape, bytes), so
it covers everything that decides a symbol or a pixel, and nothing of the description. It is the model's hash, too, by
which compressed files name it; a model that was stored in an earlier form keeps the hash of that form. It tells damage,
not intent: a file with the right checksum may still be made to harm, so everything in it is checked before it is
believed.
"""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from trimix.coding import FactorizedTable, Family
from trimix.distortion import Distortion, DistortionKind
from trimix.entropy_models.fixed_point import ACTIVATION_LIMIT, IntegerConvolution, IntegerLayer
from trimix.entropy_models.integer_mixture import IntegerContext, IntegerMixtureModel
from trimix.entropy_models.layout import MixtureLayout, ScaleForm
from trimix.entropy_models.passes import VALUE_LIMIT
from trimix.entropy_models.schedule import Schedule, checkerboard, interlaced, one_pass, wavefront
from trimix.errors import ModelError, OutputError
from trimix.frozen.catalogue import WEIGHTS_FORMAT, entry_of_metadata, read_file
from trimix.frozen.model import QUALITY_PLANE_STEPS, FrozenModel, ModelIdentity, StoredModel
from trimix.frozen.program import (
    Normalization,
    Program,
    QualityFactors,
    QualityPlane,
    Shape,
    program_from_json,
    result_shape,
)
from trimix.frozen.stored_layers import FloatTensors, StoredTensors, largest_results, read_convolutions, read_layer
from trimix.frozen.transforms import FrozenTransforms, TransformFacts
from trimix.images import write_atomically
from trimix.layers.offsets import Offset
from trimix.shapes import HYPER_STRIDE, LATENT_STRIDE, Int64

SCHEDULES: dict[str, Schedule] = {
    "one_pass": one_pass,
    "checkerboard": checkerboard,
    "interlaced": interlaced,
    "wavefront": wavefront,
}
"""By the name that a model file has."""
_SCALE_INDEX_LIMIT = 255
_SIZE_LIMIT = 2**12
"""Most channels of a latent or a hyper-latent."""
_MEDIAN_LIMIT = 2**14
"""Leaves half of an activation's range to the hyper-latents around it."""
_LOGARITHM_LIMIT = 40.0
"""Squares of e^40, and of e^-40, are still ordinary numbers in float32."""
_HALO_LIMIT, _PIXELS_LIMIT = 2**8, 2**26
_TAP_LIMIT = 2**3
_WEIGHT_LIMIT = 2.0**16
_GRID = 16
"""Positions a side, on which it is looked whether contexts are of earlier passes."""


def checksum_of(program: str, tensors: dict[str, np.ndarray]) -> bytes:
    """First 8 bytes of the SHA-256 over the program and all tensors in the order of their names."""
    digest = hashlib.sha256(program.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        # The name of a type is the one that torch has for it, as in the first model files.
        digest.update(f"{name} torch.{tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(np.ascontiguousarray(tensor).tobytes())
    return digest.digest()[:8]


def save_frozen(model: FrozenModel, path: Path) -> FrozenModel:
    """Write a frozen model, whole or not at all, and return it as it is read again.

    Raises:
        ModelError: the file cannot be written, or could not be read again.
    """
    identity, stored = model.identity, model.stored
    metadata = {
        "format": WEIGHTS_FORMAT,
        "name": identity.name,
        "identifier": str(identity.identifier),
        "hash": identity.weights_hash.hex(),
        "checksum": checksum_of(stored.program, stored.tensors).hex(),
        "program": stored.program,
        "configuration": stored.configuration,
        "description": json.dumps(identity.description),
    }
    # Read back before it is written: what cannot be read must not replace a file that can.
    saved = _read(path, metadata, stored.tensors)
    try:
        write_atomically(path, save(stored.tensors, metadata), overwrite=True)
    except OutputError as error:
        raise ModelError(str(error)) from error
    return saved


def load_frozen(path: Path) -> FrozenModel:
    """Read a frozen model and check it against its own checksum.

    Raises:
        ModelError: missing, damaged, of another kind, or its integers could leave the exact range.
    """
    try:
        data = read_file(path)  # a file that is mapped kills the process where it shrinks meanwhile
        tensors = load(data)
        metadata = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")]).get("__metadata__")
    except FileNotFoundError as error:
        raise ModelError(f"{path}: no such model file") from error
    except (SafetensorError, OSError, TypeError, AttributeError, ValueError, KeyError, RecursionError) as error:
        # Those after OSError come of types that NumPy does not have.
        raise ModelError(f"{path}: is not a weights file (safetensors): {_first_line(error)}") from error
    return _read(path, metadata, tensors)


def _read(path: Path, metadata: object, tensors: dict[str, np.ndarray]) -> FrozenModel:
    entry = entry_of_metadata(metadata, path)
    try:
        checksum = checksum_of(entry.program, tensors)
        if checksum != entry.checksum:
            raise ModelError(
                f"the weights' checksum must be {entry.checksum.hex()}, found {checksum.hex()}: the file is damaged, "
                "get it again"
            )
        identity = ModelIdentity(entry.name, entry.identifier, entry.weights_hash, entry.description)
        return assemble(identity, StoredModel(entry.program, tensors, entry.configuration))
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    except (ValueError, RuntimeError) as error:
        raise ModelError(f"{path}: damaged or incomplete weights: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def assemble(identity: ModelIdentity, stored: StoredModel) -> FrozenModel:
    """The model of a program and its tensors, each checked.

    Raises:
        ModelError: something is missing, out of range or too much.
        ValueError: a table or layout is none.
    """
    program = _Json(json.loads(stored.program), "program")
    tensors = StoredTensors(stored.tensors)
    facts = _read_facts(program)
    transforms = _read_transforms(program, facts, tensors)
    side = program.inner("hyper_synthesis")
    sees_quality, has_medians = side.take("sees_quality", bool), side.take("has_medians", bool)
    medians = _read_medians(tensors, facts.hyper_channels) if has_medians else None
    largest = np.full(facts.hyper_channels, ACTIVATION_LIMIT)
    if sees_quality:
        largest = np.append(largest, QUALITY_PLANE_STEPS)
    hyper_synthesis, largest = _read_hyper_synthesis(side, tensors, largest)
    schedule = SCHEDULES.get(name := program.take("passes", str))
    if schedule is None:
        raise ModelError(f"passes must be one of {', '.join(SCHEDULES)}, found {name[:40]!r}")
    layout = _read_layout(program.inner("mixture"))
    latent_model = _read_latent_model(program, tensors, layout, facts.latent_channels, largest)
    _check_causality(schedule, [context.offsets for context in latent_model.contexts])
    hyper_table = _read_hyper_table(tensors, facts.hyper_channels)
    distortion = _read_distortion(program.inner("distortion"))
    tensors.refuse_rest()
    program.refuse_rest()
    return FrozenModel(
        identity=identity,
        stored=stored,
        transforms=transforms,
        hyper_synthesis=hyper_synthesis,
        latent_model=latent_model,
        hyper_table=hyper_table,
        schedule=schedule,
        hyper_medians=medians,
        sees_quality=sees_quality,
        distortion=distortion,
    )


class _Json:
    """A JSON object of which each entry is taken once, with the type that it must have."""

    def __init__(self, found: object, where: str) -> None:
        if not isinstance(found, dict):
            raise ModelError(f"{where} must be a JSON object, found {type(found).__name__}")
        self._left: dict[str, Any] = dict(found)
        self._where = where

    def take(self, name: str, kind: type, *, limit: float = math.inf) -> Any:
        """An entry, a number in 0..limit."""
        value = self._left.pop(name, None)
        fits = isinstance(value, (int, float) if kind is float else kind) and isinstance(value, bool) == (kind is bool)
        if not fits or (kind in (int, float) and not 0 <= value <= limit):  # so that NaN is refused, too
            raise ModelError(
                f"{name} of {self._where} must be {_IN_WORDS[kind]}{f' up to {limit:g}' * (limit < math.inf)}, found "
                f"{'nothing' if value is None else repr(value)[:40]}"
            )
        return value

    def inner(self, name: str) -> "_Json":
        """An object inside this one."""
        return _Json(self.take(name, dict), name)

    def refuse_rest(self) -> None:
        """Check that everything was taken."""
        if self._left:
            raise ModelError(f"{self._where} must have no {min(self._left)!r}: a newer trimix may know it")


_IN_WORDS = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
    list: "a list",
    dict: "an object",
}


def _read_facts(program: _Json) -> TransformFacts:
    lambdas, of_squared_errors = (_read_lambdas(program, name) for name in ("lambdas", "squared_error_lambdas"))
    return TransformFacts(
        latent_channels=max(1, program.take("latent_channels", int, limit=_SIZE_LIMIT)),
        hyper_channels=max(1, program.take("hyper_channels", int, limit=_SIZE_LIMIT)),
        all_rates=program.take("all_rates", bool),
        halo=program.take("halo", int, limit=_HALO_LIMIT),
        pixels_at_once=max(1, program.take("pixels_at_once", int, limit=_PIXELS_LIMIT)),
        lambdas=lambdas,
        squared_error_lambdas=of_squared_errors,
        steps=program.take("steps", str) or None,
        energies=program.take("energies", str) or None,
    )


def _read_lambdas(program: _Json, name: str) -> tuple[float, float]:
    ends = program.take(name, list)
    if len(ends) != 2 or not all(isinstance(one, float) and 0 < one < math.inf for one in ends):
        raise ModelError(f"{name} must be two numbers above 0, found {str(ends)[:60]}")
    return ends[0], ends[1]


def _read_distortion(found: _Json) -> Distortion:
    kind, weights = found.take("kind", str), found.take("luma_chroma_weights", list)
    if kind not in get_args(DistortionKind) or len(weights) != 3:
        raise ModelError(
            f"a distortion must be one of {', '.join(get_args(DistortionKind))} with three weights, found "
            f"{kind[:40]!r} and {str(weights)[:40]}"
        )
    listed = _Json(dict(zip(("luma", "blue", "red"), weights, strict=True)), "luma_chroma_weights")
    luma, blue, red = (listed.take(name, float, limit=_WEIGHT_LIMIT) for name in ("luma", "blue", "red"))
    weight = found.take("squared_error_weight", float, limit=_WEIGHT_LIMIT)
    found.refuse_rest()
    if not luma + blue + red > 0:
        raise ModelError("luma_chroma_weights must not all be 0, found that they are")
    return Distortion(kind, (luma, blue, red), weight)


def _read_transforms(program: _Json, facts: TransformFacts, stored: StoredTensors) -> FrozenTransforms:
    m, z, hyper = facts.latent_channels, facts.hyper_channels, LATENT_STRIDE * HYPER_STRIDE
    programs = {
        name: program_from_json(program.take(name, list)) for name in ("analysis", "hyper_analysis", "synthesis")
    }
    named = {name for one in programs.values() for operation in one for name in operation.tensors}
    named |= {name for name in (facts.steps, facts.energies) if name is not None}
    tensors = FloatTensors({name: stored.take_floats(name) for name in sorted(named)})
    shapes = tensors.shapes
    for side in (hyper, 2 * hyper):  # twice: a length that is added is not one that is multiplied
        picture = Shape(3, side, side)
        latent = Shape(m, side // LATENT_STRIDE, side // LATENT_STRIDE)
        hyper_latent = Shape(z, side // hyper, side // hyper)
        for name, given, wanted in (
            ("analysis", picture, latent),
            ("hyper_analysis", latent, hyper_latent),
            ("synthesis", latent, picture),
        ):
            if (found := result_shape(programs[name], given, shapes)) != wanted:
                raise ModelError(f"{name} must make {wanted} of {given}, found {found}")
    if any(isinstance(one, QualityFactors | QualityPlane) for one in programs["hyper_analysis"]):
        raise ModelError("hyper_analysis must not look at the quality, found that it does")
    if facts.steps is not None and shapes[facts.steps][1:] != (m,):
        raise ModelError(f"steps must have {m} columns, found {list(shapes[facts.steps])}")
    if facts.energies is not None and (shapes[facts.energies] != (m,) or facts.steps is None):
        raise ModelError(f"energies must be those of {m} filters with steps, found others")
    _check_values(programs.values(), facts, tensors)
    return FrozenTransforms(facts, programs, tensors)


def _check_values(programs: Iterable[Program], facts: TransformFacts, tensors: Mapping[str, np.ndarray]) -> None:
    operations = [operation for one in programs for operation in one]
    logarithms = {one.logarithms for one in operations if isinstance(one, QualityFactors)}
    if facts.steps is not None:
        logarithms.add(facts.steps)
    for name in sorted(logarithms):
        if (largest := float(np.abs(tensors[name]).max())) > _LOGARITHM_LIMIT:
            raise ModelError(f"{name} must lie within {_LOGARITHM_LIMIT:g}, found {largest:g}")
    for one in operations:
        if isinstance(one, Normalization) and not (
            bool((tensors[one.beta] > 0).all()) and bool((tensors[one.gamma] >= 0).all())
        ):
            raise ModelError(f"{one.beta} must be above 0 and {one.gamma} not below, found others")


def _read_medians(stored: StoredTensors, channels: int) -> Int64[np.ndarray, "Z"]:
    medians = stored.take("hyper_medians", np.int32, (channels,)).astype(np.int64)
    if int(np.abs(medians).max()) > _MEDIAN_LIMIT:
        raise ModelError(f"hyper_medians must lie within {_MEDIAN_LIMIT}, found {int(np.abs(medians).max())}")
    return medians


def _read_hyper_synthesis(
    side: _Json, stored: StoredTensors, largest: Int64[np.ndarray, "C"]
) -> tuple[tuple[IntegerConvolution, ...], Int64[np.ndarray, "D"]]:
    """Every layer is read with the largest magnitudes that the layers before it can give."""
    forms = []
    for one in side.take("operations", list):
        form = _Json(one, "an operation of hyper_synthesis")
        if (kind := form.take("operation", str)) != "integer_convolution":
            raise ModelError(f"hyper_synthesis must consist of integer_convolution, found {kind[:40]!r}")
        forms.append((form.take("layer", str), form.take("kernel", int), form.take("upscale", int)))
        form.refuse_rest()
    side.refuse_rest()
    convolutions, largest = read_convolutions(stored, forms, largest)
    upscale = math.prod(convolution.upscale for convolution in convolutions)
    if upscale != HYPER_STRIDE:
        raise ModelError(
            f"hyper_synthesis must enlarge {HYPER_STRIDE} times, found the product of its factors {upscale}"
        )
    return convolutions, largest


def _read_layout(found: _Json) -> MixtureLayout:
    families, form = found.take("families", list), found.take("scale_form", str)
    known = {int(family) for family in Family}
    if not all(isinstance(one, int) and one in known for one in families):
        raise ModelError(f"families of the mixture must be among {sorted(known)}, found {str(families)[:40]}")
    flags = {name: found.take(name, bool) for name in ("two_level", "zero_mean", "around_mean", "has_lone_logit")}
    layout = MixtureLayout(
        tuple(map(Family, families)),
        found.take("components", int, limit=_SIZE_LIMIT),
        scale_form=ScaleForm(form),
        scale_minimum=found.take("scale_minimum", float),
        **flags,
    )
    found.refuse_rest()
    return layout


def layout_to_json(layout: MixtureLayout) -> dict[str, object]:
    """A layout as a program has it."""
    families = [int(family) for family in layout.families]
    return asdict(layout) | {"families": families, "scale_form": layout.scale_form.value}


def _read_latent_model(
    program: _Json, stored: StoredTensors, layout: MixtureLayout, channels: int, largest: Int64[np.ndarray, "S"]
) -> IntegerMixtureModel:
    contexts, head = [], []
    for one in program.take("contexts", list):
        context = _Json(one, "a context")
        name, taps = context.take("layer", str), _read_taps(context.take("taps", list))
        context.refuse_rest()
        limit = VALUE_LIMIT if layout.around_mean else ACTIVATION_LIMIT
        layer = read_layer(stored, name, np.full(len(taps) * channels, limit))
        contexts.append(IntegerContext(layer, taps))
    if contexts:
        if len({context.layer.outputs for context in contexts}) > 1:
            raise ModelError("contexts must all give equally many features, found that they do not")
        results = np.stack([largest_results(context.layer) for context in contexts])
        largest = np.concatenate([largest, results.max(axis=0)])
    for name in program.take("head", list):
        if not isinstance(name, str):
            raise ModelError(f"head must be names of layers, found {str(name)[:40]!r}")
        head.append(read_layer(stored, name, largest))
        largest = largest_results(head[-1])
    if len(largest) != layout.numbers * channels:
        raise ModelError(
            f"the entropy model must give {layout.numbers} numbers for {channels} channels, found {len(largest)} in all"
        )
    if layout.scale_form is ScaleForm.LOG2:
        _check_scales(largest, head, layout.count * channels)
    return IntegerMixtureModel(tuple(contexts), tuple(head), layout, channels)


def _read_taps(listed: list[object]) -> tuple[Offset, ...]:
    taps = []
    for tap in listed:
        fits = isinstance(tap, list) and len(tap) == 2 and all(type(step) is int for step in tap)
        if not fits or max(map(abs, tap)) > _TAP_LIMIT:  # type: ignore[arg-type]
            raise ModelError(f"a tap must be a row and a column within {_TAP_LIMIT}, found {str(tap)[:40]}")
        taps.append((tap[0], tap[1]))  # type: ignore[index]
    if not taps:
        raise ModelError("a context must have taps, found none")
    return tuple(taps)


def _check_causality(schedule: Schedule, contexts: Sequence[tuple[Offset, ...]]) -> None:
    """Every context that passes name must be there, and look at earlier passes only."""
    passes = schedule(_GRID, _GRID)
    order = np.full((_GRID + 2 * _TAP_LIMIT,) * 2, -1)
    for index, one in enumerate(passes):
        order[one.rows + _TAP_LIMIT, one.columns + _TAP_LIMIT] = index
    wanted = {one.context for one in passes} - {None}
    if wanted != set(range(len(contexts))):
        raise ModelError(f"the passes need {len(wanted)} contexts, found {len(contexts)}")
    for index, one in enumerate(passes):
        for row, column in contexts[one.context] if one.context is not None else ():
            if (order[one.rows + _TAP_LIMIT + row, one.columns + _TAP_LIMIT + column] >= index).any():
                raise ModelError(f"context {one.context} must look at earlier passes, found tap ({row}, {column})")


def _check_scales(largest: Int64[np.ndarray, "D"], head: Sequence[IntegerLayer], scales: int) -> None:
    lowest = int(head[-1].arrays["minimum"][-scales:].min()) if head else -1
    highest = int(largest[-scales:].max())
    if lowest < 0 or highest > _SCALE_INDEX_LIMIT:
        raise ModelError(f"scale indices must stay within 0..{_SCALE_INDEX_LIMIT}, found bounds {lowest}..{highest}")


def _read_hyper_table(stored: StoredTensors, channels: int) -> FactorizedTable:
    cdf = stored.take("hyper_table.cdf", np.int32, (channels, None))
    lengths = stored.take("hyper_table.lengths", np.int32, (channels,))
    offsets = stored.take("hyper_table.offsets", np.int32, (channels,))
    try:
        return FactorizedTable(cdf.astype(np.uint32), lengths.copy(), offsets.copy())
    except ValueError as error:
        raise ModelError(f"hyper_table: {_first_line(error)}") from error
