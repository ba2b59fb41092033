"""``fcn``: the fully convolutional waveform network of Wu et al. (arXiv:1906.01078), in a form that streams.

Eight one-dimensional convolutions of 55 taps: seven of 30 filters with batch normalisation and LeakyReLU(0.3), then
one filter with tanh; 27 samples of look-ahead a layer. The paper's 301,351 parameters are counted as its Keras release
counts them: 300,931 that are trained, and 420 running statistics (mean and variance of each normalised filter).

The authors normalise over the whole utterance; here normalisation uses running statistics and the input a fixed
scale, so nothing depends on what is still to come; with ``control_units`` both follow what has been heard so far
(``models.adaptation``). In streaming each layer keeps its last 54 inputs, and nothing is
computed twice. Before the first sample a stream is taken to have been silent for ever: every layer's memory starts
as its answer to zeros.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.adaptation import Adaptation, Controls, modulate
from models.convolution import convolve
from models.gate import Gate
from models.mel import hertz, mel
from models.memory import Memory
from models.network import StreamingNetwork, layers, split_state

HOP = 160
TAPS = 55
SLOPE = 0.3
INPUT_SCALE = 8.0
CARRIER_NOISE = 0.1  # of the random share in carriers


@dataclasses.dataclass(frozen=True)
class FcnConfig:
    """Widths of an ``fcn``.

    Attributes:
        filters: Of each hidden layer. Pruning makes them fewer, one by one.
        control_units: Of the network that scales and shifts normalised filters by what has been heard; 0 for none, and a fixed
            scale of the input.
        memory_units: Of the GRU that remembers finer bands, and opens a gate beside the filters; 0 for neither.
    """

    filters: tuple[int, ...] = dataclasses.field(default=(30,) * 7, metadata={"length": "any"})
    control_units: int = 0
    memory_units: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "filters", tuple(self.filters))
        if not self.filters or min(self.filters) < 1:
            raise ValueError("every hidden layer of an fcn needs at least one filter")
        if min(self.control_units, self.memory_units) < 0:
            raise ValueError("control_units and memory_units must not be negative")
        if self.memory_units and not self.control_units:
            raise ValueError("memory_units need control_units beside them")
        if self.memory_units and (len(self.filters) + 1) * (TAPS // 2) < HOP:
            raise ValueError("memory_units need at least five hidden layers: what its gate lets through is late by a hop")


def filterbank(bands: int) -> Tensor:
    """Impulse responses ``[bands, taps]`` of bands of equal width on the mel scale; their sum is a unit impulse."""
    edges = hertz(torch.linspace(0, mel(8000), bands + 1)[1:]) / 8000
    time = torch.arange(TAPS) - TAPS // 2
    low: Tensor = edges[:, None] * torch.sinc(edges[:, None] * time) * torch.hann_window(TAPS + 2, periodic=False)[1:-1]
    return torch.diff(low, dim=0, prepend=torch.zeros(1, TAPS))


def band_strength(bands: Tensor) -> Tensor:
    """RMS of each band ``[bands]`` over that of the whole, for a spectrum that falls by 6 dB an octave from 500 Hz on."""
    spectrum = 1 / (1 + torch.linspace(0, 16, 257) ** 2)
    power: Tensor = (torch.fft.rfft(bands, 512).abs().square() * spectrum).sum(1) / spectrum.sum()
    return power.sqrt()


class LongConv(nn.Conv1d):
    """Convolution of ``TAPS`` taps, ``[batch, channels, samples]``, without padding."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, TAPS)

    def forward(self, x: Tensor) -> Tensor:
        return convolve(x, self.weight, self.bias)


class Fcn(StreamingNetwork):
    """See the module's docstring. Latency: a hop of 10 ms and 216 samples (13.5 ms) of look-ahead."""

    family = "fcn"
    hop = HOP
    window = HOP

    def __init__(self, config: FcnConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or FcnConfig()
        widths = (1, *config.filters, 1)
        self.delay = (len(widths) - 1) * (TAPS - 1) // 2
        self.convs = layers(LongConv(inputs, outputs) for inputs, outputs in itertools.pairwise(widths))
        self.norms = layers(nn.BatchNorm1d(width) for width in config.filters)
        self.adaptation = None
        if config.control_units:
            self.adaptation = Adaptation(config.filters, config.control_units, self.hop, self.delay)
        self.memory = Memory(config.control_units, config.memory_units, self.hop) if config.memory_units else None
        self.gate = Gate(config.memory_units, self.hop, self.delay) if config.memory_units else None
        if min(config.filters) >= 2:
            self._pass_through()

    @torch.no_grad()
    def _pass_through(self) -> None:
        """Let pairs of filters, one for a value and one for its negative, carry the bands of the signal.

        LeakyReLU(0.3) of a value less that of its negative is 1.3 times the value, so an untrained network passes its
        input on. Bands of like strength keep training from dropping the weak high ones before it has learned to tell
        speech from noise in them. What is no carrier is random, scaled so that signals neither fade nor grow from layer
        to layer (He et al., 2015).
        """
        bands = filterbank(min(self.config.filters) // 2)
        strength = band_strength(bands)
        for index, conv in enumerate(self.convs):
            assert conv.bias is not None
            nn.init.kaiming_normal_(conv.weight, a=SLOPE)
            conv.bias.zero_()
            last = index == len(self.convs) - 1
            inputs = 1 if index == 0 else 2 * len(bands)
            outputs = 1 if last else 2 * len(bands)
            conv.weight[:outputs] *= 0 if last else CARRIER_NOISE
            carriers = conv.weight[:outputs, :inputs]
            if index == 0:
                carriers[0::2, 0] += bands / strength[:, None]
                carriers[1::2, 0] -= bands / strength[:, None]
                continue
            back = strength / INPUT_SCALE if last else torch.eye(len(bands))
            for sign, even in ((1, 0), (-1, 1)):
                carriers[even::2, 0::2, TAPS // 2] += sign * back / (1 + SLOPE)
                carriers[even::2, 1::2, TAPS // 2] -= sign * back / (1 + SLOPE)

    @property
    def taught_apart(self) -> list[nn.Module]:
        """What ``compression.training.memory_lesson`` teaches: the memory, and what it asks of its gate."""
        return [self.memory, self.gate.gains] if self.memory is not None and self.gate is not None else []

    def hyperparameters(self) -> dict[str, Any]:
        return dataclasses.asdict(self.config)

    @property
    def state_sizes(self) -> dict[str, int]:
        sizes = {f"layer{i}": conv.in_channels * (TAPS - 1) for i, conv in enumerate(self.convs)}
        for part in (self.adaptation, self.memory, self.gate):
            sizes |= {} if part is None else part.state_sizes
        return sizes

    def macs_per_second(self) -> int:
        return self.macs_of(self.config)

    @classmethod
    def macs_of(cls, config: FcnConfig) -> int:
        """``macs_per_second`` of a network of these widths."""
        macs = sum(inputs * outputs for inputs, outputs in itertools.pairwise((1, *config.filters, 1))) * TAPS * cls.sample_rate
        per_hop = Adaptation.macs_of(config.filters, config.control_units)
        per_hop += Memory.macs_of(config.control_units, config.memory_units) + Gate.macs_of(config.memory_units, cls.hop)
        return macs + per_hop * cls.sample_rate // cls.hop

    def initial_state(self, batch: int) -> Tensor:
        """State under endless digital silence, ``[batch, state_size]``: of each layer's input and of what was heard."""
        value = self.convs[0].weight.detach().new_zeros(1, 1, 1)
        parts, controls = dict[str, Tensor](), None
        with torch.no_grad():
            for index, conv in enumerate(self.convs):
                parts[f"layer{index}"] = value.expand(1, conv.in_channels, TAPS - 1).flatten(1)
                value = self._normalise(index, functional.conv1d(value.expand(1, -1, TAPS), conv.weight, conv.bias))
                if index == 0 and self.adaptation is not None:
                    controls, adapted = self.adaptation.silence(value)
                    parts |= adapted
                value = self._activate(index, value, controls)
            if self.memory is not None:
                parts["memory"] = self.memory.silence(parts["units"])
        row = (parts.get(name, value.new_zeros(1, size)) for name, size in self.state_sizes.items())
        return torch.cat(list(row), dim=1).expand(batch, -1)

    def step(self, audio: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        parts = split_state(state, self.state_sizes)
        following, levelled, controls = {}, audio * INPUT_SCALE, None
        if self.adaptation is not None:
            heard = self.adaptation.hear(audio, parts)
            levelled = levelled / heard.level
        x = levelled.unsqueeze(1)
        for index in range(len(self.convs)):
            x, following[f"layer{index}"] = self._filter(index, x, parts)
            if index == 0 and self.adaptation is not None:
                controls, units, adapted = self.adaptation.listen(x, heard, parts)
                following |= adapted
            x = self._activate(index, x, controls)
        enhanced = x.squeeze(1)
        if self.adaptation is not None:
            enhanced = enhanced * heard.former_level
        if self.memory is not None and self.gate is not None:
            remembered, of_memory = self.memory(levelled, units, parts)
            passed, of_gate = self.gate(audio, remembered, parts)
            enhanced, following = enhanced + passed, following | of_memory | of_gate
        return enhanced, torch.cat([following[name] for name in self.state_sizes], dim=1)

    @torch.no_grad()
    def overhear(self, audio: Tensor) -> Tensor:
        """What the memory's GRU hears of whole signals ``[batch, samples]``, whole hops: ``[hops, batch, features]``.

        Raises:
            ValueError: The network has no memory.
        """
        if self.adaptation is None or self.memory is None:
            raise ValueError("only an fcn with memory_units remembers")
        state = split_state(self.initial_state(len(audio)), self.state_sizes)
        heard = self.adaptation.hear(audio, state)
        levelled = audio * INPUT_SCALE / heard.level
        first, _ = self._filter(0, levelled.unsqueeze(1), state)
        units, _ = self.adaptation.units_of(first, heard, state)
        return self.memory.features(torch.cat([state["heard"], levelled], dim=1), units)

    def _filter(self, index: int, x: Tensor, parts: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """A layer's normalised output ``[batch, filters, samples]`` for its input, and its part of the next state."""
        conv = self.convs[index]
        x = torch.cat([parts[f"layer{index}"].view(len(x), conv.in_channels, TAPS - 1), x], dim=2)
        return self._normalise(index, conv(x)), x[..., 1 - TAPS :].flatten(1)

    def _normalise(self, index: int, x: Tensor) -> Tensor:
        if index == len(self.norms):
            return x
        norm = self.norms[index]
        if norm.training and x.shape[-1] == 1:  # a single value has no statistics: the initial state
            return functional.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)
        normalised: Tensor = norm(x)
        return normalised

    def _activate(self, index: int, x: Tensor, controls: Controls | None) -> Tensor:
        if index == len(self.norms):
            return torch.tanh(x)
        if controls is not None:
            x = modulate(x, *controls[index])
        return functional.leaky_relu(x, SLOPE)
