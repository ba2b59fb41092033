"""Opening a workshop: what the commands that compress a network set out with."""

from __future__ import annotations

import functools
import math
import time
from pathlib import Path

from compression.data.mixing import MixingSettings
from compression.data.sources import Sources, open_recordings, tell_unused
from compression.losses.residual import NONE, Residual
from compression.pipeline.stages import CPU, Workshop
from models.network import StreamingNetwork


def open_workshop(
    original: StreamingNetwork,
    mixing: MixingSettings,
    training: Sources,
    validation: Sources,
    valid_share: float,
    folder: Path,
    minutes: float | None = None,
    mixers: int = 0,
    pruned_from: Path | None = None,
    kept: Residual = NONE,
) -> Workshop:
    """Read the recordings; a share of those to train on is kept for validation where that has none of its own.

    Raises:
        CorpusError: A folder of recordings is missing or cannot be used.
    """
    deadline = math.inf if minutes is None else time.monotonic() + 60 * minutes
    recordings, valid = open_recordings(training, validation, valid_share, CPU)
    tell_unused(recordings, mixing)
    remembered = functools.lru_cache(maxsize=None)(valid)  # the same 16 batches again and again
    return Workshop(original, recordings, remembered, mixing, folder, deadline, mixers, pruned_from, kept)
