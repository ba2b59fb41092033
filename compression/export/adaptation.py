"""The adaptation of an ``fcn`` in its ONNX graph: levels, running means, and factors and shifts of its filters.

Everything has the hops as an axis, so that a run may have any number of them: what each running mean takes of each hop is
a triangular table, and a mean over all hops one product with it.
"""

from __future__ import annotations

import numpy as np

from compression.export.graph import Graph, as_array
from models.adaptation import FAINTEST, FIRST, LONGEST, MEANS, ONSET, RATES, REFERENCE, SILENCE, Adaptation


class AdaptationGraph:
    """Writes one adaptation into a graph: ``hear``, ``listen``, and then ``following`` has its part of the next state.

    ``units`` are then those that the controls come from, after each hop, ``[batch, hops, units]``.

    Args:
        module: It.
        graph: Where to.
        parts: Names of its parts of the state.
    """

    def __init__(self, module: Adaptation, graph: Graph, parts: dict[str, str]) -> None:
        self.module, self.graph, self.parts = module, graph, parts
        self.following: dict[str, str] = {}
        self.ramps = self._ramps()

    def _ramps(self) -> str:
        """Shares ``[2, hop]`` of the bound before a sample and of that after it; computed, as numbers cost bytes."""
        graph, hop = self.graph, self.module.hop
        after = graph.add("Unsqueeze", graph.add("Mul", graph.range(1, hop + 1, 1), graph.constant(1 / hop)), graph.integers(0))
        return graph.add("Concat", graph.add("Sub", graph.constant(1.0), after), after, axis=0)

    def hear(self, audio: str) -> None:
        """Levels of ``[batch, samples]``: ``level`` is what the input is divided by, ``former_level`` goes with the output."""
        graph, parts = self.graph, self.parts
        self.loudness = self._rms(graph.reshape(audio, 0, -1, self.module.hop), REFERENCE)
        weight = graph.add("Div", self.loudness, graph.add("Add", self.loudness, graph.constant(SILENCE)))
        summed = graph.add("Add", parts["count"], graph.add("CumSum", weight, graph.constant(1, np.int64)))
        count = graph.add("Clip", summed, graph.constant(FIRST), graph.constant(LONGEST))
        self._tabulate(weight, count)
        means = self._means(graph.reshape(parts["loudness"], 0, MEANS, 1, 1), graph.reshape(self.loudness, 0, 1, -1, 1))
        slow, *_, quick = graph.add_many("Split", means, graph.integers(*[1] * MEANS), outputs=MEANS, axis=1)
        loudest = graph.add("Max", slow, graph.add("Mul", quick, graph.constant(ONSET)))
        self.ends = graph.reshape(graph.add("Clip", loudest, graph.constant(FAINTEST)), 0, -1)
        bounds = graph.add("Concat", parts["bounds"], self.ends, axis=1)
        levels = graph.reshape(self._between(bounds), 0, -1)
        past, delay = self.module.state_sizes["bounds"], self.module.delay
        start = (past - 1) * self.module.hop
        self.level = graph.slice(levels, start, 2**31, 1)
        weights = graph.add("Concat", parts["weights"], weight, axis=1)
        later = graph.add("Concat", graph.slice(weights, 1, 2**31, 1), graph.slice(weights, -1, 2**31, 1), axis=1)
        audible = graph.add("Max", weights, later)
        share = graph.add("Mul", audible, graph.add("Sub", graph.constant(2.0), audible))
        self.former_level = graph.slice(
            graph.add("Mul", levels, graph.reshape(self._between(share), 0, -1)), start - delay, -delay, 1
        )
        last = graph.reshape(graph.slice(means, -1, 2**31, 2), 0, -1)
        self.following = {
            "count": graph.slice(count, -1, 2**31, 1),
            "loudness": last,
            "bounds": graph.slice(bounds, -past, 2**31, 1),
            "weights": graph.slice(weights, -past, 2**31, 1),
        }

    def listen(self, first: str) -> list[tuple[str, str]]:
        """Factor and shift ``[batch, filters, 1, samples]`` of each layer, from the first output."""
        graph, module = self.graph, self.module
        width = module.filters[0]
        level = graph.add("Log", graph.reshape(self.ends, 0, 1, -1, 1))
        rms = self._rms(graph.reshape(first, 0, width, -1, module.hop))
        bands = graph.add("Transpose", self._log(rms), perm=[0, 2, 1])
        heard = graph.add("Add", graph.add("Unsqueeze", bands, graph.integers(1)), level)
        means = self._means(graph.reshape(self.parts["bands"], 0, MEANS, 1, width), heard)
        self.following["bands"] = graph.reshape(graph.slice(means, -1, 2**31, 2), 0, -1)
        relative = graph.add("Transpose", graph.add("Sub", means, level), perm=[0, 2, 1, 3])
        loudness = graph.add("Sub", self._log(graph.reshape(self.loudness, 0, -1, 1)), graph.reshape(level, 0, -1, 1))
        inputs = graph.add("Concat", graph.reshape(relative, 0, -1, MEANS * width), loudness, axis=2)
        self.units = self._units(inputs)
        before = graph.add("Unsqueeze", self.parts["units"], graph.integers(1))
        return self._controls(graph.add("Concat", before, self.units, axis=1))

    def _units(self, inputs: str) -> str:
        """``[batch, hops, units]``."""
        graph, module = self.graph, self.module
        weight = graph.add(
            "Concat", graph.weight(as_array(module.bands.weight).T), graph.weight(as_array(module.loudness.weight).T), axis=0
        )
        summed = graph.add("Add", graph.add("MatMul", inputs, weight), graph.weight(as_array(module.bands.bias)))
        units = graph.add("Tanh", summed)
        self.following["units"] = graph.newest(units)
        return units

    def _controls(self, units: str) -> list[tuple[str, str]]:
        graph, module = self.graph, self.module
        weight = graph.add("Concat", *(graph.weight(as_array(control.weight).T) for control in module.controls), axis=1)
        bias = graph.joined_weights(*(as_array(control.bias) for control in module.controls))
        controls = graph.add("Add", graph.add("MatMul", units, weight), bias)
        sizes = graph.integers(*(width for width in module.filters for _ in range(2)))
        apart = graph.add_many("Split", controls, sizes, outputs=2 * len(module.filters), axis=2)
        gains = graph.add("Exp", graph.add("Concat", *apart[::2], axis=2))
        columns = graph.add("Transpose", graph.add("Concat", gains, *apart[1::2], axis=2), perm=[0, 2, 1])
        every = graph.reshape(self._between(columns), 0, 2 * sum(module.filters), 1, -1)
        sizes = graph.integers(*module.filters, *module.filters)
        found = graph.add_many("Split", every, sizes, outputs=2 * len(module.filters), axis=1)
        return list(zip(found[: len(module.filters)], found[len(module.filters) :], strict=True))

    def _rms(self, hops: str, over: float = 1.0) -> str:
        """Over the last axis, a hop."""
        length = self.graph.add("ReduceL2", hops, axes=[-1], keepdims=0)
        return self.graph.add("Mul", length, self.graph.constant(1 / (over * np.sqrt(self.module.hop))))

    def _log(self, levels: str) -> str:
        return self.graph.add("Log", self.graph.add("Max", levels, self.graph.constant(FAINTEST)))

    def _tabulate(self, weight: str, count: str) -> None:
        """What means keep of before, ``[batch, means, hops, 1]``, and take of each hop, ``[batch, means, hops, hops]``."""
        graph = self.graph
        one = graph.integers(1)
        quick = graph.add("Mul", graph.add("Unsqueeze", weight, one), graph.constant(np.reshape(RATES, (-1, 1))))
        rates = graph.add("Concat", graph.add("Unsqueeze", graph.add("Div", weight, count), one), quick, axis=1)
        logs = graph.add("CumSum", graph.add("Log", graph.add("Sub", graph.constant(1.0), rates)), graph.constant(2, np.int64))
        last, rows = graph.add("Unsqueeze", logs, graph.integers(3)), graph.integers(2)
        since = graph.add("Min", graph.add("Sub", last, graph.add("Unsqueeze", logs, rows)), graph.constant(0.0))
        shares = graph.add("Mul", graph.add("Exp", since), graph.add("Unsqueeze", rates, rows))
        self.kept, self.shares = graph.add("Exp", last), graph.add("Trilu", shares, upper=0)

    def _means(self, before: str, values: str) -> str:
        """``[batch, means, hops, channels]`` of values ``[batch, 1, hops, channels]``."""
        new = self.graph.add("MatMul", self.shares, values)
        return self.graph.add("Add", self.graph.add("Mul", self.kept, before), new)

    def _between(self, bounds: str) -> str:
        """``[..., bounds]`` to ``[..., hops, hop]``."""
        graph = self.graph
        ends = [graph.slice(bounds, 0, -1, -1), graph.slice(bounds, 1, 2**31, -1)]
        pairs = graph.add("Concat", *(graph.add("Unsqueeze", end, graph.integers(-1)) for end in ends), axis=-1)
        return graph.add("MatMul", pairs, self.ramps)
