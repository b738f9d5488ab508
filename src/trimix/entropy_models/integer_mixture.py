"""The frozen entropy model of latents: integer context and head, and from their output the coder's parameters.

::

    y_hat (known part) --> gather taps --> context layer --+
                                                           |--> head layers --> logits | means | scale indices
    side features at the positions ------------------------+         integer softmax --> weights of sum 2^16
"""

from functools import lru_cache
from math import isqrt

import numpy as np
import torch

from trimix.coding import MixtureParameters
from trimix.entropy_models.fixed_point import IntegerLayer
from trimix.errors import ModelError
from trimix.layers.masked_convolution import Offset
from trimix.shapes import Int16, Int64, Tensor

LOGIT_STEPS_PER_OCTAVE = 256
"""A logit is an integer in steps of 1/256 of a doubling of the weight."""
WEIGHT_TOTAL = 2**16
_EXPONENT_BITS = 24


@lru_cache(maxsize=1)
def exponential_table() -> Int64[Tensor, "256"]:
    """``floor(2^(24 - i/256))`` for i in 0..255, by integer square roots only: no float decides a probability.

    >>> exponential_table()[0].item() == 2**24
    True
    """
    table = []
    for index in range(LOGIT_STEPS_PER_OCTAVE):
        root = 1 << (_EXPONENT_BITS * LOGIT_STEPS_PER_OCTAVE - index)
        for _ in range(8):  # the 256th root: 256 = 2^8
            root = isqrt(root)
        table.append(root)
    return torch.tensor(table, dtype=torch.int64)


def integer_softmax(logits: Int64[Tensor, "n K M"]) -> Int64[Tensor, "n K M"]:
    """Weights proportional to ``2^(logit / 256)`` along K, integers that sum to 2^16 exactly.

    Rounded down, the remainder goes to the first of the largest.

    >>> integer_softmax(torch.tensor([[[0], [256]]])).flatten().tolist()
    [21845, 43691]
    """
    below = logits.amax(dim=1, keepdim=True) - logits
    octaves = (below >> 8).clamp(max=63)
    table = exponential_table().to(logits.device)
    exponentials = table[below & 255] >> octaves
    weights = (exponentials << 16) // exponentials.sum(dim=1, keepdim=True)
    remainder = WEIGHT_TOTAL - weights.sum(dim=1, keepdim=True)
    return weights.scatter_add_(1, weights.argmax(dim=1, keepdim=True), remainder)


class IntegerMixtureModel:
    """Integer parameters of latents at any set of positions.

    Args:
        context: layer over the gathered taps, ordered tap, channel; None without context.
        offsets: the taps, relative to a position.
        head: layers over side features and context features.
        families: family of each of the K components, in the order of the head's output.
        latent_channels: M.
    """

    def __init__(
        self,
        context: IntegerLayer | None,
        offsets: tuple[Offset, ...],
        head: tuple[IntegerLayer, ...],
        families: tuple[int, ...],
        latent_channels: int,
    ) -> None:
        self.context = context
        self.offsets = offsets
        self.head = head
        self.families = np.array(families, dtype=np.uint8)
        self.latent_channels = latent_channels
        self.margin = max((max(abs(r), abs(c)) for r, c in offsets), default=0)
        context_outputs = 0 if context is None else context.outputs
        self.side_channels = head[0].inputs - context_outputs
        if context is not None and context.inputs != len(offsets) * latent_channels:
            raise ModelError(
                f"context layer must take {len(offsets) * latent_channels} inputs, found {context.inputs}"
            )
        if head[-1].outputs != 3 * len(families) * latent_channels:
            raise ModelError(
                f"head must give {3 * len(families) * latent_channels} outputs, found {head[-1].outputs}"
            )

    def to(self, device: torch.device) -> "IntegerMixtureModel":
        """The model on another device."""
        return IntegerMixtureModel(
            None if self.context is None else self.context.to(device),
            self.offsets,
            tuple(layer.to(device) for layer in self.head),
            tuple(self.families.tolist()),
            self.latent_channels,
        )

    def parameters(
        self,
        side: Int16[Tensor, "n S"],
        padded: Int16[Tensor, "h w M"],
        rows: Int64[Tensor, "n"],
        columns: Int64[Tensor, "n"],
        *,
        has_context: bool,
    ) -> MixtureParameters:
        """Parameters of all channels at the given positions, position by position, channels innermost.

        Args:
            side: side features at the positions.
            padded: latents with ``margin`` zeros around them.
            rows: without the margin.
            columns: without the margin.
            has_context: whether the taps are looked at; their features are zero otherwise.
        """
        n = len(rows)
        features = side.double()
        if self.context is not None:
            if has_context:
                taps = [
                    padded[rows + (self.margin + r), columns + (self.margin + c)] for r, c in self.offsets
                ]
                context = self.context(torch.stack(taps, dim=1).view(n, -1).double()).double()
            else:
                context = features.new_zeros(n, self.context.outputs)
            features = torch.cat([features, context], dim=1)
        for layer in self.head[:-1]:
            features = layer(features).double()
        raw = self.head[-1](features).view(n, 3, len(self.families), self.latent_channels)
        # Fewer dimensions to transpose at once: each part becomes [n * M, K], contiguous.
        weights, means, scales = (
            part.transpose(1, 2).reshape(n * self.latent_channels, -1).contiguous()
            for part in (integer_softmax(raw[:, 0]).int(), raw[:, 1].int(), raw[:, 2].to(torch.uint8))
        )
        return MixtureParameters(
            families=self.families,
            weights=weights.cpu().numpy(),
            means=means.cpu().numpy(),
            scale_indices=scales.cpu().numpy(),
        )
