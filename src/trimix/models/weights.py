"""Weights files: a frozen model as safetensors. Transforms in 8 or 16 bits, the probability path as integers.

The model's hash is the first 8 bytes of a SHA-256 over the configuration and every tensor (name, type, shape, bytes),
so it covers everything that decides a symbol or a pixel, and nothing of the description. It tells damage, not intent:
a file with the right hash may still be made to harm, so everything in it is checked before it is believed.
"""

import hashlib
import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from trimix.coding import FactorizedTable
from trimix.distortion import Distortion
from trimix.entropy_models.context import layers_of, schedule_of
from trimix.entropy_models.fixed_point import ACTIVATION_LIMIT, IntegerConvolution, IntegerLayer
from trimix.entropy_models.integer_mixture import (
    IntegerContext,
    IntegerMixtureModel,
    ParameterLayout,
    ScaleReading,
)
from trimix.entropy_models.passes import VALUE_LIMIT
from trimix.entropy_models.schedule import Schedule
from trimix.errors import ModelError, OutputError
from trimix.images import write_atomically
from trimix.layers.quality import QualityFactor
from trimix.models.building import build, build_transforms
from trimix.models.catalogue import IDENTIFIERS, WEIGHTS_FORMAT, ModelEntry, entry_of_metadata
from trimix.models.compression_model import CompressionTransforms
from trimix.models.config import CompressionConfig, GllmmLiteConfig, ModelConfig
from trimix.models.frozen import QUALITY_PLANE_STEPS, FrozenModel, ModelIdentity, distortion_of_lambdas
from trimix.models.gllmm_lite import GllmmLiteTransforms
from trimix.models.integer_networks import parameter_layout, stages_of
from trimix.models.stored_layers import (
    StoredTensors,
    convolution_tensors,
    largest_results,
    layer_tensors,
    read_convolutions,
    read_layer,
)
from trimix.models.stored_transforms import read_transform, transform_tensors
from trimix.shapes import Tensor
from trimix.transforms.hyper import HYPER_STRIDE

_SCALE_INDEX_LIMIT = 255
_SIZE_LIMIT = 2**12
"""Largest number in a configuration; keeps sizes of networks, and what is computed from them, sane."""
_MEDIAN_LIMIT = 2**14
"""Leaves half of an activation's range to the hyper-latents around it."""
_LOG_FACTOR_LIMIT = 40.0
"""Squares of e^40, and of e^-40, are still ordinary numbers in float32."""


def weights_hash(configuration: str, tensors: dict[str, Tensor]) -> bytes:
    """First 8 bytes of the SHA-256 over the configuration and all tensors in the order of their names."""
    digest = hashlib.sha256(configuration.encode())
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        if tensor.numel():
            digest.update(tensor.view(-1).view(torch.uint8).numpy().data)
    return digest.digest()[:8]


def save_frozen(model: FrozenModel, path: Path) -> FrozenModel:
    """Write a frozen model, whole or not at all, and return it with its hash filled in.

    Raises:
        ModelError: the file cannot be written, or could not be read again.
    """
    is_lite = isinstance(model.transforms.config, GllmmLiteConfig)
    tensors = transform_tensors("transforms", model.transforms, in_bytes=is_lite)
    tensors |= convolution_tensors("hyper_synthesis", model.hyper_synthesis)
    contexts = model.latent_model.contexts
    for name, context in zip(_context_names(len(contexts)), contexts, strict=True):
        tensors |= layer_tensors(name, context.layer)
    for index, layer in enumerate(model.latent_model.head):
        tensors |= layer_tensors(f"head.{index}", layer)
    if model.hyper_medians is not None:
        tensors["hyper_medians"] = model.hyper_medians.to(torch.int32)
    table = model.hyper_table
    tensors["hyper_table.cdf"] = torch.from_numpy(table.cdf.astype(np.int32))  # totals are 2^30: they fit
    tensors["hyper_table.lengths"] = torch.from_numpy(table.lengths)
    tensors["hyper_table.offsets"] = torch.from_numpy(table.offsets)
    configuration = model.transforms.config.model_dump_json()
    metadata = {
        "format": WEIGHTS_FORMAT,
        "name": model.identity.name,
        "identifier": str(model.identity.identifier),
        "hash": weights_hash(configuration, tensors).hex(),
        "configuration": configuration,
        "description": json.dumps(model.identity.description),
        "distortion": json.dumps(asdict(model.distortion)),
    }
    # Read back before it is written: what cannot be read must not replace a file that can.
    saved = _read(path, metadata, tensors)
    try:
        write_atomically(path, save(tensors, metadata), overwrite=True)
    except OutputError as error:
        raise ModelError(str(error)) from error
    return saved


def load_frozen(path: Path) -> FrozenModel:
    """Read a frozen model and check it against its own hash.

    Raises:
        ModelError: missing, damaged, of another kind, or its integers could leave the exact range.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError as error:
        raise ModelError(f"{path}: no such model file") from error
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path}: is not a weights file (safetensors): {_first_line(error)}") from error
    return _read(path, metadata, tensors)


def _read(path: Path, metadata: object, tensors: dict[str, Tensor]) -> FrozenModel:
    entry = entry_of_metadata(metadata, path)
    try:
        return _assemble(entry, tensors)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    except (ValueError, RuntimeError) as error:
        raise ModelError(f"{path}: damaged or incomplete weights: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _assemble(entry: ModelEntry, tensors: dict[str, Tensor]) -> FrozenModel:
    digest = weights_hash(entry.configuration, tensors)
    if digest != entry.weights_hash:
        raise ModelError(
            f"the weights' hash must be {entry.weights_hash.hex()}, found {digest.hex()}: the file is damaged, "
            "get it again"
        )
    config = _read_configuration(entry)
    stored = StoredTensors(tensors)
    transforms = _read_transforms(stored, config)
    networks = _read_networks(stored, config)
    hyper_table = _read_hyper_table(stored, config.hyper_channels)
    stored.refuse_rest()
    return FrozenModel(
        identity=ModelIdentity(entry.name, entry.identifier, digest, entry.description),
        transforms=transforms,
        hyper_synthesis=networks.hyper_synthesis,
        latent_model=networks.latent_model,
        hyper_table=hyper_table,
        schedule=networks.schedule,
        hyper_medians=networks.hyper_medians,
        sees_quality=isinstance(config, GllmmLiteConfig),
        distortion=_read_distortion(entry, transforms),
    )


_DISTORTION: TypeAdapter[Distortion] = TypeAdapter(Distortion)


def _read_distortion(
    entry: ModelEntry, transforms: CompressionTransforms | GllmmLiteTransforms
) -> Distortion:
    """What the file says; of older ones, which do not, what the lambdas tell."""
    if entry.distortion is None:
        return distortion_of_lambdas(transforms)
    try:
        return _DISTORTION.validate_json(entry.distortion)
    except ValidationError as error:
        raise ModelError(f"the distortion must be one of training, found {entry.distortion!r}") from error


_CONFIGURATION: TypeAdapter[CompressionConfig | GllmmLiteConfig] = TypeAdapter(ModelConfig)


def _read_configuration(entry: ModelEntry) -> CompressionConfig | GllmmLiteConfig:
    try:
        config = _CONFIGURATION.validate_json(entry.configuration)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise ModelError(
            f"the configuration must be one of a model, found {place!r}: {first['msg']}"
        ) from error
    if entry.identifier != IDENTIFIERS[config.kind]:
        raise ModelError(
            f"{config.kind} must have the identifier {IDENTIFIERS[config.kind]}, found {entry.identifier}"
        )
    for name, value in config.model_dump().items():
        values = value if isinstance(value, tuple) else (value,)
        numbers = [n for n in values if isinstance(n, int | float)]
        # Written so that NaN is refused, too.
        if not all(number <= _SIZE_LIMIT for number in numbers):
            raise ModelError(
                f"{name} of the configuration must be at most {_SIZE_LIMIT}, found {max(numbers)}"
            )
    return config


def _read_transforms(
    stored: StoredTensors, config: CompressionConfig | GllmmLiteConfig
) -> CompressionTransforms | GllmmLiteTransforms:
    # Not on the device "meta": arithmetic there imports a compiler, which takes longer than all the rest.
    with torch.random.fork_rng(devices=[]):
        transforms = build_transforms(config)
    state = {}
    for name, empty in transforms.state_dict().items():
        state[name] = read_transform(stored, f"transforms.{name}", empty.shape)
    transforms.load_state_dict(state, assign=True)
    for name, module in transforms.named_modules():
        if isinstance(module, QualityFactor):
            largest = float(module.log_factors.detach().abs().max())
            if largest > _LOG_FACTOR_LIMIT:
                raise ModelError(
                    f"transforms.{name}.log_factors must lie within {_LOG_FACTOR_LIMIT:g}, found {largest:g}"
                )
    return transforms.eval().requires_grad_(False)


class _Networks(NamedTuple):
    hyper_synthesis: tuple[IntegerConvolution, ...]
    hyper_medians: Tensor | None
    latent_model: IntegerMixtureModel
    schedule: Schedule


def _read_networks(stored: StoredTensors, config: CompressionConfig | GllmmLiteConfig) -> _Networks:
    """Every layer is read with the largest magnitudes that the layers before it can give."""
    with torch.random.fork_rng(devices=[]):
        model = build(config)
    layout, channels = parameter_layout(model), config.latent_channels
    largest = torch.full((config.hyper_channels,), ACTIVATION_LIMIT)
    medians = None
    if model.hyper_prior.medians is not None:
        medians = stored.take("hyper_medians", torch.int32, (config.hyper_channels,)).long()
        if int(medians.abs().max()) > _MEDIAN_LIMIT:
            raise ModelError(
                f"hyper_medians must lie within {_MEDIAN_LIMIT}, found {int(medians.abs().max())}"
            )
    if isinstance(config, GllmmLiteConfig):
        largest = torch.cat([largest, torch.tensor([QUALITY_PLANE_STEPS])])
    chain = stages_of(model.hyper_synthesis)
    widths = [stage.outputs // stage.upscale**2 for stage in chain]
    hyper_synthesis, largest = read_convolutions(stored, "hyper_synthesis", largest, widths)
    upscale = math.prod(convolution.upscale for convolution in hyper_synthesis)
    if upscale != HYPER_STRIDE:
        raise ModelError(
            f"hyper_synthesis must enlarge {HYPER_STRIDE} times, found the product of its factors {upscale}"
        )
    contexts, head = [], []
    if model.context is not None:
        largest_value = VALUE_LIMIT if layout.around_mean else ACTIVATION_LIMIT
        looking = layers_of(model.context)
        for name, convolution in zip(_context_names(len(looking)), looking, strict=True):
            values = torch.full((len(convolution.offsets) * channels,), largest_value)
            layer = read_layer(stored, name, values, convolution.out_channels)
            contexts.append(IntegerContext(layer, convolution.offsets))
        results = torch.stack([largest_results(context.layer) for context in contexts])
        largest = torch.cat([largest, results.amax(dim=0)])
    stages = [] if model.head is None else stages_of(model.head)
    for index, stage in enumerate(stages):
        head.append(read_layer(stored, f"head.{index}", largest, stage.outputs))
        largest = largest_results(head[-1])
    last = head[-1] if head else hyper_synthesis[-1].layer
    _check_scales(last, layout, channels)
    latent_model = IntegerMixtureModel(tuple(contexts), tuple(head), layout, channels)
    return _Networks(hyper_synthesis, medians, latent_model, schedule_of(model.context))


def _context_names(count: int) -> list[str]:
    return ["context"] if count == 1 else [f"context.{index}" for index in range(count)]


def _check_scales(last: IntegerLayer, layout: ParameterLayout, channels: int) -> None:
    scales = len(layout.families) * channels
    lowest = int(last.tensors["minimum"][-scales:].min())
    highest = int(last.tensors["maximum"][-scales:].max())
    if layout.scale is ScaleReading.INDEX and (lowest < 0 or highest > _SCALE_INDEX_LIMIT):
        raise ModelError(
            f"scale indices of the head must stay within 0..{_SCALE_INDEX_LIMIT}, found bounds {lowest}..{highest}"
        )


def _read_hyper_table(stored: StoredTensors, channels: int) -> FactorizedTable:
    cdf = stored.take("hyper_table.cdf", torch.int32, (channels, None)).numpy()
    lengths = stored.take("hyper_table.lengths", torch.int32, (channels,)).numpy()
    offsets = stored.take("hyper_table.offsets", torch.int32, (channels,)).numpy()
    try:
        return FactorizedTable(cdf.astype(np.uint32), lengths.copy(), offsets.copy())
    except ValueError as error:
        raise ModelError(f"hyper_table: {_first_line(error)}") from error
