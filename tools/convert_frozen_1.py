"""Put model files of the first form (``trimix-frozen-1``) into the present one: same numbers, same symbols.

    python tools/convert_frozen_1.py OLD.safetensors NEW.safetensors

It keeps the hash, by which compressed files name it.
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from pydantic import TypeAdapter
from safetensors import safe_open

from trimix.architectures.building import build
from trimix.architectures.config import ModelConfig
from trimix.freezing.freeze import distortion_of_lambdas, entropy_model_to_json, float_programs
from trimix.frozen.byte_weights import weight_of_bytes
from trimix.frozen.model import ModelIdentity, StoredModel
from trimix.frozen.program import program_to_json
from trimix.frozen.storage import assemble, save_frozen

SCALES = ("_input_scale", "_output_scale")


def convert(old: Path, new: Path) -> None:
    """Read the old file and write the new one."""
    with safe_open(old, framework="np") as file:
        about = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    model = build(TypeAdapter(ModelConfig).validate_json(about["configuration"]))
    floats = {
        name.removeprefix("transforms."): weight_of_bytes(tensors, name)
        if f"{name}{SCALES[0]}" in tensors
        else value.astype(np.float32)
        for name, value in tensors.items()
        if name.startswith("transforms.") and not name.endswith(SCALES)
    }
    state = model.state_dict()
    model.load_state_dict(state | {name: torch.from_numpy(value) for name, value in floats.items()})
    transforms = float_programs(model, halve=False)
    stored = transforms.stored(in_bytes=False)
    for name in list(stored):
        if name in tensors and not name.endswith((".beta", ".gamma")):
            stored |= {key: tensors[key] for key in (name, *(name + end for end in SCALES)) if key in tensors}
    forms = []
    while (form := f"hyper_synthesis.{len(forms)}.form") in tensors:
        forms.append(tuple(tensors[form].tolist()))
    contexts, head = (
        sorted({name.rpartition(".")[0] for name in tensors if name.startswith(start)})
        for start in ("context.", "head.")
    )
    stored |= {
        name: value
        for name, value in tensors.items()
        if not name.startswith("transforms.") and not name.endswith(".form")
    }
    programs = {name: program_to_json(program) for name, program in transforms.programs.items()}
    integers = entropy_model_to_json(model, forms, contexts, head)
    distortion = (
        {"distortion": json.loads(about["distortion"])}
        if "distortion" in about
        else {"distortion": asdict(distortion_of_lambdas(model.config))}
    )
    program = json.dumps(asdict(transforms.facts) | distortion | programs | integers)
    identity = ModelIdentity(
        about["name"], int(about["identifier"]), bytes.fromhex(about["hash"]), json.loads(about["description"])
    )
    saved = save_frozen(assemble(identity, StoredModel(program, stored, model.config.model_dump_json())), new)
    print(f"{new}: {about['hash']} -> {saved.identity.weights_hash.hex()}, {new.stat().st_size} bytes")


if __name__ == "__main__":
    torch.set_num_threads(1)
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
