"""The gate of an ``fcn`` in its ONNX graph: spectra, gains of bands spread over bins by formulas, and signals again."""

from __future__ import annotations

import math

from compression.export.graph import Graph, as_array
from compression.export.memory import shifted_frequencies
from compression.export.transforms import Transforms
from models.gate import Gate
from models.mel import CORNER
from models.memory import BANDS, RATE, RISE


def let_through(module: Gate, graph: Graph, parts: dict[str, str], audio: str, remembered: str) -> tuple[str, dict[str, str]]:
    """Write a gate: what it lets through, ``[batch, samples]``, and its parts of the next state.

    Args:
        module: It.
        graph: Where to.
        parts: Names of its parts of the state.
        audio: ``[batch, samples]``.
        remembered: After each hop, ``[batch, hops, units]``.
    """
    transforms, hop = Transforms(graph, module.transform), module.transform.hop
    heard = graph.add("Concat", parts["history"], audio, axis=1)
    hops = graph.reshape(heard, 0, -1, hop)
    gains = graph.add("MatMul", remembered, graph.weight(as_array(module.gains.weight).T))
    gains = graph.add("Sigmoid", graph.add("Add", gains, graph.weight(as_array(module.gains.bias))))
    gains = graph.add("Mul", gains, graph.weight(as_array(module.shares)))
    mask = graph.add("Transpose", graph.add("MatMul", gains, _spread(graph, module.transform.bins)), perm=[1, 0, 2])
    masked = graph.add("Mul", transforms.analyse(heard, hops), graph.add("Unsqueeze", mask, graph.integers(2)))
    passed, tails = transforms.synthesise(masked, parts["overlap"])
    overlap = graph.newest(tails)
    passed = graph.add("Concat", parts["waiting"], passed, axis=1)
    following = {
        "history": graph.newest(hops),
        "overlap": overlap,
        "waiting": graph.slice(passed, -module.late, 2**31, 1),
    }
    return graph.slice(passed, 0, -module.late, 1), following


def _spread(graph: Graph, bins: int) -> str:
    """``models.gate.spread``, computed when the graph is loaded."""
    lower = graph.slice(shifted_frequencies(graph), 0, BANDS - 1, 0)
    shifted = graph.range(CORNER, CORNER + RATE / 2, RATE / 2 / bins)
    above = graph.add("Sub", graph.add("Div", shifted, lower), graph.constant(1.0))
    rise = graph.add("Div", above, graph.constant(math.expm1(RISE)))
    rise = graph.add("Clip", rise, graph.constant(0.0), graph.constant(1.0))
    whole = graph.add("Pad", rise, graph.integers(1, 0, 0, 0), graph.constant(1.0))
    return graph.add("Sub", whole, graph.add("Pad", rise, graph.integers(0, 0, 1, 0)))
