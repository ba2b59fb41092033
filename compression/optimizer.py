"""The optimiser of a run: AdamW, with Muon for weight matrices and filters where that is asked for.

Muon (Jordan et al., 2024) orthogonalises the momentum of a weight matrix, so that a step moves all its directions
alike; a bank of filters is a matrix with a filter a row. Its steps are scaled to the size of AdamW's (Liu et al.,
arXiv:2502.16982), so that one learning rate serves both.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class Optimizers:
    """One or two optimisers that are stepped as one; together they hold every parameter of the network.

    Args:
        network: Whose parameters are trained.
        learning_rate: Of both.
        weight_decay: Of both.
        muon: Whether matrices are trained by Muon.
    """

    def __init__(self, network: nn.Module, learning_rate: float, weight_decay: float, muon: bool) -> None:
        parameters = list(network.parameters())
        self.weights = [p for p in parameters if muon and p.ndim >= 2]
        self.matrices = [nn.Parameter(p.detach().flatten(1).clone()) for p in self.weights]  # Muon takes nothing else
        others = [p for p in parameters if not (muon and p.ndim >= 2)]
        self.parts: list[torch.optim.Optimizer] = []
        if others:
            self.parts.append(torch.optim.AdamW(others, lr=learning_rate, weight_decay=weight_decay))
        if self.matrices:
            second = torch.optim.Muon(
                self.matrices, lr=learning_rate, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"
            )
            self.parts.append(second)

    def set_learning_rate(self, rate: float) -> None:
        """For the next step."""
        for part in self.parts:
            for group in part.param_groups:
                group["lr"] = rate

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for part in self.parts:
            part.zero_grad()
        for weight in self.weights:
            weight.grad = None

    def step(self) -> None:
        """Move the parameters along their gradients."""
        with torch.no_grad():
            for weight, matrix in zip(self.weights, self.matrices, strict=True):
                matrix.copy_(weight.flatten(1))
                matrix.grad = None if weight.grad is None else weight.grad.flatten(1)
            for part in self.parts:
                part.step()
            for weight, matrix in zip(self.weights, self.matrices, strict=True):
                weight.copy_(matrix.view_as(weight))

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint; that of a lone AdamW is torch's own."""
        states = [part.state_dict() for part in self.parts]
        return states[0] if len(states) == 1 else {"parts": states}

    def load_state_dict(self, content: dict[str, Any]) -> None:
        """Take a checkpoint's moments, in whatever precision, and nothing else; not those of another kind of optimiser."""
        states = content.get("parts", [content])
        if len(states) != len(self.parts):
            return
        for part, state in zip(self.parts, states, strict=True):
            decay = part.defaults["weight_decay"]
            part.load_state_dict(state)
            for group in part.param_groups:
                group["weight_decay"] = decay
            for moments in part.state.values():
                for key, value in moments.items():
                    moments[key] = value.float() if isinstance(value, Tensor) else value
