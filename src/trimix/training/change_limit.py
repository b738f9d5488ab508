"""A limit on how far one step moves a matrix: what keeps deep, wide networks from exploding at high rates.

Adam moves every weight by about one learning rate. What the gradient of a few pictures asks for is nearly of rank one,
so all these moves add up in one direction: they change the largest singular value of a layer by up to ``rate *
sqrt(size)``, in a wide one a tenth of it and more. Layers one after the other multiply: where each of twenty gains a
tenth in one step, a picture that they amplify comes out six times as large, and the next step overshoots again.

::

    |dW| <= limit * max(|W| / sqrt(rank), 0.01)       Frobenius norms; |W| / sqrt(rank) is the root mean square of
                                                      W's singular values, and the floor lets what is zero grow
"""

from collections.abc import Sequence

import torch
from torch import nn

from trimix.shapes import Tensor

_FLOOR = 0.01


class ChangeLimit:
    """Shortens the steps of an optimiser, matrix by matrix; what stays within the limit keeps every bit.

    Args:
        matrices: of its weights those that are limited, rows first.
        limit: largest change, over the root mean square of a matrix's singular values.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, matrices: Sequence[nn.Parameter], limit: float) -> None:
        self._matrices: list[Tensor] = list(matrices)
        self._limit = limit
        self._roots = [min(len(matrix), matrix[0].numel()) ** 0.5 for matrix in matrices]
        self._kept = [torch.empty_like(matrix) for matrix in matrices]
        optimizer.register_step_pre_hook(self._keep)
        optimizer.register_step_post_hook(self._shorten)

    @torch.no_grad()
    def _keep(self, *_: object) -> None:
        torch._foreach_copy_(self._kept, self._matrices)  # pyright: ignore[reportPrivateImportUsage]

    @torch.no_grad()
    def _shorten(self, *_: object) -> None:
        norms = torch.stack(torch._foreach_norm(self._kept))  # pyright: ignore[reportPrivateImportUsage]
        back = self._kept  # the way
        torch._foreach_sub_(back, self._matrices)  # pyright: ignore[reportPrivateImportUsage]
        sizes = torch.stack(torch._foreach_norm(back))  # pyright: ignore[reportPrivateImportUsage]
        typical = (norms / torch.tensor(self._roots, dtype=norms.dtype, device=norms.device)).clamp_(min=_FLOOR)
        # Nothing waits for the device: what is within the limit goes back by nothing.
        shares = 1 - (self._limit * typical / sizes).clamp_(max=1.0)
        for matrix, way, share in zip(self._matrices, back, shares, strict=True):
            matrix.addcmul_(way, share)
