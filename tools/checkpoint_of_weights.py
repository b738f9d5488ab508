"""Make a checkpoint from which training can start, of a released model and its float entropy model.

    python tools/checkpoint_of_weights.py src/trimix/weights/gllmm-lite-0.7.safetensors \\
        weights/gllmm-lite-0.7-entropy-model.safetensors start.ckpt

A released file holds the entropy model as integers only; its float16 original stands in ``weights/``. The result goes
into ``start_from`` of a training configuration with the same ``[model]``, or a wider one.
"""

import argparse
import io
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from trimix.architectures.building import build
from trimix.architectures.config import read_configuration
from trimix.errors import ModelError, TrimixError
from trimix.freezing.freeze import float_weights
from trimix.frozen.storage import load_frozen
from trimix.images.atomic_files import write_atomically
from trimix.training.config import TrainingConfig


def checkpoint_of(released: Path, entropy_model: Path) -> dict[str, object]:
    """The entries of a checkpoint with the weights of both files.

    Raises:
        ModelError: a file cannot be read, or they do not belong together.
    """
    frozen = load_frozen(released)
    config = read_configuration(frozen.stored.configuration)
    weights = float_weights(frozen) | _floats(entropy_model)
    try:
        build(config).load_state_dict(weights)
    except RuntimeError as error:
        raise ModelError(
            f"{entropy_model}: must be the float entropy model of {released.name}, found another "
            f"({' '.join(str(error).split())}); take the one that was released with it"
        ) from error
    # A start reads the model alone; data and phases are there because no run is without.
    run = TrainingConfig.model_validate(
        {"model": config, "data": {"training": [released]}, "phases": [{"name": "released", "steps": 1}]}
    )
    return {"average": weights, "configuration": run.model_dump_json()}


def _floats(path: Path) -> dict[str, torch.Tensor]:
    try:
        return {name: value.float() for name, value in load_file(path).items()}
    except FileNotFoundError as error:
        raise ModelError(f"{path}: no such file; see weights/README.md") from error
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path}: is not a weights file (safetensors): {error}") from error


def main(arguments: Sequence[str] | None = None) -> int:
    """Join the two files and write the checkpoint; mistakes are told in one line. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("released", type=Path, help="model file")
    parser.add_argument("entropy_model", type=Path, help="its float entropy model")
    parser.add_argument("checkpoint", type=Path, help="file to write")
    parser.add_argument("--force", action="store_true", help="replace a file that exists")
    options = parser.parse_args(arguments)
    try:
        contents = io.BytesIO()
        torch.save(checkpoint_of(options.released, options.entropy_model), contents)
        write_atomically(options.checkpoint, contents.getvalue(), overwrite=options.force)
    except TrimixError as error:
        print(f"checkpoint_of_weights: error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
