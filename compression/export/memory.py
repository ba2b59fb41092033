"""The memory of an ``fcn`` in its ONNX graph: probes made by formulas, which cost no bytes, and a GRU."""

from __future__ import annotations

import math
from typing import Any

from compression.export.graph import Graph
from compression.export.gru import gru_frames
from models.mel import CORNER
from models.memory import BANDS, FLOOR, LOWEST, RATE, RISE, WINDOW, Memory


def remember(module: Memory, graph: Graph, parts: dict[str, str], audio: str, known: str) -> tuple[str, dict[str, str]]:
    """Write a memory: what is remembered after each hop, ``[batch, hops, units]``, and its parts of the next state.

    Args:
        module: It.
        graph: Where to.
        parts: Names of its parts of the state.
        audio: Divided by its level, ``[batch, samples]``.
        known: Further values after each hop, ``[batch, hops, inputs]``.
    """
    audio = graph.add("Concat", parts["heard"], audio, axis=1)
    bands = _hear(graph, audio, module.hop)
    heard = graph.add("Concat", bands, graph.add("Transpose", known, perm=[1, 0, 2]), axis=2)
    before = graph.add("Unsqueeze", parts["memory"], graph.integers(0))
    every, last = gru_frames(graph, heard, module.gru, before)
    following = {"heard": graph.slice(audio, module.hop - WINDOW, 2**31, 1), "memory": graph.reshape(last, -1, module.units)}
    return graph.add("Transpose", graph.add("Squeeze", every, graph.integers(1)), perm=[1, 0, 2]), following


def _hear(graph: Graph, audio: str, hop: int) -> str:
    """Logarithms of the bands' levels, ``[hops, batch, BANDS]``."""
    window: dict[str, Any] = {"kernel_shape": [WINDOW], "strides": [hop]}
    parts = graph.add("Conv", graph.add("Unsqueeze", audio, graph.integers(1)), _probes(graph), **window)
    squares = graph.reshape(graph.add("Mul", parts, parts), 0, 2, BANDS, -1)
    power = graph.add("ReduceSum", squares, graph.integers(1), keepdims=0)
    level = graph.add("Log", graph.add("Max", power, graph.constant(FLOOR**2)))
    return graph.add("Transpose", _times(graph, level, 0.5), perm=[2, 0, 1])


def shifted_frequencies(graph: Graph) -> str:
    """``models.memory.frequencies`` and the corner of the mel scale, ``[BANDS, 1]``."""
    number = graph.add("Unsqueeze", graph.range(0, BANDS, 1), graph.integers(1))
    return _times(graph, graph.add("Exp", _times(graph, number, RISE)), LOWEST + CORNER)


def _probes(graph: Graph) -> str:
    """``models.memory.probes``, computed when the graph is loaded."""
    shifted = shifted_frequencies(graph)
    age = graph.range(WINDOW - 0.5, 0, -1)
    length = graph.add("Min", graph.add("Div", graph.constant(2 * RATE / RISE), shifted), graph.constant(float(WINDOW)))
    share = graph.add("Min", graph.add("Div", age, length), graph.constant(1.0))
    window = graph.add("Sub", graph.constant(1.0), graph.add("Cos", _times(graph, share, 2 * math.pi)))
    window = graph.add("Div", window, graph.add("Sqrt", _times(graph, length, 1.5)))
    phase = _times(graph, graph.add("Mul", age, graph.add("Sub", shifted, graph.constant(CORNER))), 2 * math.pi / RATE)
    waves = (graph.add("Mul", window, graph.add(wave, phase)) for wave in ("Cos", "Sin"))
    return graph.add("Unsqueeze", graph.add("Concat", *waves, axis=0), graph.integers(1))


def _times(graph: Graph, x: str, factor: float) -> str:
    return graph.add("Mul", x, graph.constant(factor))
