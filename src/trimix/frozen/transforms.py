"""The float part of a frozen model: g_a, h_a and g_s as programs, and what an encoder knows of them beside."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from trimix.frozen.engine import QUALITY_MAXIMUM, QUALITY_MINIMUM, Network, interpolated_factors, network_for
from trimix.frozen.linear_path import reduced_linear_path
from trimix.frozen.program import Program, reach
from trimix.frozen.stored_layers import FloatTensors
from trimix.shapes import HYPER_STRIDE, LATENT_STRIDE, Float

_FLAT_SIDE = 9
"""Latents, in both directions, of a flat picture whose middle sees next to nothing of its borders."""


@dataclass(frozen=True)
class TransformFacts:
    """What stands in a model file beside the programs of the transforms.

    Args:
        all_rates: whether there are other files at other qualities; otherwise the quality is ignored.
        halo: latent rows around a strip of a large picture that g_a and g_s look at, or more.
        pixels_at_once: largest strip of a large picture.
        lambdas: of R + lambda * D at the qualities 1 and 100, exponential between them.
        squared_error_lambdas: the same of R + lambda * 255^2 * MSE; where something else was trained for, those that
            give about the same rates.
        steps: tensor with the logarithms of the quantizer's steps in 8-bit units, as factors that follow the quality;
            None where latents are in no such units.
        energies: tensor with the energies of the filters of the linear path; None without one.
    """

    latent_channels: int
    hyper_channels: int
    all_rates: bool
    halo: int
    pixels_at_once: int
    lambdas: tuple[float, float]
    squared_error_lambdas: tuple[float, float]
    steps: str | None = None
    energies: str | None = None


@dataclass(eq=False, repr=False)
class FrozenTransforms:
    """The programs on a device. They are prepared when they are needed first.

    Args:
        programs: ``analysis``, ``hyper_analysis`` and ``synthesis``.
        tensors: in single precision, by name.
        device: where they run; see ``network_for``.
    """

    facts: TransformFacts
    programs: Mapping[str, Program]
    tensors: FloatTensors
    device: str = "cpu"
    _networks: dict[str, Network] = field(default_factory=dict, init=False)

    def to(self, device: str) -> "FrozenTransforms":
        """The same on another device."""
        return self if device == self.device else replace(self, device=device)

    def _network(self, name: str) -> Network:
        if name not in self._networks:
            channels = 3 if name == "analysis" else self.facts.latent_channels
            network = network_for(self.device, self.programs[name], self.tensors, channels)
            return self._networks.setdefault(name, network)  # of several threads the first one's
        return self._networks[name]

    @cached_property
    def _reduced(self) -> Network | None:
        path = reduced_linear_path(self.programs["synthesis"], self.tensors)
        return None if path is None else network_for(self.device, *path, self.facts.latent_channels)

    def encode_latent(self, x: Float[np.ndarray, "3 H W"], quality: float) -> Float[np.ndarray, "M h w"]:
        """Latent before rounding, in steps of the quantizer.

        Args:
            x: a picture in [0, 1]; sides are multiples of 16.
            quality: 1..100; ignored by a model of one rate.
        """
        return self._network("analysis")(x, quality)

    def hyper_analysis(self, y: Float[np.ndarray, "M h w"]) -> Float[np.ndarray, "Z hh hw"]:
        """Hyper-latent before rounding."""
        return self._network("hyper_analysis")(y)

    def decode(self, y_hat: Float[np.ndarray, "M h w"], quality: float) -> Float[np.ndarray, "3 H W"]:
        """Picture of rounded latents, nominally in [0, 1], not clamped."""
        return self._network("synthesis")(y_hat, quality)

    @cached_property
    def halo(self) -> int:
        """Latent rows and columns around a part of a picture that g_a and g_s look at."""
        shapes = self.tensors.shapes
        of_analysis = reach(self.programs["analysis"], shapes) / LATENT_STRIDE
        return min(self.facts.halo, math.ceil(max(of_analysis, reach(self.programs["synthesis"], shapes))))

    @property
    def has_reduced_path(self) -> bool:
        """Whether the linear path alone gives a small picture."""
        return self._reduced is not None

    @cached_property
    def hyper_halo(self) -> int:
        """Hyper-latent rows and columns around a part of a picture that h_a looks at."""
        return math.ceil(reach(self.programs["hyper_analysis"], self.tensors.shapes) / HYPER_STRIDE)

    def decode_reduced(self, y_hat: Float[np.ndarray, "M h w"], quality: float) -> Float[np.ndarray, "3 H W"]:
        """About the means over 8x8 pixels of `decode`, by the linear path alone, which the model must have.

        What the network adds to a flat picture is added here, too: a trained one shifts all levels.
        """
        network = self._reduced
        assert network is not None
        flat = np.zeros((self.facts.latent_channels, _FLAT_SIDE, _FLAT_SIDE), np.float32)
        shift = _middle(self.decode(flat, quality)) - _middle(network(flat, quality))
        return network(y_hat, quality) + shift[:, None, None]

    def decode_with_adjoint(
        self, y_hat: Float[np.ndarray, "M h w"], quality: float
    ) -> tuple[Float[np.ndarray, "3 H W"], Callable[[np.ndarray], np.ndarray]]:
        """The same, and what turns a slope of the picture into one of the latents."""
        return self._network("synthesis").with_adjoint(y_hat, quality)

    def rate_distortion_lambda(self, quality: float) -> float:
        """The lambda of R + lambda * D that belongs to a quality."""
        return self._between(self.facts.lambdas, quality)

    def squared_error_lambda(self, quality: float) -> float:
        """The lambda for squared errors that gives about the same rate."""
        return self._between(self.facts.squared_error_lambdas, quality)

    def _between(self, ends: tuple[float, float], quality: float) -> float:
        if not self.facts.all_rates:
            return ends[0]
        low, high = map(math.log, ends)
        share = (quality - QUALITY_MINIMUM) / (QUALITY_MAXIMUM - QUALITY_MINIMUM)
        return math.exp(low + share * (high - low))

    def step_weights(self, quality: float) -> Float[np.ndarray, "M"] | None:
        """As the function; None without a linear path: what an error costs is then not known beforehand."""
        if self.facts.energies is None or self.facts.steps is None:
            return None
        steps = interpolated_factors(self.tensors[self.facts.steps], quality)
        return step_weights(self.tensors[self.facts.energies], self.squared_error_lambda(quality), steps)


def step_weights(energies: Any, squared_error_lambda: Any, steps: Any) -> Any:
    """Bits that a squared error of one quantizer step costs in every channel, by the filters of the linear path.

    ``energy * lambda * step^2 / 3``: the objective's mean divides by three channels and the pixels. Arrays or tensors.
    """
    return energies * (squared_error_lambda / 3) * steps**2


def _middle(picture: Float[np.ndarray, "3 H W"]) -> Float[np.ndarray, "3"]:
    """Means over what the latent in the middle of a flat picture makes."""
    side = picture.shape[1] // _FLAT_SIDE
    inner = slice(side * (_FLAT_SIDE // 2), side * (_FLAT_SIDE // 2 + 1))
    return picture[:, inner, inner].mean((1, 2))
