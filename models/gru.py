"""A GRU that trains faster on a CPU than torch's, with the same weights and the same results.

torch records a dozen small operations a frame and multiplies out the weights' gradients frame by frame. Here a frame
costs six operations forward and three backward; all that does not depend on the next frame is done for a block of
frames at once, small enough to stay in the cache. Matrix products follow autocast, everything else is float32.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

BLOCK_VALUES = 1 << 17  # values of one gate that are worked on at once


class Gru(nn.GRU):
    """One layer, one direction, ``[frames, batch, features]``."""

    def __init__(self, inputs: int, units: int) -> None:
        super().__init__(inputs, units)

    @property
    def weights(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Of inputs and units, then their biases, also where a parametrization stands in the place of the parameters."""
        of_input, of_state, input_bias, state_bias = (
            getattr(self, f"{name}_l0") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        return of_input, of_state, input_bias, state_bias

    def forward(self, x: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """Outputs ``[frames, batch, units]`` and the last of them, ``[1, batch, units]``.

        Args:
            x: ``[frames, batch, inputs]``.
            hidden: ``[1, batch, units]``.
        """
        if x.device.type != "cpu" or not torch.is_grad_enabled():
            return super().forward(x, hidden)
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
        with torch.autocast("cpu", enabled=False):
            outputs: Tensor = _Recurrence.apply(x.to(dtype), hidden[0].float(), *self.weights)  # type: ignore[no-untyped-call]
        return outputs.to(dtype), outputs[-1:].to(dtype)


class _Recurrence(torch.autograd.Function):
    """``r, z = sigmoid(W x + b + V h + c)``, ``n = tanh(W x + b + r (V h + c))``, ``h' = n + z (h - n)``."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, hidden: Tensor, w: Tensor, v: Tensor, b: Tensor, c: Tensor) -> Tensor:
        frames, batch, units, dtype = len(x), *hidden.shape, x.dtype
        gates = x.new_empty(frames, batch, 2 * units, dtype=torch.float32)  # r and z
        states = x.new_empty(frames + 1, batch, units, dtype=torch.float32)
        inner, outer = (torch.empty_like(states[1:]) for _ in range(2))  # V h + c of n, and n
        states[0] = hidden
        w, v, b, c = (p.detach().to(dtype) for p in (w, v, b, c))
        v = v.t().contiguous()
        for block in _blocks(frames, batch * units):
            inputs = nn.functional.linear(x[block], w, b)
            gates[block], outer[block] = torch.split(inputs, [2 * units, units], dim=2)
            for t in range(block.start, block.stop):
                recurrent = torch.addmm(c, states[t].to(dtype), v)
                rz = gates[t].add_(recurrent[:, : 2 * units]).sigmoid_()
                n = outer[t].addcmul_(rz[:, :units], inner[t].copy_(recurrent[:, 2 * units :]))
                n.mul_(2).sigmoid_().mul_(2).sub_(1)  # tanh in a third of the time
                torch.lerp(n, states[t], rz[:, units:], out=states[t + 1])
        ctx.save_for_backward(x, gates, states, inner, outer, w, v)
        return states[1:]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        x, gates, states, inner, outer, w, v = ctx.saved_tensors
        frames, batch, units = inner.shape
        carried, to_x = gradients[0][-1].clone(), torch.empty_like(x)
        to_w, to_v = torch.zeros_like(w, dtype=torch.float32), torch.zeros_like(v.t(), dtype=torch.float32)
        to_b, to_c = (x.new_zeros(3 * units, dtype=torch.float32) for _ in range(2))
        v = v.t().contiguous()
        for block in reversed(_blocks(frames, batch * units)):
            (r, z), n, before = gates[block].split(units, dim=2), outer[block], states[block]
            to_n = (1 - z) * (1 - n.square())
            slopes = torch.stack([to_n * inner[block] * r * (1 - r), (before - n) * z * (1 - z), to_n * r], dim=2)
            change = torch.empty_like(slopes, dtype=x.dtype)  # gradient of V h + c
            change_n = torch.empty_like(to_n)  # gradient of n before tanh
            for i in reversed(range(len(to_n))):
                t = block.start + i
                torch.mul(slopes[i], carried.unsqueeze(1), out=change[i])
                torch.mul(to_n[i], carried, out=change_n[i])
                carried = torch.mm(change[i].view(batch, 3 * units), v).to(torch.float32).addcmul_(carried, z[i])
                if t:
                    carried.add_(gradients[0][t - 1])
            flat = change.view(-1, 3 * units)
            to_v += torch.mm(flat.t(), before.reshape(-1, units).to(x.dtype))
            to_c += flat.sum(0, dtype=torch.float32)
            change[:, :, 2] = change_n  # now the gradient of W x + b
            to_w += torch.mm(flat.t(), x[block].reshape(-1, x.shape[2]))
            to_b += flat.sum(0, dtype=torch.float32)
            to_x[block] = torch.mm(flat, w).view(-1, batch, x.shape[2])
        return to_x, carried, to_w, to_v, to_b, to_c


def _blocks(frames: int, values: int) -> list[slice]:
    size = max(1, BLOCK_VALUES // values)
    return [slice(start, min(start + size, frames)) for start in range(0, frames, size)]
