"""SOAP: Adam in the directions in which gradients vary (Vyas et al., ICLR 2025, arXiv:2409.11321).

Of each axis of a weight the second moments of its gradients are kept, and Adam works in their eigenvectors instead of
single numbers. The taps of a long filter show why: gradients of neighbouring taps are almost the same, since speech is
loud at low frequencies, and Adam, which scales each tap on its own, learns little about high ones. Eigenvectors of the
taps are close to frequencies, each of which then gets a step of its own size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

LARGEST_AXIS = 800  # of longer ones no moments are kept
EARLY, EARLY_DECAY, LATE_DECAY = 100, 0.95, 0.995  # steps, and decay of the moments of an axis in and after them
ROTATE_EVERY = 10


class Soap(torch.optim.Optimizer):
    """For weights of two axes or more.

    The first gradient of a weight only tells directions, and moves nothing.

    Args:
        params: The weights.
        lr: Learning rate.
        betas: Decay of the mean gradient and of its second moments in the rotated directions.
        eps: Added to the root of the latter.
        weight_decay: Share of the learning rate by which weights are drawn to zero.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float,
        betas: tuple[float, float] = (0.95, 0.99),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Move the weights along their gradients; a closure is not supported."""
        if closure is not None:
            raise ValueError("Soap takes no closure: compute the gradients before the step")
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                if not self.state[weight]:
                    self._begin(weight)
                else:
                    self._move(weight, group)

    def _begin(self, weight: Tensor) -> None:
        state, gradient = self.state[weight], weight.grad
        assert gradient is not None
        state["step"] = torch.tensor(0.0)
        state["mean"], state["square"] = torch.zeros_like(weight), torch.zeros_like(weight)
        for axis, size in enumerate(weight.shape):
            if 1 < size <= LARGEST_AXIS:
                moments = _of_axis(gradient, axis)
                state[f"moments{axis}"] = moments
                state[f"directions{axis}"] = torch.linalg.eigh(moments).eigenvectors.flip(1)

    def _move(self, weight: Tensor, group: dict[str, Any]) -> None:
        state, gradient = self.state[weight], weight.grad
        assert gradient is not None
        rate, eps, decay, (first, second) = group["lr"], group["eps"], group["weight_decay"], group["betas"]
        state["step"] += 1
        count = int(state["step"])
        axes = [axis for axis in range(weight.ndim) if f"directions{axis}" in state]
        directions = [state[f"directions{axis}"] for axis in axes]
        state["mean"].lerp_(gradient, 1 - first)
        state["square"].lerp_(rotated(gradient, axes, directions).square(), 1 - second)
        correction = math.sqrt(1 - second**count) / (1 - first**count)
        update = rotated(state["mean"], axes, directions) * correction / (state["square"].sqrt() + eps)
        weight.mul_(1 - rate * decay).sub_(rotated(update, axes, [turned.T for turned in directions]), alpha=rate)
        for axis in axes:
            kept = EARLY_DECAY if count < EARLY else LATE_DECAY
            state[f"moments{axis}"].lerp_(_of_axis(gradient, axis), 1 - kept)
            if count < ROTATE_EVERY or count % ROTATE_EVERY == 0:
                self._rotate(state, axis)

    @staticmethod
    def _rotate(state: dict[str, Tensor], axis: int) -> None:
        """One step of orthogonal iteration towards the eigenvectors, the largest first."""
        moments, directions = state[f"moments{axis}"], state[f"directions{axis}"]
        seen = moments @ directions
        order = (directions * seen).sum(0).argsort(descending=True)
        state["square"] = state["square"].index_select(axis, order)
        state[f"directions{axis}"] = torch.linalg.qr(seen[:, order]).Q


def rotated(x: Tensor, axes: Sequence[int], directions: Sequence[Tensor]) -> Tensor:
    """A tensor whose axes are seen in other directions, the columns of a matrix for each axis."""
    for axis, columns in zip(axes, directions, strict=True):
        x = torch.tensordot(x, columns, dims=([axis], [0])).movedim(-1, axis)
    return x


def _of_axis(gradient: Tensor, axis: int) -> Tensor:
    rows = gradient.movedim(axis, 0).flatten(1)
    return rows @ rows.T
