"""Make a checkpoint from which training can start, of a released model and its float entropy model.

    python tools/checkpoint_of_weights.py src/trimix/weights/gllmm-lite-0.4.safetensors \
        weights/gllmm-lite-0.4-entropy-model.safetensors start.ckpt

A released file holds the entropy model as integers only; its float16 original stands in ``weights/``. The result goes
into ``start_from`` of a training configuration with the same ``[model]``.
"""

import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

from trimix.models.gllmm_lite import GllmmLite
from trimix.models.weights import load_frozen


def main(released: Path, entropy_model: Path, checkpoint: Path) -> None:
    """Join the two files and write the checkpoint."""
    transforms = load_frozen(released).transforms
    model = GllmmLite(transforms.config)
    entropy = {name: value.float() for name, value in load_file(entropy_model).items()}
    model.load_state_dict({**transforms.state_dict(), **entropy})
    torch.save({"average": model.state_dict()}, checkpoint)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
