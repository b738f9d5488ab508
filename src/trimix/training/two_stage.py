"""Algorithm 1 of the regularizer paper as a training step: the codec on R + lambda D - alpha H_q, then q on H_q.

::

    stage 1    codec <- gradient of  R + lambda D - alpha H_q(X | X_hat)      q constant, gradients pass through it
    stage 2    q     <- gradient of  H_q(X | X_hat) = E[-log q(x | x_hat)]    x_hat constant

Both stages look at the reconstruction of one forward pass. The gradient is reversed at x_hat, so that one backward pass
serves both (see ``regularizer``).
"""

from dataclasses import replace

import torch

from trimix.architectures.compression_model import CompressionModel
from trimix.errors import TrainingError
from trimix.training.config import ObjectiveConfig, PhaseConfig, RegularizerConfig
from trimix.training.regularizer import Regularizer, own_randomness
from trimix.training.source_entropy import SourceEntropyModel, source_entropy_config
from trimix.training.steps import AuxiliaryModel, Batch, PlainStep, StepReport, report_of

RATIO_WARNED = 0.5
RATIO_STOPPED = 1.0
_SEED_OFFSET = 7_368_787
"""Between the seed of a run and that of its q."""


class TwoStageStep(PlainStep):
    """R + lambda * D - alpha * H_q(X | X_hat), and q's own likelihood.

    Args:
        model: its entropy model is mirrored by q, on its device.
        seed: of q's first weights; drawing them leaves the global generators as they were.
    """

    def __init__(
        self, model: CompressionModel, objective: ObjectiveConfig, config: RegularizerConfig, seed: int = 1
    ) -> None:
        super().__init__(objective)
        with own_randomness(seed + _SEED_OFFSET):
            source_entropy = SourceEntropyModel(source_entropy_config(model.config, config))
        device = next(model.parameters()).device
        self.source_entropy = source_entropy.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._regularizer = Regularizer(
            self.source_entropy,
            alpha=config.alpha,
            rho=config.rho,
            unit=config.unit,
            learning_rate=config.learning_rate,
            clip_norm=config.clip_norm,
        )
        self.auxiliary: AuxiliaryModel | None = AuxiliaryModel(
            self.source_entropy, self._regularizer.optimizer, config.learning_rate, config.clip_norm
        )

    def backward(self, model: CompressionModel, batch: Batch, phase: PhaseConfig, share: float = 1.0) -> StepReport:
        """Gradients of both stages, each for its own weights."""
        output, parts = self.forward(model, batch, phase)
        regularizer = self._regularizer
        term = regularizer(batch.x, output.reconstruction, parts.distortion_in_loss, parts.weight, share)
        (parts.loss.mean() * share + term).backward()
        assert regularizer.entropy is not None
        regularized = parts.loss.detach() - regularizer.applied_alpha * parts.weight * regularizer.entropy
        return replace(
            report_of(parts),
            loss=regularized.mean(),
            source_entropy_bits_per_pixel=regularizer.entropy_bits_per_pixel,
            gradient_ratio=regularizer.ratio,
            applied_alpha=regularizer.applied_alpha,
        )

    def review(self, mean: StepReport) -> str | None:
        """Warn where the gradient of the regularizer has half the norm of that of the distortion, or more.

        Raises:
            TrainingError: it has the same norm; nothing would keep the reconstruction near the source.
        """
        assert mean.gradient_ratio is not None
        ratio = float(mean.gradient_ratio)
        if ratio >= RATIO_STOPPED:
            raise TrainingError(
                "rho, the gradient of the source entropy over that of the distortion, must stay below "
                f"{RATIO_STOPPED:g}, found {ratio:.2f}: lower alpha, or give rho instead"
            )
        if ratio >= RATIO_WARNED:
            return (
                f"rho, the gradient of the source entropy over that of the distortion, is {RATIO_WARNED:g} or more, "
                f"see gradient_ratio in the log: the run stops at {RATIO_STOPPED:g}; a lower alpha is safer"
            )
        return None
