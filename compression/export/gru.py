"""Weights of torch's GRU as ONNX's operator takes them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from torch import nn

from compression.export.graph import Graph, as_array


def reordered(values: object) -> npt.NDArray[np.float32]:
    """A weight or bias of a torch GRU (gates r, z, n) in ONNX's order (z, r, n)."""
    reset, update, new = np.split(as_array(values), 3)
    return np.concatenate([update, reset, new])


def gru_biases(graph: Graph, gru: nn.GRU) -> str:
    """Those of the inputs, then those of the units, as ONNX's GRU takes them: ``[1, 6 * units]``."""
    return graph.joined_weights(reordered(gru.bias_ih_l0), reordered(gru.bias_hh_l0))


def gru_frames(graph: Graph, x: str, gru: nn.GRU, initial: str) -> tuple[str, str]:
    """One GRU over ``[frames, batch, inputs]`` from ``[1, batch, units]``.

    Returns:
        All outputs ``[frames, 1, batch, units]`` and the last of them, ``[1, batch, units]``.
    """
    weights = (graph.weight(reordered(values)[None]) for values in (gru.weight_ih_l0, gru.weight_hh_l0))
    biases = gru_biases(graph, gru)
    size = gru.hidden_size
    every, last = graph.add_many("GRU", x, *weights, biases, "", initial, outputs=2, hidden_size=size, linear_before_reset=1)
    return every, last
