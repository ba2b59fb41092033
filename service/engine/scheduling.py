"""Which lanes the engine steps next, how many at once, and how long it lets work gather first."""

from __future__ import annotations

import heapq
from collections import defaultdict

from models.zoo import Variant
from service.engine.lane import Lane, Work

MAX_ROWS = 32  # the gain of larger batches is spent before that, and latency grows
MAX_HOPS = 8  # per lane and step, when a lane has more waiting
EARLY_SECONDS = 0.05  # work whose deadline is further away than this has come faster than real time
EARLY_TICK_SECONDS = 0.01  # that such work may take of a tick beside what is due, which waits until that is through
EARLY_HOPS = (4, 64)  # fewest and most hops of all rows together that this may come to
LINGER_SECONDS = 0.003  # how long a busy engine lets work gather
LINGER_LOAD = (0.15, 0.4)  # from which load on it waits at all, and from which that long
SMOOTHING_SECONDS = 0.5
SMOOTHING_STEPS = 0.05  # share of the newest


def take_due(ready: dict[Lane, None], now: float, early_hops: int) -> list[list[Work]]:
    """Take the most urgent work of at most ``MAX_ROWS`` lanes a variant and length; call it with the engine's lock held.

    Args:
        ready: Lanes with waiting hops; those that have no more afterwards are taken out.
        now: On the clock of the deadlines.
        early_hops: Of all lanes together that have nothing due, beside lanes that have; twice as many where there are none,
            as after a stop of the whole machine.

    Returns:
        Batches that can be stepped together.
    """
    urgent = heapq.nsmallest(4 * MAX_ROWS, ready, key=lambda lane: lane.jobs[0][1])
    due = sum(lane.jobs[0][1] < now + EARLY_SECONDS for lane in urgent)
    each = 1
    if not due:
        early_hops *= 2
        each = max(MAX_HOPS // 2, min(MAX_HOPS, early_hops // max(1, len(urgent))))  # longer pieces take less time in all
    batches: dict[tuple[Variant, int], list[Work]] = defaultdict(list)
    for index, lane in enumerate(urgent[: due + early_hops // each]):
        work = lane.take((MAX_HOPS if index < due else each) * lane.variant.hop)
        if not lane.jobs:
            del ready[lane]
        batches[lane.variant, len(work.audio)].append(work)
    return [batch[i : i + MAX_ROWS] for batch in batches.values() for i in range(0, len(batch), MAX_ROWS)]


class Pace:
    """How busy the engine is, and what follows from it.

    Args:
        now: In seconds, on the clock of the steps.
    """

    def __init__(self, now: float) -> None:
        self._load, self._ended = 0.0, now
        self._hop_seconds = 0.0

    def observe_step(self, begin: float, end: float, hops: int) -> None:
        """Count a step of so many hops, those of all rows together."""
        since, self._ended = end - self._ended, end
        taken = (end - begin) / hops
        self._hop_seconds += (taken - self._hop_seconds) * (SMOOTHING_STEPS if self._hop_seconds else 1.0)
        self._load += ((end - begin) / since - self._load) * min(1.0, since / SMOOTHING_SECONDS)

    @property
    def linger_seconds(self) -> float:
        """How long to wait before the next step: not at all for a few streams, which then are answered at once."""
        low, high = LINGER_LOAD
        return LINGER_SECONDS * min(1.0, max(0.0, (self._load - low) / (high - low)))

    @property
    def early_hops(self) -> int:
        """Hops of all rows together that a tick may spend on what has come faster than real time."""
        fewest, most = EARLY_HOPS
        if not self._hop_seconds:  # nothing has been stepped yet
            return fewest
        return max(fewest, min(most, int(EARLY_TICK_SECONDS / self._hop_seconds)))
