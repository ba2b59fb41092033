"""``fcn`` as an ONNX graph: a convolution a layer, normalisation folded in, each layer's last inputs in the state."""

from __future__ import annotations

import numpy as np

from compression.export_crn import as_array
from compression.graph import Graph
from models.fcn import INPUT_SCALE, TAPS, Fcn


def write_fcn(network: Fcn, graph: Graph) -> None:
    """Write the whole network into a graph, from ``audio`` and ``state`` to ``enhanced`` and ``next_state``."""
    sizes = list(network.state_sizes.values())
    memories = graph.add_many("Split", "state", graph.integers(*sizes), outputs=len(sizes), axis=1)
    x = graph.add("Unsqueeze", graph.add("Mul", "audio", graph.constant(INPUT_SCALE)), graph.integers(1))
    following = []
    for index, (conv, memory) in enumerate(zip(network.convs, memories, strict=True)):
        weight, bias = as_array(conv.weight), as_array(conv.bias)
        if index < len(network.norms):
            norm = network.norms[index]
            scale = as_array(norm.weight) / np.sqrt(as_array(norm.running_var) + norm.eps)
            bias = (bias - as_array(norm.running_mean)) * scale + as_array(norm.bias)
            weight = weight * scale[:, None, None]
        x = graph.add("Concat", graph.reshape(memory, 0, conv.in_channels, TAPS - 1), x, axis=2)
        following.append(graph.reshape(graph.slice(x, 1 - TAPS, 2**31, 2), 0, -1))
        x = graph.add("Conv", x, graph.weight(weight), graph.weight(bias))
        x = graph.add("LeakyRelu", x, alpha=0.3) if index < len(network.norms) else graph.add("Tanh", x)
    graph.add("Squeeze", x, graph.integers(1), name="enhanced")
    graph.add("Concat", *following, axis=1, name="next_state")
