"""``crn`` as an ONNX graph: audio in, audio out, transforms included.

The transforms are products with cosine matrices that the graph computes from two ranges when the session is made, so
they cost a few bytes. Convolutions along frequency become matrix products over neighbouring bands. All tensors are
``[frames, batch, bands, channels]``.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from compression.graph import Graph
from models.crn import COMPRESSION, EPSILON, Crn, DecoderLayer, FrequencyConv, FullbandLayer, SubbandLayer

Array = npt.NDArray[np.float32]


def as_array(tensor: object) -> Array:
    """A parameter or buffer as float32."""
    assert isinstance(tensor, Tensor)
    return np.asarray(tensor.detach().cpu().numpy(), dtype=np.float32)


def fold(weight: Array, norm: nn.BatchNorm1d) -> tuple[Array, Array]:
    """Put a normalisation into the layer before it; ``weight`` is ``[inputs, outputs]``, outputs in whole channel groups."""
    scale = as_array(norm.weight) / np.sqrt(as_array(norm.running_var) + norm.eps)
    shift = as_array(norm.bias) - as_array(norm.running_mean) * scale
    repeats = weight.shape[1] // len(scale)
    return weight * np.tile(scale, repeats), np.tile(shift, repeats)


def conv_matrix(conv: FrequencyConv) -> Array:
    """A convolution's weight as ``[taps * inputs, outputs]``."""
    return as_array(conv.weight)[:, :, 0, :].transpose(2, 1, 0).reshape(-1, conv.out_channels)


def gru_constants(graph: Graph, gru: nn.GRU) -> tuple[str, str, str]:
    """Weights of a torch GRU (gates r, z, n) in ONNX's order (z, r, n)."""

    def reorder(values: Array) -> Array:
        reset, update, new = np.split(values, 3)
        return np.concatenate([update, reset, new])

    return (
        graph.weight(reorder(as_array(gru.weight_ih_l0))[None]),
        graph.weight(reorder(as_array(gru.weight_hh_l0))[None]),
        graph.joined_weights(reorder(as_array(gru.bias_ih_l0)), reorder(as_array(gru.bias_hh_l0))),
    )


class CrnGraph:
    """Writes one network into a graph."""

    def __init__(self, network: Crn, graph: Graph) -> None:
        self.network, self.graph = network, graph

    def write(self) -> None:
        """The whole network, from ``audio`` and ``state`` to ``enhanced`` and ``next_state``."""
        graph, network = self.graph, self.network
        sizes = list(network.state_sizes.values())
        history, overlap, *hidden = graph.add_many("Split", "state", graph.integers(*sizes), outputs=len(sizes), axis=1)
        analysis, synthesis = self._transforms()
        audio = graph.add("Concat", history, "audio", axis=1)
        hops = graph.reshape(audio, 0, -1, network.hop)
        frames = graph.add("Concat", graph.slice(hops, 0, -1, 1), graph.slice(hops, 1, 2**31, 1), axis=2)
        frames = graph.add("Transpose", frames, perm=[1, 0, 2])
        spectrum = graph.reshape(graph.add("MatMul", frames, analysis), 0, 0, network.bins, 2)
        masked, hidden = self._mask(spectrum, hidden)
        frames = graph.add(
            "Transpose", graph.add("MatMul", graph.reshape(masked, 0, 0, 2 * network.bins), synthesis), perm=[1, 0, 2]
        )
        first, second = graph.add_many("Split", frames, graph.integers(network.hop, network.hop), outputs=2, axis=2)
        tails = graph.add("Concat", graph.reshape(overlap, 0, 1, network.hop), second, axis=1)
        summed = graph.add("Add", first, graph.slice(tails, 0, -1, 1))
        graph.add("Reshape", summed, graph.integers(0, -1), name="enhanced")
        last_hop = graph.reshape(graph.slice(hops, -1, 2**31, 1), 0, -1)
        last_tail = graph.reshape(graph.slice(tails, -1, 2**31, 1), 0, -1)
        graph.add("Concat", last_hop, last_tail, *hidden, axis=1, name="next_state")

    def _transforms(self) -> tuple[str, str]:
        """Matrices ``[window, 2 * bins]`` and ``[2 * bins, window]``, both windowed, columns real and imaginary by turns."""
        graph, window, bins = self.graph, self.network.window, self.network.bins
        zero, one = graph.constant(0, np.int64), graph.constant(1, np.int64)
        time = graph.reshape(graph.add("Range", zero, graph.constant(window, np.int64), one), -1, 1)
        bin_ = graph.add("Range", zero, graph.constant(bins, np.int64), one)
        step = graph.constant(2 * math.pi / window)
        turns = graph.add("Mod", graph.add("Mul", time, bin_), graph.constant(window, np.int64))
        phase = graph.reshape(graph.add("Mul", graph.add("Cast", turns, to=1), step), 0, -1, 1)
        waves = graph.add("Concat", graph.add("Cos", phase), graph.add("Neg", graph.add("Sin", phase)), axis=2)
        half = graph.add("Mul", graph.add("Cast", time, to=1), graph.constant(math.pi / window))
        analysis = graph.add("Mul", graph.reshape(waves, 0, -1), graph.add("Sin", half))
        weights = np.full((2, 1), 2 / window)
        scale = graph.add(
            "Concat",
            graph.constant(weights / 2),
            graph.add("Expand", graph.constant([[2 / window]]), graph.integers(2 * bins - 2, 1)),
            axis=0,
        )
        return analysis, graph.add("Mul", graph.add("Transpose", analysis, perm=[1, 0]), scale)

    def _power(self, log_power: str, exponent: float) -> str:
        return self.graph.add("Exp", self.graph.add("Mul", log_power, self.graph.constant(exponent)))

    def _log_power(self, spectrum: str) -> str:
        power = self.graph.add("ReduceSumSquare", spectrum, axes=[3], keepdims=1)
        return self.graph.add("Log", self.graph.add("Add", power, self.graph.constant(EPSILON)))

    def _mask(self, spectrum: str, hidden: list[str]) -> tuple[str, list[str]]:
        graph = self.graph
        level = self._log_power(spectrum)
        compressed = graph.add("Mul", spectrum, self._power(level, (COMPRESSION - 1) / 2))
        features = graph.add("Concat", compressed, self._power(level, COMPRESSION / 2), axis=3)
        mask, hidden = self._network(features, hidden)
        halves = graph.integers(1, 1)
        real, imaginary = graph.add_many("Split", compressed, halves, outputs=2, axis=3)
        mask_real, mask_imaginary = graph.add_many("Split", mask, halves, outputs=2, axis=3)
        turned = graph.add("Concat", graph.add("Neg", imaginary), real, axis=3)
        masked = graph.add("Add", graph.add("Mul", compressed, mask_real), graph.add("Mul", turned, mask_imaginary))
        exponent = (1 / COMPRESSION - 1) / 2
        return graph.add("Mul", masked, self._power(self._log_power(masked), exponent)), hidden

    def _network(self, x: str, hidden: list[str]) -> tuple[str, list[str]]:
        graph, network, config = self.graph, self.network, self.network.config
        high, low, blocks = 2 * network.bands, network.bands, len(config.subband_units)
        x = graph.silu(graph.linear(self._group(x, high, 3, 4), *fold(conv_matrix(network.entry), network.entry_norm)))
        skips = []
        for conv, norm in zip(network.encoder, network.encoder_norms, strict=True):
            x = graph.add("Add", x, self._convolve(x, conv, norm))
            skips.append(x)
        x = graph.linear(self._group(x, low, config.channels, 2), *fold(conv_matrix(network.down), network.down_norm))
        following = [""] * len(hidden)
        for index in range(blocks):
            x, following[index] = self._subband(x, network.subband[index], hidden[index])
            x, following[blocks + index] = self._fullband(x, network.fullband[index], hidden[blocks + index])
        x = graph.linear(x, *fold(as_array(network.up.weight).T, network.up_norm))
        x = graph.reshape(x, 0, 0, high, config.channels)
        for layer in network.decoder:
            x = self._decode(x, layer, skips.pop())
        mask = graph.linear(self._neighbours(x), conv_matrix(network.mask), as_array(network.mask.bias))
        return graph.reshape(mask, 0, 0, network.bins, 2), following

    def _pad_bands(self, x: str) -> str:
        return self.graph.add("Pad", x, self.graph.integers(0, 0, 1, 0, 0, 0, 1, 0))

    def _group(self, x: str, bands: int, channels: int, stride: int) -> str:
        """For every ``stride`` bands the ``2 * stride`` around them, zeros past the ends: ``[..., 2 * stride * channels]``."""
        graph, half = self.graph, stride // 2
        x = graph.add("Pad", x, graph.integers(0, 0, half, 0, 0, 0, half, 0))
        groups = graph.reshape(x, 0, 0, bands + 1, stride * channels)
        return graph.add("Concat", graph.slice(groups, 0, -1, 2), graph.slice(groups, 1, 2**31, 2), axis=3)

    def _neighbours(self, x: str) -> str:
        """Every band with the ones below and above it: ``[..., bands, 3 * channels]``."""
        graph, x = self.graph, self._pad_bands(x)
        views = [graph.slice(x, 0, -2, 2), graph.slice(x, 1, -1, 2), graph.slice(x, 2, 2**31, 2)]
        return graph.add("Concat", *views, axis=3)

    def _convolve(self, x: str, conv: FrequencyConv, norm: nn.BatchNorm1d) -> str:
        return self.graph.silu(self.graph.linear(self._neighbours(x), *fold(conv_matrix(conv), norm)))

    def _gru(self, x: str, gru: nn.GRU, initial: str) -> tuple[str, str]:
        inputs = (x, *gru_constants(self.graph, gru), "", initial)
        y, last = self.graph.add_many("GRU", *inputs, outputs=2, hidden_size=gru.hidden_size, linear_before_reset=1)
        return y, last

    def _subband(self, x: str, layer: SubbandLayer, hidden: str) -> tuple[str, str]:
        graph, bands, units = self.graph, self.network.bands, layer.gru.hidden_size
        channels = layer.gru.input_size
        y, last = self._gru(graph.reshape(x, 0, -1, channels), layer.gru, graph.reshape(hidden, 1, -1, units))
        y = graph.linear(graph.add("Squeeze", y, graph.integers(1)), *fold(as_array(layer.project.weight).T, layer.norm))
        rows = graph.reshape(last, -1, bands * units)
        return graph.add("Add", x, graph.add("Reshape", y, graph.add("Shape", x))), rows

    def _fullband(self, x: str, layer: FullbandLayer, hidden: str) -> tuple[str, str]:
        graph, bands, units = self.graph, self.network.bands, layer.gru.hidden_size
        y = graph.linear(graph.reshape(x, 0, 0, -1), as_array(layer.reduce.weight).T, as_array(layer.reduce.bias))
        z, last = self._gru(y, layer.gru, graph.add("Unsqueeze", hidden, graph.integers(0)))
        y = graph.add("Add", y, graph.add("Squeeze", z, graph.integers(1)))
        y = graph.linear(y, as_array(layer.expand.weight).T, as_array(layer.expand.bias))
        y = graph.reshape(y, 0, 0, bands, -1)
        return graph.add("Add", x, y), graph.reshape(last, -1, units)

    def _decode(self, x: str, layer: DecoderLayer, skip: str) -> str:
        joined = self.graph.add("Concat", x, skip, axis=3)
        y = self.graph.linear(joined, *fold(as_array(layer.join.weight).T, layer.join_norm))
        return self.graph.add("Add", x, self._convolve(y, layer.conv, layer.conv_norm))
