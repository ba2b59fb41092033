"""The optimiser of a run: AdamW, with SOAP for weight matrices and filters where that is asked for."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from compression.training.soap import Soap


class Optimizers:
    """One or two optimisers that are stepped as one; together they hold every parameter of the network.

    Args:
        network: Whose parameters are trained.
        learning_rate: Of both.
        weight_decay: Of both.
        soap: Whether matrices and filters are trained by SOAP.
    """

    def __init__(self, network: nn.Module, learning_rate: float, weight_decay: float, soap: bool) -> None:
        parameters = list(network.parameters())
        matrices = [p for p in parameters if soap and p.ndim >= 2]
        others = [p for p in parameters if not (soap and p.ndim >= 2)]
        self.parts: list[torch.optim.Optimizer] = []
        if others:
            self.parts.append(torch.optim.AdamW(others, lr=learning_rate, weight_decay=weight_decay))
        if matrices:
            self.parts.append(Soap(matrices, lr=learning_rate, weight_decay=weight_decay))

    def set_learning_rate(self, rate: float) -> None:
        """For the next step."""
        for part in self.parts:
            for group in part.param_groups:
                group["lr"] = rate

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for part in self.parts:
            part.zero_grad()

    def step(self) -> None:
        """Move the parameters along their gradients."""
        for part in self.parts:
            part.step()

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
