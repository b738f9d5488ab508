"""Steps whose gradients are not finite: found and counted on the device, so that no step waits for the answer."""

from collections.abc import Sequence

import torch

from trimix.shapes import Float, Tensor

MAXIMUM_IN_A_ROW = 10
"""A run with so many in a row is stopped."""


class NonFiniteSteps:
    """Which steps are skipped."""

    def __init__(self, device: torch.device | str) -> None:
        self.found: Float[Tensor, ""] = torch.zeros((), device=device)
        """Of the last step: 1 where it is skipped, else 0."""
        self._in_a_row, self._longest, self._count = torch.zeros(3, device=device)

    def look(self, norms: Sequence[Float[Tensor, ""]]) -> None:
        """Decide on a step by the norms of its gradients."""
        self.found = 1 - torch.stack([torch.isfinite(norm) for norm in norms]).all().float()
        self._count = self._count + self.found
        self._in_a_row = (self._in_a_row + 1) * self.found
        self._longest = torch.maximum(self._longest, self._in_a_row)

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        """``optimizer.step()``, unless this step is skipped."""
        # As torch's GradScaler: fused optimisers look at found_inf on the device and leave weights and moments alone.
        if getattr(optimizer, "_step_supports_amp_scaling", False):
            optimizer.found_inf = self.found  # type: ignore[attr-defined]
            optimizer.step()
            del optimizer.found_inf  # type: ignore[attr-defined]
        elif not self.found:
            optimizer.step()

    def read(self) -> tuple[int, int]:
        """Steps that were skipped so far, and the longest row of them; waits for the device."""
        count, longest = torch.stack([self._count, self._longest]).tolist()
        return int(count), int(longest)
