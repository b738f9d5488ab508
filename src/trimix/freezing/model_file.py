"""A trained model as the bytes of a model file, and what freezing cost; noise to calibrate with."""

import tempfile
from dataclasses import replace
from pathlib import Path

import torch
from torch.nn import functional as F

from trimix.architectures.compression_model import CompressionModel
from trimix.distortion import Distortion
from trimix.freezing.freeze import FreezingLoss, freeze, measure_freezing_loss
from trimix.frozen.catalogue import IDENTIFIERS, PARAMETERS
from trimix.frozen.model import ModelIdentity
from trimix.frozen.storage import save_frozen
from trimix.shapes import Float, Tensor

_NOISE_SEED = 1
_NOISE_OCTAVES = 7


def model_file(
    model: CompressionModel,
    name: str,
    crops: Float[Tensor, "N 3 H W"],
    facts: dict[str, str],
    distortion: Distortion | None = None,
) -> tuple[bytes, ModelIdentity, FreezingLoss]:
    """The bytes of the file, whose model it is, and the loss on the crops; ModelError if it cannot be frozen.

    Args:
        model: on the CPU, in float32.
        name: of the model.
        crops: for calibration and measurement, in [0, 1].
        facts: of the model card, text by heading; they count before those that are measured here.
        distortion: what the model was trained for, if that is known.
    """
    # A model of one rate ignores the quality: it computes the same at all of them.
    qualities = {} if model.config.all_rates else {"qualities": (50.0,)}
    identity = ModelIdentity(name, IDENTIFIERS[model.config.kind], b"", {})
    frozen = freeze(model, identity, crops, **qualities, distortion=distortion)
    loss = measure_freezing_loss(model, frozen, crops, **qualities)
    measured = {
        PARAMETERS: str(sum(parameter.numel() for parameter in model.parameters())),
        "freezing loss": f"{loss.percent:.3f} %",
    }
    frozen = replace(frozen, identity=replace(frozen.identity, description=measured | facts))
    with tempfile.TemporaryDirectory() as folder:
        temporary = Path(folder) / "model.safetensors"
        identity = save_frozen(frozen, temporary).identity
        return temporary.read_bytes(), identity, loss


def noise_crops(count: int, side: int) -> Float[Tensor, "N 3 H W"]:
    """Pictures for calibration where there are none, in [0, 1]: noise of every scale, always the same.

    Each octave of resolution has about the same energy, as in photographs. From one crop to the next the contrast
    grows, so that the last ones, clipped, hold flat areas and hard edges.
    """
    generator = torch.Generator().manual_seed(_NOISE_SEED)
    waves = torch.zeros(count, 3, side, side)
    for octave in range(1, _NOISE_OCTAVES + 1):
        coarse = min(2**octave, side)
        grey = torch.randn(count, 1, coarse, coarse, generator=generator)
        colour = torch.randn(count, 3, coarse, coarse, generator=generator)
        waves += F.interpolate(grey + 0.3 * colour, size=(side, side), mode="bicubic")
    contrast = torch.linspace(0.03, 0.4, count)[:, None, None, None]
    return (0.5 + contrast * waves).clamp(0, 1)
