"""What all models of hyperprior, optional context and mixture have in common: the trainable whole and its float part.

::

    x --g_a--> y --[gain(q)]--> round --> y_hat --[1/gain(q)]--> g_s --> x_hat
                      |           |
                      `--h_a--> round --> z_hat --h_s--> side features --+
                                  |                                      |--> [head] --> mixture of y_hat
                                  `--> [context] -------------------------'

What stands in brackets is there where the model has it. u is uniform noise, m the mean of the only component:

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

import torch
from torch import nn

from trimix.entropy_models.conditional import bounded_log_likelihood, read_parameters
from trimix.entropy_models.context import Context
from trimix.entropy_models.factorized import FactorizedPrior
from trimix.layers.quality import QUALITY_MAXIMUM, QUALITY_MINIMUM, QualityFactor
from trimix.models.config import MS_SSIM_LAMBDA_RATIO, CompressionConfig
from trimix.models.training_output import Rounding, TrainingOutput
from trimix.probability import MixtureParameters, log_likelihood
from trimix.quantization import add_uniform_noise, round_straight_through
from trimix.shapes import Float, Tensor
from trimix.transforms.analysis import LinearPathAnalysis
from trimix.transforms.karhunen_loeve import LinearAnalysis, LinearSynthesis, log_linear_path_step
from trimix.transforms.synthesis import LinearPathSynthesis


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

    Raises:
        ValueError: a context without a head.
    """

    analysis: nn.Module
    synthesis: nn.Module
    hyper_analysis: nn.Module
    hyper_synthesis: nn.Module
    context: Context | None = None
    head: nn.Module | None = None

    def __post_init__(self) -> None:
        """Check that what the context says is heard."""
        if self.context is not None and self.head is None:
            raise ValueError(
                "a model with context must have a head, found none: give one that takes side and context features"
            )


class CompressionTransforms(nn.Module):
    """The float part, which a shipped model keeps: transforms between picture and (hyper-)latents, and gains.

    Args:
        config: of the model.
        parts: its networks.
    """

    def __init__(self, config: CompressionConfig, parts: Parts) -> None:
        super().__init__()
        self.config = config
        self.analysis = parts.analysis
        self.synthesis = parts.synthesis
        self.hyper_analysis = parts.hyper_analysis
        self.gain = QualityFactor(config.latent_channels) if config.all_rates else None
        self.inverse_gain = QualityFactor(config.latent_channels) if config.all_rates else None

    @property
    def linear_path(self) -> tuple[LinearAnalysis, LinearSynthesis] | None:
        """The Karhunen-Loeve transforms beside g_a and g_s, where there are some."""
        if isinstance(self.analysis, LinearPathAnalysis) and isinstance(self.synthesis, LinearPathSynthesis):
            return self.analysis.linear, self.synthesis.linear
        return None

    def encode_latent(
        self, x: Float[Tensor, "N 3 H W"], quality: Float[Tensor, "N"]
    ) -> Float[Tensor, "N M h w"]:
        """Latent before rounding, in steps of the quantizer.

        Args:
            x: pictures in [0, 1]; sides are multiples of 16.
            quality: 1..100, one for each picture; ignored by a model of one rate.
        """
        y = self.analysis(x, quality).float()
        return y if self.gain is None else self.gain(y, quality)

    def encode(
        self, x: Float[Tensor, "N 3 H W"], quality: Float[Tensor, "N"]
    ) -> tuple[Float[Tensor, "N M h w"], Float[Tensor, "N Z hh hw"]]:
        """Latent and hyper-latent before rounding; sides are multiples of 64."""
        y = self.encode_latent(x, quality)
        return y, self.hyper_analysis(y).float()

    def decode(
        self, y_hat: Float[Tensor, "N M h w"], quality: Float[Tensor, "N"]
    ) -> Float[Tensor, "N 3 H W"]:
        """Picture of rounded latents, nominally in [0, 1], not clamped."""
        y = y_hat if self.inverse_gain is None else self.inverse_gain(y_hat, quality)
        return self.synthesis(y, quality).float()

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
        """The lambda for squared errors that gives about the same rate; that of MS-SSIM is from 1 upwards."""
        trade_off = self.rate_distortion_lambda(quality)
        return torch.where(trade_off < 1, trade_off, trade_off / MS_SSIM_LAMBDA_RATIO)

    def step_weights(self, quality: Float[Tensor, "N"]) -> Float[Tensor, "N M"] | None:
        """Bits that a squared error of one quantizer step costs in every channel, by the filters of the linear path.

        None without one: what an error of one latent costs is then not known beforehand.
        """
        if self.linear_path is None or self.inverse_gain is None:
            return None
        _, synthesis = self.linear_path
        return synthesis.step_weights(self.inverse_gain.factors(quality), self.squared_error_lambda(quality))

    def error_prices(self, quality: Float[Tensor, "N"]) -> Float[Tensor, "N M"] | None:
        """None: what a rounding error of one latent costs is not known beforehand in a learned synthesis."""
        return None


class CompressionModel(CompressionTransforms):
    """The whole trainable model; see the diagram at the head of this file.

    Args:
        config: of the model.
        parts: its networks.
    """

    def __init__(self, config: CompressionConfig, parts: Parts) -> None:
        super().__init__(config, parts)
        self.hyper_synthesis = parts.hyper_synthesis
        self.context: Context | None = parts.context
        self.head = parts.head
        self.hyper_prior = FactorizedPrior(
            config.hyper_channels, config.hyper_prior_widths, has_medians=config.has_hyper_medians
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

    def side_features(
        self, z_hat: Float[Tensor, "N Z hh hw"], quality: Float[Tensor, "N"]
    ) -> Float[Tensor, "N S h w"]:
        """h_s: side features at the resolution of the latent. It does not look at the quality."""
        return self.hyper_synthesis(z_hat)

    def mixture_parameters(
        self, side: Float[Tensor, "N S h w"], y_hat: Float[Tensor, "N M h w"]
    ) -> MixtureParameters:
        """Parameters of every latent, given the side features and the latents that come before it."""
        features = side if self.context is None else torch.cat([side, self.context(y_hat)], dim=1)
        raw = features if self.head is None else self.head(features)
        return read_parameters(raw, self._layout)

    def latent_log_likelihood(
        self, y: Float[Tensor, "N M h w"], parameters: MixtureParameters
    ) -> Float[Tensor, "N M h w"]:
        """Natural logarithm of the likelihood of latents, rounded or with noise, at least the layout's minimum."""
        return bounded_log_likelihood(log_likelihood(y, parameters), self._layout.likelihood_minimum)

    def hyper_latent_log_likelihood(self, z: Float[Tensor, "N Z hh hw"]) -> Float[Tensor, "N Z hh hw"]:
        """Natural logarithm of the likelihood of hyper-latents, at least the layout's minimum."""
        return bounded_log_likelihood(self.hyper_prior.log_likelihood(z), self._layout.likelihood_minimum)

    def forward(
        self,
        x: Float[Tensor, "N 3 H W"],
        quality: Float[Tensor, "N"],
        *,
        rounding: Rounding = "noise",
        generator: torch.Generator | None = None,
    ) -> TrainingOutput:
        """Reconstruction and bits of a batch whose sides are multiples of 64; the table above says what sees what.

        Args:
            x: pictures in [0, 1].
            quality: 1..100, one for each picture; ignored by a model of one rate.
            rounding: what the bits are counted on: latents with uniform noise, or rounded latents.
            generator: source of the noise: of the hyper-latents first, then of the latents.
        """
        y, z = self.encode(x, quality)
        with torch.autocast(x.device.type, enabled=False):
            noisy = rounding == "noise"
            noisy_z, noisy_y = (
                add_uniform_noise(latent, generator) if noisy else latent for latent in (z, y)
            )
            on_noise = noisy and self.config.trains_on_noise
            z_hat = noisy_z if on_noise else self.hyper_prior.round(z)
            y_hat = noisy_y if on_noise else round_straight_through(y)
            parameters = self.mixture_parameters(self.side_features(z_hat, quality), y_hat)
            centred = y_hat
            if self.config.rounds_around_mean and not on_noise:
                means = parameters.means[:, 0, 0]
                centred = round_straight_through(y - means) + means
            latent = self.latent_log_likelihood(noisy_y if noisy else centred, parameters)
            hyper_latent = self.hyper_latent_log_likelihood(noisy_z if noisy else z_hat)
        # A context has looked at directly rounded latents, so g_s gets the same; see the table.
        seen = centred if self.context is None else y_hat
        to_bits = -1 / math.log(2)
        return TrainingOutput(
            reconstruction=self.decode(seen, quality),
            latent_bits=latent.sum(dim=(1, 2, 3)) * to_bits,
            hyper_latent_bits=hyper_latent.sum(dim=(1, 2, 3)) * to_bits,
        )
