"""``fcn`` as an ONNX graph: a convolution a layer, each layer's last inputs in the state."""

from __future__ import annotations

from torch import nn

from compression.export.adaptation import AdaptationGraph
from compression.export.gate import let_through
from compression.export.graph import Graph, as_array
from compression.export.memory import remember
from models.fcn import INPUT_SCALE, SLOPE, TAPS, Fcn

BLOCK = 16  # channels that ONNX Runtime's blocked convolutions work on at once with AVX-512
MOST_BLOCKED = 1.15  # times as many channels are as fast in blocks


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
    levelled, x = x, graph.add("Unsqueeze", x, graph.integers(1, 2))
    for index, conv in enumerate(network.convs):
        name = f"layer{index}"
        x = graph.add("Concat", graph.reshape(parts[name], 0, conv.in_channels, 1, TAPS - 1), x, axis=3)
        following[name] = graph.reshape(graph.slice(x, 1 - TAPS, 2**31, 3), 0, -1)
        x = _convolve(graph, x, conv)
        if index == len(network.norms):
            break
        if index == 0 and adapted is not None:
            controls = adapted.listen(x)
        if controls:
            gain, shift = controls[index]
            x = graph.add("Add", graph.add("Mul", x, gain), shift)
        x = graph.add("LeakyRelu", x, alpha=SLOPE)
    x = graph.add("Tanh", x)
    enhanced = graph.add("Squeeze", x, graph.integers(1, 2))
    if adapted is not None:
        enhanced = graph.add("Mul", enhanced, adapted.former_level)
        following |= adapted.following
        if network.memory is not None and network.gate is not None:
            remembered, of_memory = remember(network.memory, graph, parts, levelled, adapted.units)
            passed, of_gate = let_through(network.gate, graph, parts, "audio", remembered)
            enhanced, following = graph.add("Add", enhanced, passed), following | of_memory | of_gate
    graph.add("Identity", enhanced, name="enhanced")
    graph.add("Concat", *(following[name] for name in sizes), axis=1, name="next_state")


def _convolve(graph: Graph, x: str, conv: nn.Conv1d) -> str:
    """A convolution of ``[batch, channels, 1, samples]``, with channels of zeros where more of them are faster."""
    weight, bias = graph.weight(as_array(conv.weight)[:, :, None]), graph.weight(as_array(conv.bias))
    more_inputs, more_outputs = (_blocked(count) - count for count in (conv.in_channels, conv.out_channels))
    if more_inputs:
        x = graph.add("Pad", x, graph.integers(0, 0, 0, 0, 0, more_inputs, 0, 0))
    if more_inputs or more_outputs:
        weight = graph.add("Pad", weight, graph.integers(0, 0, 0, 0, more_outputs, more_inputs, 0, 0))
    if more_outputs:
        bias = graph.add("Pad", bias, graph.integers(0, more_outputs))
    x = graph.add("Conv", x, weight, bias, kernel_shape=[1, TAPS])
    return graph.slice(x, 0, conv.out_channels, 1) if more_outputs else x


def _blocked(channels: int) -> int:
    """The next multiple of a block where that is nearly as many."""
    whole = -(-channels // BLOCK) * BLOCK
    return whole if channels * MOST_BLOCKED >= whole else channels
