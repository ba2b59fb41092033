"""``fcn`` as an ONNX graph: a convolution a layer, each layer's last inputs in the state."""

from __future__ import annotations

from compression.export_crn import as_array
from compression.graph import Graph
from models.fcn import INPUT_SCALE, TAPS, Fcn


def write_fcn(network: Fcn, graph: Graph) -> None:
    """Write a network with its normalisation folded into a graph, from ``audio``, ``state`` to ``enhanced``, ``next_state``."""
    sizes = list(network.state_sizes.values())
    memories = graph.add_many("Split", "state", graph.integers(*sizes), outputs=len(sizes), axis=1)
    x = graph.add("Unsqueeze", graph.add("Mul", "audio", graph.constant(INPUT_SCALE)), graph.integers(1))
    following = []
    for index, (conv, memory) in enumerate(zip(network.convs, memories, strict=True)):
        x = graph.add("Concat", graph.reshape(memory, 0, conv.in_channels, TAPS - 1), x, axis=2)
        following.append(graph.reshape(graph.slice(x, 1 - TAPS, 2**31, 2), 0, -1))
        x = graph.add("Conv", x, graph.weight(as_array(conv.weight)), graph.weight(as_array(conv.bias)))
        x = graph.add("LeakyRelu", x, alpha=0.3) if index < len(network.norms) else graph.add("Tanh", x)
    graph.add("Squeeze", x, graph.integers(1), name="enhanced")
    graph.add("Concat", *following, axis=1, name="next_state")
