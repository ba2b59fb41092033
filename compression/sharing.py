"""Weight sharing in training: a tensor is its centroid table looked up at fixed indices, and the table is what is trained.

A centroid's gradient is the sum of its weights' gradients (Deep Compression, Han et al., ICLR 2016). The networks are the
ordinary ones, with torch parametrizations on the quantized tensors, so any loop trains them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from compression.errors import CompressionError
from compression.folding import fold_normalisation, stored_parameters
from compression.packing import Array, Codebook
from compression.quantization import HALF, quantize, stored_bytes
from compression.recipe import build_network
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


class CodebookParametrization(nn.Module):
    """Makes a tensor of a table ``[values]``; assigning a tensor takes the mean over each cluster.

    What is trained is the table over ``scale``, so that one learning rate suits tensors of large and of small values.

    Args:
        indices: Of the tensor's shape.
        values: Length of the table.
        scale: About the tensor's root mean square; a power of 2, which rounds nothing.
    """

    indices: Tensor
    scale: Tensor

    def __init__(self, indices: Tensor, values: int, scale: float) -> None:
        super().__init__()
        self.values = values
        self.register_buffer("indices", indices.int())
        self.register_buffer("scale", torch.tensor(scale, device=indices.device))

    def forward(self, table: Tensor) -> Tensor:
        tensor = _look_up(self.scale * table, self.indices)
        return tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor

    def right_inverse(self, tensor: Tensor) -> Tensor:
        """The table nearest to a tensor."""
        flat = self.indices.reshape(-1)
        sums = torch.bincount(flat, tensor.reshape(-1).double(), self.values)
        means = sums / torch.bincount(flat, minlength=self.values).clamp(min=1)
        return (means / self.scale).to(tensor.dtype)


def fine_tunable(
    network: StreamingNetwork, plan: Mapping[str, int], importance: Mapping[str, Array] | None = None
) -> StreamingNetwork:
    """A quantized copy whose trainable parameters are the tables and whatever has none (biases, mostly).

    Normalisation is folded and frozen. ``copy.deepcopy`` of the result fails once it has run (torch's recurrent layers keep
    what was made of a table); load its ``state_dict`` into a second one made by the same call instead.

    Args:
        network: Trained.
        plan: Bits by parameter of the folded network.
        importance: Weights of squared errors for k-means, by parameter; see ``quantize``.

    Raises:
        CompressionError: The plan names a parameter that the network does not store.
    """
    shared = fold_normalisation(network)
    parameters = stored_parameters(shared)
    if unknown := set(plan) - set(parameters):
        raise CompressionError(f"the plan names {min(unknown)!r}, which the network does not have: choose the plan again")
    for name, parameter in parameters.items():
        bits = plan.get(name, HALF)
        if bits == HALF:
            continue
        book = quantize(parameter.detach().cpu().numpy(), bits, None if importance is None else importance.get(name))
        layer, _, attribute = name.rpartition(".")
        with torch.no_grad():
            parameter.copy_(torch.from_numpy(book.table[book.indices]))
        indices = torch.from_numpy(book.indices).to(parameter.device)
        parametrization = CodebookParametrization(indices, len(book.table), _power_near(parameter))
        parametrize.register_parametrization(shared.get_submodule(layer), attribute, parametrization)
    return shared


def _power_near(tensor: Tensor) -> float:
    """The power of 2 nearest to the root mean square; 1 where that is 0."""
    size = float(tensor.detach().square().mean().sqrt())
    return 2.0 ** round(math.log2(size)) if size else 1.0


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


def tables_of(network: StreamingNetwork) -> dict[str, Codebook]:
    """The codebooks of a network from ``fine_tunable``, tables rounded to float16, by the parameters' plain names."""
    books = {}
    for prefix, module in network.named_modules():
        if not parametrize.is_parametrized(module):
            continue
        assert isinstance(module.parametrizations, nn.ModuleDict)
        for attribute, chain in module.parametrizations.items():
            lookup = chain[0] if isinstance(chain, parametrize.ParametrizationList) else None
            assert isinstance(lookup, CodebookParametrization) and isinstance(chain.original, Tensor)
            table = np.asarray((lookup.scale * chain.original.detach()).half().float().cpu().numpy())
            books[f"{prefix}.{attribute}"] = Codebook(table, lookup.indices.cpu().long().numpy())
    return books


def settled(network: StreamingNetwork) -> StreamingNetwork:
    """The plain network that one from ``fine_tunable`` has become, every stored number exact in float16.

    Its tensors take the values of their tables, so the export packs them.
    """
    books = tables_of(network)
    kept = stored_parameters(network)
    plain = build_network({"family": network.family, **network.hyperparameters()})
    state = plain.state_dict()
    for name, value in network.state_dict().items():
        if name in state:
            state[name] = value.half().float() if name in kept else value
    for name, book in books.items():
        state[name] = torch.from_numpy(book.table[book.indices])
    plain.load_state_dict(state)
    return plain.eval()
