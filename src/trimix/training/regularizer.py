"""The information-theoretic regularizer: R + lambda D - alpha H_q(X | X_hat), in any training loop.

::

    x_hat --+--> distortion --------------------------------> lambda D
            |
            `--> reversal --> q(x | x_hat) --> H_q = E[-log q]
                    ^                              |
                    |   gradient of H_q            |  backward
     - alpha * dH/dx_hat  <------------------------+--> dH/dq as it is

One backward pass serves both: q's weights get the gradient that makes q likelier, x_hat that of ``-alpha H_q``, which
makes the source less certain given the reconstruction. Nothing of q goes into a trained model.

rho = |alpha dH/dx_hat| / |lambda dD/dx_hat|, norms over each picture, means over the batch. The best Gaussian q has
``H = 3/2 log2(2 pi e MSE)`` bits per pixel, so the term pulls towards more distortion; at rho 1 it cancels lambda.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from trimix.errors import UsageError
from trimix.shapes import Float, Tensor
from trimix.training.config import SourceEntropyUnit
from trimix.training.optimizers import NonFiniteSteps
from trimix.training.source_entropy import COLOURS, SourceEntropyModel, peak_of


def entropy_in_unit(nats: Float[Tensor, "N 3 H W"], unit: SourceEntropyUnit) -> Float[Tensor, "N"]:
    """Source entropy of every picture, of -log q of every colour, in the unit that alpha counts in.

    ``nats_per_dimension`` is the mean over colours and pixels; the others are bits per pixel.
    """
    mean = nats.mean(dim=(1, 2, 3))
    return mean if unit == "nats_per_dimension" else mean * (COLOURS / math.log(2))


class Regularizer:
    """The term that is added to anybody's loss; it trains q by the same backward pass.

    Args:
        source_entropy: q, on the device of the pictures; may be wrapped for several devices by whoever owns the loop.
        alpha: weight of the entropy, in the unit; None where rho is given.
        rho: wanted ratio of the gradients at x_hat; then the distortion must be given with every call.

    Raises:
        UsageError: not exactly one of alpha and rho is given, one is out of range, or q has another grid than the unit.

    >>> import torch
    >>> from trimix.training.source_entropy import SourceEntropyConfig
    >>> codec = torch.nn.Conv2d(3, 3, 1)  # anything that gives a reconstruction, and a rate
    >>> optimizer = torch.optim.Adam(codec.parameters(), 1e-4)
    >>> regularizer = Regularizer(SourceEntropyModel(SourceEntropyConfig()), alpha=0.01)
    >>> x = torch.rand(2, 3, 16, 16)
    >>> x_hat = codec(x)
    >>> distortion = 0.0067 * 255**2 * (x - x_hat).square().mean()
    >>> loss = distortion + regularizer(x, x_hat, distortion)
    >>> loss.backward()
    >>> optimizer.step()
    >>> regularizer.step()  # q
    >>> bool(regularizer.ratio < 1), bool(regularizer.entropy_bits_per_pixel > 0)
    (True, True)
    """

    def __init__(
        self,
        source_entropy: nn.Module,
        *,
        alpha: float | None = None,
        rho: float | None = None,
        unit: SourceEntropyUnit = "bits_per_pixel",
        learning_rate: float = 1e-4,
        clip_norm: float = 1.0,
    ) -> None:
        if (alpha is None) == (rho is None):
            raise UsageError(f"either alpha or rho must be given, found {alpha} and {rho}")
        if (alpha is not None and not 0 <= alpha < math.inf) or (rho is not None and not 0 <= rho < 1):
            raise UsageError(f"alpha must be at least 0 and finite, rho in [0, 1), found {alpha} and {rho}")
        peak = peak_of(unit)
        bare = getattr(source_entropy, "module", source_entropy)
        if isinstance(bare, SourceEntropyModel) and bare.config.peak != peak:
            raise UsageError(
                f"the unit {unit} needs a q whose peak is {peak:g}, found {bare.config.peak:g}: "
                "give SourceEntropyConfig that peak"
            )
        self.source_entropy = source_entropy
        self.alpha = alpha
        self.rho = rho
        self.unit: SourceEntropyUnit = unit
        self.clip_norm = clip_norm
        self.optimizer = torch.optim.Adam(source_entropy.parameters(), lr=learning_rate, fused=True)
        self.entropy: Tensor | None = None
        """Of the pictures of the last call, in the unit, detached."""
        self.ratio: Float[Tensor, ""] = torch.tensor(math.nan)
        """rho of the last backward pass; NaN before one, or where no distortion was given."""
        self.applied_alpha: Float[Tensor, ""] = self.ratio
        """alpha of the last backward pass; NaN before one."""

    def __call__(
        self,
        x: Float[Tensor, "N 3 H W"],
        x_hat: Float[Tensor, "N 3 H W"],
        weighted_distortion: Float[Tensor, ""] | None = None,
        picture_weights: Float[Tensor, "N"] | None = None,
        share: float = 1.0,
    ) -> Float[Tensor, ""]:
        """What to add to a loss before its backward pass.

        Its value is share * H_q, q's own loss. Its gradient with respect to x_hat is that of
        ``-share * alpha * mean(weight * H_q)``.

        Args:
            x_hat: their reconstructions, part of the graph.
            weighted_distortion: lambda * D, mean over the pictures, as it stands in the loss but for the share; rho is
                measured against it.
            picture_weights: factor of every picture in the loss; 1 by default.
            share: of these pictures in a batch whose gradients are accumulated.

        Raises:
            UsageError: rho is given and the distortion is not, or x_hat has no gradient.
        """
        if self.alpha is None and weighted_distortion is None:
            raise UsageError("with rho, every call needs the weighted distortion, found none: give it, or alpha")
        if torch.is_grad_enabled() and not x_hat.requires_grad:
            raise UsageError(
                "x_hat must be part of the graph, so that the codec feels the term, found a tensor without gradient: "
                "give the reconstruction as the codec made it, not detached"
            )
        self.ratio = self.applied_alpha = torch.tensor(math.nan)
        gradient = None
        if weighted_distortion is not None:
            (gradient,) = torch.autograd.grad(weighted_distortion * share, x_hat, retain_graph=True)
        reversed_x_hat = x_hat.view_as(x_hat)
        if reversed_x_hat.requires_grad:
            reversed_x_hat.register_hook(lambda found: self._reversed(found, picture_weights, gradient))
        entropy = entropy_in_unit(self.source_entropy(x, reversed_x_hat), self.unit)
        self.entropy = entropy.detach()
        return entropy.mean() * share

    def _reversed(
        self,
        entropy_gradient: Float[Tensor, "N 3 H W"],
        picture_weights: Float[Tensor, "N"] | None,
        distortion_gradient: Float[Tensor, "N 3 H W"] | None,
    ) -> Float[Tensor, "N 3 H W"]:
        """-alpha times the gradient of the entropy, and rho on the way."""
        if picture_weights is not None:
            entropy_gradient = entropy_gradient * picture_weights[:, None, None, None]
        alpha: float | Tensor | None = self.alpha
        if distortion_gradient is not None:
            ratio = _mean_norm(entropy_gradient) / _mean_norm(distortion_gradient).clamp(min=1e-30)
            if alpha is None:
                assert self.rho is not None
                alpha = self.rho / ratio.clamp(min=1e-30)
            self.ratio = alpha * ratio
        assert alpha is not None, "rho needs the gradient of the distortion"
        self.applied_alpha = torch.as_tensor(alpha, device=entropy_gradient.device)
        return -alpha * entropy_gradient

    @property
    def entropy_bits_per_pixel(self) -> Float[Tensor, ""]:
        """H_q of the last batch in bits per pixel, on q's grid; NaN before one."""
        if self.entropy is None:
            return torch.tensor(math.nan)
        factor = COLOURS / math.log(2) if self.unit == "nats_per_dimension" else 1.0
        return self.entropy.mean() * factor

    def step(self) -> None:
        """Update q by the gradient of the last backward pass, unless that is not finite, and clear it."""
        norm = nn.utils.clip_grad_norm_(self.source_entropy.parameters(), self.clip_norm)
        guard = NonFiniteSteps(norm.device)
        guard.look([norm])
        guard.step(self.optimizer)
        self.optimizer.zero_grad(set_to_none=True)


def _mean_norm(gradient: Float[Tensor, "N 3 H W"]) -> Float[Tensor, ""]:
    return torch.linalg.vector_norm(gradient.float(), dim=(1, 2, 3)).mean()


@contextmanager
def own_randomness(seed: int) -> Iterator[None]:
    """Draw from a generator of one's own, and leave the global ones as they were: q changes no codec's start."""
    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        yield
