"""Optimisers: Adam for everything, or Muon for the matrices of hidden convolutions and Adam for the rest."""

from collections.abc import Iterable

import torch
from torch import nn

from trimix.training.config import OptimizerConfig


def orthogonalize(matrix: torch.Tensor, iterations: int = 5) -> torch.Tensor:
    """Approximate ``U V^T`` of the singular value decomposition by a quintic Newton-Schulz iteration.

    Coefficients of Jordan et al. 2024 (Muon): singular values end between about 0.7 and 1.2.

    Args:
        matrix: [rows columns].
        iterations: of the polynomial.
    """
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (x.norm() + 1e-7)
    for _ in range(iterations):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x.T if tall else x


class ConvolutionMuon(torch.optim.Optimizer):
    """Muon (momentum, then orthogonalised) over convolution kernels seen as [outputs, inputs * taps].

    The optimiser of the same name in torch takes plain matrices only.

    Args:
        parameters: kernels of two or more dimensions.
        lr: learning rate; an update has the root mean square 0.2 * lr, about that of Adam (Liu et al. 2025).
        momentum: of the gradient, in Nesterov's form.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float, momentum: float = 0.95) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update every kernel that has a gradient."""
        for group in self.param_groups:
            for kernel in group["params"]:
                if kernel.grad is None:
                    continue
                state = self.state[kernel]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(kernel)
                momentum = state["momentum"].lerp_(kernel.grad, 1 - group["momentum"])
                update = kernel.grad.lerp(momentum, group["momentum"])
                flat = orthogonalize(update.reshape(len(update), -1))
                scale = 0.2 * max(flat.shape) ** 0.5
                kernel.add_(flat.view_as(kernel), alpha=-group["lr"] * scale)


def build_optimizers(model: nn.Module, config: OptimizerConfig) -> list[torch.optim.Optimizer]:
    """The optimisers of a run; each parameter group carries its learning rate's ratio to the phase's.

    Muon takes the kernels of hidden convolutions. First and last layers, biases, quality factors, the factorized
    prior and the linear path stay with Adam.
    """
    groups: dict[str, list[nn.Parameter]] = {"hidden": [], "linear": [], "other": []}
    for name, parameter in model.named_parameters():
        if ".linear." in name:
            groups["linear"].append(parameter)
        elif config.kind == "muon" and parameter.ndim == 4 and min(parameter.shape[:2]) >= 16:
            groups["hidden"].append(parameter)
        else:
            groups["other"].append(parameter)
    adam = torch.optim.Adam(
        [
            {"params": groups["other"], "ratio": 1.0},
            {"params": groups["linear"], "ratio": config.linear_path_ratio},
        ],
        lr=0.0,
        fused=True,
    )
    if not groups["hidden"]:
        return [adam]
    muon = ConvolutionMuon(groups["hidden"], lr=0.0)
    muon.param_groups[0]["ratio"] = config.muon_learning_rate_ratio
    return [adam, muon]
