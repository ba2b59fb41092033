"""The mel scale, on which equal steps sound equally far apart (O'Shaughnessy, 1987)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

CORNER = 700.0  # Hz, below which the scale is about linear
_PER_NEPER = 1127.0


def mel(hertz: float) -> float:
    """Mel of a frequency."""
    return _PER_NEPER * math.log1p(hertz / CORNER)


def hertz(mels: Tensor) -> Tensor:
    """Frequencies of values in mel."""
    return CORNER * torch.expm1(mels / _PER_NEPER)
