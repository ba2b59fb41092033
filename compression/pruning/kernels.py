"""Parameter pruning as Wu et al. do it (arXiv:1906.01078): single kernels of a convolution are zeroed by their sparsity.

A kernel is the 55 taps that join one input channel to one filter. Its sparsity is the share of its weights whose
magnitude is below the mean magnitude of its whole filter; kernels above the threshold go. Pruning is soft: between
the steps the network is trained again, and a zeroed kernel may grow back; the last step is final. This reproduces the
paper's row of the report. It removes weights and multiplications on paper, but the matrices keep their shape, so on
ordinary hardware no time is saved; what is shipped is pruned by whole filters (``compression.pruning.choosing``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.fcn import Fcn


def sparsity(weight: Tensor) -> Tensor:
    """Of each kernel of a convolution's weight ``[filters, inputs, taps]``: ``[filters, inputs]``, between 0 and 1."""
    magnitude = weight.abs()
    mean = magnitude.mean(dim=(1, 2), keepdim=True)
    return (magnitude < mean).float().mean(dim=2)


def surviving(network: Fcn, threshold: float) -> list[Tensor]:
    """Which kernels stay, ``[filters, inputs]`` booleans for each convolution between hidden layers.

    The first and the last convolution stay whole, as in the authors' release: the first has one input channel, and the
    last one filter. A filter keeps at least its least sparse kernel, so no channel falls silent for good.

    Args:
        network: The network.
        threshold: θ; kernels with a larger sparsity go.

    Raises:
        ValueError: The threshold is not between 0 and 1.
    """
    if not 0 < threshold < 1:
        raise ValueError("the sparsity threshold must lie between 0 and 1; the paper uses 0.65 and 0.70")
    kept = []
    for conv in _hidden(network):
        shares = sparsity(conv.weight.detach())
        least = torch.zeros_like(shares, dtype=torch.bool).scatter_(1, shares.argmin(1, keepdim=True), True)
        kept.append((shares <= threshold) | least)
    return kept


@torch.no_grad()
def zero(network: Fcn, kept: list[Tensor]) -> None:
    """Set all other kernels to zero, in place."""
    for conv, stays in zip(_hidden(network), kept, strict=True):
        conv.weight *= stays.unsqueeze(2)


def remaining(network: Fcn) -> tuple[int, int]:
    """Weights of kernels that are not zero, and all weights."""
    left = sum(int(conv.weight.detach().ne(0).any(2).sum()) * conv.weight.shape[2] for conv in network.convs)
    return left, sum(conv.weight.numel() for conv in network.convs)


def paper_ratio(kept: float, centroids: int | None = None) -> float:
    """Size over that of the original as the paper counts: a 32-bit weight becomes an index of log2(k) bits, and nothing else.

    Their 10.03 % are 80.2 % of the weights with 16 centroids. Tables, biases, where the zeros are and the file around it
    all are for free.

    Args:
        kept: Share of the weights that are not in zeroed kernels.
        centroids: k; None where weights stay as they are.
    """
    return kept if centroids is None else kept * math.log2(centroids) / 32


def _hidden(network: Fcn) -> Sequence[nn.Conv1d]:
    return list(network.convs)[1:-1]
