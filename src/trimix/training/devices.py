"""The devices of a run: one process, or several that torchrun has started, each with one device.

Gradients are averaged in one message once a step's backward passes are done. Nothing is wrapped around the model, so
that a step may call it as often, and in whatever way, its paper asks for.
"""

import atexit
import os
from collections.abc import Iterable

import torch
from torch import distributed, nn

from trimix.shapes import Float, Tensor


class Devices:
    """This process among those of the run.

    Args:
        accelerator: ``auto``, ``cpu`` or ``cuda``.
    """

    def __init__(self, accelerator: str = "auto") -> None:
        under_torchrun = "TORCHELASTIC_RUN_ID" in os.environ
        self.count, self.rank, here = (
            int(os.environ[name]) if under_torchrun else default
            for name, default in (("WORLD_SIZE", 1), ("RANK", 0), ("LOCAL_RANK", 0))
        )
        on_cuda = accelerator == "cuda" or (accelerator == "auto" and torch.cuda.is_available())
        self.device = torch.device("cuda", here) if on_cuda else torch.device("cpu")
        if on_cuda:
            torch.cuda.set_device(self.device)
        if self.count > 1:
            distributed.init_process_group("nccl" if on_cuda else "gloo")
            atexit.register(distributed.destroy_process_group)
            # What processes agree upon lies in ordinary memory: no device is waited for.
            self._agreement = distributed.new_group(backend="gloo")

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and speaks."""
        return self.rank == 0

    def agree(self, *wishes: bool) -> list[bool]:
        """What any process wishes, all do."""
        if self.count == 1:
            return list(wishes)
        votes = torch.tensor(wishes, dtype=torch.int32)
        distributed.all_reduce(votes, distributed.ReduceOp.MAX, group=self._agreement)  # type: ignore[arg-type]
        return votes.bool().tolist()

    def wait(self) -> None:
        """Wait for all processes."""
        self.agree(False)

    def number_of_first(self, number: float) -> float:
        """A number as the first process has it."""
        if self.count == 1:
            return number
        value = torch.tensor(number, dtype=torch.float64)
        distributed.broadcast(value, 0, group=self._agreement)  # type: ignore[arg-type]
        return float(value)

    def mean(self, values: Float[Tensor, "n"]) -> Float[Tensor, "n"]:
        """Mean over the processes."""
        if self.count > 1:
            values = values.clone()
            distributed.all_reduce(values)
            values /= self.count
        return values

    def copy_from_first(self, *modules: nn.Module) -> None:
        """Give modules the weights and buffers that they have in the first process."""
        if self.count > 1:
            for module in modules:
                for value in module.state_dict().values():
                    whole = value.contiguous()
                    distributed.broadcast(whole, 0)
                    value.copy_(whole)

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace gradients by their mean over the processes; it has the same bits in each of them."""
        if self.count == 1:
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        if not gradients:
            return
        message = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(message)
        message /= self.count
        parts = message.split([gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view(gradient.shape))
