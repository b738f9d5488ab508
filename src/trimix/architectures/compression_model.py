"""The trainable model: one composition of parts for every architecture.

::

    x --g_a--> y --[gain(q)]--> round --> y_hat --[1/gain(q)]--> g_s --> x_hat
                      |           |
                      `--h_a--> round --> z_hat --h_s--> side features --+
                                  |                                      |--> [head] --> mixture of y_hat
                                  `--> [context] -------------------------'

What stands in brackets is there where the model has it; so are a linear path beside g_a and g_s, factors in them that
follow the quality, and a plane of the quality for h_s. u is uniform noise, m the mean of the only component:

    forward(rounding=...)             bits are counted on    g_s and context see    h_s sees
    --------------------------------  ---------------------  ---------------------  --------
    "noise"                           y + u and z + u        y + u                  z + u
    "noise", of GLLMM                 y + u and z + u        round(y)               z_hat
    "round", directly                 round(y)               round(y)               z_hat
    "round", around m                 round(y - m) + m       round(y - m) + m       z_hat
    "round", around m with context    round(y - m) + m       round(y)               z_hat

Rounding has the gradient of the identity. In the last line a decoder has ``round(y - m) + m``; but there m follows from
the context latent by latent, and here all latents are taken at once.
"""

import math
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import nn

from trimix.architectures.config import MS_SSIM_LAMBDA_RATIO, CompressionConfig
from trimix.entropy_models.conditional import bounded_log_likelihood, read_parameters
from trimix.entropy_models.context import Context
from trimix.entropy_models.factorized import FactorizedPrior
from trimix.layers.pointwise import bfloat16_factors
from trimix.layers.quality import QUALITY_MAXIMUM, QUALITY_MINIMUM, QualityFactor, quality_plane
from trimix.probability import MixtureParameters, log_likelihood
from trimix.quantization import add_uniform_noise, round_straight_through
from trimix.shapes import Float, Tensor
from trimix.transforms.karhunen_loeve import LinearAnalysis, LinearSynthesis, log_linear_path_step

Rounding = Literal["noise", "round"]
"""What bits are counted on: latents with uniform noise, or rounded latents."""


@dataclass(frozen=True)
class TrainingOutput:
    """What a training step needs of one batch.

    Args:
        reconstruction: x_hat, nominally in [0, 1], not clamped.
        latent_bits: -log2 p(y_hat | z_hat), bits per picture.
        hyper_latent_bits: -log2 p(z_hat), bits per picture.
    """

    reconstruction: Float[Tensor, "N 3 H W"]
    latent_bits: Float[Tensor, "N"]
    hyper_latent_bits: Float[Tensor, "N"]


@dataclass(frozen=True)
class Parts:
    """The networks of one model.

    Args:
        analysis: g_a, picture and quality -> latent at 1/16.
        synthesis: g_s, latent and quality -> picture.
        hyper_analysis: h_a, latent -> hyper-latent at 1/64.
        hyper_synthesis: h_s, hyper-latent -> side features at 1/16; they are the parameters where there is no head.
        context: latents -> features of what is already coded; None without context.
        head: side features, then context features -> numbers of the configuration's layout; None without head.
        hyper_sees_quality: whether h_s has a plane of the quality for its last input.
    """

    analysis: nn.Module
    synthesis: nn.Module
    hyper_analysis: nn.Module
    hyper_synthesis: nn.Module
    context: Context | None = None
    head: nn.Module | None = None
    hyper_sees_quality: bool = False


class CompressionModel(nn.Module):
    """The whole trainable model; see the diagram at the head of this file."""

    def __init__(self, config: CompressionConfig, parts: Parts) -> None:
        super().__init__()
        self.config = config
        self.analysis = parts.analysis
        self.synthesis = parts.synthesis
        self.hyper_analysis = parts.hyper_analysis
        self.gain = QualityFactor(config.latent_channels) if config.all_rates else None
        self.inverse_gain = QualityFactor(config.latent_channels) if config.all_rates else None
        self.hyper_synthesis = parts.hyper_synthesis
        self.hyper_sees_quality = parts.hyper_sees_quality
        self.context: Context | None = parts.context
        self.head = parts.head
        self.hyper_prior = FactorizedPrior(
            config.hyper_latent_channels, config.hyper_prior_widths, has_medians=config.has_hyper_medians
        )
        self._layout = config.head_layout
        self._start_gains()

    @torch.no_grad()
    def _start_gains(self) -> None:
        # The step that balances a rate against lambda times a squared error at high rate: step^2 ~ 1 / lambda. In the
        # middle of the range it is 1, so that the networks start as those of one rate do.
        if self.gain is None or self.inverse_gain is None:
            return
        qualities = torch.linspace(QUALITY_MINIMUM, QUALITY_MAXIMUM, self.gain.log_factors.shape[0])
        if self.linear_path is not None:
            log_gain = -log_linear_path_step(self.squared_error_lambda(qualities))
        else:
            log_lambda = torch.log(self.rate_distortion_lambda(qualities))
            log_gain = 0.5 * (log_lambda - log_lambda.mean())
        self.gain.log_factors.copy_(log_gain[:, None].expand_as(self.gain.log_factors))
        self.inverse_gain.log_factors.copy_(-self.gain.log_factors)

    @property
    def linear_path(self) -> tuple[LinearAnalysis, LinearSynthesis] | None:
        """The Karhunen-Loeve transforms beside g_a and g_s, where there are some."""
        if not self.config.has_linear_path:
            return None
        return cast(LinearAnalysis, self.analysis.linear), cast(LinearSynthesis, self.synthesis.linear)

    def encode_latent(
        self, x: Float[Tensor, "N 3 H W"], quality: Float[Tensor, "N"], *, linear_only: bool = False
    ) -> Float[Tensor, "N M h w"]:
        """Latent before rounding, in steps of the quantizer.

        Args:
            x: pictures in [0, 1]; sides are multiples of 16.
        """
        y = self.analysis(x, quality, **_linear_only(linear_only)).float()
        return y if self.gain is None else self.gain(y, quality)

    def encode(
        self, x: Float[Tensor, "N 3 H W"], quality: Float[Tensor, "N"], *, linear_only: bool = False
    ) -> tuple[Float[Tensor, "N M h w"], Float[Tensor, "N Z hh hw"]]:
        """Latent and hyper-latent before rounding; sides are multiples of 64."""
        y = self.encode_latent(x, quality, linear_only=linear_only)
        return y, self.hyper_analysis(y).float()

    def decode(
        self, y_hat: Float[Tensor, "N M h w"], quality: Float[Tensor, "N"], *, linear_only: bool = False
    ) -> Float[Tensor, "N 3 H W"]:
        """Picture of rounded latents, nominally in [0, 1], not clamped."""
        y = y_hat if self.inverse_gain is None else self.inverse_gain(y_hat, quality)
        return self.synthesis(y, quality, **_linear_only(linear_only)).float()

    def rate_distortion_lambda(self, quality: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
        """The lambda of R + lambda * 255^2 * MSE that belongs to a quality.

        Exponential from quality 1 to 100 in a model of all rates; the same everywhere in a model of one.
        """
        if not self.config.all_rates:
            return torch.full_like(quality, self.config.rate_distortion_lambda)
        low, high = math.log(self.config.lambda_minimum), math.log(self.config.lambda_maximum)
        share = (quality - QUALITY_MINIMUM) / (QUALITY_MAXIMUM - QUALITY_MINIMUM)
        return torch.exp(low + share * (high - low))

    def squared_error_lambda(self, quality: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
        """The lambda for squared errors that gives about the same rate."""
        trade_off, ratio = self.rate_distortion_lambda(quality), self.config.lambda_ratio
        if ratio is None:
            return torch.where(trade_off < 1, trade_off, trade_off / MS_SSIM_LAMBDA_RATIO)
        return (trade_off / ratio) ** (1 / self.config.lambda_exponent)

    def side_features(self, z_hat: Float[Tensor, "N Z hh hw"], quality: Float[Tensor, "N"]) -> Float[Tensor, "N S h w"]:
        """h_s: side features at the resolution of the latent."""
        if self.hyper_sees_quality:
            z_hat = torch.cat([z_hat, quality_plane(quality, z_hat)], dim=1)
        return self.hyper_synthesis(z_hat)

    def mixture_parameters(self, side: Float[Tensor, "N S h w"], y_hat: Float[Tensor, "N M h w"]) -> MixtureParameters:
        """Parameters of every latent, given the side features and the latents that come before it."""
        features = side if self.context is None else torch.cat([side, self.context(y_hat)], dim=1)
        raw = features if self.head is None else self.head(features)
        return read_parameters(raw, self._layout)

    def latent_log_likelihood(
        self, y: Float[Tensor, "N M h w"], parameters: MixtureParameters
    ) -> Float[Tensor, "N M h w"]:
        """Natural logarithm of the likelihood of latents, rounded or with noise, at least the configured minimum."""
        return bounded_log_likelihood(log_likelihood(y, parameters), self.config.likelihood_minimum)

    def hyper_latent_log_likelihood(self, z: Float[Tensor, "N Z hh hw"]) -> Float[Tensor, "N Z hh hw"]:
        """Natural logarithm of the likelihood of hyper-latents, at least the configured minimum."""
        return bounded_log_likelihood(self.hyper_prior.log_likelihood(z), self.config.likelihood_minimum)

    def forward(
        self,
        x: Float[Tensor, "N 3 H W"],
        quality: Float[Tensor, "N"],
        *,
        rounding: Rounding = "noise",
        linear_only: bool = False,
        generator: torch.Generator | None = None,
        latents: tuple[Float[Tensor, "N M h w"], Float[Tensor, "N Z hh hw"]] | None = None,
    ) -> TrainingOutput:
        """Reconstruction and bits of a batch whose sides are multiples of 64; the table above says what sees what.

        Args:
            generator: source of the noise: of the hyper-latents first, then of the latents.
            latents: in place of those of x.
        """
        y, z = latents or self.encode(x, quality, linear_only=linear_only)
        halved = torch.is_autocast_enabled(x.device.type)
        with torch.autocast(x.device.type, enabled=False), bfloat16_factors(halved):
            noisy = rounding == "noise"
            noisy_z, noisy_y = (add_uniform_noise(latent, generator) if noisy else latent for latent in (z, y))
            on_noise = noisy and self.config.trains_on_noise
            z_hat = noisy_z if on_noise else self.hyper_prior.round(z)
            y_hat = noisy_y if on_noise else round_straight_through(y)
            parameters = self.mixture_parameters(self.side_features(z_hat, quality), y_hat)
            centred = y_hat
            if self._layout.around_mean and not on_noise:
                means = parameters.means[:, 0, 0]
                centred = round_straight_through(y - means) + means
            latent = self.latent_log_likelihood(noisy_y if noisy else centred, parameters)
            hyper_latent = self.hyper_latent_log_likelihood(noisy_z if noisy else z_hat)
        # A context has looked at directly rounded latents, so g_s gets the same; see the table.
        seen = centred if self.context is None else y_hat
        to_bits = -1 / math.log(2)
        return TrainingOutput(
            reconstruction=self.decode(seen, quality, linear_only=linear_only),
            latent_bits=latent.sum(dim=(1, 2, 3)) * to_bits,
            hyper_latent_bits=hyper_latent.sum(dim=(1, 2, 3)) * to_bits,
        )


def _linear_only(wanted: bool) -> dict[str, bool]:
    """For transforms, of which only those with a linear path know the word."""
    return {"linear_only": True} if wanted else {}
