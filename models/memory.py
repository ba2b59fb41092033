"""What an ``fcn`` remembers of a stream: a GRU that hears finer bands than the filters, and opens the gate beside them.

Filters of 55 taps are 290 Hz wide, and running means say how loud their bands were, not in what order. Here probes of up
to 30 ms, sines of 64 frequencies under a window, resolve the harmonics of a voice, and a GRU follows them from hop to
hop, as in RNNoise (Valin 2018, arXiv:1709.08243). The probes are given by formulas and cost no parameters.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.gru import Gru
from models.mel import CORNER, hertz, mel

BANDS = 64
WINDOW = 480  # samples of the longest probe
LOWEST, HIGHEST = 50.0, 7600.0  # Hz
RISE = math.log((HIGHEST + CORNER) / (LOWEST + CORNER)) / (BANDS - 1)  # of log(frequency + CORNER), from band to band
RATE = 16000
FLOOR = 10 ** (-50 / 20)  # least level of a band that is told from silence
SETTLED = 100  # steps towards what is remembered of endless silence


def frequencies() -> Tensor:
    """Of the probes ``[BANDS]``, Hz, evenly spaced on the mel scale."""
    return hertz(torch.linspace(mel(LOWEST), mel(HIGHEST), BANDS, dtype=torch.float64))


def lengths() -> Tensor:
    """Of the probes' windows ``[BANDS]``, samples: a probe hears half of what its neighbours hear, up to ``WINDOW``."""
    apart = RISE * (frequencies() + CORNER)
    return (2 * RATE / apart).clamp(max=WINDOW)


def probes() -> Tensor:
    """Cosines, then sines, under windows that end with the newest sample, ``[2 * BANDS, 1, WINDOW]``.

    Squared and added the two give white noise of level 1 a power of 1.
    """
    age = torch.arange(WINDOW, 0, -1, dtype=torch.float64) - 0.5
    length, phase = lengths()[:, None], 2 * math.pi / RATE * frequencies()[:, None] * age
    window = (1 - torch.cos(2 * math.pi * (age / length).clamp(max=1))) / (1.5 * length).sqrt()
    return torch.cat([window * phase.cos(), window * phase.sin()]).unsqueeze(1).float()


class Memory(nn.Module):
    """See the module's docstring.

    Args:
        inputs: Further values a hop that it hears.
        units: Of the GRU.
        hop: Samples of a hop.
    """

    probes: Tensor

    def __init__(self, inputs: int, units: int, hop: int) -> None:
        super().__init__()
        self.units, self.hop = units, hop
        self.gru = Gru(BANDS + inputs, units)
        self.register_buffer("probes", probes(), persistent=False)
        with torch.no_grad():  # logarithms of levels lie about -3
            weight, _, bias, _ = self.gru.weights
            weight[:, :BANDS].div_(2)
            bias.add_(3 * weight[:, :BANDS].sum(1))

    @staticmethod
    def macs_of(inputs: int, units: int) -> int:
        """Multiplications a hop, of the probes as well."""
        return 2 * BANDS * WINDOW + 3 * units * (BANDS + inputs + units) if units else 0

    @property
    def state_sizes(self) -> dict[str, int]:
        """As of a ``StreamingNetwork``."""
        return {"heard": WINDOW - self.hop, "memory": self.units}

    def hear(self, audio: Tensor) -> Tensor:
        """Logarithms of the bands' levels after each hop, ``[batch, hops, BANDS]``.

        Args:
            audio: Divided by its level, ``[batch, WINDOW - hop + samples]``.
        """
        with torch.no_grad(), torch.autocast(audio.device.type, enabled=False):
            cosines, sines = functional.conv1d(audio.float().unsqueeze(1), self.probes, stride=self.hop).chunk(2, dim=1)
            power = (cosines.square() + sines.square()).clamp(min=FLOOR**2)
            return power.log().mul(0.5).transpose(1, 2)

    def silence(self, known: Tensor) -> Tensor:
        """What is remembered of endless digital silence, ``[1, units]``.

        Args:
            known: The further values meanwhile, ``[1, inputs]``.
        """
        bands = self.hear(known.new_zeros(1, WINDOW)).squeeze(1)
        of_input, of_state, input_bias, state_bias = self.gru.weights
        reset, _, new = functional.linear(torch.cat([bands, known], dim=1), of_input, input_bias).chunk(3, dim=1)
        state = known.new_zeros(1, self.units)
        for _ in range(SETTLED):  # where a unit rests, it is what its update would make it, however rare its updates are
            recalled_reset, _, recalled = functional.linear(state, of_state, state_bias).chunk(3, dim=1)
            state = 0.5 * (state + torch.tanh(new + torch.sigmoid(reset + recalled_reset) * recalled))
        return state

    def features(self, audio: Tensor, known: Tensor) -> Tensor:
        """What the GRU hears, ``[hops, batch, BANDS + inputs]``: arguments as of ``hear`` and ``forward``."""
        return torch.cat([self.hear(audio), known], dim=2).transpose(0, 1)

    def forward(self, audio: Tensor, known: Tensor, state: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """What is remembered after each hop, ``[batch, hops, units]``, and the next state.

        Args:
            audio: Divided by its level, ``[batch, samples]``, whole hops.
            known: Further values after each hop, ``[batch, hops, inputs]``.
            state: Parts of the state rows.
        """
        audio = torch.cat([state["heard"], audio], dim=1)
        remembered, last = self.gru(self.features(audio, known), state["memory"].unsqueeze(0))
        following = {"heard": audio[:, self.hop - WINDOW :], "memory": last[0]}
        return remembered.transpose(0, 1), following
