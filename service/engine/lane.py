"""A lane: one row of state, that of one channel of one stream in one variant, and the hops that wait for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from models.zoo import Variant

Array = npt.NDArray[np.float32]


class Timing(NamedTuple):
    """What one step cost: seconds waited in the queue, seconds computed, rows in the batch."""

    queue: float
    compute: float
    batch: int


Deliver = Callable[[Array, Timing], None]
Fail = Callable[[Exception], None]


class Lane:
    """One row of state and the hops that wait for it. Made by ``Engine.open``.

    Attributes:
        resets: How often the row began anew because it was no longer finite; written by the engine's thread.
    """

    def __init__(self, variant: Variant, row: int, deliver: Deliver, fail: Fail) -> None:
        self.variant, self.row = variant, row
        self.deliver, self.fail = deliver, fail
        self.jobs: list[tuple[Array, float, float]] = []  # hops, deadline, handed over at
        self.closed = self.failed = False
        self.resets = 0

    def take(self, limit: int) -> Work:
        """Take up to so many samples of what waits; call it with the engine's lock held, and only when something waits."""
        audio, deadline, submitted = self.jobs.pop(0)
        if len(audio) > limit:
            self.jobs.insert(0, (audio[limit:], deadline + limit / self.variant.sample_rate, submitted))
            audio = audio[:limit]
        elif len(audio) < limit and self.jobs:
            parts = [audio]
            total = len(audio)
            while self.jobs and total + len(self.jobs[0][0]) <= limit:
                following, _, submitted = self.jobs.pop(0)
                parts.append(following)
                total += len(following)
            audio = np.concatenate(parts)
        return Work(self, audio, submitted)


class Work(NamedTuple):
    """What is taken from one lane for one step."""

    lane: Lane
    audio: Array
    submitted: float
