"""``fcn`` as an ONNX graph: a convolution a layer, each layer's last inputs in the state."""

from __future__ import annotations

from compression.export_adaptation import AdaptationGraph
from compression.graph import Graph, as_array
from models.fcn import INPUT_SCALE, SLOPE, TAPS, Fcn


def write_fcn(network: Fcn, graph: Graph) -> None:
    """Write a network with its normalisation folded into a graph, from ``audio``, ``state`` to ``enhanced``, ``next_state``."""
    sizes = network.state_sizes
    split = graph.add_many("Split", "state", graph.integers(*sizes.values()), outputs=len(sizes), axis=1)
    parts = dict(zip(sizes, split, strict=True))
    following, controls, adapted = {}, list[tuple[str, str]](), None
    x = graph.add("Mul", "audio", graph.constant(INPUT_SCALE))
    if network.adaptation is not None:
        adapted = AdaptationGraph(network.adaptation, graph, parts)
        adapted.hear("audio")
        x = graph.add("Div", x, adapted.level)
    levelled, x = x, graph.add("Unsqueeze", x, graph.integers(1))
    for index, conv in enumerate(network.convs):
        name = f"layer{index}"
        x = graph.add("Concat", graph.reshape(parts[name], 0, conv.in_channels, TAPS - 1), x, axis=2)
        following[name] = graph.reshape(graph.slice(x, 1 - TAPS, 2**31, 2), 0, -1)
        x = graph.add("Conv", x, graph.weight(as_array(conv.weight)), graph.weight(as_array(conv.bias)))
        if index == len(network.norms):
            break
        if index == 0 and adapted is not None:
            controls = adapted.listen(levelled, x)
        if controls:
            gain, shift = controls[index]
            x = graph.add("Add", graph.add("Mul", x, gain), shift)
        x = graph.add("LeakyRelu", x, alpha=SLOPE)
    x = graph.add("Tanh", x)
    if adapted is None:
        graph.add("Squeeze", x, graph.integers(1), name="enhanced")
    else:
        graph.add("Mul", graph.add("Squeeze", x, graph.integers(1)), adapted.former_level, name="enhanced")
        following |= adapted.following
    graph.add("Concat", *(following[name] for name in sizes), axis=1, name="next_state")
