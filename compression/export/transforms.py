"""The transforms of a network in its ONNX graph: spectra of windowed frames, and frames of spectra.

They are products with matrices of cosines and sines that the graph computes from two ranges when the session is made, so
they cost a few bytes. Samples n and N - n of a frame of N have the same window, the same cosines and opposite sines:
cosines see only their sums, sines only their differences, so that each matrix has half a frame's rows.
"""

from __future__ import annotations

import math

import numpy as np

from compression.export.graph import Graph
from models.transform import Transform


class Transforms:
    """Both transforms, in a graph."""

    def __init__(self, graph: Graph, transform: Transform) -> None:
        self.graph, self.transform = graph, transform
        zero, one = graph.constant(0, np.int64), graph.constant(1, np.int64)
        self.time = graph.reshape(graph.add("Range", zero, graph.constant(transform.hop + 1, np.int64), one), -1, 1)
        self.bins = graph.add("Range", zero, graph.constant(transform.bins, np.int64), one)
        self.cosines, self.sines = self._waves()

    def _waves(self) -> tuple[str, str]:
        """Windowed cosines and negative sines, ``[hop + 1, bins]``, of samples 0 to ``hop``."""
        graph, window = self.graph, self.transform.window
        turns = graph.add("Mod", graph.add("Mul", self.time, self.bins), graph.constant(window, np.int64))
        phase = graph.add("Mul", graph.add("Cast", turns, to=1), graph.constant(2 * math.pi / window))
        taper = graph.add("Sin", graph.add("Mul", graph.add("Cast", self.time, to=1), graph.constant(math.pi / window)))
        cosines = graph.add("Mul", graph.add("Cos", phase), taper)
        return cosines, graph.add("Mul", graph.add("Neg", graph.add("Sin", phase)), taper)

    def _all_but(self, index: str, one: int, usual: float, other: float) -> str:
        """A number for each index, the same but for one of them."""
        graph = self.graph
        there = graph.add("Cast", graph.add("Equal", index, graph.constant(one, np.int64)), to=1)
        return graph.add("Sub", graph.constant(usual), graph.add("Mul", there, graph.constant(usual - other)))

    def analyse(self, audio: str, hops: str) -> str:
        """Spectra ``[frames, batch, 2, bins]``, real parts first, of ``[batch, samples]`` and the same in hops."""
        graph, hop = self.graph, self.transform.hop
        rising = graph.reshape(graph.slice(audio, 1, 1 - hop, 1), 0, -1, hop)  # sample 0 of a frame has the weight 0
        falling = graph.add("Slice", hops, *(graph.integers(*of) for of in ((1, -1), (2**31, -(2**31)), (1, 2), (1, -1))))
        counted = self._all_but(self.time, hop, 1, 0.5)  # the middle sample is added to itself
        cosines, sines = (graph.slice(waves, 1, 2**31, 0) for waves in (graph.add("Mul", self.cosines, counted), self.sines))
        real = graph.add("MatMul", graph.add("Add", rising, falling), cosines)
        imaginary = graph.add("MatMul", graph.add("Sub", rising, falling), sines)
        spectrum = graph.add("Transpose", graph.add("Concat", real, imaginary, axis=2), perm=[1, 0, 2])
        return graph.reshape(spectrum, 0, 0, 2, self.transform.bins)

    def synthesise(self, spectrum: str, overlap: str, name: str | None = None) -> tuple[str, str]:
        """Samples ``[batch, frames * hop]`` by overlap-add, and the second halves ``[batch, 1 + frames, 1, hop]`` used for it.

        The newest of these is the part still to be completed.

        Args:
            spectrum: As from ``analyse``.
            overlap: That part of the frames before.
            name: Of the samples.
        """
        graph, hop = self.graph, self.transform.hop
        first, second = self._halves(spectrum)
        tails = graph.add("Concat", graph.reshape(overlap, 0, 1, 1, hop), second, axis=1)
        summed = graph.add("Add", first, graph.slice(tails, 0, -1, 1))
        return graph.add("Reshape", summed, graph.integers(0, -1), name=name), tails

    def _halves(self, spectrum: str) -> tuple[str, str]:
        """First and second halves, ``[batch, frames, 1, hop]``, of the windowed frames of spectra."""
        graph, window = self.graph, self.transform.window
        scale = self._all_but(self.bins, 0, 2 / window, 1 / window)  # the bin at 0 Hz counts once, the others twice
        waves = (graph.add("Transpose", graph.add("Mul", waves, scale), perm=[1, 0]) for waves in (self.cosines, self.sines))
        parts = graph.add_many("Split", spectrum, graph.integers(1, 1), outputs=2, axis=2)
        even, odd = (graph.add("MatMul", part, wave) for part, wave in zip(parts, waves, strict=True))
        first = graph.slice(graph.add("Add", even, odd), 0, -1, 3)
        second = graph.add("Slice", graph.add("Sub", even, odd), *(graph.integers(at) for at in (-1, 0, 3, -1)))
        first, second = (graph.add("Transpose", half, perm=[1, 0, 2, 3]) for half in (first, second))
        return first, second
