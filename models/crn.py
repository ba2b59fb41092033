"""``crn``: a causal convolutional-recurrent network that predicts a complex mask.

The spectrum of a frame of two hops, magnitudes compressed to the power 0.3, is brought down to a few sub-bands by strided
convolutions along frequency. Blocks of two residual layers follow: a GRU over time whose weights all sub-bands
share, and a GRU over time that sees all sub-bands through a narrow linear layer and so mixes along frequency.
Convolutions with skips lead back up to a complex mask per bin, which is applied to the compressed spectrum.

Sharing the recurrent layer among sub-bands follows FastEnhancer (ICASSP 2026); the full-band recurrent bottleneck
is in the spirit of FullSubNet (ICASSP 2021). Tensors are ``[frames, batch, bands, channels]`` throughout, so that
neither the recurrent layers nor the convolutions need a transposition.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.gru import Gru
from models.network import StreamingNetwork, layers, named_layers, split_state
from models.transform import Transform

COMPRESSION = 0.3
EPSILON = 1e-12


@dataclasses.dataclass(frozen=True)
class CrnConfig:
    """Time, frequency and widths of a ``crn``. Pruning makes the widths smaller, one by one.

    Attributes:
        channels: Channels of the encoder and the decoder, a row of them for each band.
        subband_channels: Channels of the recurrent blocks, a row for two bands.
        subband_units: Units of each block's GRU that the sub-bands share; 0 for a block without that layer.
        fullband_units: Units of each block's GRU that sees all sub-bands; 0 likewise.
        depth: Convolutions in the encoder, and in the decoder.
        hop: Samples between frames, of two hops each.
        bins_per_band: Of the spectrum, in a band of the encoder and the decoder.
    """

    channels: int = 32
    subband_channels: int = 64
    subband_units: tuple[int, ...] = dataclasses.field(default=(64, 64, 64), metadata={"length": "any"})
    fullband_units: tuple[int, ...] = dataclasses.field(default=(96, 96, 96), metadata={"length": "any"})
    depth: int = 2
    hop: int = 160
    bins_per_band: int = 4

    def __post_init__(self) -> None:
        object.__setattr__(self, "subband_units", tuple(self.subband_units))
        object.__setattr__(self, "fullband_units", tuple(self.fullband_units))
        if len(self.subband_units) != len(self.fullband_units):
            raise ValueError("subband_units and fullband_units must name the same number of blocks")
        units = (*self.subband_units, *self.fullband_units)
        if min(self.channels, self.subband_channels, self.depth) < 1 or min(units, default=0) < 0 or not any(units):
            raise ValueError("every width of a crn must be at least 1, but for units of 0 where a block lacks a layer")
        if self.bins_per_band < 2:
            raise ValueError("bins_per_band must be at least 2: a band is made of several bins")
        if self.hop < 1 or self.hop % (2 * self.bins_per_band):
            raise ValueError("hop must be a multiple of twice the bins_per_band")

    @property
    def subbands(self) -> int:
        """Rows that the recurrent blocks see of a frame."""
        return self.hop // (2 * self.bins_per_band)


def _present(units: tuple[int, ...]) -> list[tuple[str, int]]:
    """Names and units of the layers that are there."""
    return [(str(block), width) for block, width in enumerate(units) if width]


class ChannelNorm(nn.BatchNorm1d):
    """Batch normalisation over the last dimension; folded into its neighbour before export."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.reshape(-1, x.shape[-1])).view(x.shape)


class FrequencyConv(nn.Conv2d):
    """Convolution along the bands of ``[frames, batch, bands, channels]``."""

    def __init__(self, inputs: int, outputs: int, taps: int, stride: int = 1, bias: bool = False) -> None:
        super().__init__(inputs, outputs, (1, taps), (1, stride), (0, (taps - stride + 1) // 2), bias=bias)
        self.weight.data = self.weight.data.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> Tensor:
        frames, batch, bands, channels = x.shape
        y = super().forward(x.reshape(frames * batch, 1, bands, channels).permute(0, 3, 1, 2))
        return y.permute(0, 2, 3, 1).reshape(frames, batch, -1, self.out_channels)


class SubbandLayer(nn.Module):
    """Residual GRU over time, the same for every sub-band."""

    def __init__(self, channels: int, units: int) -> None:
        super().__init__()
        self.gru = Gru(channels, units)
        self.project = nn.Linear(units, channels, bias=False)
        self.norm = ChannelNorm(channels)

    def forward(self, x: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        frames, batch, bands, channels = x.shape
        y, hidden = self.gru(x.reshape(frames, batch * bands, channels), hidden.reshape(1, batch * bands, -1))
        return x + self.norm(self.project(y)).view(x.shape), hidden.reshape(batch, -1)


class FullbandLayer(nn.Module):
    """Residual GRU over time behind a linear layer that sees every channel of every sub-band.

    Without its normalisations the GRU is soon of no use: what passes it by grows, since nothing holds it, until the gates are
    saturated and the outputs, at most 1, no longer count.
    """

    def __init__(self, bands: int, channels: int, units: int) -> None:
        super().__init__()
        self.reduce = nn.Linear(bands * channels, units, bias=False)
        self.reduce_norm = ChannelNorm(units)
        self.gru = Gru(units, units)
        self.expand = nn.Linear(units, bands * channels)
        self.expand_norm = ChannelNorm(channels)

    def forward(self, x: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        y = self.reduce_norm(self.reduce(x.flatten(2)))
        z, hidden = self.gru(y, hidden.unsqueeze(0))
        return x + self.expand_norm(self.expand(y + z).view(x.shape)), hidden.squeeze(0)


class DecoderLayer(nn.Module):
    """Residual convolution that takes the encoder's output of the same depth in."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.join = nn.Linear(2 * channels, channels, bias=False)
        self.join_norm = ChannelNorm(channels)
        self.conv = FrequencyConv(channels, channels, 3)
        self.conv_norm = ChannelNorm(channels)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        y = self.join_norm(self.join(torch.cat([x, skip], dim=-1)))
        return x + functional.silu(self.conv_norm(self.conv(y)))


class Crn(StreamingNetwork):
    """See the module's docstring. Latency: one window, of two hops."""

    family = "crn"

    def __init__(self, config: CrnConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or CrnConfig()
        self.transform = Transform(config.hop)
        self.hop = self.delay = config.hop
        self.window = self.transform.window
        self.bands = config.subbands
        stride = config.bins_per_band
        channels, wide = config.channels, config.subband_channels
        self.entry = FrequencyConv(3, channels, 2 * stride, stride=stride)
        self.entry_norm = ChannelNorm(channels)
        self.encoder = layers(FrequencyConv(channels, channels, 3) for _ in range(config.depth))
        self.encoder_norms = layers(ChannelNorm(channels) for _ in range(config.depth))
        self.down = FrequencyConv(channels, wide, 4, stride=2)
        self.down_norm = ChannelNorm(wide)
        subband, fullband = _present(config.subband_units), _present(config.fullband_units)
        self.subband = named_layers({block: SubbandLayer(wide, units) for block, units in subband})
        self.fullband = named_layers({block: FullbandLayer(self.bands, wide, units) for block, units in fullband})
        self.up = nn.Linear(wide, 2 * channels, bias=False)
        self.up_norm = ChannelNorm(channels)
        self.decoder = layers(DecoderLayer(channels) for _ in range(config.depth))
        self.mask = FrequencyConv(channels, 2 * stride, 3, bias=True)
        assert self.mask.bias is not None
        with torch.no_grad():  # start from a mask near 1
            self.mask.weight.mul_(0.3)
            self.mask.bias.zero_()[::2] = 1.0

    def hyperparameters(self) -> dict[str, Any]:
        return dataclasses.asdict(self.config)

    @property
    def state_sizes(self) -> dict[str, int]:
        sizes = {"history": self.window - self.hop, "overlap": self.window - self.hop}
        sizes |= {f"subband{name}": self.bands * units for name, units in _present(self.config.subband_units)}
        sizes |= {f"fullband{name}": units for name, units in _present(self.config.fullband_units)}
        return sizes

    def macs_per_second(self) -> int:
        return self.macs_of(self.config)

    @classmethod
    def macs_of(cls, config: CrnConfig) -> int:
        """``macs_per_second`` of a network of these widths, both transforms counted in full; graphs halve them by symmetry."""
        wide, channels = config.subband_channels, config.channels
        high, low, per_band = 2 * config.subbands, config.subbands, 2 * config.bins_per_band
        macs = 2 * (2 * config.hop) ** 2  # as matrix products
        macs += high * 3 * per_band * channels + config.depth * high * 3 * channels * channels
        macs += low * 4 * channels * wide + low * wide * 2 * channels
        for units in config.subband_units:
            macs += low * (3 * units * (wide + units) + units * wide)
        for units in config.fullband_units:
            macs += 2 * low * wide * units + 6 * units * units
        macs += config.depth * high * (2 + 3) * channels * channels + high * 3 * channels * per_band
        return macs * cls.sample_rate // config.hop

    def step(self, audio: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        parts = split_state(state, self.state_sizes)
        audio = torch.cat([parts["history"], audio], dim=1)
        spectrum = self.transform.analyse(audio)
        masked, hidden = self._mask(spectrum, parts)
        enhanced, overlap = self.transform.synthesise(masked, parts["overlap"])
        history = audio[:, -(self.window - self.hop) :]
        return enhanced, torch.cat([history, overlap, *hidden], dim=1)

    def _mask(self, spectrum: Tensor, parts: dict[str, Tensor]) -> tuple[Tensor, list[Tensor]]:
        power = spectrum.square().sum(-1, keepdim=True) + EPSILON
        compressed = spectrum * power ** ((COMPRESSION - 1) / 2)
        mask, hidden = self._network(torch.cat([compressed, power ** (COMPRESSION / 2)], dim=-1), parts)
        real = compressed[..., 0] * mask[..., 0] - compressed[..., 1] * mask[..., 1]
        imaginary = compressed[..., 0] * mask[..., 1] + compressed[..., 1] * mask[..., 0]
        masked = torch.stack([real, imaginary], dim=-1)
        power = masked.square().sum(-1, keepdim=True) + EPSILON
        return masked * power ** ((1 / COMPRESSION - 1) / 2), hidden

    def _network(self, x: Tensor, parts: dict[str, Tensor]) -> tuple[Tensor, list[Tensor]]:
        frames, batch, bins, _ = x.shape
        x = functional.silu(self.entry_norm(self.entry(x)))
        skips = []
        for conv, norm in zip(self.encoder, self.encoder_norms, strict=True):
            x = x + functional.silu(norm(conv(x)))
            skips.append(x)
        x = self.down_norm(self.down(x))
        hidden = {}
        for block in map(str, range(len(self.config.subband_units))):
            if block in self.subband:
                x, last = self.subband[block](x, parts[f"subband{block}"].to(x.dtype))
                hidden[f"subband{block}"] = last.float()
            if block in self.fullband:
                x, last = self.fullband[block](x, parts[f"fullband{block}"].to(x.dtype))
                hidden[f"fullband{block}"] = last.float()
        x = self.up_norm(self.up(x).view(frames, batch, 2 * self.bands, -1))
        for layer in self.decoder:
            x = layer(x, skips.pop())
        mask = self.mask(x).reshape(frames, batch, bins, 2).float()
        return mask, [hidden[name] for name in parts if name in hidden]
