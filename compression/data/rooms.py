"""Rooms that were recorded: impulse responses from a folder, as responses for a batch of signals."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from compression.audio import SAMPLE_RATE, find_audio, read_mono
from compression.data.filters import Chance
from compression.errors import CorpusError

LONGEST = SAMPLE_RATE  # samples of an impulse response that are used, faded out at the end
FADE = SAMPLE_RATE // 10


def load_rooms(folder: Path, device: torch.device) -> Tensor:
    """Impulse responses ``[rooms, LONGEST]`` from the direct sound on, which is 1; one file is one room.

    Raises:
        CorpusError: There is no audio in the folder, a file cannot be decoded, or one is silent.
    """
    rows = []
    for path in find_audio(folder):
        impulse = read_mono(path)
        direct = int(np.abs(impulse).argmax())
        if not impulse[direct]:
            raise CorpusError(f"{path} is silent: an impulse response has a direct sound")
        row = np.zeros(LONGEST, np.float32)
        part = impulse[direct : direct + LONGEST] / impulse[direct]
        row[: len(part)] = part
        rows.append(row)
    rooms = torch.from_numpy(np.stack(rows))
    rooms[:, -FADE:] *= torch.linspace(1, 0, FADE)
    return rooms.to(device)


def recorded(chance: Chance, rooms: Tensor, size: int) -> Tensor:
    """Responses ``[batch, size // 2 + 1]`` of random rooms, nearer or farther than recorded, decaying as slowly or faster.

    Args:
        chance: Of the batch.
        rooms: From ``load_rooms``.
        size: Of the transform; a signal of ``size - LONGEST`` samples does not wrap round.
    """
    which = torch.randint(len(rooms), (chance.batch,), generator=chance.generator, device=chance.device)
    seconds = torch.arange(LONGEST, device=chance.device) / SAMPLE_RATE
    decay = math.log(1e3) * chance.uniform(0, 4, 1)  # at most to a quarter of a second for 60 dB
    impulse = rooms[which] * torch.exp(-decay * seconds) * 10 ** (-chance.uniform(-3, 15, 1) / 20)
    impulse[:, 0] = 1.0
    response: Tensor = torch.fft.rfft(impulse, n=size)
    return response
