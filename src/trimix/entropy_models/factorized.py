"""The fully factorized prior of hyper-latents (Ballé et al. 2018, appendix 6.1)."""

import torch
from torch import nn
from torch.nn import functional as F

from trimix.shapes import Float, Tensor


class FactorizedPrior(nn.Module):
    """One learned monotone cumulative distribution per channel.

    A chain of small affine maps with positive matrices and gated tanh between them, through a sigmoid at the end;
    the mass of a bin is the difference at its two edges.

    Args:
        channels: hyper-latent channels.
        widths: widths of the hidden layers.
        initial_scale: the distribution starts with about this spread.
    """

    def __init__(
        self, channels: int, widths: tuple[int, ...] = (3, 3, 3), initial_scale: float = 10.0
    ) -> None:
        super().__init__()
        self.channels = channels
        sizes = (1, *widths, 1)
        scale = initial_scale ** (1 / (len(widths) + 1))
        self.matrices = nn.ParameterList()
        self.biases = nn.ParameterList()
        self.gates = nn.ParameterList()
        for inputs, outputs in zip(sizes[:-1], sizes[1:], strict=True):
            start = torch.log(torch.expm1(torch.tensor(1 / scale / outputs)))
            self.matrices.append(nn.Parameter(start.expand(channels, outputs, inputs).clone()))
            self.biases.append(nn.Parameter(torch.empty(channels, outputs, 1).uniform_(-0.5, 0.5)))
            self.gates.append(nn.Parameter(torch.zeros(channels, outputs, 1)))

    def logits(self, values: Float[Tensor, "C 1 n"]) -> Float[Tensor, "C 1 n"]:
        """Logit of the cumulative distribution of every channel at the given values."""
        last = len(self.matrices) - 1
        for index, (matrix, bias, gate) in enumerate(
            zip(self.matrices, self.biases, self.gates, strict=True)
        ):
            values = F.softplus(matrix.to(values.dtype)) @ values + bias.to(values.dtype)
            if index != last:
                values = values + torch.tanh(gate.to(values.dtype)) * torch.tanh(values)
        return values

    def log_likelihood(self, hyper_latent: Float[Tensor, "N C h w"]) -> Float[Tensor, "N C h w"]:
        """Natural logarithm of the mass of the unit bin around each hyper-latent."""
        n, channels, rows, columns = hyper_latent.shape
        values = hyper_latent.transpose(0, 1).reshape(channels, 1, -1)
        values = values if values.dtype == torch.float64 else values.float()
        lower, upper = self.logits(values - 0.5), self.logits(values + 0.5)
        # Both edges are folded into the left tail; then log[S(u) - S(l)] = log S(u) + log S(-l) + log(1 - e^(l - u)).
        mirrored = (lower + upper) > 0
        left = torch.where(mirrored, -upper, lower)
        right = torch.where(mirrored, -lower, upper)
        gap = (left - right).clamp(max=-torch.finfo(values.dtype).eps)
        mass = F.logsigmoid(right) + F.logsigmoid(-left) + torch.log(-torch.expm1(gap))
        return mass.view(channels, n, rows, columns).transpose(0, 1)
