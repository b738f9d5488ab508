"""The fully factorized prior of hyper-latents (Ballé et al. 2018, appendix 6.1)."""

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

from trimix.quantization import round_straight_through
from trimix.shapes import Float, Tensor


class FactorizedPrior(nn.Module):
    """One learned monotone cumulative distribution per channel.

    A chain of small affine maps with positive matrices and gated tanh between them, through a sigmoid at the end;
    the mass of a bin is the difference at its two edges.

    Args:
        initial_scale: the distribution starts with about this spread.
        has_medians: hyper-latents are rounded around a number of their channel, a buffer called ``medians`` that starts
            at zero; otherwise as they are.

    >>> prior = FactorizedPrior(channels=2)
    >>> prior.log_likelihood(torch.zeros(1, 2, 4, 6)).shape
    torch.Size([1, 2, 4, 6])
    """

    medians: Tensor | None

    def __init__(
        self,
        channels: int,
        widths: tuple[int, ...] = (3, 3, 3),
        initial_scale: float = 10.0,
        *,
        has_medians: bool = False,
    ) -> None:
        super().__init__()
        self.channels = channels
        self.register_buffer("medians", torch.zeros(channels) if has_medians else None)
        sizes = (1, *widths, 1)
        scale = initial_scale ** (1 / (len(widths) + 1))
        self.matrices = nn.ParameterList()
        self.biases = nn.ParameterList()
        self.gates = nn.ParameterList()
        for inputs, outputs in pairwise(sizes):
            start = torch.log(torch.expm1(torch.tensor(1 / scale / outputs)))
            self.matrices.append(nn.Parameter(start.expand(channels, outputs, inputs).clone()))
            self.biases.append(nn.Parameter(torch.empty(channels, outputs, 1).uniform_(-0.5, 0.5)))
            self.gates.append(nn.Parameter(torch.zeros(channels, outputs, 1)))

    def logits(self, values: Float[Tensor, "C 1 n"]) -> Float[Tensor, "C 1 n"]:
        """Logit of the cumulative distribution of every channel at the given values: increasing, in their precision.

        ``f_K(... f_1(v))`` with ``f_k(x) = g_k(softplus(H_k) x + b_k)``, ``g_k(x) = x + tanh(a_k) tanh(x)``, and no
        ``g`` after the last (Ballé et al. 2018, appendix 6.1; the sigmoid is left out).
        """
        last = len(self.matrices) - 1
        for index, (matrix, bias, gate) in enumerate(zip(self.matrices, self.biases, self.gates, strict=True)):
            values = F.softplus(matrix.to(values.dtype)) @ values + bias.to(values.dtype)
            if index != last:
                values = values + torch.tanh(gate.to(values.dtype)) * torch.tanh(values)
        return values

    def round(self, hyper_latent: Float[Tensor, "N C h w"]) -> Float[Tensor, "N C h w"]:
        """``round(z - median) + median`` with the gradient of the identity; the median is 0 where there is none."""
        if self.medians is None:
            return round_straight_through(hyper_latent)
        medians = self.medians[:, None, None].to(hyper_latent.dtype)
        return round_straight_through(hyper_latent - medians) + medians

    def log_likelihood(self, hyper_latent: Float[Tensor, "N C h w"]) -> Float[Tensor, "N C h w"]:
        """Natural logarithm of the mass of the unit bin around each hyper-latent.

        Computed in single precision at least, whatever the precision around it.
        """
        n, channels, rows, columns = hyper_latent.shape
        values = hyper_latent.transpose(0, 1).reshape(channels, 1, -1)
        values = values if values.dtype == torch.float64 else values.float()
        # Autocast would put the matrix products into half precision, in which the two edges of a bin meet.
        with torch.autocast(values.device.type, enabled=False):
            lower, upper = self.logits(torch.cat([values - 0.5, values + 0.5], dim=2)).chunk(2, dim=2)
        # With the sigmoid S: log[S(u) - S(l)] = log S(u) + log S(-l) + log(1 - exp(l - u)), exact in both tails.
        gap = (lower - upper).clamp(max=-torch.finfo(values.dtype).eps)
        mass = F.logsigmoid(upper) + F.logsigmoid(-lower) + torch.log(-torch.expm1(gap))
        return mass.view(channels, n, rows, columns).transpose(0, 1)
