"""Weights files: a frozen model as safetensors. Transforms in float16, the probability path as integers.

The model's hash is the first 8 bytes of a SHA-256 over the configuration and every tensor (name, type, shape, bytes),
so it covers everything that decides a symbol or a pixel, and nothing of the description.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from trimix.coding import FactorizedTable
from trimix.entropy_models.fixed_point import IntegerConvolution, IntegerLayer, column_shifts
from trimix.entropy_models.integer_mixture import IntegerMixtureModel, ParameterLayout
from trimix.entropy_models.schedule import checkerboard
from trimix.errors import ModelError
from trimix.layers.masked_convolution import checkerboard_offsets
from trimix.models.config import GllmmLiteConfig
from trimix.models.frozen import FrozenModel, ModelIdentity
from trimix.models.gllmm_lite import GllmmLiteTransforms
from trimix.shapes import Tensor

_FORMAT = "trimix-frozen-1"


def weights_hash(configuration: str, tensors: dict[str, Tensor]) -> bytes:
    """First 8 bytes of the SHA-256 over the configuration and all tensors in the order of their names."""
    digest = hashlib.sha256(configuration.encode())
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.view(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")
    return digest.digest()[:8]


# What a layer's tensors are stored as; all are int64 in memory but the weights.
_STORED_AS = {
    "bias": torch.int64,
    "multiplier": torch.int32,
    "negative_multiplier": torch.int32,
    "shift": torch.uint8,
    "minimum": torch.int32,
    "maximum": torch.int32,
    "input_limit": torch.int32,
}


def _layer_tensors(prefix: str, layer: IntegerLayer) -> dict[str, Tensor]:
    stored = {f"{prefix}.{name}": layer.tensors[name].to(kind) for name, kind in _STORED_AS.items()}
    weight = layer.tensors["weight"].numpy()
    shifts = column_shifts(weight)
    mantissas = weight >> shifts
    if np.array_equal(mantissas << shifts, weight):
        stored[f"{prefix}.weight"] = torch.from_numpy(mantissas.astype(np.int8))
        stored[f"{prefix}.weight_shift"] = torch.from_numpy(shifts.astype(np.uint8))
    else:
        stored[f"{prefix}.weight"] = layer.tensors["weight"]
    return stored


def save_frozen(model: FrozenModel, path: Path) -> FrozenModel:
    """Write a frozen model and return it with its hash filled in.

    Raises:
        ModelError: the file cannot be written.
    """
    tensors: dict[str, Tensor] = {
        f"transforms.{name}": value.half().contiguous()
        for name, value in model.transforms.state_dict().items()
    }
    for index, convolution in enumerate(model.hyper_synthesis):
        tensors |= _layer_tensors(f"hyper_synthesis.{index}", convolution.layer)
        tensors[f"hyper_synthesis.{index}.form"] = torch.tensor([convolution.kernel, convolution.upscale])
    if model.latent_model.context is not None:
        tensors |= _layer_tensors("context", model.latent_model.context)
    for index, layer in enumerate(model.latent_model.head):
        tensors |= _layer_tensors(f"head.{index}", layer)
    table = model.hyper_table
    tensors["hyper_table.cdf"] = torch.from_numpy(table.cdf.astype(np.int32))  # totals are 2^30: they fit
    tensors["hyper_table.lengths"] = torch.from_numpy(table.lengths)
    tensors["hyper_table.offsets"] = torch.from_numpy(table.offsets)
    configuration = model.transforms.config.model_dump_json()
    digest = weights_hash(configuration, tensors)
    metadata = {
        "format": _FORMAT,
        "name": model.identity.name,
        "identifier": str(model.identity.identifier),
        "hash": digest.hex(),
        "configuration": configuration,
        "description": json.dumps(model.identity.description),
    }
    temporary = path.with_suffix(".tmp")
    try:
        temporary.write_bytes(save(tensors, metadata))
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise ModelError(f"{path}: cannot be written: {error.strerror}") from error
    return load_frozen(path)


def _read_layer(tensors: dict[str, Tensor], prefix: str) -> IntegerLayer:
    read = {name: tensors[f"{prefix}.{name}"].long() for name in _STORED_AS}
    weight = tensors[f"{prefix}.weight"]
    shift = tensors.get(f"{prefix}.weight_shift")
    if shift is not None:
        weight = weight.to(torch.int16) << shift.to(torch.int16)
    return IntegerLayer(weight=weight, **read)


def load_frozen(path: Path) -> FrozenModel:
    """Read a frozen model and check it against its own hash.

    Raises:
        ModelError: missing, damaged, of another kind, or its integers could leave the exact range.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError as error:
        raise ModelError(f"{path}: no such model file") from error
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path}: is not a weights file (safetensors): {error}") from error
    if metadata.get("format") != _FORMAT:
        raise ModelError(
            f"{path}: must be a frozen trimix model ({_FORMAT}), found {metadata.get('format', 'no format')}; "
            "make one with 'trimix freeze'"
        )
    try:
        return _assemble(metadata, tensors)
    except (KeyError, ValueError, RuntimeError, ValidationError) as error:
        raise ModelError(f"{path}: damaged or incomplete weights: {error}".splitlines()[0]) from error
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error


def _assemble(metadata: dict[str, str], tensors: dict[str, Tensor]) -> FrozenModel:
    digest = weights_hash(metadata["configuration"], tensors)
    if digest.hex() != metadata["hash"]:
        raise ModelError(f"the weights' hash must be {metadata['hash']}, found {digest.hex()}: damaged")
    config = GllmmLiteConfig.model_validate_json(metadata["configuration"])
    transforms = GllmmLiteTransforms(config)
    transforms.load_state_dict(
        {
            name.removeprefix("transforms."): value.float()
            for name, value in tensors.items()
            if name.startswith("transforms.")
        }
    )
    count = sum(name.startswith("hyper_synthesis.") and name.endswith(".form") for name in tensors)
    hyper_synthesis = []
    for index in range(count):
        kernel, upscale = tensors[f"hyper_synthesis.{index}.form"].tolist()
        hyper_synthesis.append(
            IntegerConvolution(_read_layer(tensors, f"hyper_synthesis.{index}"), kernel, upscale)
        )
    head = tuple(_read_layer(tensors, f"head.{index}") for index in range(len(config.head_widths) + 1))
    families = tuple(int(f) for f in config.families for _ in range(config.components))
    return FrozenModel(
        identity=ModelIdentity(
            name=metadata["name"],
            identifier=int(metadata["identifier"]),
            weights_hash=digest,
            description=json.loads(metadata["description"]),
        ),
        transforms=transforms.eval().requires_grad_(False),
        hyper_synthesis=tuple(hyper_synthesis),
        latent_model=IntegerMixtureModel(
            _read_layer(tensors, "context"),
            checkerboard_offsets(5),
            head,
            ParameterLayout(families),
            config.latent_channels,
        ),
        hyper_table=FactorizedTable(
            cdf=tensors["hyper_table.cdf"].numpy().astype(np.uint32),
            lengths=tensors["hyper_table.lengths"].numpy(),
            offsets=tensors["hyper_table.offsets"].numpy(),
        ),
        schedule=checkerboard,
    )
