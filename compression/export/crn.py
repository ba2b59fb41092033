"""``crn`` as an ONNX graph: audio in, audio out, transforms included.

Values are laid out as the runtime is fastest with them: spectra and masks as planes ``[frames, batch, 2, bins]``
(element by element, only a long last dimension is fast), convolutions as images of one line
``[frames * batch, channels, 1, bands]``, the recurrent blocks as rows ``[frames * batch * bands, channels]``.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from compression.export.graph import Graph, as_array
from compression.export.gru import gru_biases, gru_frames, reordered
from compression.export.transforms import Transforms
from models.crn import COMPRESSION, EPSILON, Crn, DecoderLayer, FrequencyConv, FullbandLayer, SubbandLayer

Array = npt.NDArray[np.float32]


def bias_of(layer: nn.Module, norm: nn.BatchNorm1d) -> Array:
    """What is added after a layer of a folded network, for each of its outputs."""
    if isinstance(own := getattr(layer, "bias", None), Tensor):
        return as_array(own)
    shift = as_array(norm.bias)
    outputs = len(as_array(layer.weight))
    return np.tile(shift, outputs // len(shift))


class CrnGraph:
    """Writes one network, with its normalisation folded, into a graph."""

    def __init__(self, network: Crn, graph: Graph) -> None:
        self.network, self.graph = network, graph

    def write(self) -> None:
        """The whole network, from ``audio`` and ``state`` to ``enhanced`` and ``next_state``."""
        graph, network = self.graph, self.network
        sizes = list(network.state_sizes.values())
        history, overlap, *hidden = graph.add_many("Split", "state", graph.integers(*sizes), outputs=len(sizes), axis=1)
        transforms = Transforms(graph, network.transform)
        audio = graph.add("Concat", history, "audio", axis=1)
        hops = graph.reshape(audio, 0, -1, network.hop)
        spectrum = transforms.analyse(audio, hops)
        masked, hidden = self._mask(spectrum, dict(zip(list(network.state_sizes)[2:], hidden, strict=True)))
        _, tails = transforms.synthesise(masked, overlap, name="enhanced")
        graph.add("Concat", graph.newest(hops), graph.newest(tails), *hidden, axis=1, name="next_state")

    def _power(self, log_power: str, exponent: float) -> str:
        return self.graph.add("Exp", self.graph.add("Mul", log_power, self.graph.constant(exponent)))

    def _log_power(self, spectrum: str) -> str:
        graph = self.graph
        power = graph.add("ReduceSum", graph.add("Mul", spectrum, spectrum), graph.integers(2))  # ReduceSumSquare is slower
        return graph.add("Log", graph.add("Add", power, graph.constant(EPSILON)))

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
        frames = graph.add("Shape", x, end=1)
        x = graph.reshape(x, -1, 3, 1, network.transform.bins)
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
        return self._by_frame(planes, frames, 2, self.network.transform.bins)

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
        every, last = gru_frames(self.graph, x, gru, initial)
        return self.graph.reshape(every, -1, gru.hidden_size), last

    def _gru_of_many_rows(self, x: str, gru: nn.GRU, initial: str) -> tuple[str, str]:
        """The same of ``[frames, rows, inputs]`` and ``[rows, units]``, half a thousand rows in half the time of the operator.

        ONNX Runtime's GRU computes gates unit by unit; as operators of their own they are vectorised. A single row, or a
        single stream over many frames, is faster by the operator.
        """
        graph, units = self.graph, gru.hidden_size
        parts = graph.integers(2 * units, units)

        def split(weight: object) -> list[str]:
            return graph.add_many("Split", graph.weight(reordered(weight)), parts, outputs=2, axis=0)

        (gates_in, new_in), (gates_kept, new_kept) = split(gru.weight_ih_l0), split(gru.weight_hh_l0)
        biases = gru_biases(graph, gru)
        gates_bias, new_bias, *kept = graph.add_many(
            "Split", biases, graph.integers(2 * units, units, 2 * units, units), outputs=4, axis=1
        )
        gates_bias = graph.add("Add", gates_bias, kept[0])

        def step(hidden: str, x: str) -> str:
            gates, new = graph.add("Gemm", x, gates_in, gates_bias, transB=1), graph.add("Gemm", x, new_in, new_bias, transB=1)
            gates = graph.add("Sigmoid", graph.add("Gemm", hidden, gates_kept, gates, transB=1))
            update, reset = graph.add_many("Split", gates, graph.integers(units, units), outputs=2, axis=1)
            remembered = graph.add("Mul", reset, graph.add("Gemm", hidden, new_kept, kept[1], transB=1))
            new = graph.add("Tanh", graph.add("Add", new, remembered))
            return graph.add("Add", new, graph.add("Mul", update, graph.add("Sub", hidden, new)))

        last, y = graph.scan(step, initial, x)
        return graph.reshape(y, -1, units), last

    def _subband(self, x: str, frames: str, layer: SubbandLayer, hidden: str) -> tuple[str, str]:
        """``x`` is ``[any, channels]``, a row a sub-band of a frame."""
        graph, units = self.graph, layer.gru.hidden_size
        rows = self._by_frame(x, frames, self.network.config.subband_channels)
        y, last = self._gru_of_many_rows(rows, layer.gru, graph.reshape(hidden, -1, units))
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
