"""``gllmm-lite``: CRM transforms and the GLLMM entropy model made light enough for a CPU, all rates in one model.

::

    x --g_a--> y --gain(q)--> round --> y_hat --1/gain(q)--> g_s --> x_hat
                  |                       |
                  `--h_a--> round --> z_hat --h_s--> side features --+
                                                                     |--> head --> Gaussian + Laplacian + logistic
                         earlier passes of y_hat --> context ------+
"""

import math

import torch
from torch import nn

from trimix.entropy_models.conditional import mixture_head, parameters_from_head
from trimix.entropy_models.context import CONTEXTS
from trimix.entropy_models.factorized import FactorizedPrior
from trimix.layers.quality import QUALITY_MAXIMUM, QUALITY_MINIMUM, QualityFactor, quality_plane
from trimix.models.config import GllmmLiteConfig
from trimix.models.training_output import Rounding, TrainingOutput
from trimix.probability import MixtureParameters, log_likelihood
from trimix.quantization import add_uniform_noise, round_straight_through
from trimix.shapes import Float, Tensor
from trimix.transforms.analysis import LiteAnalysis
from trimix.transforms.hyper import lite_hyper_analysis, lite_hyper_synthesis
from trimix.transforms.karhunen_loeve import (
    LinearAnalysis,
    LinearSynthesis,
    log_linear_path_step,
    orthonormal_step_weights,
)
from trimix.transforms.synthesis import LiteSynthesis

_CAUTION = 4.0
"""A price of 1 forgets that g_a has made its latents small on purpose, by the slope of their bits: where all are chosen
to be smaller still, that costs the picture more than the squares of the errors. Found by PSNR on weights for MSE; with
those for MS-SSIM half of it made MS-SSIM worse, and one and a half times was no better."""


class GllmmLiteTransforms(nn.Module):
    """The float part, which a shipped model keeps: transforms between picture and (hyper-)latents, and gains.

    Args:
        config: sizes of its parts.
    """

    def __init__(self, config: GllmmLiteConfig) -> None:
        super().__init__()
        self.config = config
        m = config.latent_channels
        self.analysis = LiteAnalysis(config.transform_widths, m, config.lapped_channels)
        self.synthesis = LiteSynthesis(
            config.synthesis_widths or config.transform_widths, m, config.lapped_channels
        )
        self.hyper_analysis = lite_hyper_analysis(m, config.hyper_analysis_width, config.hyper_channels)
        self.gain = QualityFactor(m)
        self.inverse_gain = QualityFactor(m)

    @property
    def linear_path(self) -> tuple[LinearAnalysis, LinearSynthesis]:
        """The Karhunen-Loeve transforms of g_a and g_s."""
        return self.analysis.linear, self.synthesis.linear

    def encode_latent(
        self, x: Float[Tensor, "N 3 H W"], quality: Float[Tensor, "N"], *, linear_only: bool = False
    ) -> Float[Tensor, "N M h w"]:
        """Latent before rounding, in steps of the quantizer.

        Args:
            x: pictures in [0, 1]; sides are multiples of 16.
            quality: 1..100, one for each picture.
            linear_only: leave the learned branch of g_a out.
        """
        return self.gain(self.analysis(x, quality, linear_only=linear_only).float(), quality)

    def encode(
        self, x: Float[Tensor, "N 3 H W"], quality: Float[Tensor, "N"], *, linear_only: bool = False
    ) -> tuple[Float[Tensor, "N M h w"], Float[Tensor, "N Z hh hw"]]:
        """Latent and hyper-latent before rounding; sides are multiples of 64."""
        y = self.encode_latent(x, quality, linear_only=linear_only)
        return y, self.hyper_analysis(y).float()

    def rate_distortion_lambda(self, quality: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
        """The lambda of R + lambda * D that belongs to a quality: exponential from 1 to 100."""
        low, high = math.log(self.config.lambda_minimum), math.log(self.config.lambda_maximum)
        share = (quality - QUALITY_MINIMUM) / (QUALITY_MAXIMUM - QUALITY_MINIMUM)
        return torch.exp(low + share * (high - low))

    def squared_error_lambda(self, quality: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
        """The lambda for squared errors that gives about the same rate."""
        ratio = self.rate_distortion_lambda(quality) / self.config.lambda_ratio
        return ratio ** (1 / self.config.lambda_exponent)

    def step_weights(self, quality: Float[Tensor, "N"]) -> Float[Tensor, "N M"]:
        """Bits that a squared error of one quantizer step costs in every channel, by the filters of the linear path."""
        steps = self.inverse_gain.factors(quality)
        return self.synthesis.linear.step_weights(steps, self.squared_error_lambda(quality))

    def error_prices(self, quality: Float[Tensor, "N"]) -> Float[Tensor, "N M"] | None:
        """Bits that a squared rounding error of one step is worth where each latent is chosen alone.

        None in a model that was trained for squared error: there the search asks the synthesis itself.
        """
        if self.config.lambda_ratio == 1:
            return None
        steps = self.inverse_gain.factors(quality)
        return _CAUTION * orthonormal_step_weights(steps, self.squared_error_lambda(quality))

    def decode(
        self, y_hat: Float[Tensor, "N M h w"], quality: Float[Tensor, "N"], *, linear_only: bool = False
    ) -> Float[Tensor, "N 3 H W"]:
        """Picture of rounded latents, nominally in [0, 1], not clamped."""
        return self.synthesis(self.inverse_gain(y_hat, quality), quality, linear_only=linear_only).float()


class GllmmLite(GllmmLiteTransforms):
    """The whole trainable model; see the diagram at the head of this file.

    Args:
        config: sizes of its parts.
    """

    def __init__(self, config: GllmmLiteConfig) -> None:
        super().__init__(config)
        m = config.latent_channels
        self.hyper_synthesis = lite_hyper_synthesis(
            config.hyper_channels + 1, config.hyper_synthesis_widths, config.side_channels
        )
        self.context = CONTEXTS[config.context](m, config.context_channels)
        outputs = 3 * len(config.families) * config.components * m
        self.head = mixture_head(config.side_channels + config.context_channels, config.head_widths, outputs)
        self.hyper_prior = FactorizedPrior(config.hyper_channels)
        self._start_gains()
        self._start_head()

    def _start_gains(self) -> None:
        anchors = self.gain.log_factors.shape[0]
        qualities = torch.linspace(QUALITY_MINIMUM, QUALITY_MAXIMUM, anchors)
        log_step = log_linear_path_step(self.squared_error_lambda(qualities))
        with torch.no_grad():
            self.gain.log_factors.copy_(-log_step[:, None].expand_as(self.gain.log_factors))
            self.inverse_gain.log_factors.copy_(log_step[:, None].expand_as(self.inverse_gain.log_factors))

    def _start_head(self) -> None:
        # Components start apart in scale, so that none of them is redundant from the first step on.
        count = len(self.config.families) * self.config.components
        last = self.head[-1]
        with torch.no_grad():
            last.bias.zero_()  # type: ignore[union-attr]
            scales = last.bias.view(3, count, -1)[2]  # type: ignore[union-attr]
            scales.copy_(torch.linspace(-1.0, 1.5, count)[:, None].expand_as(scales))

    def side_features(
        self, z_hat: Float[Tensor, "N Z hh hw"], quality: Float[Tensor, "N"]
    ) -> Float[Tensor, "N S h w"]:
        """h_s: side features at the resolution of the latent."""
        return self.hyper_synthesis(torch.cat([z_hat, quality_plane(quality, z_hat)], dim=1))

    def mixture_parameters(
        self, side: Float[Tensor, "N S h w"], y_hat: Float[Tensor, "N M h w"]
    ) -> MixtureParameters:
        """Parameters of every latent, given the side features and the latents of earlier passes."""
        raw = self.head(torch.cat([side, self.context(y_hat)], dim=1))
        return parameters_from_head(raw, self.config.families, self.config.components)

    def forward(
        self,
        x: Float[Tensor, "N 3 H W"],
        quality: Float[Tensor, "N"],
        *,
        rounding: Rounding = "noise",
        linear_only: bool = False,
        generator: torch.Generator | None = None,
    ) -> TrainingOutput:
        """Reconstruction and bits of a batch whose sides are multiples of 64.

        Args:
            x: pictures in [0, 1].
            quality: 1..100, one for each picture.
            rounding: what the bits are counted on: latents with uniform noise, or rounded latents.
                The reconstruction always comes from rounded latents.
            linear_only: leave the learned branches of the transforms out (the first phase of training).
            generator: source of the noise.
        """
        y, z = self.encode(x, quality, linear_only=linear_only)
        y_hat, z_hat = round_straight_through(y), round_straight_through(z)
        noisy = rounding == "noise"
        counted_z = add_uniform_noise(z, generator) if noisy else z_hat
        counted_y = add_uniform_noise(y, generator) if noisy else y_hat
        with torch.autocast(x.device.type, enabled=False):
            parameters = self.mixture_parameters(self.side_features(z_hat, quality), y_hat)
        to_bits = -1 / math.log(2)
        return TrainingOutput(
            reconstruction=self.decode(y_hat, quality, linear_only=linear_only),
            latent_bits=log_likelihood(counted_y, parameters).sum(dim=(1, 2, 3)) * to_bits,
            hyper_latent_bits=self.hyper_prior.log_likelihood(counted_z).sum(dim=(1, 2, 3)) * to_bits,
        )
