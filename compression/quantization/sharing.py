"""Weight sharing in training: a tensor is its centroid table looked up at fixed indices, and the table is what is trained.

A centroid's gradient is the sum of its weights' gradients (Deep Compression, Han et al., ICLR 2016). The networks are the
ordinary ones, with torch parametrizations on the quantized tensors, so any loop trains them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from compression.errors import CompressionError
from compression.export.folding import fold_normalisation, stored_parameters
from compression.quantization.bits import HALF, quantize, stored_bytes
from compression.training.recipe import build_network
from models.network import StreamingNetwork


class _Lookup(torch.autograd.Function):
    """``table[indices]``, with a backward pass in one counting sweep."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, indices: Tensor) -> Tensor:
        ctx.save_for_backward(indices)
        ctx.values = len(table)
        return table[indices]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (indices,) = ctx.saved_tensors
        summed = torch.bincount(indices.reshape(-1), gradients[0].reshape(-1).double(), ctx.values)
        return summed.to(gradients[0].dtype), None


_look_up: Callable[[Tensor, Tensor], Tensor] = _Lookup.apply


class ScaledParametrization(nn.Module):
    """Trains a tensor over ``scale``, so that one learning rate suits tensors of large and of small values.

    Args:
        scale: About the tensor's root mean square; a power of 2, which rounds nothing.
    """

    scale: Tensor

    def __init__(self, scale: Tensor) -> None:
        super().__init__()
        self.register_buffer("scale", scale)

    def forward(self, scaled: Tensor) -> Tensor:
        return self.scale * scaled

    def right_inverse(self, tensor: Tensor) -> Tensor:
        """What is trained, of the tensor."""
        return tensor / self.scale


class CodebookParametrization(ScaledParametrization):
    """Makes a tensor of a table ``[values]`` over ``scale``; assigning a tensor takes the mean over each cluster.

    Args:
        indices: Of the tensor's shape.
        values: Length of the table.
        scale: As above.
    """

    indices: Tensor

    def __init__(self, indices: Tensor, values: int, scale: Tensor) -> None:
        super().__init__(scale)
        self.values = values
        self.register_buffer("indices", indices.int())

    def forward(self, scaled: Tensor) -> Tensor:
        tensor = _look_up(super().forward(scaled), self.indices)
        return tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor

    def right_inverse(self, tensor: Tensor) -> Tensor:
        """The table nearest to a tensor."""
        flat = self.indices.reshape(-1)
        sums = torch.bincount(flat, tensor.reshape(-1).double(), self.values)
        means = sums / torch.bincount(flat, minlength=self.values).clamp(min=1)
        return super().right_inverse(means.to(tensor.dtype))


def _power_near(tensor: Tensor) -> Tensor:
    """The power of 2 nearest to the root mean square; 1 where that is 0."""
    size = tensor.detach().square().mean().sqrt()
    return torch.where(size > 0, size.log2().round().exp2(), 1.0)


def fine_tunable(network: StreamingNetwork, plan: Mapping[str, int]) -> StreamingNetwork:
    """A quantized copy whose trainable parameters are the tables and whatever has none (biases, mostly), all over a scale.

    Normalisation is folded and frozen. ``copy.deepcopy`` of the result fails once it has run (torch's recurrent layers keep
    what was made of a table); load its ``state_dict`` into a second one made by the same call instead.

    Args:
        network: Trained.
        plan: Bits by parameter of the folded network.

    Raises:
        CompressionError: The plan names a parameter that the network does not store.
    """
    shared = fold_normalisation(network)
    parameters = stored_parameters(shared)
    if unknown := set(plan) - set(parameters):
        raise CompressionError(f"the plan names {min(unknown)!r}, which the network does not have: choose the plan again")
    for name, parameter in parameters.items():
        layer, _, attribute = name.rpartition(".")
        owner, scale, bits = shared.get_submodule(layer), _power_near(parameter), plan.get(name, HALF)
        if bits == HALF:
            parametrize.register_parametrization(owner, attribute, ScaledParametrization(scale))
            continue
        book = quantize(parameter.detach().cpu().numpy(), bits)
        with torch.no_grad():
            parameter.copy_(torch.from_numpy(book.table[book.indices]))
        indices = torch.from_numpy(book.indices).to(parameter.device)
        parametrize.register_parametrization(owner, attribute, CodebookParametrization(indices, len(book.table), scale))
    return shared


@torch.no_grad()
def share_uniformly(network: StreamingNetwork, centroids: int, keep_zeros: bool = False) -> StreamingNetwork:
    """A plain copy with ``centroids`` values in every tensor that a table makes smaller; the others, biases, in half precision.

    Args:
        network: Trained.
        centroids: A power of 2, 2 to 256.
        keep_zeros: Weights that are exactly 0 stay so and take part in no cluster; 0 is then a value beside the centroids.

    Raises:
        ValueError: As for ``quantize``; also where the network has nothing but zeros in a tensor.
    """
    bits = (centroids - 1).bit_length()
    shared = fold_normalisation(network)
    for parameter in stored_parameters(shared).values():
        if stored_bytes(parameter.numel(), bits) < stored_bytes(parameter.numel(), HALF):
            chosen = parameter.ne(0) if keep_zeros else torch.ones_like(parameter, dtype=torch.bool)
            book = quantize(parameter[chosen].cpu().numpy(), bits)
            parameter[chosen] = torch.from_numpy(book.table[book.indices]).to(parameter.device)
    return settled(shared)


@torch.no_grad()
def settled(network: StreamingNetwork, half: bool = True) -> StreamingNetwork:
    """The plain network that one from ``fine_tunable`` has become; its tensors take the values of their tables.

    Args:
        network: From ``fine_tunable``, trained or not.
        half: Every stored number is rounded to float16, so that the export packs it.
    """
    stored = {name.replace("parametrizations.", "").removesuffix(".original") for name in stored_parameters(network)}
    plain = build_network({"family": network.family, **network.hyperparameters()})
    state = plain.state_dict()
    for name in state:
        layer, _, attribute = name.rpartition(".")
        value: Tensor = getattr(network.get_submodule(layer), attribute)
        state[name] = value.half().float() if half and name in stored else value
    plain.load_state_dict(state)
    return plain.eval()
