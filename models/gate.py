"""What the memory of an ``fcn`` lets through by itself: the spectrum of the input, each band by a gain, beside the filters.

Filters of 55 taps cannot be told to raise one harmonic and lower the noise beside it. A GRU that hears finer bands can say
it, and alone, with a gain for each band of the spectrum (RNNoise, Valin 2018, arXiv:1709.08243), it denoises better than
eight layers of filters. The two err differently, so their sum is better than either. Frames end with the newest sample
and are late by a hop, which is less than the filters are.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.memory import BANDS, RATE, frequencies
from models.transform import Transform


class Gate(nn.Module):
    """See the module's docstring. An untrained one lets nothing through.

    Args:
        units: Of the memory.
        hop: Samples between frames.
        delay: Samples by which the output lags behind the input, at least a hop.
    """

    spread: Tensor

    def __init__(self, units: int, hop: int, delay: int) -> None:
        super().__init__()
        self.late = delay - hop
        self.transform = Transform(hop)
        self.gains = nn.Linear(units, BANDS)
        self.shares = nn.Parameter(torch.zeros(BANDS))
        self.register_buffer("spread", spread(self.transform.bins), persistent=False)

    @staticmethod
    def macs_of(units: int, hop: int) -> int:
        """Multiplications a hop, both transforms counted in full."""
        return units * BANDS + BANDS * hop + 2 * (2 * hop) ** 2 if units else 0

    @property
    def state_sizes(self) -> dict[str, int]:
        """As of a ``StreamingNetwork``."""
        return {"history": self.transform.hop, "overlap": self.transform.hop, "waiting": self.late}

    def forward(self, audio: Tensor, remembered: Tensor, state: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """What is let through, ``delay`` samples late, and the next state.

        Args:
            audio: ``[batch, samples]``, whole hops.
            remembered: After each of them, ``[batch, hops, units]``.
            state: Parts of the state rows.
        """
        with torch.autocast(audio.device.type, enabled=False):
            return self.let_through(audio, self.shares * torch.sigmoid(self.gains(remembered.float())), state)

    def let_through(self, audio: Tensor, gains: Tensor, state: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """As ``forward``, for the bands' gains after each hop, ``[batch, hops, BANDS]``."""
        mask = (gains @ self.spread).transpose(0, 1).unsqueeze(3)
        heard = torch.cat([state["history"], audio], dim=1)
        passed, overlap = self.transform.synthesise(self.transform.analyse(heard) * mask, state["overlap"])
        passed = torch.cat([state["waiting"], passed], dim=1)
        samples, history = audio.shape[1], heard[:, -self.transform.hop :]
        return passed[:, :samples], {"history": history, "overlap": overlap, "waiting": passed[:, samples:]}


def spread(bins: int) -> Tensor:
    """Each band's share in the bins of a spectrum up to half the sample rate, ``[BANDS, bins]``, linear between the bands."""
    hertz = torch.arange(bins, dtype=torch.float64) * (RATE / 2 / bins)
    centres = frequencies()
    apart = torch.diff(centres)
    rise = (hertz - centres[:-1, None]) / apart[:, None]
    one = torch.ones(1, bins, dtype=torch.float64)
    return (torch.cat([one, rise]).clamp(0, 1) - torch.cat([rise, 0 * one]).clamp(0, 1)).float()
