"""The float part of a frozen model: g_a, h_a and g_s as programs, and what an encoder knows of them beside."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from trimix.frozen.program import Program
from trimix.frozen.torch_engine import TorchNetwork
from trimix.layers.quality import QUALITY_MAXIMUM, QUALITY_MINIMUM, interpolated_factors
from trimix.shapes import Float, Tensor

_CAUTION = 4.0
"""A price of 1 forgets that g_a has made its latents small on purpose, by the slope of their bits: where all are chosen
to be smaller still, that costs the picture more than the squares of the errors. Found by PSNR on weights for MSE; with
those for MS-SSIM half of it made MS-SSIM worse, and one and a half times was no better."""


@dataclass(frozen=True)
class TransformFacts:
    """What stands in a model file beside the programs of the transforms.

    Args:
        latent_channels: M.
        hyper_channels: Z.
        all_rates: whether there are other files at other qualities; otherwise the quality is ignored.
        halo: latent rows around a strip of a large picture that g_a and g_s look at, or more.
        pixels_at_once: largest strip of a large picture.
        squared_error_lambdas: lambda of R + lambda * 255^2 * MSE at the qualities 1 and 100, exponential between them;
            where something else was trained for, the one that gives about the same rate.
        prices_errors: whether a squared error in the latent is worth the same in every picture; otherwise the encoder
            asks g_s.
        steps: tensor with the logarithms of the quantizer's steps in 8-bit units, as factors that follow the quality;
            None where latents are in no such units.
        energies: tensor with the energies of the filters of the linear path; None without one.
    """

    latent_channels: int
    hyper_channels: int
    all_rates: bool
    halo: int
    pixels_at_once: int
    squared_error_lambdas: tuple[float, float]
    prices_errors: bool = False
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

    def squared_error_lambda(self, quality: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
        """The lambda for squared errors that gives about the same rate."""
        if not self.facts.all_rates:
            return torch.full_like(quality, self.facts.squared_error_lambdas[0])
        low, high = map(math.log, self.facts.squared_error_lambdas)
        share = (quality - QUALITY_MINIMUM) / (QUALITY_MAXIMUM - QUALITY_MINIMUM)
        return torch.exp(low + share * (high - low))

    def step_weights(self, quality: Float[Tensor, "N"]) -> Float[Tensor, "N M"] | None:
        """Bits that a squared error of one quantizer step costs in every channel, by the filters of the linear path.

        ``energy * lambda * step^2 / 3``: the objective's mean divides by three channels and the pixels. None without
        one: what an error of one latent costs is then not known beforehand.
        """
        if self.facts.energies is None or self.facts.steps is None:
            return None
        return self.tensors[self.facts.energies].to(self.device) * self._squared_steps(quality)

    def error_prices(self, quality: Float[Tensor, "N"]) -> Float[Tensor, "N M"] | None:
        """Bits that a squared rounding error of one step is worth where each latent is chosen alone.

        None in a model that was trained for squared error: there the search asks the synthesis itself.
        """
        return _CAUTION * self._squared_steps(quality) if self.facts.prices_errors else None

    def _squared_steps(self, quality: Float[Tensor, "N"]) -> Float[Tensor, "N M"]:
        assert self.facts.steps is not None
        steps = interpolated_factors(self.tensors[self.facts.steps].to(self.device), quality)
        return self.squared_error_lambda(quality)[:, None] * steps.square() / 3
