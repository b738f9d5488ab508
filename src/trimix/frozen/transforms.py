"""The float part of a frozen model: g_a, h_a and g_s as programs, and what an encoder knows of them beside."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from trimix.frozen.program import Program
from trimix.frozen.torch_engine import TorchNetwork
from trimix.layers.quality import QUALITY_MAXIMUM, QUALITY_MINIMUM, interpolated_factors
from trimix.shapes import Float, Tensor


@dataclass(frozen=True)
class TransformFacts:
    """What stands in a model file beside the programs of the transforms.

    Args:
        latent_channels: M.
        hyper_channels: Z.
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


class FrozenTransforms:
    """The programs on a device.

    Args:
        facts: of the model.
        programs: ``analysis``, ``hyper_analysis`` and ``synthesis``.
        tensors: in single precision, by name.
        device: where they run.
    """

    def __init__(
        self,
        facts: TransformFacts,
        programs: Mapping[str, Program],
        tensors: Mapping[str, Tensor],
        device: torch.device | str = "cpu",
    ) -> None:
        self.facts = facts
        self.device = torch.device(device)
        self.programs = programs
        self.tensors = tensors
        self._analysis, self._hyper_analysis, self._synthesis = (
            TorchNetwork(programs[name], tensors, self.device)
            for name in ("analysis", "hyper_analysis", "synthesis")
        )

    def to(self, device: torch.device | str) -> "FrozenTransforms":
        """The same on another device."""
        if torch.device(device) == self.device:
            return self
        return FrozenTransforms(self.facts, self.programs, self.tensors, device)

    def encode_latent(
        self, x: Float[Tensor, "N 3 H W"], quality: Float[Tensor, "N"]
    ) -> Float[Tensor, "N M h w"]:
        """Latent before rounding, in steps of the quantizer.

        Args:
            x: pictures in [0, 1]; sides are multiples of 16.
            quality: 1..100, one for each picture; ignored by a model of one rate.
        """
        return self._analysis(x, quality)

    def hyper_analysis(self, y: Float[Tensor, "N M h w"]) -> Float[Tensor, "N Z hh hw"]:
        """Hyper-latent before rounding."""
        return self._hyper_analysis(y)

    def decode(
        self, y_hat: Float[Tensor, "N M h w"], quality: Float[Tensor, "N"]
    ) -> Float[Tensor, "N 3 H W"]:
        """Picture of rounded latents, nominally in [0, 1], not clamped."""
        return self._synthesis(y_hat, quality)

    def rate_distortion_lambda(self, quality: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
        """The lambda of R + lambda * D that belongs to a quality."""
        return self._between(self.facts.lambdas, quality)

    def squared_error_lambda(self, quality: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
        """The lambda for squared errors that gives about the same rate."""
        return self._between(self.facts.squared_error_lambdas, quality)

    def _between(self, ends: tuple[float, float], quality: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
        if not self.facts.all_rates:
            return torch.full_like(quality, ends[0])
        low, high = map(math.log, ends)
        share = (quality - QUALITY_MINIMUM) / (QUALITY_MAXIMUM - QUALITY_MINIMUM)
        return torch.exp(low + share * (high - low))

    def step_weights(self, quality: Float[Tensor, "N"]) -> Float[Tensor, "N M"] | None:
        """Bits that a squared error of one quantizer step costs in every channel, by the filters of the linear path.

        ``energy * lambda * step^2 / 3``: the objective's mean divides by three channels and the pixels. None without
        one: what an error of one latent costs is then not known beforehand.
        """
        if self.facts.energies is None or self.facts.steps is None:
            return None
        steps, energies = (
            self.tensors[name].to(self.device) for name in (self.facts.steps, self.facts.energies)
        )
        squares = interpolated_factors(steps, quality).square()
        return energies * (self.squared_error_lambda(quality)[:, None] * squares / 3)
