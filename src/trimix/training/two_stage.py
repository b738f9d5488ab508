"""Algorithm 1 of the regularizer paper as a training step: the codec on R + lambda D - alpha H_q, then q on H_q.

::

    stage 1    codec <- gradient of  R + lambda D - alpha H_q(X | X_hat)      q constant, gradients pass through it
    stage 2    q     <- gradient of  H_q(X | X_hat) = E[-log q(x | x_hat)]    x_hat constant

Both stages look at the reconstruction of one forward pass. The plain form does one after the other and runs q twice;
the fused form reverses the gradient at x_hat and needs one pass of each (see ``regularizer``). Their gradients are
equal, up to rounding of floats.
"""

from dataclasses import replace

import torch
from torch import nn

from trimix.architectures.compression_model import CompressionModel
from trimix.errors import TrainingError
from trimix.shapes import Float, Tensor
from trimix.training.config import ObjectiveConfig, PhaseConfig, RegularizerConfig
from trimix.training.objective import RateDistortion
from trimix.training.regularizer import (
    Pull,
    Regularizer,
    detached_call,
    entropy_in_unit,
    own_randomness,
)
from trimix.training.source_entropy import SourceEntropyModel, source_entropy_config
from trimix.training.steps import Batch, Companion, PlainStep, StepReport, report_of

RATIO_WARNED = 0.5
RATIO_STOPPED = 1.0
_SEED_OFFSET = 7_368_787
"""Between the seed of a run and that of its q."""


class TwoStageStep:
    """R + lambda * D - alpha * H_q(X | X_hat), and q's own likelihood.

    Args:
        bare_model: gives lambda of a quality.
        objective: distortion and balance between rates.
        config: of the regularizer.
        seed: of q's first weights; drawing them leaves the global generators as they were.
        device: of q.
    """

    def __init__(
        self,
        bare_model: CompressionModel,
        objective: ObjectiveConfig,
        config: RegularizerConfig,
        seed: int = 1,
        device: torch.device | str = "cpu",
    ) -> None:
        self._plain = PlainStep(bare_model, objective)
        self._config = config
        with own_randomness(seed + _SEED_OFFSET):
            self.source_entropy = SourceEntropyModel(source_entropy_config(bare_model.config, config))
        self.source_entropy.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._regularizer = Regularizer(
            self.source_entropy,
            alpha=config.alpha,
            rho=config.rho,
            unit=config.unit,
            learning_rate=config.learning_rate,
            clip_norm=config.clip_norm,
        )
        self.companion: Companion | None = Companion(
            self.source_entropy,
            self._regularizer.optimizer,
            config.learning_rate,
            config.clip_norm,
            config.updates_per_step,
            self._regularizer.backward_again,
        )

    def backward(self, model: nn.Module, batch: Batch, phase: PhaseConfig, share: float = 1.0) -> StepReport:
        """Gradients of both stages, each for its own weights."""
        output, parts = self._plain.forward(model, batch, phase)
        form = self._fused if self._config.form == "fused" else self._two_passes
        return form(batch.x, output.reconstruction, parts, share)

    def _fused(
        self,
        x: Float[Tensor, "N 3 H W"],
        x_hat: Float[Tensor, "N 3 H W"],
        parts: RateDistortion,
        share: float,
    ) -> StepReport:
        regularizer = self._regularizer
        term = regularizer(x, x_hat, parts.distortion_in_loss, parts.weight, share)
        (parts.loss.mean() * share + term).backward()
        return self._report(parts, regularizer.ratio, regularizer.applied_alpha)

    def _two_passes(
        self,
        x: Float[Tensor, "N 3 H W"],
        x_hat: Float[Tensor, "N 3 H W"],
        parts: RateDistortion,
        share: float,
    ) -> StepReport:
        config, regularizer = self._config, self._regularizer
        (by_distortion,) = torch.autograd.grad(parts.distortion_in_loss, x_hat, retain_graph=True)
        pull = Pull(config.alpha, config.rho, None, by_distortion)
        # Stage 1.
        entropy = entropy_in_unit(detached_call(self.source_entropy, x, x_hat), config.unit)
        weighted = (parts.weight * entropy).mean()
        pull(torch.autograd.grad(weighted, x_hat, retain_graph=True)[0])
        assert pull.ratio is not None and pull.applied_alpha is not None
        ((parts.loss.mean() - pull.applied_alpha * weighted) * share).backward()
        # Stage 2.
        nats = regularizer.source_entropy(x, x_hat.detach())
        (entropy_in_unit(nats, config.unit).mean() * share).backward()
        regularizer.note(x, x_hat, entropy)
        return self._report(parts, pull.ratio, pull.applied_alpha)

    def _report(self, parts: RateDistortion, ratio: Tensor, alpha: Tensor) -> StepReport:
        assert self._regularizer.entropy is not None
        regularized = parts.loss.detach() - alpha * parts.weight * self._regularizer.entropy
        return replace(
            report_of(parts),
            loss=regularized.mean(),
            source_entropy_bits_per_pixel=self._regularizer.entropy_bits_per_pixel,
            gradient_ratio=ratio,
            applied_alpha=alpha,
        )

    def review(self, mean: StepReport) -> str | None:
        """Warn where the regularizer pulls half as strongly as the distortion, or more.

        Raises:
            TrainingError: it pulls as strongly; nothing would keep the reconstruction near the source.
        """
        assert mean.gradient_ratio is not None
        ratio = float(mean.gradient_ratio)
        if ratio >= RATIO_STOPPED:
            raise TrainingError(
                f"rho, the pull of the source entropy over that of the distortion, must stay below {RATIO_STOPPED:g}, "
                f"found {ratio:.2f}: lower alpha, or give rho instead"
            )
        if ratio >= RATIO_WARNED:
            return (
                f"rho, the pull of the source entropy over that of the distortion, is {RATIO_WARNED:g} or more, see "
                f"gradient_ratio in the log: the run stops at {RATIO_STOPPED:g}; a lower alpha is safer"
            )
        return None
