"""SOAP (Vyas et al. 2024): Adam in the eigenbasis of Shampoo's factors. Made for a CPU.

A weight is a stack of matrices, G [rows, taps, columns] its gradient, as it lies in memory in channels_last::

    L <- beta L + (1 - beta) sum_t G_t G_t^T      Q_L: eigenvectors of L, from time to time one step of
    R <- beta R + (1 - beta) sum_t G_t^T G_t      orthogonal iteration: Q <- QR(L Q), likewise Q_R of R

    P = Q_L^T G Q_R  -->  Adam's moments m, v of P  -->  U = m / sqrt(v)  -->  W -= rate * Q_L U Q_R^T

The taps of a kernel keep their standard basis. Weights of one shape go through one batched call.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from trimix.shapes import Float, Tensor

_ROWS, _COLUMNS = "row", "column"
_FACTORS_EVERY = 2
"""Steps of which one is added to the factors."""
_EARLY_BASES = (2, 5)
"""Steps after which bases are renewed out of turn: the first are those of a single gradient."""
_MOMENTS = ("exp_avg", "exp_avg_sq")


class Soap(torch.optim.Optimizer):
    """SOAP of matrices and Adam of all else, with the state of both.

    The first gradient of a weight makes its bases and moves nothing. An update whose root mean square exceeds 1 is
    scaled to 1: Adam's cannot where both moments decay alike, but one whose basis has just been turned.

    Args:
        matrices: what SOAP moves, weights of convolutions [rows, columns, height, width] or of linear layers, and the
            taps of each; in a 1x1 convolution more than one where columns are taps side by side.
        others: parameter groups of Adam, each with its ``ratio`` and ``betas``.
        decay: of both moments and of the factors.
        basis_every: steps after which bases are renewed.
        largest_side: rows or columns of which there are more keep their standard basis.
        half_products: products with bases and factors in bfloat16, which some processors are faster at.

    >>> weight = nn.Parameter(torch.eye(8))
    >>> optimizer = Soap({weight: 1}, [])
    >>> optimizer.param_groups[0]["lr"] = 0.1
    >>> for _ in range(100):
    ...     optimizer.zero_grad()
    ...     weight.square().sum().backward()
    ...     optimizer.step()
    >>> bool(weight.square().sum() < 0.1)
    True
    """

    def __init__(
        self,
        matrices: Mapping[nn.Parameter, int],
        others: Iterable[Mapping[str, Any]],
        *,
        decay: float = 0.95,
        basis_every: int = 10,
        largest_side: int = 1024,
        eps: float = 1e-8,
        half_products: bool = False,
    ) -> None:
        group = {"params": [*matrices], "taps": [*matrices.values()], "ratio": 1.0, "betas": (decay, decay)}
        others = [dict(other) for other in others]
        self._adam = torch.optim.Adam(others, lr=0.0, fused=True) if others else None
        self._basis_every, self._largest_side, self._half = basis_every, largest_side, half_products
        self._stacks: list[_Stack] = []
        self._stacked: tuple[int, ...] = ()
        super().__init__([group, *(self._adam.param_groups if self._adam else [])], {"lr": 0.0, "eps": eps})
        self._share()

    def _share(self) -> None:
        """Adam has its groups and states in common with this."""
        if self._adam is not None:
            self._adam.param_groups = self.param_groups[1:]
            self._adam.state = self.state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take a state in, as loading does."""
        super().__setstate__(state)
        self._stacked = ()  # what lies there is no view of the stacks
        self._share()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the state of another one of its kind.

        Raises:
            ValueError: it has other groups, or a basis is not of its weight's size.
        """
        super().load_state_dict(state_dict)
        group = self.param_groups[0]
        for weight, taps in zip(group["params"], group["taps"], strict=True):
            for side, size in self._sides(weight, taps).items():
                for name in (f"{side}_factor", f"{side}_basis") if weight in self.state else ():
                    if (found := tuple(self.state[weight][name].shape)) != (size, size):
                        raise ValueError(f"{name} must be {size}x{size}, found {found}")

    def _sides(self, weight: nn.Parameter, taps: int) -> dict[str, int]:
        rows = weight.shape[0]
        sizes = {_ROWS: rows, _COLUMNS: weight.numel() // (rows * taps)}
        return {side: size for side, size in sizes.items() if 1 < size <= self._largest_side}

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Move all weights that have a gradient; there is no closure to make them."""
        if self._adam is not None:
            self._adam.step()
        group = self.param_groups[0]
        self._stack_weights(group)
        for stack in self._stacks:
            stack.step(group["lr"], group["betas"], group["eps"], self._basis_every)
            for weight in stack.weights:
                self.state[weight]["step"] = stack.count

    def _stack_weights(self, group: Mapping[str, Any]) -> None:
        """Put weights of one layout and age together; only where that has changed."""
        moving = [(w, t) for w, t in zip(group["params"], group["taps"], strict=True) if w.grad is not None]
        if self._stacked == tuple(id(weight) for weight, _ in moving):
            return
        alike: dict[tuple[object, ...], list[nn.Parameter]] = {}
        for weight, taps in moving:
            age = self.state[weight]["step"] if weight in self.state else None
            shape = _layout(weight, taps).shape
            alike.setdefault((shape, weight.dtype, weight.device, age), []).append(weight)
        taps_of = {id(weight): taps for weight, taps in moving}
        self._stacks = []
        for weights in alike.values():
            taps = taps_of[id(weights[0])]
            stack = _Stack(weights, taps, tuple(self._sides(weights[0], taps)), self._half)
            if weights[0] in self.state:
                stack.restore([self.state[weight] for weight in weights])
            else:
                stack.begin(group["betas"][1])
            for index, weight in enumerate(weights):
                self.state[weight] = stack.state_of(index)
            self._stacks.append(stack)
        self._stacked = tuple(id(weight) for weight, _ in moving)


def _layout(weight: Tensor, taps: int) -> Float[Tensor, "rows taps columns"]:
    """A view, where the weight is in channels_last."""
    moved = weight.permute(0, 2, 3, 1) if weight.ndim == 4 else weight
    return moved.reshape(len(weight), taps, -1)


def _as_weight(matrix: Float[Tensor, "rows taps columns"], weight: Tensor) -> Tensor:
    """A view in the shape of a weight."""
    if weight.ndim != 4:
        return matrix.reshape(weight.shape)
    rows, columns, height, width = weight.shape
    return matrix.reshape(rows, height, width, columns).permute(0, 3, 1, 2)


class _Stack:
    """Weights of one layout, and what is known of them: arrays [weights, rows, taps, columns].

    Everything is changed in place: what an optimiser says of its state are views of it.
    """

    def __init__(self, weights: Sequence[nn.Parameter], taps: int, sides: Sequence[str], half: bool) -> None:
        self.weights, self._taps, self._sides, self._half = weights, taps, sides, half
        self.count: int | None = None
        self._moments: dict[str, Tensor] = {}
        self._factors: dict[str, Tensor] = {}
        self._bases: dict[str, Tensor] = {}

    def begin(self, decay: float) -> None:
        """Bases of the gradients there are, and no moments."""
        gradients = self._gradients()
        self._moments = {name: torch.zeros_like(gradients) for name in _MOMENTS}
        for side in self._sides:
            factor = _second_moments(gradients, side, self._half)
            self._factors[side] = factor * (1 - decay)
            # Of factors that may be as small as squares of small gradients.
            size = factor.diagonal(dim1=1, dim2=2).sum(1)[:, None, None]
            size = size.clamp(min=torch.finfo(factor.dtype).tiny)
            # In double precision: in single, LAPACK gives up on some factors of a gradient that is nearly of rank one.
            vectors = torch.linalg.eigh((factor / size).double())[1].to(factor.dtype)
            self._bases[side] = vectors.flip(2).contiguous()  # largest first

    def restore(self, states: Sequence[Mapping[str, Any]]) -> None:
        """What `state_of` told."""
        self.count = states[0]["step"]
        for name in _MOMENTS:
            self._moments[name] = torch.stack([_layout(state[name], self._taps) for state in states])
        for side in self._sides:
            self._factors[side] = torch.stack([state[f"{side}_factor"] for state in states])
            self._bases[side] = torch.stack([state[f"{side}_basis"] for state in states])

    def state_of(self, index: int) -> dict[str, Any]:
        """Of one weight, in views."""
        state: dict[str, Any] = {"step": self.count}
        for name in _MOMENTS:
            state[name] = _as_weight(self._moments[name][index], self.weights[index])
        for side in self._sides:
            state[f"{side}_factor"] = self._factors[side][index]
            state[f"{side}_basis"] = self._bases[side][index]
        return state

    def _gradients(self) -> Float[Tensor, "n rows taps columns"]:
        return torch.stack([_layout(weight.grad, self._taps) for weight in self.weights if weight.grad is not None])

    def step(self, rate: float, betas: tuple[float, float], eps: float, basis_every: int) -> None:
        if self.count is None:
            self.count = 0  # the gradients that have made the bases
            return
        self.count += 1
        gradients = self._gradients()
        update = self._update(gradients, betas, eps)
        for side in self._sides:
            update = _turned(update, self._bases[side].transpose(1, 2), side, self._half)
        for weight, change in zip(self.weights, update.unbind(0), strict=True):
            weight.add_(_as_weight(change, weight), alpha=-rate)
        if self.count % _FACTORS_EVERY == 0:
            for side in self._sides:
                self._factors[side].lerp_(_second_moments(gradients, side, self._half), 1 - betas[1] ** _FACTORS_EVERY)
        if self.count % basis_every == 0 or self.count in _EARLY_BASES:
            for side in self._sides:
                self._renew_basis(side)

    def _update(
        self, gradients: Float[Tensor, "n rows taps columns"], betas: tuple[float, float], eps: float
    ) -> Float[Tensor, "n rows taps columns"]:
        """Adam's, in the eigenbasis, with a root mean square of at most 1."""
        for side in self._sides:
            gradients = _turned(gradients, self._bases[side], side, self._half)
        first, second = (self._moments[name] for name in _MOMENTS)
        first.lerp_(gradients, 1 - betas[0])
        second.mul_(betas[1]).addcmul_(gradients, gradients, value=1 - betas[1])
        assert self.count is not None
        first_correction, second_correction = (1 - beta**self.count for beta in betas)
        root = second.sqrt().div_(math.sqrt(second_correction)).add_(eps)
        update = torch.div(first, root, out=root).div_(first_correction)
        size = torch.linalg.vector_norm(update, dim=(1, 2, 3), keepdim=True) / math.sqrt(update[0].numel())
        return update.div_(size.clamp_(min=1.0))

    def _renew_basis(self, side: str) -> None:
        """One step of orthogonal iteration, largest eigenvalues first."""
        basis, factor = self._bases[side], self._factors[side]
        turned = torch.bmm(factor, basis)
        order = (basis * turned).sum(1).argsort(1, descending=True)
        turned = turned.gather(2, order[:, None].expand_as(turned))
        renewed = torch.linalg.qr(turned)[0]
        first, second = (self._moments[name] for name in _MOMENTS)
        axis = 1 if side == _ROWS else 3
        index = order.view([len(order), *(order.shape[1] if one == axis else 1 for one in (1, 2, 3))])
        second.copy_(second.gather(axis, index.expand_as(second)))
        first.copy_(_turned(first, torch.bmm(basis.transpose(1, 2), renewed), side, half=False))
        basis.copy_(renewed)


def _product(one: Float[Tensor, "n a b"], other: Float[Tensor, "n b c"], half: bool) -> Float[Tensor, "n a c"]:
    if half and one.dtype == torch.float32:
        return torch.bmm(one.bfloat16(), other.bfloat16()).float()
    return torch.bmm(one, other)


def _turned(
    arrays: Float[Tensor, "n rows taps columns"], basis: Float[Tensor, "n size size"], side: str, half: bool
) -> Float[Tensor, "n rows taps columns"]:
    """``Q^T X`` of rows, ``X Q`` of columns."""
    count, rows, taps, columns = arrays.shape
    if side == _ROWS:
        flat = _product(basis.transpose(1, 2), arrays.reshape(count, rows, taps * columns), half)
    else:
        flat = _product(arrays.reshape(count, rows * taps, columns), basis, half)
    return flat.view(arrays.shape)


def _second_moments(
    gradients: Float[Tensor, "n rows taps columns"], side: str, half: bool
) -> Float[Tensor, "n size size"]:
    """``sum_t G_t G_t^T`` of rows, ``sum_t G_t^T G_t`` of columns."""
    count, rows, taps, columns = gradients.shape
    if side == _ROWS:
        flat = gradients.reshape(count, rows, taps * columns)
        return _product(flat, flat.transpose(1, 2), half)
    flat = gradients.reshape(count, rows * taps, columns)
    return _product(flat.transpose(1, 2), flat, half)
