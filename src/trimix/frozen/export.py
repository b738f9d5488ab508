"""What a decoder in another language needs of a frozen model: ``trimix export`` writes it, ``web/`` reads it.

::

    program, float tensors --synthesis alone--> HASH.onnx         weights in 8 or 16 bits, expanded when it is loaded
    integer tensors, the coder's tables       --> HASH.safetensors
    what else the program says                --> HASH.json        with the sizes and checksums of the other two

HASH is that of the model, by which compressed files name it: a folder can hold many models.
"""

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from safetensors.numpy import save

from trimix.coding.standard_tables import CDF_TABLES, INVERSE_SCALES
from trimix.entropy_models.integer_mixture import exponential_table, scale_thresholds
from trimix.frozen.model import FrozenModel
from trimix.frozen.onnx_graph import Graph
from trimix.frozen.onnx_program import factor_inputs, sees_quality, written_program

EXPORT_FORMAT = "trimix-export-1"
_OF_PROGRAM = ("latent_channels", "hyper_channels", "hyper_synthesis", "passes", "contexts", "head", "mixture")
"""Entries of the program that a decoder reads as they are."""
_TO_FLOAT32 = 1
_SMALL_BYTES = 2**12
"""Of a tensor that is not worth a conversion."""


@dataclass
class _CompactGraph(Graph):
    """A graph that holds weights as a model file has them, in 8 or 16 bits, and the operators that expand them.

    Args:
        stored: of tensors in single precision the parts that the file has, by their identity.
    """

    stored: dict[int, tuple[str, Mapping[str, np.ndarray]]] = field(default_factory=dict)

    def constant(self, array: np.ndarray) -> str:
        """As of a graph; what the operators make of the smaller form is exactly the array."""
        if array.dtype != np.float32 or array.nbytes <= _SMALL_BYTES:
            return super().constant(array)
        if (found := self.stored.get(id(array))) is not None:
            name, parts = found
            of_inputs, of_outputs = parts[f"{name}_input_scale"], parts[f"{name}_output_scale"]
            by_input = self.node("Mul", [self._widened(parts[name]), super().constant(of_inputs.reshape(1, -1, 1, 1))])
            return self.node("Mul", [by_input, super().constant(of_outputs.reshape(-1, 1, 1, 1))])
        with np.errstate(over="ignore"):
            half = array.astype(np.float16)
        return self._widened(half) if np.array_equal(half.astype(np.float32), array) else super().constant(array)

    def _widened(self, array: np.ndarray) -> str:
        return self.node("Cast", [super().constant(array)], to=_TO_FLOAT32)


def exported_files(model: FrozenModel) -> dict[str, bytes]:
    """Contents of the files by name; the one that names the others comes last.

    >>> from trimix.codec import Codec
    >>> [name.partition(".")[2] for name in exported_files(Codec.load().model)]
    ['onnx', 'safetensors', 'json']
    """
    name = model.identity.weights_hash.hex()
    contents = {f"{name}.onnx": _synthesis(model), f"{name}.safetensors": _integers(model)}
    synthesis, integers = (
        {"name": name, "bytes": len(data), "crc32": f"{zlib.crc32(data):08x}"} for name, data in contents.items()
    )
    program, steps = json.loads(model.stored.program), model.transforms.programs["synthesis"]
    manifest = {
        "format": EXPORT_FORMAT,
        "name": model.identity.name,
        "hash": name,
        "identifier": model.identity.identifier,
        "integers": integers,
        "synthesis": synthesis,
        "halo": model.transforms.halo,
        "factors": factor_inputs(steps),
        "sees_quality": sees_quality(steps),
        **{entry: program[entry] for entry in _OF_PROGRAM},
    }
    return contents | {f"{name}.json": json.dumps(manifest, indent=1).encode() + b"\n"}


def _synthesis(model: FrozenModel) -> bytes:
    transforms = model.transforms
    program = transforms.programs["synthesis"]
    tensors = {name: transforms.tensors[name] for one in program for name in one.tensors}
    parts = {name: transforms.tensors.parts(name) for name in tensors}
    stored = {id(tensors[name]): (name, part) for name, part in parts.items() if len(part) > 1}
    written = written_program(_CompactGraph(stored=stored), program, tensors, model.latent_model.latent_channels)
    written.graph.output(written.result)
    return written.graph.to_bytes()


def _integers(model: FrozenModel) -> bytes:
    transforms = model.transforms
    of_transforms = {part for name in transforms.tensors for part in transforms.tensors.parts(name)}
    tensors = {name: value for name, value in model.stored.tensors.items() if name not in of_transforms}
    logarithms = factor_inputs(transforms.programs["synthesis"]).values()
    tensors |= {name: transforms.tensors[name] for name in logarithms}
    tensors["coder.cdf"] = CDF_TABLES.astype(np.int32)
    tensors["coder.inverse_scales"] = INVERSE_SCALES
    tensors["coder.exponentials"] = exponential_table().astype(np.int32)
    tensors["coder.scale_thresholds"] = scale_thresholds().astype(np.int32)
    return save({name: np.ascontiguousarray(value) for name, value in tensors.items()})
