"""A frozen model: float transforms and an integer probability path. What is shipped and what a Codec is built from.

::

    z_hat, medians, quality --> integer h_s --> side features --> IntegerMixtureModel --> coder's parameters
    FactorizedTable --> coder's probabilities of z_hat
"""

import math
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from trimix.bitstream import QUALITY_STEPS
from trimix.coding import FactorizedTable
from trimix.distortion import Distortion
from trimix.entropy_models.fixed_point import ACTIVATION_LIMIT, IntegerConvolution
from trimix.entropy_models.integer_mixture import VALUE_STEPS, IntegerMixtureModel
from trimix.entropy_models.passes import BitCounter, KnownSymbols, run_slices
from trimix.entropy_models.schedule import Schedule, latent_slices
from trimix.frozen.transforms import FrozenTransforms
from trimix.shapes import HYPER_STRIDE, Float, Int, Int16, Int64, Rectangle
from trimix.threads import thread_count

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
    tensors: dict[str, np.ndarray]
    configuration: str


@dataclass(frozen=True)
class SymbolBits:
    """Information of symbols under the coder's integer probabilities, in bits.

    Args:
        latent_bits: of every latent, float64 [h w M].
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
    hyper_medians: Int64[np.ndarray, "Z"] | None = None
    sees_quality: bool = True
    distortion: Distortion = field(default_factory=Distortion)

    def to(self, device: str) -> "FrozenModel":
        """The model with its transforms on another device; the integer path stays on the CPU."""
        return replace(self, transforms=self.transforms.to(device))

    @property
    def hyper_latent_limit(self) -> int:
        """Largest magnitude of a hyper-latent's symbol: its value is an ordinary activation."""
        if self.hyper_medians is None:
            return ACTIVATION_LIMIT
        return (ACTIVATION_LIMIT - int(np.abs(self.hyper_medians).max())) // VALUE_STEPS

    def side_features(self, z_hat: Int16[np.ndarray, "Z hh hw"], quality_integer: int) -> Int[np.ndarray, "h w S"]:
        """Integer side features of a picture."""
        features = np.clip(z_hat, -ACTIVATION_LIMIT, ACTIVATION_LIMIT).transpose(1, 2, 0)
        if self.hyper_medians is not None:
            values = VALUE_STEPS * features.astype(np.int64) + self.hyper_medians
            features = np.clip(values, -ACTIVATION_LIMIT, ACTIVATION_LIMIT).astype(np.int16)
        if self.sees_quality:
            plane = np.full((*features.shape[:2], 1), quality_plane_value(quality_integer), np.int16)
            features = np.concatenate([features, plane], axis=2)
        for layer in self.hyper_synthesis:
            features = layer(features)
        return features

    @cached_property
    def hyper_margin(self) -> int:
        """Hyper-latents around a part of the picture that its side features look at."""
        reach, resolution = 0.0, 1
        for layer in self.hyper_synthesis:
            reach += (layer.kernel // 2) / resolution
            resolution *= layer.upscale
        return math.ceil(reach)

    def hyper_symbols(self, z: Float[np.ndarray, "Z hh hw"]) -> Int16[np.ndarray, "Z hh hw"]:
        """Rounded hyper-latents of one picture, around the medians where there are some."""
        z = np.nan_to_num(z)
        if self.hyper_medians is not None:
            z = z - self.hyper_medians[:, None, None].astype(np.float32) / VALUE_STEPS
        limit = self.hyper_latent_limit
        return np.clip(np.rint(z), -limit, limit).astype(np.int16)

    def hyper_channels_of(self, z_hat_shape: tuple[int, ...]) -> np.ndarray:
        """Channel of every hyper-latent [Z hh hw] in the order channel, row, column, int32."""
        channels, rows, columns = z_hat_shape
        return np.repeat(np.arange(channels, dtype=np.int32), rows * columns)

    def count_bits(
        self,
        y_hat: Int16[np.ndarray, "M h w"],
        z_hat: Int16[np.ndarray, "Z hh hw"],
        quality_integer: int,
        *,
        is_sliced: bool = False,
    ) -> SymbolBits:
        """Bits of symbols under the coder's own integers, by position and channel, without writing them."""
        known = np.ascontiguousarray(y_hat.transpose(1, 2, 0), np.int32)
        side_of, counter = SideFeatures(self, z_hat, quality_integer), BitCounter(known.shape)
        slices = latent_slices(*side_of.grid, sliced=is_sliced)
        run_slices(self.latent_model, side_of, self.schedule, slices, KnownSymbols(known), counter, thread_count())
        channels = self.hyper_channels_of(z_hat.shape)
        hyper_bits = self.hyper_table.information_bits(z_hat.astype(np.int32).ravel(), channels)
        return SymbolBits(counter.bits, float(hyper_bits.sum()))


@dataclass(eq=False)
class SideFeatures:
    """What the hyper-latents of one file say of any part of its latent; the last part is kept."""

    model: FrozenModel
    hyper_latent: Int16[np.ndarray, "Z hh hw"]
    quality_integer: int
    _last: tuple[Rectangle, np.ndarray] | None = field(default=None, init=False)

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the latent."""
        rows, columns = self.hyper_latent.shape[1:]
        return HYPER_STRIDE * rows, HYPER_STRIDE * columns

    def __call__(self, part: Rectangle) -> Int[np.ndarray, "h w S"]:
        """Of a part, all of which lies in the latent."""
        if self._last is None or self._last[0] != part:
            self._last = None  # before the next one is made
            self._last = part, self._made(part)
        return self._last[1]

    def _made(self, part: Rectangle) -> Int[np.ndarray, "h w S"]:
        margin, seen, kept = self.model.hyper_margin, [], []
        for positions, size in zip(part.positions, self.hyper_latent.shape[1:], strict=True):
            first = max(0, positions.start // HYPER_STRIDE - margin)
            seen.append(slice(first, min(size, -(-positions.stop // HYPER_STRIDE) + margin)))
            kept.append(slice(positions.start - HYPER_STRIDE * first, positions.stop - HYPER_STRIDE * first))
        return self.model.side_features(self.hyper_latent[:, *seen], self.quality_integer)[tuple(kept)]
