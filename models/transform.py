"""Spectra of half-overlapped frames, and signals of spectra: square-root Hann windows, before and after."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Transform(nn.Module):
    """Both transforms of frames of two hops.

    Attributes:
        hop: Samples between frames.
        window: Samples of a frame.
        bins: Of a spectrum, from 0 Hz on; one more at half the sample rate is dropped.
    """

    taper: Tensor

    def __init__(self, hop: int) -> None:
        super().__init__()
        self.hop = self.bins = hop
        self.window = 2 * hop
        self.register_buffer("taper", torch.hann_window(self.window).sqrt(), persistent=False)

    def analyse(self, audio: Tensor) -> Tensor:
        """Samples ``[batch, window + (frames - 1) * hop]`` to spectra ``[frames, batch, bins, 2]``."""
        frames = audio.unfold(1, self.window, self.hop).transpose(0, 1)
        return torch.view_as_real(torch.fft.rfft(frames * self.taper)[..., : self.bins])

    def synthesise(self, spectrum: Tensor, overlap: Tensor) -> tuple[Tensor, Tensor]:
        """Spectra to samples ``[batch, frames * hop]`` by overlap-add, and the part still to be completed."""
        frames = torch.fft.irfft(torch.view_as_complex(spectrum.contiguous()), n=self.window)
        frames = (frames * self.taper).transpose(0, 1)
        first, second = frames[..., : self.hop], frames[..., self.hop :]
        carried = torch.cat([overlap.unsqueeze(1), second[:, :-1]], dim=1)
        return (first + carried).flatten(1), second[:, -1]
