"""A frozen model: float transforms and an integer probability path. What is shipped and what a Codec is built from.

::

    z_hat, medians, quality --> integer h_s --> side features --> IntegerMixtureModel --> coder's parameters
    FactorizedTable --> coder's probabilities of z_hat
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from trimix.bitstream import QUALITY_STEPS
from trimix.coding import FactorizedTable
from trimix.distortion import Distortion
from trimix.entropy_models.fixed_point import ACTIVATION_LIMIT, IntegerConvolution
from trimix.entropy_models.integer_mixture import VALUE_STEPS, IntegerMixtureModel
from trimix.entropy_models.passes import BitCounter, KnownSymbols, run_schedule
from trimix.entropy_models.schedule import Schedule
from trimix.frozen.transforms import FrozenTransforms
from trimix.shapes import Float, Int, Int16, Int64, Tensor

QUALITY_PLANE_STEPS = 198
"""The integer path sees the quality in quarters, centred: -198 at quality 1, 198 at quality 100."""


def quality_to_integer(quality: float) -> int:
    """The header's integer of a quality in 1..100.

    >>> quality_to_integer(50.0)
    25600
    """
    return round(quality * QUALITY_STEPS)


def quality_plane_value(quality_integer: int) -> int:
    """What h_s sees of a quality: 4 q - 202, rounded half up, in integers only.

    >>> quality_plane_value(quality_to_integer(100.0))
    198
    """
    return ((4 * quality_integer + QUALITY_STEPS // 2) // QUALITY_STEPS) - 202


@dataclass(frozen=True)
class ModelIdentity:
    """What a file needs to name its model, and a person to know it.

    Args:
        name: for example ``gllmm-lite-0.1``.
        identifier: frozen number of the architecture, in every file.
        weights_hash: 8 bytes, in every file; it stays where a model is stored in another form.
        description: the model card's facts, text by heading.
    """

    name: str
    identifier: int
    weights_hash: bytes
    description: dict[str, str]


@dataclass(frozen=True)
class StoredModel:
    """What a model file holds beside its name.

    Args:
        program: JSON text: the operations, and what else decides symbols and pixels.
        tensors: by name, in the types of the file.
        configuration: JSON text: what the model was trained as, for people and for training; coding does not read it.
    """

    program: str
    tensors: dict[str, Tensor]
    configuration: str


@dataclass(frozen=True)
class SymbolBits:
    """Information of symbols under the coder's integer probabilities, in bits.

    Args:
        latent_bits: of every latent, float64 [h w M].
        hyper_latent_bits: sum over the hyper-latents.
    """

    latent_bits: np.ndarray
    hyper_latent_bits: float

    @property
    def total(self) -> float:
        """All bits."""
        return float(self.latent_bits.sum()) + self.hyper_latent_bits


@dataclass(frozen=True)
class FrozenModel:
    """Everything that coding needs; immutable.

    Args:
        identity: name and hash.
        stored: what it was made of.
        transforms: the float part.
        hyper_synthesis: integer h_s.
        latent_model: integer context and head.
        hyper_table: probabilities of the hyper-latents.
        schedule: passes for a latent's height and width.
        hyper_medians: what hyper-latents are rounded around, in steps of 1/64, int64 [Z]; None where they are
            rounded as they are.
        sees_quality: whether h_s has a plane with the quality for its last input.
        distortion: D of the objective that the transforms were trained for; the encoder weighs it against bits.
    """

    identity: ModelIdentity
    stored: StoredModel = field(repr=False)
    transforms: FrozenTransforms
    hyper_synthesis: tuple[IntegerConvolution, ...]
    latent_model: IntegerMixtureModel
    hyper_table: FactorizedTable
    schedule: Schedule
    hyper_medians: Int64[Tensor, "Z"] | None = None
    sees_quality: bool = True
    distortion: Distortion = field(default_factory=Distortion)

    def to(self, device: torch.device | str) -> "FrozenModel":
        """The model with transforms and integer path on another device.

        A device without float64 keeps the integer path on the CPU: the numbers are the same there.
        """
        device = torch.device(device)
        path_device = torch.device("cpu") if device.type == "mps" else device
        return replace(
            self,
            transforms=self.transforms.to(device),
            hyper_synthesis=tuple(layer.to(path_device) for layer in self.hyper_synthesis),
            latent_model=self.latent_model.to(path_device),
        )

    @property
    def hyper_latent_limit(self) -> int:
        """Largest magnitude of a hyper-latent's symbol: its value is an ordinary activation."""
        if self.hyper_medians is None:
            return ACTIVATION_LIMIT
        return (ACTIVATION_LIMIT - int(self.hyper_medians.abs().max())) // VALUE_STEPS

    @property
    def path_device(self) -> torch.device:
        """Where the integer path runs."""
        return self.hyper_synthesis[0].layer.tensors["weight"].device

    def side_features(
        self, z_hat: Int16[Tensor, "N Z hh hw"], quality_integers: Sequence[int]
    ) -> Int[Tensor, "N h w S"]:
        """Integer side features of a batch of hyper-latents.

        Args:
            z_hat: magnitudes below 2^15.
            quality_integers: the header's quality of each picture.
        """
        features = z_hat.to(self.path_device).clamp(-ACTIVATION_LIMIT, ACTIVATION_LIMIT)
        if self.hyper_medians is not None:
            values = (
                VALUE_STEPS * features.int() + self.hyper_medians.to(features.device).int()[:, None, None]
            )
            features = values.clamp(-ACTIVATION_LIMIT, ACTIVATION_LIMIT)
        if self.sees_quality:
            plane = features.new_tensor([quality_plane_value(q) for q in quality_integers])
            features = torch.cat(
                [features, plane[:, None, None, None].expand(-1, 1, *features.shape[2:])], dim=1
            )
        for layer in self.hyper_synthesis:
            features = layer(features)
        return features.permute(0, 2, 3, 1).contiguous()

    def hyper_symbols(self, z: Float[Tensor, "Z hh hw"]) -> Int16[Tensor, "Z hh hw"]:
        """Rounded hyper-latents of one picture, around the medians where there are some, on the CPU."""
        z = torch.nan_to_num(z)
        if self.hyper_medians is not None:
            z = z - self.hyper_medians.to(z.device)[:, None, None] / VALUE_STEPS
        limit = self.hyper_latent_limit
        return z.round().clamp(-limit, limit).to(torch.int16).cpu().contiguous()

    def hyper_channels_of(self, z_hat_shape: tuple[int, int, int]) -> np.ndarray:
        """Channel of every hyper-latent in the order channel, row, column, int32."""
        channels, rows, columns = z_hat_shape
        return np.repeat(np.arange(channels, dtype=np.int32), rows * columns)

    def count_bits(
        self, y_hat: Int16[Tensor, "M h w"], z_hat: Int16[Tensor, "Z hh hw"], quality_integer: int
    ) -> SymbolBits:
        """Bits of symbols under the coder's own integers, by position and channel, without writing them."""
        channels = self.hyper_channels_of((z_hat.shape[0], z_hat.shape[1], z_hat.shape[2]))
        hyper_bits = self.hyper_table.information_bits(z_hat.cpu().numpy().astype(np.int32).ravel(), channels)
        known = np.ascontiguousarray(y_hat.permute(1, 2, 0).cpu().numpy().astype(np.int32))
        side, counter = self.side_features(z_hat[None], [quality_integer])[0], BitCounter(known.shape)
        passes = self.schedule(*side.shape[:2])
        run_schedule(self.latent_model, side, passes, KnownSymbols(known), counter)
        return SymbolBits(counter.bits, float(hyper_bits.sum()))
