"""The memory of an ``fcn`` in its ONNX graph: probes made by formulas, which cost no bytes, and a GRU."""

from __future__ import annotations

import math
from typing import Any

from compression.export_gru import gru_frames
from compression.graph import Graph
from models.memory import BANDS, FLOOR, HIGHEST, LOWEST, RATE, WINDOW, Memory


class MemoryGraph:
    """Writes one memory into a graph: ``recall``, and then ``following`` has its part of the next state.

    Args:
        module: It.
        graph: Where to.
        parts: Names of its parts of the state.
    """

    def __init__(self, module: Memory, graph: Graph, parts: dict[str, str]) -> None:
        self.module, self.graph, self.parts = module, graph, parts
        self.following: dict[str, str] = {}

    def recall(self, audio: str, known: str) -> str:
        """What is remembered at the bounds of hops, ``[batch, 1 + hops, units]``.

        Args:
            audio: Divided by its level, ``[batch, samples]``.
            known: Further values after each hop, ``[batch, hops, inputs]``.
        """
        graph = self.graph
        audio = graph.add("Concat", self.parts["heard"], audio, axis=1)
        heard = graph.add("Concat", self._hear(audio), graph.add("Transpose", known, perm=[1, 0, 2]), axis=2)
        before = graph.add("Unsqueeze", self.parts["memory"], graph.integers(0))
        every, last = gru_frames(graph, heard, self.module.gru, before)
        self.following = {
            "heard": graph.slice(audio, self.module.hop - WINDOW, 2**31, 1),
            "memory": graph.reshape(last, -1, self.module.units),
        }
        remembered = graph.add("Concat", before, graph.add("Squeeze", every, graph.integers(1)), axis=0)
        return graph.add("Transpose", remembered, perm=[1, 0, 2])

    def _hear(self, audio: str) -> str:
        """Logarithms of the bands' levels, ``[hops, batch, BANDS]``."""
        graph = self.graph
        window: dict[str, Any] = {"kernel_shape": [WINDOW], "strides": [self.module.hop]}
        parts = graph.add("Conv", graph.add("Unsqueeze", audio, graph.integers(1)), self._probes(), **window)
        squares = graph.reshape(graph.add("Mul", parts, parts), 0, 2, BANDS, -1)
        power = graph.add("ReduceSum", squares, graph.integers(1), keepdims=0)
        level = graph.add("Log", graph.add("Max", power, graph.constant(FLOOR**2)))
        return graph.add("Transpose", self._times(level, 0.5), perm=[2, 0, 1])

    def _probes(self) -> str:
        """``models.memory.probes``, computed when the graph is loaded."""
        graph, lowest, highest = self.graph, LOWEST + 700, HIGHEST + 700
        number = graph.add("Unsqueeze", self._range(0, BANDS, 1), graph.integers(1))
        rise = math.log(highest / lowest) / (BANDS - 1)
        shifted = self._times(graph.add("Exp", self._times(number, rise)), lowest)  # frequency + 700 Hz
        age = self._range(WINDOW - 0.5, 0, -1)
        length = graph.add("Min", graph.add("Div", graph.constant(2 * RATE / rise), shifted), graph.constant(float(WINDOW)))
        share = graph.add("Min", graph.add("Div", age, length), graph.constant(1.0))
        window = graph.add("Sub", graph.constant(1.0), graph.add("Cos", self._times(share, 2 * math.pi)))
        window = graph.add("Div", window, graph.add("Sqrt", self._times(length, 1.5)))
        phase = self._times(graph.add("Mul", age, graph.add("Sub", shifted, graph.constant(700.0))), 2 * math.pi / RATE)
        waves = (graph.add("Mul", window, graph.add(wave, phase)) for wave in ("Cos", "Sin"))
        return graph.add("Unsqueeze", graph.add("Concat", *waves, axis=0), graph.integers(1))

    def _range(self, start: float, end: float, step: float) -> str:
        return self.graph.add("Range", *(self.graph.constant(float(value)) for value in (start, end, step)))

    def _times(self, x: str, factor: float) -> str:
        return self.graph.add("Mul", x, self.graph.constant(factor))
