"""``crn`` as an ONNX graph: audio in, audio out, transforms included.

The transforms are products with cosine matrices that the graph computes from two ranges when the session is made, so
they cost a few bytes. Values are laid out as the runtime is fastest with them: spectra and masks as planes
``[frames, batch, 2, bins]`` (element by element, only a long last dimension is fast), convolutions as images of one line
``[frames * batch, channels, 1, bands]``, the recurrent blocks as rows ``[frames * batch * bands, channels]``.
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


def bias_of(layer: nn.Module, norm: nn.BatchNorm1d) -> Array:
    """What is added after a layer of a folded network, for each of its outputs."""
    if isinstance(own := getattr(layer, "bias", None), Tensor):
        return as_array(own)
    shift = as_array(norm.bias)
    outputs = len(as_array(layer.weight))
    return np.tile(shift, outputs // len(shift))


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
    """Writes one network, with its normalisation folded, into a graph."""

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
        spectrum = graph.reshape(graph.add("MatMul", frames, analysis), 0, 0, 2, network.bins)
        masked, hidden = self._mask(spectrum, dict(zip(list(network.state_sizes)[2:], hidden, strict=True)))
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
        """Matrices ``[window, 2 * bins]`` and ``[2 * bins, window]``, both windowed, real columns first."""
        graph, window, bins = self.graph, self.network.window, self.network.bins
        zero, one = graph.constant(0, np.int64), graph.constant(1, np.int64)
        time = graph.reshape(graph.add("Range", zero, graph.constant(window, np.int64), one), -1, 1)
        bin_ = graph.add("Range", zero, graph.constant(bins, np.int64), one)
        step = graph.constant(2 * math.pi / window)
        turns = graph.add("Mod", graph.add("Mul", time, bin_), graph.constant(window, np.int64))
        phase = graph.add("Mul", graph.add("Cast", turns, to=1), step)
        waves = graph.add("Concat", graph.add("Cos", phase), graph.add("Neg", graph.add("Sin", phase)), axis=1)
        half = graph.add("Mul", graph.add("Cast", time, to=1), graph.constant(math.pi / window))
        analysis = graph.add("Mul", waves, graph.add("Sin", half))
        first = graph.add("Cast", graph.add("Equal", bin_, zero), to=1)  # the bin at 0 Hz counts once, the others twice
        scale = graph.add("Sub", graph.constant(2 / window), graph.add("Mul", first, graph.constant(1 / window)))
        scale = graph.reshape(graph.add("Concat", scale, scale, axis=0), -1, 1)
        return analysis, graph.add("Mul", graph.add("Transpose", analysis, perm=[1, 0]), scale)

    def _power(self, log_power: str, exponent: float) -> str:
        return self.graph.add("Exp", self.graph.add("Mul", log_power, self.graph.constant(exponent)))

    def _log_power(self, spectrum: str) -> str:
        power = self.graph.add("ReduceSumSquare", spectrum, axes=[2], keepdims=1)
        return self.graph.add("Log", self.graph.add("Add", power, self.graph.constant(EPSILON)))

    def _mask(self, spectrum: str, hidden: dict[str, str]) -> tuple[str, list[str]]:
        graph = self.graph
        level = self._log_power(spectrum)
        compressed = graph.add("Mul", spectrum, self._power(level, (COMPRESSION - 1) / 2))
        features = graph.add("Concat", compressed, self._power(level, COMPRESSION / 2), axis=2)
        mask, following = self._network(features, hidden)
        halves = graph.integers(1, 1)
        real, imaginary = graph.add_many("Split", compressed, halves, outputs=2, axis=2)
        mask_real, mask_imaginary = graph.add_many("Split", mask, halves, outputs=2, axis=2)
        turned = graph.add("Concat", graph.add("Neg", imaginary), real, axis=2)
        masked = graph.add("Add", graph.add("Mul", compressed, mask_real), graph.add("Mul", turned, mask_imaginary))
        exponent = (1 / COMPRESSION - 1) / 2
        return graph.add("Mul", masked, self._power(self._log_power(masked), exponent)), following

    def _network(self, x: str, hidden: dict[str, str]) -> tuple[str, list[str]]:
        """Planes ``[frames, batch, 3, bins]`` to mask planes ``[frames, batch, 2, bins]``, and the following states."""
        graph, network, config = self.graph, self.network, self.network.config
        wide = config.subband_channels
        frames = graph.add("Slice", graph.add("Shape", x), graph.integers(0), graph.integers(1))
        x = graph.reshape(x, -1, 3, 1, network.bins)
        x = graph.silu(self._convolve(x, network.entry, network.entry_norm))
        skips = []
        for conv, norm in zip(network.encoder, network.encoder_norms, strict=True):
            x = graph.add("Add", x, graph.silu(self._convolve(x, conv, norm)))
            skips.append(x)
        x = graph.add("Transpose", self._convolve(x, network.down, network.down_norm), perm=[0, 2, 3, 1])
        x = graph.reshape(x, -1, wide)
        following = {}
        for block in map(str, range(len(config.subband_units))):
            if block in network.subband:
                name = f"subband{block}"
                x, following[name] = self._subband(x, frames, network.subband[block], hidden[name])
            if block in network.fullband:
                name = f"fullband{block}"
                x, following[name] = self._fullband(x, frames, network.fullband[block], hidden[name])
        x = self._affine(x, network.up, network.up_norm)
        x = graph.add("Transpose", graph.reshape(x, -1, 1, 2 * network.bands, config.channels), perm=[0, 3, 1, 2])
        for layer in network.decoder:
            x = self._decode(x, layer, skips.pop())
        return self._exit(x, frames), [following[name] for name in hidden]

    def _exit(self, x: str, frames: str) -> str:
        """The mask as planes ``[frames, batch, 2, bins]``."""
        graph, mask, per_band = self.graph, self.network.mask, self.network.config.bins_per_band
        order = np.arange(2 * per_band).reshape(per_band, 2).T.ravel()  # of each band real values first, then imaginary ones
        x = graph.convolution(x, as_array(mask.weight)[order], as_array(mask.bias)[order], padding=1)
        planes = graph.add("Transpose", graph.reshape(x, -1, 2, per_band, 2 * self.network.bands), perm=[0, 1, 3, 2])
        return self._by_frame(planes, frames, 2, self.network.bins)

    def _by_frame(self, x: str, frames: str, *shape: int) -> str:
        """Frames and batch apart again: ``[frames, any, *shape]``."""
        graph = self.graph
        return graph.add("Reshape", x, graph.add("Concat", frames, graph.integers(-1, *shape), axis=0))

    def _convolve(self, x: str, conv: FrequencyConv, norm: nn.BatchNorm1d) -> str:
        """A convolution along the bands of ``[any, channels, 1, bands]``."""
        return self.graph.convolution(x, as_array(conv.weight), bias_of(conv, norm), conv.stride[1], int(conv.padding[1]))

    def _affine(self, x: str, layer: nn.Linear, norm: nn.BatchNorm1d) -> str:
        return self.graph.affine(x, as_array(layer.weight).T, bias_of(layer, norm))

    def _gru(self, x: str, gru: nn.GRU, initial: str) -> tuple[str, str]:
        inputs = (x, *gru_constants(self.graph, gru), "", initial)
        y, last = self.graph.add_many("GRU", *inputs, outputs=2, hidden_size=gru.hidden_size, linear_before_reset=1)
        return self.graph.reshape(y, -1, gru.hidden_size), last

    def _subband(self, x: str, frames: str, layer: SubbandLayer, hidden: str) -> tuple[str, str]:
        """``x`` is ``[any, channels]``, a row a sub-band of a frame."""
        graph, units = self.graph, layer.gru.hidden_size
        sequence = self._by_frame(x, frames, layer.gru.input_size)
        y, last = self._gru(sequence, layer.gru, graph.reshape(hidden, 1, -1, units))
        y = self._affine(y, layer.project, layer.norm)
        return graph.add("Add", x, y), graph.reshape(last, -1, self.network.bands * units)

    def _fullband(self, x: str, frames: str, layer: FullbandLayer, hidden: str) -> tuple[str, str]:
        """``x`` is ``[any, channels]``, a row a sub-band of a frame."""
        graph, units, wide = self.graph, layer.gru.hidden_size, self.network.config.subband_channels
        flat = graph.reshape(x, -1, self.network.bands * wide)
        y = self._affine(flat, layer.reduce, layer.reduce_norm)
        z, last = self._gru(self._by_frame(y, frames, units), layer.gru, graph.reshape(hidden, 1, -1, units))
        y = self._affine(graph.add("Add", y, z), layer.expand, layer.expand_norm)
        return graph.add("Add", x, graph.reshape(y, -1, wide)), graph.reshape(last, -1, units)

    def _decode(self, x: str, layer: DecoderLayer, skip: str) -> str:
        joined = self.graph.add("Concat", x, skip, axis=1)
        y = self.graph.convolution(joined, as_array(layer.join.weight)[:, :, None, None], bias_of(layer.join, layer.join_norm))
        return self.graph.add("Add", x, self.graph.silu(self._convolve(y, layer.conv, layer.conv_norm)))
