"""``fcn``: the fully convolutional waveform network of Wu et al. (arXiv:1906.01078), in a form that streams.

Eight one-dimensional convolutions of 55 taps: seven of 30 filters with batch normalisation and LeakyReLU(0.3), then
one filter with tanh; 27 samples of look-ahead a layer. The paper's 301,351 parameters are counted as its Keras release
counts them: 300,931 that are trained, and 420 running statistics (mean and variance of each normalised filter).

The authors normalise over the whole utterance; here normalisation uses running statistics and the input a fixed
scale, so nothing depends on what is still to come. In streaming each layer keeps its last 54 inputs, and nothing is
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

from models.network import StreamingNetwork, layers, split_state

TAPS = 55
SLOPE = 0.3
INPUT_SCALE = 8.0
FFT_SIZE = 512


@dataclasses.dataclass(frozen=True)
class FcnConfig:
    """Filters of each hidden layer. Pruning makes them fewer, one by one."""

    filters: tuple[int, ...] = (30,) * 7

    def __post_init__(self) -> None:
        object.__setattr__(self, "filters", tuple(self.filters))
        if not self.filters or min(self.filters) < 1:
            raise ValueError("every hidden layer of an fcn needs at least one filter")


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Valid convolution of ``[batch, inputs, samples]``; by overlap-save FFT where the signal is long.

    On a CPU the transform takes a fifth to an eighth of the time of the direct form, forward and backward.
    """
    length = x.shape[-1] - TAPS + 1
    block = FFT_SIZE - TAPS + 1
    if length < 2 * block or x.device.type != "cpu":
        return functional.conv1d(x, weight, bias)
    batch, inputs, _ = x.shape
    count = -(-length // block)
    x = functional.pad(x, (0, count * block + TAPS - 1 - x.shape[-1]))
    spectra = torch.fft.rfft(x.unfold(-1, FFT_SIZE, block)).permute(3, 0, 2, 1)
    response = torch.fft.rfft(weight.flip(-1), FFT_SIZE).permute(2, 1, 0)
    product = torch.bmm(spectra.reshape(-1, batch * count, inputs), response)
    blocks = torch.fft.irfft(product.view(-1, batch, count, len(weight)).permute(1, 3, 2, 0), FFT_SIZE)
    y: Tensor = blocks[..., TAPS - 1 :].reshape(batch, len(weight), -1)[..., :length]
    return y if bias is None else y + bias[:, None]


class Fcn(StreamingNetwork):
    """See the module's docstring. Latency: a hop of 10 ms and 216 samples (13.5 ms) of look-ahead."""

    family = "fcn"
    hop = 160
    window = 160

    def __init__(self, config: FcnConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or FcnConfig()
        widths = (1, *config.filters, 1)
        self.delay = (len(widths) - 1) * (TAPS - 1) // 2
        self.convs = layers(nn.Conv1d(inputs, outputs, TAPS) for inputs, outputs in itertools.pairwise(widths))
        self.norms = layers(nn.BatchNorm1d(width) for width in config.filters)
        if min(config.filters) >= 2:
            self._pass_through()

    @torch.no_grad()
    def _pass_through(self) -> None:
        """Let two filters of each layer carry the signal and its negative, so that an untrained network passes it on.

        LeakyReLU(0.3) of a value less that of its negative is 1.3 times the value. The other filters are random, scaled so
        that signals neither fade nor grow from layer to layer (He et al., 2015).
        """
        centre, share = TAPS // 2, 1 / (1 + SLOPE)
        for index, conv in enumerate(self.convs):
            assert conv.bias is not None
            nn.init.kaiming_normal_(conv.weight, a=SLOPE)
            conv.bias.zero_()
            carriers = conv.weight[: min(2, conv.out_channels)]
            carriers.zero_()
            signs = torch.tensor([1.0, -1.0])[: len(carriers)]
            if index == 0:
                carriers[:, 0, centre] = signs
                continue
            carriers[:, 0, centre], carriers[:, 1, centre] = signs * share, -signs * share
            if index == len(self.convs) - 1:
                carriers /= INPUT_SCALE

    def hyperparameters(self) -> dict[str, Any]:
        return dataclasses.asdict(self.config)

    @property
    def state_sizes(self) -> dict[str, int]:
        return {f"layer{i}": conv.in_channels * (TAPS - 1) for i, conv in enumerate(self.convs)}

    def macs_per_second(self) -> int:
        return sum(conv.weight.numel() for conv in self.convs) * self.sample_rate

    def initial_state(self, batch: int) -> Tensor:
        """Every layer's input under endless digital silence, ``[batch, state_size]``."""
        rows, value = [], torch.zeros(1, 1, 1, device=self.convs[0].weight.device)
        with torch.no_grad():
            for index, conv in enumerate(self.convs):
                rows.append(value.expand(batch, conv.in_channels, TAPS - 1).flatten(1))
                value = self._activate(index, functional.conv1d(value.expand(1, -1, TAPS), conv.weight, conv.bias))
        return torch.cat(rows, dim=1)

    def forward(self, audio: Tensor) -> Tensor:
        """Enhance whole signals ``[batch, samples]``; zeros stand for the silence before and after."""
        x = functional.pad(audio, (self.delay, self.delay)).unsqueeze(1) * INPUT_SCALE
        for index, conv in enumerate(self.convs):
            x = self._activate(index, convolve(x, conv.weight, conv.bias))
        return x.squeeze(1)

    def step(self, audio: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        x = audio.unsqueeze(1) * INPUT_SCALE
        memory = []
        for index, (conv, past) in enumerate(zip(self.convs, split_state(state, self.state_sizes).values(), strict=True)):
            x = torch.cat([past.view(len(x), conv.in_channels, TAPS - 1), x], dim=2)
            memory.append(x[..., 1 - TAPS :].flatten(1))
            x = self._activate(index, convolve(x, conv.weight, conv.bias))
        return x.squeeze(1), torch.cat(memory, dim=1)

    def _activate(self, index: int, x: Tensor) -> Tensor:
        if index == len(self.norms):
            return torch.tanh(x)
        norm = self.norms[index]
        if norm.training and x.shape[-1] == 1:  # a single value has no statistics: the initial state
            x = functional.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)
        else:
            x = norm(x)
        return functional.leaky_relu(x, SLOPE)
