"""The share of the noise that an output is to keep: everywhere, or beside speech alone."""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor
from torch.nn import functional

from compression.audio import FRAME, SAMPLE_RATE

FAINTEST = 1e-3  # power of a frame of speech, of the loudest one's and of the whole input's


@dataclasses.dataclass(frozen=True)
class Residual:
    """What a network leaves of the noise.

    Attributes:
        share: Of the noise, as an amplitude.
        hold: Seconds for which it is kept after speech; -1 for everywhere, also where there is none.
    """

    share: float = 0.0
    hold: float = -1.0

    def shares(self, noisy: Tensor, clean: Tensor) -> Tensor:
        """Of the noise, at every sample of whole examples ``[batch, samples]``."""
        if self.hold < 0 or self.share == 0:
            return torch.full_like(clean, self.share)
        return self.share * beside_speech(noisy, clean, self.hold)


NONE = Residual()


def beside_speech(noisy: Tensor, clean: Tensor, hold: float) -> Tensor:
    """1 where there is speech and for ``hold`` seconds after it, 0 elsewhere, ``[batch, samples]``.

    Both are needed whole: what is speech is told from the loudest of it, and what the microphones of clean recordings
    hear in a pause from how loud all is together.
    """
    power = functional.avg_pool1d(clean.square().unsqueeze(1), FRAME, ceil_mode=True)
    loudest = torch.maximum(power.amax(2, keepdim=True), noisy.square().mean(1)[:, None, None])
    speech = (power > FAINTEST * loudest).to(clean.dtype)
    before = math.ceil(hold * SAMPLE_RATE / FRAME)
    # one frame ahead: where speech begins is not known so well
    held = functional.max_pool1d(functional.pad(speech, (before, 1)), before + 2, 1)
    return functional.interpolate(held, clean.shape[1], mode="linear", align_corners=True).squeeze(1)
